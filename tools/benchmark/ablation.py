"""What each part of the shipped model's training is worth: the same steps without it.

Every variant is trained with several seeds by ``tools/train.py``, its thresholds are set on the
held-back cities by ``tools/analysis_tools/set_thresholds.py``, and only then does it answer the
real pairs, which chose nothing.
"""
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from rscc.config.files import existing_config
from rscc.engine.checkpoint import read_checkpoint
from rscc.utils import check_choice, read_json
from tools.benchmark.machine import describe_machine
from tools.benchmark.real_run import evaluate, read_run
from tools.benchmark.real_scores import ALL_CAPTIONED
from tools.benchmark.real_sets import UNCHANGED_SETS
from tools.benchmark.recorded_runs import RecordedRuns
from tools.benchmark.tables import Section, Text
from tools.benchmark.trainings import TRAINED, cells, run_tool, train_timed

#: Cities whose tiles may be used without passing on their licence (see $RSCC_TRAIN/README.md).
OPEN = ('oam_kampala', 'ign_flair', 'ucmerced', 'naip_nd_timeseries')
#: Columns: title of the set or pool, as the evaluation on real pairs names it.
SETS = ('LEVIR-CD', 'EGY-BCD', 'DSIFN', 'SZTAKI', 'EGY + DSIFN + SZTAKI')
#: Sets without a change, whose false area is a column.
UNCHANGED = tuple(one.title for one in UNCHANGED_SETS)
MINUTES = 'processor minutes'
#: Figures of a run, by their names in the file of runs.
FIGURES = ('held-back cities', *SETS, *(f'{title}: false area' for title in UNCHANGED),
           'object named', 'direction', MINUTES)


def _random(cfg: Config) -> None:
    cfg.model.encoder.pretrained = None


def _rendered(cfg: Config) -> None:
    joined = cfg.train_dataloader.dataset
    joined.datasets = [part for part in joined.datasets if part.type != 'PseudoPairDataset']


def _open(cfg: Config) -> None:
    for part in cfg.train_dataloader.dataset.datasets:
        if part.type == 'PseudoPairDataset':
            part.tiles = [tile for tile in part.tiles if Path(tile.data_root).name in OPEN]


def _plain(cfg: Config) -> None:
    joined = cfg.train_dataloader.dataset
    joined.datasets = [part for part in joined.datasets if part.get('data_root') != 'synth_varied']
    for part in joined.datasets:
        part.pop('indices', None)  # all plain pairs in place of the varied ones


def _undated(cfg: Config) -> None:
    for part in cfg.train_dataloader.dataset.datasets:
        if part.type == 'PseudoPairDataset':
            part.dated = 0.0


def _mild(cfg: Config) -> None:
    for part in cfg.train_dataloader.dataset.datasets:
        part.pipeline = [dict(type='FramesColorJitter') if step.type == 'SensorChange' else step
                         for step in part.pipeline]


def _unguided(cfg: Config) -> None:
    cfg.model.pop('guidance')


#: Variant -> its title and what it changes.
VARIANTS: dict[str, tuple[Text, Callable[[Config], None]]] = {
    'whole': (('as shipped, shorter', '与发布模型相同，训练更短'), lambda cfg: None),
    'random': (('random encoder weights', '编码器随机初始化'), _random),
    'rendered': (('no pseudo-pairs (rendered only)', '不用伪影像对（仅渲染数据）'), _rendered),
    'open': (('no share-alike tiles', '不用相同方式共享的图块'), _open),
    'undated': (('no real dates', '不用真实时相'), _undated),
    'plain': (('plain rendering only', '仅用普通渲染'), _plain),
    'mild': (('colour jitter alone', '外观增强仅用颜色抖动'), _mild),
    'unguided': (('words not told of the map', '语句不参考变化图'), _unguided),
}


def benchmark_ablation(variants: Sequence[str] = (), *,
                       config: str = 'configs/rscc_small.py', steps: int = 600, seeds: int = 3,
                       work_dir: str = 'work_dirs/ablation', runs: str | None = None,
                       samples: str | None = None) -> Section:
    """Train every variant with every seed, and put their scores on real pairs side by side.

    What is trained or evaluated already is not done again.

    Args:
        variants: Names out of ``VARIANTS``; none for all of them.
        config: What they are variants of.
        steps: Iterations of each training.
        seeds: Number of seeds, from 0 on.
        work_dir: Gets a folder for each training.
        runs: CSV file of finished runs, of other days and machines too: none of them is done
            again, and new ones are added; ``runs.csv`` in ``work_dir`` by default.
        samples: Folder of real pairs; ``$RSCC_SAMPLES`` by default.

    Raises:
        FileNotFoundError: If runs are missing and the samples are not there.
        ValueError: If there are no seeds, a variant is unknown, or the file holds other runs.
        RuntimeError: If a training fails.
    """
    samples = samples or os.environ.get('RSCC_SAMPLES')
    if seeds < 1:
        raise ValueError(f'seeds={seeds}: expected 1 or more')
    variants = list(variants or VARIANTS)
    for name in variants:
        check_choice('variant', name, VARIANTS)
    file = RecordedRuns(runs or Path(work_dir, 'runs.csv'), FIGURES, dict(steps=steps))
    # Seed by seed, so that an interrupted study has whole comparisons.
    wanted = [(name, seed) for seed in range(seeds) for name in variants]
    for name, seed in file.missing(wanted):
        if samples is None:
            raise FileNotFoundError('--samples, or RSCC_SAMPLES, names the folder of the real '
                                    'pairs')
        folder = Path(work_dir, f'{name}_seed{seed}')
        _train(name, config, steps, seed, folder)
        file.add(name, seed, _figures(folder, *_evaluated(name, folder, samples)))
    done = {run: file.figures(*run) for run in wanted}
    rows = [[VARIANTS[name][0], *cells([_row(done[name, seed]) for seed in range(seeds)])]
            for name in variants]
    heads: list[Text] = [('training', '训练'), ('held-back cities', '预留城市'), *SETS,
                         *((f'{title}: false area, %', f'{title} 误报面积，%')
                           for title in UNCHANGED),
                         ('object named', '地物正确'), ('direction', '变化方向')]
    return Section('ablation', ("What the parts of rscc-small's training are worth",
                                'rscc-small 训练各部分的作用'),
                   heads, rows, describe_machine(),
                   notes=_notes(seeds, steps, [own[MINUTES] for own in done.values()]))


def _row(figures: Mapping[str, float]) -> list[float]:
    """Return the figures of a run as its row shows them: shares of false area in percent."""
    return [100 * figures[name] if name.endswith('false area') else figures[name]
            for name in FIGURES if name != MINUTES]


def _notes(seeds: int, steps: int, minutes: Sequence[float]) -> list[Text]:
    fastest, slowest = min(minutes), max(minutes)
    many = seeds > 1
    return [(f'{steps} steps of 8 pairs, {fastest:.0f} to {slowest:.0f} minutes of processor time '
             f'each; {f"mean ± standard deviation of {seeds} seeds" if many else "one seed"}. F1 '
             'of what the labels of a set count, after the thresholds were set on the held-back '
             'cities; sentences: share of the English ones of changed LEVIR-CC pairs.',
             f'每次训练 {steps} 步，每步 8 对，处理器时间 {fastest:.0f} 至 {slowest:.0f} 分钟；'
             f'{f"{seeds} 个随机种子的均值 ± 标准差" if many else "一个随机种子"}。'
             'F1 按各集合标注的类别计算，阈值在预留城市上设定；'
             '语句：LEVIR-CC 有变化影像对的英文语句所占比例。')]


def _train(name: str, config: str, steps: int, seed: int, folder: Path) -> None:
    """Train a variant and set its thresholds, unless that is done."""
    if (folder / 'set.pth').is_file():
        return
    cfg = Config.fromfile(existing_config(config))
    VARIANTS[name][1](cfg)
    cfg.train_cfg.max_iters = cfg.train_cfg.val_interval = steps
    cfg.default_hooks.checkpoint.interval = steps
    cfg.randomness.seed = seed
    folder.mkdir(parents=True, exist_ok=True)
    written = folder / f'{name}.py'
    cfg.dump(str(written))
    checkpoint = train_timed(written, folder)
    run_tool('tools/analysis_tools/set_thresholds.py', written, checkpoint, '--work-dir',
             folder / 'thresholds', '--out', folder / 'set.pth')


def _evaluated(name: str, folder: Path, samples: str) -> tuple[Mapping[str, Any], float]:
    """Return the evaluation on real pairs, and F1 on the held-back cities."""
    saved = folder / 'real' / 'scores.json'
    if not saved.is_file():
        evaluate(folder / 'set.pth', samples, os.environ.get('RSCC_TRAIN'), name=name,
                 out=saved.parent, panels=False, rounds=0, log=folder.parent / 'evaluations.log')
    point = read_checkpoint(folder / 'set.pth')['meta']['operating_point']
    return read_run(saved), point['F1_best']


def _figures(folder: Path, run: Mapping[str, Any], held_back: float) -> dict[str, float]:
    """Return what the file of runs keeps of one run: the columns of its row, and its time."""
    maps = [run['maps'].get(title, {}).get('F1') for title in SETS]
    areas = [(run['false_area'].get(title) or {}).get('share') for title in UNCHANGED]
    words = run['sentences'].get('en', {}).get(ALL_CAPTIONED, {})
    minutes = read_json(folder / TRAINED)['processor_seconds'] / 60
    values = [held_back, *maps, *areas, words.get('object'), words.get('direction'), minutes]
    return {name: float('nan') if value is None else value
            for name, value in zip(FIGURES, values, strict=True)}
