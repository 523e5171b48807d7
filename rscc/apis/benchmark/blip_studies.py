"""Three questions to one captioner: captions a pair, precision, search for the sentence."""
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from rscc.apis.benchmark.machine import describe_machine
from rscc.apis.benchmark.report import Section, Target, Text
from rscc.apis.benchmark.steps import (
    Steps,
    check_device,
    choose_precisions,
    steps_in,
    synchronizer,
)
from rscc.apis.benchmark.subject import Subject, load_subject
from rscc.apis.benchmark.timing import Case, Timing, measure
from rscc.engine.precision import cpu_has_bf16

FIVE_CAPTIONS = Target(1.7)
BF16_SPEEDUP = Target(1.8, at_least=True)


def study_captions(config: str, *, batch_size: int = 2, rounds: int = 20, device: str = 'cpu',
                   precisions: Sequence[str] | None = None, **options: Any) -> Section:
    """Compare a training step on one sentence a pair with one on all five.

    Args:
        config: Path of a captioner's config.
        batch_size: Pairs a step.
        rounds: Timed steps of each.
        device: ``'cpu'`` or ``'cuda[:i]'``.
        precisions: Each is compared for itself.
        **options: Of ``load_subject``.
    """
    check_device(device)
    subject = load_subject(config, device=device, **options)
    rows: list[list[Text]] = []
    for name, steps in steps_in(subject, choose_precisions(precisions, device)).items():
        times = _train_times({count: (steps, subject.batch(batch_size, count))
                              for count in (1, 5)}, batch_size, rounds, f'captions, {name}')
        ratio = times['5'].over(times['1'])
        rows.append([subject.name, name, str(times['1']), str(times['5']),
                     FIVE_CAPTIONS.judge(ratio)])
    return Section(
        'captions', ('Five captions of a pair share one encode', '一对影像的五个句子共用一次编码'),
        (('config', '配置'), ('precision', '精度'), ('one caption, ms a pair', '一个句子，毫秒/对'),
         ('five captions, ms a pair', '五个句子，毫秒/对'), ('ratio', '比值')),
        rows, describe_machine(device), notes=[_settings(subject, batch_size, rounds)])


def study_precision(config: str, *, batch_size: int = 2, rounds: int = 20, device: str = 'cpu',
                    **options: Any) -> Section:
    """Compare a training step in float32 with one under bfloat16 autocast (``--amp``).

    Args:
        config: Path of a captioner's config.
        batch_size: Pairs a step.
        rounds: Timed steps of each.
        device: ``'cpu'`` or ``'cuda[:i]'``.
        **options: Of ``load_subject``.
    """
    check_device(device)
    subject = load_subject(config, device=device, **options)
    batch = subject.batch(batch_size)
    ways = steps_in(subject, ['fp32', 'bf16'])
    times = _train_times({name: (steps, batch) for name, steps in ways.items()}, batch_size, rounds,
                         'precision')
    speedup = times['fp32'].over(times['bf16'])
    # Without the instructions bfloat16 is emulated, and --amp leaves it alone.
    promised = device == 'cpu' and cpu_has_bf16()
    verdict = BF16_SPEEDUP.judge(speedup) if promised else f'{speedup:.2f}'
    return Section(
        'precision', ('Training in bfloat16', '以 bfloat16 训练'),
        (('config', '配置'), ('fp32, ms a pair', 'fp32，毫秒/对'),
         ('bf16, ms a pair', 'bf16，毫秒/对'), ('speed-up', '加速比')),
        [[subject.name, str(times['fp32']), str(times['bf16']), verdict]],
        describe_machine(device), notes=[_settings(subject, batch_size, rounds)])


def study_decode(config: str, *, batch_size: int = 2, rounds: int = 20, device: str = 'cpu',
                 tokens: int = 12, beams: int = 3, **options: Any) -> Section:
    """Compare greedy and beam search, and count how often the frames are encoded.

    Args:
        config: Path of a captioner's config.
        batch_size: Pairs a call.
        rounds: Timed calls of each.
        device: ``'cpu'`` or ``'cuda[:i]'``.
        tokens: Length of the sentences.
        beams: Width of the beam search.
        **options: Of ``load_subject``.
    """
    check_device(device)
    subject = load_subject(config, device=device, **options)
    subject.fix_sentence_length(tokens)
    searches = {'greedy': dict(num_beams=1), f'beam {beams}': dict(num_beams=beams)}
    counts = {name: count_encodes(subject, search, batch_size)
              for name, search in searches.items()}
    times = _decode_times(subject, searches, batch_size, rounds)
    encoder = times['encoder']
    rows = [[name, f'{count.frames / batch_size:g} / {subject.dates}', str(count.calls),
             str(encoder), str(times[name]), f'{encoder.ms + times[name].ms:.0f}',
             f'{times[name].over(times["greedy"]):.2f}'] for name, count in counts.items()]
    return Section(
        'decode', ('Search for the sentence', '句子搜索'),
        (('search, with cache', '搜索（带缓存）'),
         ('frames encoded / frames a pair', '编码帧数 / 每对帧数'),
         ('encoder calls a batch', '每批编码器调用次数'),
         ('encoder and fusion, ms a pair', '编码与融合，毫秒/对'),
         ('decoder, ms a pair', '解码，毫秒/对'), ('together', '合计'),
         ('decoder over greedy', '解码相对贪心')),
        rows, describe_machine(device),
        notes=[_settings(subject, batch_size, rounds),
               (f'Sentences of {tokens} tokens each; frames and calls are counted while a whole '
                'prediction runs.',
                f'句子均为 {tokens} 个词元；帧数与调用次数在完整预测过程中统计。')])


@dataclass
class EncodeCount:
    """How often an encoder ran.

    Attributes:
        calls: Calls of the encoder.
        frames: Frames (one date of one sample) it saw in them.
    """
    calls: int = 0
    frames: int = 0
    shapes: list[tuple[int, ...]] = field(default_factory=list)

    @contextmanager
    def watch(self, encoder: nn.Module) -> Iterator[None]:
        """Count the calls inside the block."""
        def note(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            self.calls += 1
            self.frames += inputs[0].shape[0] * inputs[0].shape[1]
            self.shapes.append(tuple(inputs[0].shape))

        hook = encoder.register_forward_pre_hook(note)
        try:
            yield
        finally:
            hook.remove()


def count_encodes(subject: Subject, search: Mapping[str, Any], batch_size: int = 1) -> EncodeCount:
    """Count the encoder's work while a batch is answered with the given search."""
    head = subject.model.caption_head
    usual, count = head.decoding, EncodeCount()
    head.decoding = usual.updated(dict(search))
    try:
        with count.watch(subject.model.encoder), torch.no_grad():
            subject.model.eval().test_step(subject.batch(batch_size))
    finally:
        head.decoding = usual
    return count


@torch.no_grad()
def _decode_times(subject: Subject, searches: Mapping[str, Mapping[str, Any]], batch_size: int,
                  rounds: int) -> dict[str, Timing]:
    """Time the encoder and every search on features that are there already."""
    model = subject.model.eval()
    inputs = model.data_preprocessor(subject.batch(batch_size), False)['inputs']
    features = model.extract(inputs)
    cases = [Case('encoder', lambda: model.extract(inputs), batch_size)]
    cases += [Case(name, lambda search=search: model.caption_head.generate(features, **search),
                   batch_size) for name, search in searches.items()]
    return measure(cases, rounds, synchronize=synchronizer(subject.device), title='decode')


def _train_times(ways: Mapping[Any, tuple[Steps, dict]], batch_size: int, rounds: int,
                 title: str) -> dict[str, Timing]:
    device = next(iter(ways.values()))[0].subject.device
    cases = [Case(str(name), lambda steps=steps, batch=batch: steps.train(batch), batch_size)
             for name, (steps, batch) in ways.items()]
    return measure(cases, rounds, synchronize=synchronizer(device), title=title)


def _settings(subject: Subject, batch_size: int, rounds: int) -> Text:
    side = subject.size[0]
    return (f'Median (fastest to slowest) of {rounds} rounds in turn; {side} x {side} pixels, '
            f'batch size {batch_size}.',
            f'{rounds} 轮轮流测量的中位数（最快至最慢）；{side} x {side} 像素，'
            f'批大小 {batch_size}。')
