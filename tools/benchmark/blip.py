"""Benchmarks of a BLIP captioner: captions a pair, precision, search."""
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch

from tools.benchmark.benchmarked_model import BenchmarkedModel, load_model
from tools.benchmark.counting import CallCount
from tools.benchmark.steps import Comparison, choose_precisions, steps_in
from tools.benchmark.tables import Section, Target, Text
from tools.benchmark.timing import Timing

FIVE_CAPTIONS = Target(1.7)
BF16_SPEEDUP = Target(1.8, at_least=True)


def benchmark_captions(config: str, *, batch_size: int = 2, rounds: int | None = None,
                       precisions: Sequence[str] | None = None, **options: Any) -> Section:
    """Compare a training step on one sentence a pair with one on all five.

    Args:
        config: Path of a captioner's config.
        batch_size: Pairs a step.
        rounds: Timed steps of each; see ``Comparison``.
        precisions: Each is compared for itself.
        **options: Of ``load_model``.
    """
    model = load_model(config, **options)
    test = Comparison(model, batch_size, rounds)
    batches = {count: model.batch(batch_size, count) for count in (1, 5)}
    rows = []
    for name, steps in steps_in(model, choose_precisions(precisions, model.device)).items():
        one, five = test.time({count: partial(steps.train, batch)
                               for count, batch in batches.items()}, f'captions, {name}').values()
        rows.append([model.name, name, str(one), str(five), FIVE_CAPTIONS.judge(five.over(one))])
    return test.section(
        'captions', ('Five captions of a pair share one encode', '一对影像的五个句子共用一次编码'),
        (('config', '配置'), ('precision', '精度'), ('one caption, ms a pair', '一个句子，毫秒/对'),
         ('five captions, ms a pair', '五个句子，毫秒/对'), ('ratio', '比值')), rows)


def benchmark_precision(config: str, *, batch_size: int = 2, rounds: int | None = None,
                        **options: Any) -> Section:
    """Compare a training step in float32 with one under bfloat16 autocast (``--amp``).

    Without bfloat16 in hardware, float32 alone is measured: it would be emulated, many times as
    slowly, and ``--amp`` leaves it alone.

    Args:
        config: Path of a captioner's config.
        batch_size: Pairs a step.
        rounds: Timed steps of each; see ``Comparison``.
        **options: Of ``load_model``.
    """
    model = load_model(config, **options)
    test = Comparison(model, batch_size, rounds)
    batch = model.batch(batch_size)
    ways = steps_in(model, choose_precisions(None, model.device))
    times = test.time({name: partial(steps.train, batch) for name, steps in ways.items()},
                      'precision')
    reduced: list[Text] = [('not in hardware', '硬件不支持'), '-']
    if 'bf16' in times:
        speedup = times['fp32'].over(times['bf16'])
        reduced = [str(times['bf16']), BF16_SPEEDUP.judge(speedup) if model.device == 'cpu'
                   else f'{speedup:.2f}']
    return test.section(
        'precision', ('Training in bfloat16', '以 bfloat16 训练'),
        (('config', '配置'), ('fp32, ms a pair', 'fp32，毫秒/对'),
         ('bf16, ms a pair', 'bf16，毫秒/对'), ('speed-up', '加速比')),
        [[model.name, str(times['fp32']), *reduced]])


def benchmark_decode(config: str, *, batch_size: int = 2, rounds: int | None = None,
                     tokens: int = 12, beams: int = 3, **options: Any) -> Section:
    """Compare greedy and beam search, and count how often the frames are encoded.

    Args:
        config: Path of a captioner's config.
        batch_size: Pairs a call.
        rounds: Timed calls of each; see ``Comparison``.
        tokens: Length of the sentences.
        beams: Width of the beam search.
        **options: Of ``load_model``.
    """
    model = load_model(config, **options)
    model.fix_sentence_length(tokens)
    searches = {'greedy': dict(num_beams=1), f'beam {beams}': dict(num_beams=beams)}
    counts = {name: count_encodes(model, search, batch_size)
              for name, search in searches.items()}
    test = Comparison(model, batch_size, rounds)
    times = _search_times(test, searches)
    encoder = times['encoder']
    rows = [[name, f'{count.frames / batch_size:g} / {model.frames}', str(count.calls),
             str(encoder), str(times[name]), f'{encoder.ms + times[name].ms:.0f}',
             f'{times[name].over(times["greedy"]):.2f}'] for name, count in counts.items()]
    return test.section(
        'decode', ('Search for the sentence', '句子搜索'),
        (('search, with cache', '搜索（带缓存）'),
         ('frames encoded / frames a pair', '编码帧数 / 每对帧数'),
         ('encoder calls a batch', '每批编码器调用次数'),
         ('encoder and fusion, ms a pair', '编码与融合，毫秒/对'),
         ('decoder, ms a pair', '解码，毫秒/对'), ('together', '合计'),
         ('decoder over greedy', '解码相对贪心')), rows,
        (f'Sentences of {tokens} tokens each; frames and calls are counted while a whole '
         'prediction runs.', f'句子均为 {tokens} 个词元；帧数与调用次数在完整预测过程中统计。'))


def count_encodes(model: BenchmarkedModel, search: Mapping[str, Any], batch_size: int = 1
                  ) -> CallCount:
    """Count the encoder's work while captions of a batch are predicted with the given search."""
    head = model.network.caption_head
    usual, count = head.decoding, CallCount()
    head.decoding = usual.updated(dict(search))
    try:
        with count.watch(model.network.encoder), torch.no_grad():
            model.network.eval().test_step(model.batch(batch_size))
    finally:
        head.decoding = usual
    return count


@torch.no_grad()
def _search_times(test: Comparison, searches: Mapping[str, Mapping[str, Any]]
                  ) -> dict[str, Timing]:
    """Time the encoder, and every search on features that are computed before."""
    network = test.model.network.eval()
    inputs = network.data_preprocessor(test.model.batch(test.batch_size), False)['inputs']
    features = network.extract(inputs)
    calls = dict(encoder=partial(network.extract, inputs))
    calls |= {name: partial(network.caption_head.generate, features, **search)
              for name, search in searches.items()}
    return test.time(calls, 'decode')
