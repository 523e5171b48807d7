"""Sentences on a GPU: diffusion by eager steps and CUDA graphs, beam search, batches."""
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from tools.benchmark.benchmarked_model import BenchmarkedModel
from tools.benchmark.budget import Budget, Outcome, Way, run_ways
from tools.benchmark.steps import Steps
from tools.benchmark.tables import Target, Text

TIMES = Target(4, at_least=True, digits=1)
EAGER, GRAPHS = 'eager', 'CUDA graphs'
PRECISIONS = ('fp32', 'bf16')
#: Precision, number of the request, eager or graphs, captions a call.
Key = tuple[str, int, str, int]


def columns(batch_size: int) -> list[Text]:
    """Return the heads of the table, for batches of so many captions."""
    return [('config', '配置'), ('request', '解码设置'), ('precision', '精度'), ('way', '方式'),
            ('one alone, ms', '单独一句，毫秒'),
            (f'batch of {batch_size}, ms a caption', f'每批 {batch_size} 句，毫秒/句'),
            ('captions/s', '句/秒'),
            ('times as many as one alone, eager', '与逐句、eager 方式的每秒句数之比'),
            ('same sentences as eager', '与 eager 相同的句子'), ('rounds', '轮数')]


def caption_rows(model: BenchmarkedModel, budget: Budget, batch_size: int,
                 requests: Mapping[Text, Mapping[str, Any]], graphs: bool) -> list[list[Text]]:
    """Return the rows of a captioner, whose images are encoded before.

    Args:
        model: The captioner.
        budget: For all rows.
        batch_size: Captions of a batch.
        requests: What a request is called -> its decoding options.
        graphs: Whether the head knows ``cuda_graphs``.
    """
    model.network.eval()
    head = model.network.caption_head
    features = {count: model.features(model.batch(count))
                for count in dict.fromkeys((1, batch_size))}

    def sentences(precision: str, number: int, way: str, count: int) -> Callable[[], list]:
        options = dict(list(requests.values())[number])
        options |= dict(cuda_graphs=way == GRAPHS) if graphs else {}
        autocast = Steps(model, precision).autocast

        def call() -> list:
            with autocast():
                return head.generate(features[count], **options)

        return call

    keys = [(precision, number, way, count) for number in range(len(requests))
            for precision in PRECISIONS for way in ((EAGER, GRAPHS) if graphs else (EAGER,))
            for count in features]
    found = run_ways({key: Way(partial(sentences, *key), 2.0) for key in keys}, budget,
                     lambda key: key[-1], model.device, f'{model.name}: sentences')
    labels = list(requests)
    return [[model.name, labels[number], precision, way,
             *_figures(found, (precision, number, way), batch_size),
             _same(found, (precision, number), batch_size, sentences) if way == GRAPHS else '',
             found[precision, number, way, batch_size].rounds]
            for precision, number, way, count in keys if count == 1]


def _figures(found: Mapping[Key, Outcome], way: tuple[str, int, str], batch_size: int
             ) -> list[Text]:
    """Return the times of a way, and how many times faster than one caption alone it writes."""
    one, batch = found[(*way, 1)], found[(*way, batch_size)]
    slowest = found[(*way[:2], EAGER, 1)].timing
    return [*one.cells(str), *batch.cells(
        str, lambda timing: f'{timing.per_second:.1f}',
        lambda timing: '' if slowest is None else TIMES.judge(slowest.over(timing)))]


def _same(found: Mapping[Key, Outcome], request: tuple[str, int], batch_size: int,
          sentences: Callable[..., Callable[[], list]]) -> str:
    """Return how many sentences of a batch are those of eager steps, '' where one way failed."""
    keys = [(*request, way, batch_size) for way in (EAGER, GRAPHS)]
    if any(found[key].timing is None for key in keys):
        return ''
    eager, replayed = (sentences(*key)() for key in keys)
    same = sum(one[0].text == other[0].text for one, other in zip(eager, replayed, strict=True))
    return f'{same} / {len(eager)}'


def caption_notes(tokens: int, cuda: bool) -> list[Text]:
    """Return the notes below the table; ``cuda`` says whether graphs were possible."""
    notes: list[Text] = [
        (f'From encoded images to sentences; those of the beam search have {tokens} tokens, with '
         'its cache. Each precision is compared with one caption alone and eager in the same '
         'precision.',
         f'从已编码的影像到句子；束搜索的句子为 {tokens} 个词元，使用缓存。'
         '各精度均与同精度下逐句、eager 方式比较。'),
        ('CUDA graphs: decoding cuda_graphs=True of KarrasCaptionHead; recorded in the warm-up. '
         'The beam search has none: its cache grows with every token.',
         'CUDA graphs：KarrasCaptionHead 的解码选项 cuda_graphs=True，在预热时录制。'
         '束搜索没有：其缓存随词元增长。')]
    if not cuda:
        notes.append(('Without a CUDA device there are no graphs: both ways are the same here.',
                      '没有 CUDA 设备时不存在 CUDA 图：此处两种方式相同。'))
    return notes
