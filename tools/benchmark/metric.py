"""Benchmark of the caption metric on a whole test split, with METEOR and without."""
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rscc.datasets.annotations import read_captions
from rscc.datasets.base import NO_CHANGE_CAPTIONS
from rscc.evaluation.metrics import CaptionMetric
from rscc.synth.generator import annotate, plan_pair
from rscc.utils import progress
from tools.benchmark.machine import describe_machine
from tools.benchmark.tables import Section, Target, Text
from tools.benchmark.timing import measure

WITH_METEOR = Target(15, digits=1, unit=' s')
WITHOUT_METEOR = Target(2, digits=1, unit=' s')
#: Pairs of LEVIR-CC's test split.
TEST_PAIRS = 1929
_REFERENCES = 'LevirCCcaptions_rebuilt.json.gz'
_PREDICTIONS = 'predictions_test_promptcc-A2B.txt'


def benchmark_metric(references: str | None = None, predictions: str | None = None, *,
                     split: str = 'test', pairs: int = TEST_PAIRS, rounds: int = 3) -> Section:
    """Score a test split again and again.

    Args:
        references: Annotation file in LEVIR-CC's style. By default the captions of LEVIR-CC below
            ``$RSCC_SAMPLES`` where they are, else captions of the built-in dataset.
        predictions: Text file, one sentence a line in the order of the file names.
        split: Of the references.
        pairs: How many made-up captions to score where there is no file.
        rounds: Timed evaluations of each form.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If one file is given without the other, or their lengths differ.
    """
    if (references is None) != (predictions is None):
        raise ValueError('--references and --predictions belong together: give both, or neither')
    if references is None:
        references, predictions = _published()
    samples = (read_samples(references, predictions, split) if references
               else made_up_samples(pairs))
    runs = {'with METEOR': evaluation(samples, True), 'without': evaluation(samples, False)}
    has_meteor = 'caption/all/METEOR' in evaluation(samples[:2], True)()
    if not has_meteor:  # its own warning says why; timing it would say nothing
        del runs['with METEOR']
    times = measure(runs, rounds=rounds, warmup=1, title='caption metric')
    labels: dict[str, tuple[Text, Target]] = {
        'with METEOR': (('all scores', '全部指标'), WITH_METEOR),
        'without': (('without METEOR', '不含 METEOR'), WITHOUT_METEOR)}
    rows: list[list[Text]] = [[labels[name][0], labels[name][1].judge(timing.ms / 1e3),
                               f'{timing.fastest / 1e3:.1f} / {timing.slowest / 1e3:.1f}']
                              for name, timing in times.items()]
    if not has_meteor:
        rows.insert(0, [labels['with METEOR'][0], ('METEOR is not available', '缺少 METEOR'), '-'])
    source: Text = Path(references).name if references else ('made-up captions', '生成的句子')
    return Section(
        'metric', ('Caption metric of a test split', '测试集的描述指标'),
        (('scores', '指标'), ('median', '中位数'),
         ('fastest / slowest, s', '最快 / 最慢，秒')),
        rows, describe_machine(), notes=[_note(len(samples), source, rounds)])


def _note(count: int, source: Text, rounds: int) -> Text:
    english, chinese = (source, source) if isinstance(source, str) else source
    return (f'{count:,} predictions against five references each ({english}); all, changed and '
            f'unchanged pairs, baselines and content scores; {rounds} rounds in turn.',
            f'{count:,} 条预测，每条五个参考句（{chinese}）；含全部、变化、未变化三部分、'
            f'平凡基线与内容指标；{rounds} 轮轮流测量。')


def _published() -> tuple[str | None, str | None]:
    """Return LEVIR-CC's references and a model's predictions if the samples are at hand."""
    home = os.environ.get('RSCC_SAMPLES')
    folder = Path(home, 'levir_cc_captions') if home else None
    if folder is None or not (folder / _REFERENCES).is_file():
        return None, None
    return str(folder / _REFERENCES), str(folder / _PREDICTIONS)


def read_samples(references: str, predictions: str, split: str = 'test') -> list[dict]:
    """Return the samples of a split as the metric takes them.

    Args:
        references: Annotation file in LEVIR-CC's style.
        predictions: Text file, one sentence a line in the order of the file names.
        split: Which images.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If the numbers of images and lines differ.
    """
    for path in (references, predictions):
        if not Path(path).is_file():
            raise FileNotFoundError(f"no file '{path}'; give --references ANNOTATIONS.json and "
                                    '--predictions SENTENCES.txt')
    records = sorted((record for record in read_captions(references) if record['split'] == split),
                     key=lambda record: record['filename'])
    lines = Path(predictions).read_text(encoding='utf-8').splitlines()
    if not records or len(records) != len(lines):
        raise ValueError(f"'{predictions}' has {len(lines)} lines and split '{split}' of "
                         f"'{references}' {len(records)} images: one line an image is expected")
    stock = set(NO_CHANGE_CAPTIONS['en'])
    return [dict(sample_id=record['sample_id'], pred_caption=line, gt_captions=record['captions'],
                 gt_change_flag=not set(record['captions']) <= stock)
            for record, line in zip(records, lines, strict=True)]


def made_up_samples(pairs: int) -> list[dict]:
    """Return captions of the built-in dataset; the prediction is that of another pair alike."""
    entries = [annotate(plan_pair(0, 'test', index), 'test', index, index, 0)
               for index in progress(range(pairs), 'writing captions', unit='pair')]
    captions = [[sentence['raw'].strip(' .') for sentence in entry['sentences']]
                for entry in entries]
    flags = [bool(entry['changeflag']) for entry in entries]
    return [dict(sample_id=f'test_{index:06d}', gt_captions=captions[index],
                 gt_change_flag=flags[index],
                 pred_caption=captions[_alike(flags, index)][index % 5]) for index in range(pairs)]


def _alike(flags: Sequence[bool], index: int) -> int:
    """Return the next sample with the same flag, cyclically; the sample itself if there is none."""
    count = len(flags)
    return next((index + step) % count for step in range(1, count + 1)
                if flags[(index + step) % count] == flags[index])


def evaluation(samples: Sequence[Mapping], meteor: bool) -> Callable[[], dict[str, float]]:
    """Return a function that runs the metric over the samples as a test loop does."""
    def run() -> dict[str, float]:
        metric = CaptionMetric(meteor=meteor)
        metric.dataset_meta = dict(language='en', no_change_captions=NO_CHANGE_CAPTIONS['en'])
        metric.process(None, list(samples))
        return metric.evaluate(len(samples))

    return run
