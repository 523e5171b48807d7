"""Benchmark of exported models in int8: size, time and quality beside the float files."""
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.registry import DefaultScope

from rscc.deployment.export import export_onnx
from rscc.deployment.int8 import CHOICES, quantise
from rscc.deployment.metadata import PARTS
from rscc.deployment.onnx_predictor import OnnxPredictor, part_path
from rscc.evaluation.functional.captioning import CaptionCorpus
from rscc.evaluation.functional.segmentation import IGNORE, changed_f1, confusion_matrix
from rscc.evaluation.records import coco_words
from rscc.registry import DATASETS
from rscc.synth.generator import Parameters, generate
from rscc.utils import progress
from tools.benchmark.machine import cpu_has_vnni, describe_machine
from tools.benchmark.tables import Section, Text
from tools.benchmark.timing import Timing, measure

#: Windows that calibrate and are compared; windows of a timed call.
CALIBRATED, TIMED = 64, 8
_NAMES: dict[str, Text] = {
    'float': 'float32', 'images': ('int8 images', 'int8 影像部分'),
    'words': ('int8 words', 'int8 语言部分'), 'all': ('int8, both', 'int8，两部分')}


def benchmark_int8(models: Sequence[str] = ('rscc-small', ), *, root: str | None = None,
                   pairs: int = 100, rounds: int = 20) -> Section:
    """Export models, quantise each part and both, and answer the same pairs with all files.

    Args:
        models: Checkpoints, names of published models, or files that the export wrote in float.
        root: Folder of the built-in dataset; its pairs are rendered by default. The split ``val``
            calibrates, the split ``test`` is answered.
        pairs: Of the test split.
        rounds: Timed calls of each file.

    Raises:
        ValueError: If a model reads single images, or cannot be exported or quantised.
    """
    rows: list[list[Text]] = []
    with tempfile.TemporaryDirectory(prefix='rscc-int8-') as folder, _one_thread():
        if root is None:
            root = str(Path(folder) / 'synth')
            generate(Path(root), Parameters(train=0, val=CALIBRATED, test=pairs, seed=0), jobs=1)
        calibrating, tested = (_samples(root, split, count) for split, count in (
            ('val', CALIBRATED), ('test', pairs)))
        for number, model in enumerate(models):
            files = _files(model, Path(folder) / str(number), calibrating)
            rows += _rows(Path(model).stem, files, tested, rounds)
    return Section(
        'int8', ('Exported models in int8', 'int8 导出模型'),
        (('model', '模型'), ('file', '文件'), ('size, MiB', '大小，MiB'),
         ('map and flag, ms a pair', '变化图与变化分类，毫秒/对'), ('ratio, map', '比值，变化图'),
         ('with a sentence, ms a pair', '另加句子，毫秒/对'), ('ratio, sentence', '比值，句子'),
         ('F1 of changed pixels', '变化像素的 F1'), ('CIDEr, changed pairs', 'CIDEr，有变化的对')),
        rows, describe_machine(), notes=[_note(pairs, rounds), _vnni_note()])


def _note(pairs: int, rounds: int) -> Text:
    return (f'onnxruntime on one thread, {TIMED} pairs a call; {rounds} rounds in turn, medians of '
            'CPU time; ratios are int8 over float32, median of the rounds (lower to upper '
            'quartile), below 1 where int8 is faster. Quality: the same '
            f'{pairs} pairs of the built-in test split, greedy sentences; calibrated on '
            f'{CALIBRATED // 2} pairs of the validation split.',
            f'onnxruntime 单线程，每次 {TIMED} 对；{rounds} 轮轮流运行，时间为 CPU 时间的中位数；'
            '比值为 int8 除以 float32，取各轮中位数（下、上四分位数），小于 1 表示 int8 更快。'
            f'质量：内置测试集中相同的 {pairs} 对，贪心句子；用验证集的 {CALIBRATED // 2} 对校准。')


def _vnni_note() -> Text:
    return {
        True: ('The processor has VNNI, instructions for int8.',
               '处理器有 int8 专用的 VNNI 指令。'),
        False: ('The processor has no VNNI, instructions for int8, which would help int8 alone.',
                '处理器没有 int8 专用的 VNNI 指令，这类指令只会加快 int8。'),
        None: ('It is not known whether the processor has VNNI, instructions for int8.',
               '不清楚处理器是否有 int8 专用的 VNNI 指令。')}[cpu_has_vnni()]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Have onnxruntime use one thread inside the block."""
    before = os.environ.get('OMP_NUM_THREADS')
    os.environ['OMP_NUM_THREADS'] = '1'
    try:
        yield
    finally:
        os.environ.pop('OMP_NUM_THREADS')
        os.environ |= {} if before is None else {'OMP_NUM_THREADS': before}


def _samples(root: str, split: str, count: int) -> list[dict[str, Any]]:
    """Return pairs of the built-in dataset: frames, masks and sentences."""
    with DefaultScope.overwrite_default_scope('rscc'):
        dataset = DATASETS.build(dict(
            type='SynthChangeDataset', data_root=root, split=split, test_mode=True,
            pipeline=[dict(type='LoadFrames'), dict(type='LoadChangeMask')]))
    if len(dataset) < count:
        raise ValueError(f"the split '{split}' of '{root}' has {len(dataset)} pairs, and {count} "
                         'are asked for')
    return [dataset[place] for place in np.linspace(0, len(dataset) - 1, count).astype(int)]


def _files(model: str, folder: Path, samples: Sequence[Mapping[str, Any]]) -> dict[str, Path]:
    """Return the files of a model by what of them is in int8."""
    given = model.endswith('.onnx')
    exact = Path(model) if given else export_onnx(None, model, folder / 'float.onnx').files[0]
    facts = OnnxPredictor(exact).facts
    if facts.dates != 2:
        raise ValueError(f"'{model}' reads single images, and the built-in pairs are two dates")
    files, windows = {'float': exact}, [sample['frames'] for sample in samples]
    for choice in CHOICES if 'caption_head' in facts.heads else ('images', ):
        files[choice] = folder / f'{choice}.onnx'
        quantise(exact, files[choice], windows, 'SynthChangeDataset, val', choice)
    return {name: files[name] for name in _NAMES if name in files}


def _rows(name: str, files: Mapping[str, Path], samples: Sequence[Mapping[str, Any]], rounds: int
          ) -> list[list[Text]]:
    """Make the rows of one model."""
    models = {kind: OnnxPredictor(path) for kind, path in files.items()}
    windows = [sample['frames'] for sample in samples[:TIMED]]
    times = {when: measure({kind: _call(model, windows, when) for kind, model in models.items()},
                           samples=len(windows), rounds=rounds, title=f'{name}, {when}',
                           clock=time.process_time)
             for when in ('never', 'always')}
    if models['float'].record.caption is None:
        del times['always']
    rows = []
    for kind, model in models.items():
        f1, cider = _quality(model, samples, f'{name}, {kind}')
        cells = [cell for when in ('never', 'always') for cell in (
            _time(times[when], kind) if when in times else ('', ''))]
        rows.append([name, _NAMES[kind], f'{_size(files[kind]):.1f}', *cells,
                     '' if f1 is None else f'{f1:.3f}', '' if cider is None else f'{cider:.1f}'])
    return rows


def _call(model: OnnxPredictor, windows: Sequence, when: str) -> Callable[[], Any]:
    return partial(model.predict, windows, [when] * len(windows))


def _time(times: Mapping[str, Timing], kind: str) -> tuple[str, str]:
    return f'{times[kind].ms:.1f}', times[kind].against(times['float'])


def _size(path: Path) -> float:
    """Return the MiB of all files of a model."""
    parts = [path, *(part_path(path, part) for part in PARTS)]
    beside = [file.with_name(f'{file.name}.data') for file in parts]
    return sum(file.stat().st_size for file in [*parts, *beside] if file.is_file()) / 2**20


def _quality(model: OnnxPredictor, samples: Sequence[Mapping[str, Any]], title: str
             ) -> tuple[float | None, float | None]:
    """Return F1 of changed pixels (0 to 1) and CIDEr of changed pairs; None without the head."""
    matrix, said, known = np.zeros((2, 2), np.int64), [], []
    words = coco_words(model.facts.language or 'en')
    for sample in progress(samples, title, unit='pair'):
        answer = model.predict([sample['frames']], ['always'])[0]
        if answer.probabilities is not None:
            values, truth = answer.probabilities, sample['gt_sem_seg']
            changed = values.argmax(0) != 0 if values.ndim == 3 else values > model.facts.threshold
            matrix += confusion_matrix(changed.astype(np.int64), np.where(
                truth == IGNORE, IGNORE, truth != 0), 2)
        if answer.sentences and sample['gt_change_flag']:
            said.append(words(answer.sentences[0].text))
            known.append([words(text) for text in sample['gt_captions']])
    return (changed_f1(matrix) if matrix.any() else None,
            CaptionCorpus(known).score(said)[0]['CIDEr'] if said else None)
