"""Benchmark of starting weights: the same detector and steps, from weights and from random ones.

Each config is trained with several seeds by ``tools/train.py`` and scored by ``tools/test.py`` on
its own test split; then the checkpoints answer real pairs with masks, which trained none of them
and chose nothing.
"""
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rscc.apis.inferencer import ChangeInferencer
from rscc.evaluation.functional.segmentation import changed_f1, confusion_matrix
from rscc.utils import read_json
from tools.benchmark.machine import describe_machine
from tools.benchmark.real_sets import POOLS, SETS, RealPair, RealSet, pairs_of
from tools.benchmark.tables import Section, Text
from tools.benchmark.trainings import TRAINED, cells, run_tool, train_timed

#: Sets below ``$RSCC_SAMPLES`` that are scored: those with masks that are pooled elsewhere.
POOLED = tuple(one for one in SETS if any(one.title in pool for pool in POOLS.values()))


def benchmark_pretrained(configs: Sequence[str], *,
                         seeds: int = 3, work_dir: str = 'work_dirs/pretrained',
                         samples: str | None = None) -> Section:
    """Train every config with every seed, score the checkpoints, and put the scores side by side.

    What is trained already is not trained again.

    Args:
        configs: Detectors to compare.
        seeds: Number of seeds, from 0 on.
        work_dir: Gets a folder for each training.
        samples: Folder of real pairs; ``$RSCC_SAMPLES`` by default. Without it there are the scores
            of the test split alone.

    Raises:
        FileNotFoundError: If the samples, or one of their sets, are not there.
        ValueError: If there are no seeds.
        RuntimeError: If a training or a test fails.
    """
    if seeds < 1:
        raise ValueError(f'seeds={seeds}: expected 1 or more')
    samples = samples or os.environ.get('RSCC_SAMPLES')
    real = {} if samples is None else {one.title: labelled_pairs(Path(samples), one)
                                       for one in POOLED}
    runs = {config: [Path(work_dir, f'{Path(config).stem}_seed{seed}') for seed in range(seeds)]
            for config in configs}
    for config, folders in runs.items():
        for seed, folder in enumerate(folders):
            train_timed(config, folder, '--cfg-options', f'randomness.seed={seed}')
    rows: list[list[Text]] = [
        [Path(config).stem,
         *cells([_scores(config, folder, real) for folder in folders], each=True)]
        for config, folders in runs.items()]
    if real:
        rows.append([('baseline: everything changed', '平凡基线：全部判为变化'), '',
                     *(f'{value:.3f}' for value in everything_changed(real))])
    counts = {title: len(pairs) for title, pairs in real.items()}
    heads: list[Text] = [('config', '配置'), ('built-in test split', '内置数据集测试集')]
    heads += [f'{title} ({count})' for title, count in counts.items()]
    if real:
        heads.append((f'all {sum(counts.values())} real pairs', f'全部 {sum(counts.values())} 对'))
    seconds = [read_json(folder / TRAINED)['processor_seconds'] for folders in runs.values()
               for folder in folders]
    return Section('pretrained', ('What starting weights are worth', '预训练权重的作用'), heads,
                   rows, describe_machine(), notes=_notes(seeds, seconds, bool(real)))


def _notes(seeds: int, seconds: Sequence[float], real: bool) -> list[Text]:
    fastest, slowest = min(seconds) / 60, max(seconds) / 60
    notes: list[Text] = [
        (f'F1_changed of the last checkpoint, mean ± standard deviation of {seeds} seeds (each '
         f'seed). A training took {fastest:.1f} to {slowest:.1f} minutes of processor time, the '
         'reading of the data included.',
         f'最后一个检查点的 F1_changed：{seeds} 个随机种子的均值 ± 标准差（括号内为各种子的值）。'
         f'每次训练的处理器时间为 {fastest:.1f} 至 {slowest:.1f} 分钟，含数据读取。')]
    if real:
        notes.append((
            'Real pairs: F1 over the pooled pixels of a set (number of pairs); they trained and '
            'chose nothing. These models have seen rendered images only, and the sets are a '
            'handful of crops: read differences, not figures, and '
            'beside the baseline, which is high where much of a set changed.',
            '真实影像对：在每个集合的全部像素上计算 F1（括号内为影像对数）；这些影像既未参与训练，'
            '也未用于任何选择。模型只见过渲染影像，各集合也只有少量裁剪块：应看差异，而非绝对数值，'
            '并与平凡基线对照：一个集合中变化越多，平凡基线越高。'))
    return notes


def _scores(config: str, folder: Path, real: dict[str, list]) -> list[float]:
    """Return F1 on the test split, on each set of real pairs, and on all of these together."""
    checkpoint = train_timed(config, folder)
    tested = folder / 'test' / 'metrics.json'
    if not tested.is_file():
        run_tool('tools/test.py', config, checkpoint, '--work-dir', tested.parent)
    counts = real_counts(ChangeInferencer(str(checkpoint), device='cpu'), real)
    every = [*counts.values(), sum(counts.values())] if counts else []
    return [read_json(tested)['change/F1_changed'], *(changed_f1(matrix) or 0. for matrix in every)]


def everything_changed(real: dict[str, list[RealPair]]) -> list[float]:
    """Return F1 of maps that call every pixel changed: of each set, and of all sets together."""
    changed = [np.concatenate([pair.mask().ravel() for pair in pairs]) for pairs in real.values()]
    return [changed_f1(confusion_matrix(np.ones_like(labels), labels, 2)) or 0.
            for labels in (*changed, np.concatenate(changed))]


def real_counts(inferencer: ChangeInferencer, real: dict[str, list[RealPair]]
                ) -> dict[str, np.ndarray]:
    """Return, for each set of pairs, pixels (2, 2) by true and predicted class, 1 for changed."""
    counts = {}
    for title, pairs in real.items():
        earlier, later = zip(*(pair.images() for pair in pairs), strict=True)
        answers = inferencer(list(earlier), list(later))
        counts[title] = sum(confusion_matrix((answer.mask > 0).astype(np.uint8), pair.mask(), 2)
                            for answer, pair in zip(answers, pairs, strict=True))
    return counts


def labelled_pairs(root: Path, one: RealSet) -> list[RealPair]:
    """Return the pairs of a set, all of which have both images and a mask.

    Args:
        root: Folder of the sets.
        one: The set.

    Raises:
        FileNotFoundError: If it holds no pair, or a file of one is missing.
    """
    try:
        pairs = pairs_of(root, one)
    except FileNotFoundError as error:
        raise FileNotFoundError(f'{error}. --samples, or RSCC_SAMPLES, names the folder of the '
                                f'real sets ({", ".join(one.folder for one in POOLED)})') from error
    for pair in pairs:
        if pair.label is None:
            raise FileNotFoundError(f"'{pair.img_from}' has no mask of its name in "
                                    f"'{pair.img_from.parents[1] / 'label'}'")
        if not pair.img_to.is_file():
            raise FileNotFoundError(f"'{pair.img_from}' has no later image '{pair.img_to}'")
    return pairs
