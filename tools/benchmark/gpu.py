"""Benchmark of a GPU within a few minutes: training, sentences, detectors, scenes.

One command for a machine that is lent for minutes. The time is shared out; each table is given out,
and written, as soon as it is there.
"""
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rscc.config.files import existing_config
from rscc.utils import check_choice
from tools.benchmark.benchmarked_model import BenchmarkedModel, load_model
from tools.benchmark.budget import Budget, release
from tools.benchmark.gpu_captioners import caption_notes, caption_rows, columns
from tools.benchmark.gpu_detectors import COLUMNS as DETECTOR_COLUMNS
from tools.benchmark.gpu_detectors import detector_notes, detector_rows
from tools.benchmark.gpu_scenes import COLUMNS as SCENE_COLUMNS
from tools.benchmark.gpu_scenes import scene_notes, scene_rows
from tools.benchmark.gpu_training import COLUMNS as TRAINING_COLUMNS
from tools.benchmark.gpu_training import Feed, peak_tflops, training_notes, training_rows
from tools.benchmark.machine import Machine, check_device, describe_machine
from tools.benchmark.tables import Section, Text

_CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
CAPTIONER, DIFFUSION = (str(_CONFIGS / f'{name}_levircc.py') for name in ('blip', 'kdrscc'))
DETECTORS = tuple(str(_CONFIGS / f'changeclip_{name}_levircd.py') for name in ('rn50', 'vit'))
BATCHES, STEPS = (32, 128), (50, 10)


@dataclass(frozen=True)
class Setting:
    """Settings of a measurement, as ``benchmark_gpu`` describes them, and the machine."""
    device: str
    captioner: str
    diffusion: str
    detectors: Sequence[str]
    batch_sizes: Sequence[int]
    steps: Sequence[int]
    beams: int
    tokens: int
    compiled: bool
    feed: Feed
    scene_side: int
    peak: float | None
    vocab: str | None
    machine: Machine

    def load(self, config: str) -> BenchmarkedModel:
        """Return the model of a config with random weights."""
        release(self.device)
        return load_model(config, device=self.device, random_weights=True,
                          vocab=self.vocab)


def benchmark_gpu(parts: Sequence[str] = (), *, minutes: float = 8, rounds: int = 30,
                  device: str = 'cuda', captioner: str = CAPTIONER, diffusion: str = DIFFUSION,
                  detectors: Sequence[str] = DETECTORS, batch_sizes: Sequence[int] = BATCHES,
                  steps: Sequence[int] = STEPS, beams: int = 3, tokens: int = 12,
                  compiled: bool = True, root: str | None = None, pairs: int = 512,
                  workers: int | None = None, scene_side: int = 4096,
                  peak: float | None = None, vocab: str | None = None) -> Iterator[Section]:
    """Measure a GPU within some minutes; random weights in the published shapes.

    Args:
        parts: Of ``PARTS``; none for all.
        minutes: For all parts; what no longer fits is named in the tables as left out.
        rounds: Timed calls of a way, at most.
        device: ``'cuda[:i]'``; ``'cpu'`` tries the benchmark out.
        captioner: Config whose training is measured, and whose beam search.
        diffusion: Config with a ``KarrasCaptionHead``.
        detectors: Configs of detectors.
        batch_sizes: Pairs of a training step of the captioner; everything else takes the first.
        steps: Numbers of sampling steps.
        beams: Width of the beam search.
        tokens: Length of its sentences.
        compiled: Whether to try the compiler, which takes a minute for each way.
        root: Folder in LEVIR-CC's layout for the loader; rendered pairs by default.
        pairs: How many are rendered.
        workers: Processes of the loader; one a core, 16 at most, by default.
        scene_side: Of the scene, in pixels.
        peak: Dense bfloat16 TFLOP/s of the GPU; looked up by its name by default.
        vocab: BERT's ``vocab.txt``; made up by default.

    Returns:
        The tables, each as soon as it is measured. A part that fails as a whole (a model that does
        not fit) raises its error when the others are done.

    Raises:
        ValueError: If a part is unknown, a number is out of range, or there is no such device.
        FileNotFoundError: If a config does not exist.
    """
    for part in parts:
        check_choice('part', part, PARTS)
    numbers = dict(minutes=minutes, rounds=rounds, batch_sizes=min(batch_sizes, default=0),
                   steps=min(steps, default=0), pairs=pairs, scene_side=scene_side,
                   peak=1 if peak is None else peak)
    for name, number in numbers.items():
        if number <= 0:
            raise ValueError(f'{name} must be above 0, found {number}')
    for config in (captioner, diffusion, *detectors):
        existing_config(config)
    machine = describe_machine(check_device(device))
    if peak is None and machine.gpu is not None:
        peak = peak_tflops(machine.gpu)
    setting = Setting(device, captioner, diffusion, detectors, batch_sizes, steps, beams, tokens,
                      compiled, Feed(root, pairs, workers), scene_side, peak,
                      vocab, machine)
    return _sections([name for name in PARTS if not parts or name in parts], setting,
                     Budget(60 * minutes, rounds), minutes)


def _sections(names: Sequence[str], setting: Setting, budget: Budget, minutes: float
              ) -> Iterator[Section]:
    """Yield the table of every part; what one leaves of its time goes to those after it."""
    failed: list[Exception] = []
    for place, name in enumerate(names):
        weights = [PARTS[other][1] for other in names[place:]]
        run = PARTS[name][0]
        try:
            section = run(setting, budget.share(weights[0], sum(weights)))
        except Exception as error:
            failed.append(error)
            print(f'{name} failed: {type(error).__name__}: {error}')
        else:
            section.notes = [_how(minutes), *section.notes]
            yield section
        release(setting.device)
    if failed:
        raise failed[0]


def _how(minutes: float) -> Text:
    return (f'Random weights in the published shapes. Medians (fastest to slowest) of as many '
            f'rounds in turn as fit into {minutes:g} minutes for all tables of this command; '
            'what did not fit or failed is named.',
            f'权重为随机值，形状与已发布的相同。轮流测量的中位数（最快至最慢），轮数取本命令所有表格'
            f'在 {minutes:g} 分钟内所能容纳的；未能容纳或失败的各项均已注明。')


def _training(setting: Setting, budget: Budget) -> Section:
    rows = training_rows(setting.load(setting.captioner), budget, setting.batch_sizes,
                         setting.compiled, setting.feed, setting.peak)
    return Section('training', ('Training steps of a captioner', '描述模型的训练'),
                   TRAINING_COLUMNS, rows, setting.machine, notes=training_notes(
                       setting.machine.gpu or '', setting.peak, setting.feed))


def _captioners(setting: Setting, budget: Budget) -> Section:
    batch = setting.batch_sizes[0]
    diffusion = setting.load(setting.diffusion).require_head(
        'KarrasCaptionHead', 'draws no captions from noise')
    sampled = {(f'{steps} steps', f'{steps} 步'): dict(steps=steps) for steps in setting.steps}
    rows = caption_rows(diffusion, budget.share(3, 4), batch, sampled, graphs=True)
    del diffusion
    writer = setting.load(setting.captioner)
    writer.fix_sentence_length(setting.tokens)
    beams = {(f'beam {setting.beams}', f'束宽 {setting.beams}'): dict(num_beams=setting.beams)}
    rows += caption_rows(writer, budget, batch, beams, graphs=False)
    return Section('captioners', ('Sentences by CUDA graphs and in batches',
                                  'CUDA 图与批量生成句子'),
                   columns(batch), rows, setting.machine,
                   notes=caption_notes(setting.tokens, setting.machine.gpu is not None))


def _detectors(setting: Setting, budget: Budget) -> Section:
    rows: list[list[Text]] = []
    for place, config in enumerate(setting.detectors):
        rows += detector_rows(setting.load(config), budget.share(1, len(setting.detectors) - place),
                              setting.batch_sizes[0], setting.compiled)
    return Section('detectors', ('Detectors by precision, layout and compiler',
                                 '检测模型：精度、内存布局与编译'),
                   DETECTOR_COLUMNS, rows, setting.machine, notes=detector_notes())


def _scenes(setting: Setting, budget: Budget) -> Section:
    rows = scene_rows(budget, setting.scene_side, setting.batch_sizes[0], setting.device)
    return Section('scene_rate', ('Scenes, megapixels a second', '大幅影像：每秒百万像素'),
                   SCENE_COLUMNS, rows, setting.machine,
                   notes=scene_notes(setting.scene_side, setting.device))


#: Name of a part -> what measures it, and its share of the time.
PARTS: dict[str, tuple[Callable[[Setting, Budget], Section], float]] = {
    'training': (_training, 3), 'captioners': (_captioners, 1), 'scenes': (_scenes, 1.5),
    'detectors': (_detectors, 4)}
