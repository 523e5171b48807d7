"""Benchmark of data loading: pairs a second on one core from files, HDF5 and the frame cache."""
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import torch
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader

from rscc.datasets.base import ChangeDataset
from rscc.datasets.hdf5_writer import write_blip
from rscc.registry import DATASETS
from rscc.synth.generator import Parameters, generate
from tools.benchmark.machine import describe_machine
from tools.benchmark.tables import Section, Target, Text
from tools.benchmark.timing import Timing, measure

PNG_RATE = Target(150, at_least=True, digits=0)
HDF5_GAIN = Target(2.0, at_least=True)
TEST_PIPELINE = [dict(type='LoadFrames'), dict(type='PackChangeInputs')]
#: That of configs/_base_/datasets/levir_cc.py.
TRAIN_PIPELINE = [
    dict(type='LoadFrames'), dict(type='LoadChangeMask'), dict(type='PickCaptions', mode='one'),
    dict(type='FramesRandomFlip', direction='horizontal', captions='swap'),
    dict(type='FramesRandomFlip', direction='vertical', captions='swap'),
    dict(type='FramesColorJitter'), dict(type='PackChangeInputs')]
PIPELINES: dict[str, tuple[Text, list[dict]]] = {
    'test': (('load, pack', '读取、打包'), TEST_PIPELINE),
    'train': (('load, caption, flips, colour, pack', '读取、句子、翻转、颜色、打包'),
              TRAIN_PIPELINE)}
FORMS: dict[str, Text] = {'png': ('image files', '图像文件'), 'hdf5': 'HDF5',
                          'cache': ('frame cache', '帧缓存')}


def benchmark_loader(root: str | None = None, *, split: str = 'train', pairs: int = 200,
                     rounds: int = 5, batch_size: int = 16) -> Section:
    """Read the same pairs from three kinds of storage, through dataset, pipeline and collation.

    Args:
        root: Folder in LEVIR-CC's layout; pairs of the built-in dataset are rendered by default.
        split: Its split.
        pairs: How many pairs a round reads, at most.
        rounds: Timed passes over the pairs for each form.
        batch_size: Pairs a batch.

    Raises:
        FileNotFoundError: If ``root`` holds no such dataset.
    """
    with tempfile.TemporaryDirectory(prefix='rscc-loader-') as folder, one_core():
        source = Path(root).resolve() if root else _rendered(Path(folder) / 'synth', pairs)
        first = _dataset('LEVIRCCDataset', source, split, pairs, [dict(type='LoadFrames')])
        write_blip([first], Path(folder) / 'hdf5')
        count, side = len(first), first.load_sample(0)['frames'][0].shape[:2]
        machine = describe_machine()
        rows: list[list[Text]] = []
        for name, (label, pipeline) in PIPELINES.items():
            times = _times(source, Path(folder), split, count, pipeline, batch_size, rounds, name)
            rows += _rows(label, times)
    return Section(
        'loader', ('Reading pairs, one core', '单核读取影像对'),
        (('pipeline', '流程'), ('form', '形式'), ('pairs a second', '对/秒'),
         ('ms a pair', '毫秒/对'), ('times as fast as image files', '相对图像文件的速度')),
        rows, machine,
        notes=[(f'{count} pairs of {side[0]} x {side[1]} pixels, '
                f'{"of " + Path(root).name if root else "rendered"}; batches of {batch_size}, no '
                f'worker processes, one thread; median (fastest to slowest) of {rounds} passes in '
                "turn, files in the system's cache.",
                f'{count} 对 {side[0]} x {side[1]} 像素影像'
                f'（{Path(root).name if root else "渲染生成"}）；批大小 {batch_size}，无工作进程，'
                f'单线程；{rounds} 轮轮流测量的中位数（最快至最慢），文件已在系统缓存中。')])


def _rows(label: Text, times: dict[str, Timing]) -> list[list[Text]]:
    """Make the rows of one pipeline."""
    rows: list[list[Text]] = []
    for form, timing in times.items():
        rate, gain = timing.per_second, times['png'].over(timing)
        rows.append([
            label, FORMS[form],
            PNG_RATE.judge(rate) if form == 'png' else f'{rate:.0f}', str(timing),
            HDF5_GAIN.judge(gain) if form == 'hdf5' else f'{gain:.2f}'])
    return rows


def _times(source: Path, folder: Path, split: str, count: int, pipeline: Sequence[dict],
           batch_size: int, rounds: int, name: str) -> dict[str, Timing]:
    cache = dict(size=None, where=str(folder / 'cache'))
    sets = {'png': _dataset('LEVIRCCDataset', source, split, count, pipeline),
            'hdf5': _dataset('HDF5CaptionDataset', folder / 'hdf5', split, count, pipeline),
            'cache': _dataset('LEVIRCCDataset', source, split, count, pipeline, cache=cache)}
    return measure({form: reader(dataset, batch_size) for form, dataset in sets.items()},
                   samples=count, rounds=rounds, warmup=1, title=f'reading, {name} pipeline')


def reader(dataset: ChangeDataset, batch_size: int) -> Callable[[], int]:
    """Return a function that reads a whole dataset in this process and counts the pairs."""
    loader = DataLoader(dataset, batch_size, num_workers=0, collate_fn=pseudo_collate)
    return lambda: sum(len(batch['inputs']) for batch in loader)


def _dataset(kind: str, root: Path, split: str, pairs: int, pipeline: Sequence[dict],
             **settings: object) -> ChangeDataset:
    return DATASETS.build(dict(type=kind, data_root=str(root), split=split, indices=pairs,
                               pipeline=list(pipeline), **settings))


def _rendered(folder: Path, pairs: int) -> Path:
    generate(folder, Parameters(train=pairs, val=0, test=0, seed=0), jobs=1)
    return folder


@contextmanager
def one_core() -> Iterator[None]:
    """Keep OpenCV and torch to one thread inside the block."""
    threads = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads[0])
        cv2.setNumThreads(threads[1])
