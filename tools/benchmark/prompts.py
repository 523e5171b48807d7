"""Benchmarks of a language-guided detector: its text cache, and windows over large images."""
import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from tools.benchmark.benchmarked_model import BenchmarkedModel, load_model
from tools.benchmark.counting import CallCount
from tools.benchmark.steps import Comparison, Steps, choose_precisions, steps_in, variant
from tools.benchmark.tables import Section, Target, Text
from tools.benchmark.timing import WARMUP

#: Shares of the time without them, promised for a CLIP ResNet in float32 on CPUs.
TEXT_SHARE, WINDOW_SHARE = Target(0.65), Target(0.6)
PUBLISHED: Text = ('off: both dates, full length', '关闭：两个时相，完整长度')
#: Both tables are about inference as ``ChangeInferencer`` does it.
FUSED: Text = ('Batch norms are computed inside their convolutions, as ChangeInferencer does.',
               '批归一化并入卷积计算，与 ChangeInferencer 相同。')
UNSEEN: Text = ('on, class names never seen before', '开启，类别名称首次出现')
SEEN: Text = ('on, class names seen before', '开启，类别名称曾经出现')


def benchmark_text(config: str, *, batch_size: int = 1, rounds: int | None = None,
                   precisions: Sequence[str] | None = None, **options: Any) -> Section:
    """Compare inference with and without remembered texts.

    Args:
        config: Path of a config with a language-guided fusion.
        batch_size: Pairs a call.
        rounds: Timed calls of each; see ``Comparison``.
        precisions: Each is compared for itself; float32 by default.
        **options: Of ``load_model``.

    Raises:
        ValueError: If the model encodes no class names; see also ``load_model``.
    """
    model = variant(load_model(config, **options), fused=True)
    names = choose_precisions(precisions or ['fp32'], model.device)
    plain = steps_in(variant(model, plain_text=True), names)
    test = Comparison(model, batch_size, rounds)
    rows: list[list[Text]] = []
    for name, steps in steps_in(model, names).items():
        rows += _text_rows(test, steps, plain[name])
    return test.section(
        'text', ('Texts of a language-guided detector', '语言引导检测器的文本'),
        (('config', '配置'), ('precision', '精度'), ('text cache', '文本缓存'),
         ('texts x positions encoded', '编码的文本 x 位置数'),
         ('inference, ms a pair', '推理，毫秒/对'), ('share of off', '相对关闭')), rows, FUSED,
        ('Off: every pair has its two texts encoded for both dates, equal or not, with padding, as '
         'published. On: equal texts are encoded once, without padding, and remembered; with a '
         'fixed list of class names all are seen before, with names of each image only the '
         'background text is.',
         '关闭：与原始实现相同，每对影像的两个时相各编码两条文本，无论是否相同，包括填充。'
         '开启：相同的文本只编码一次，不含填充，并被缓存；固定类别列表的文本都曾出现，'
         '按影像给出类别名称时只有背景文本曾经出现。'))


def _text_rows(test: Comparison, steps: Steps, plain: Steps) -> list[list[Text]]:
    """Compare three ways of coming by the texts, on the same pixels."""
    model = test.model
    batch = model.batch(test.batch_size)
    strangers = _strangers(model, batch, test.most_rounds + WARMUP + 1)
    calls = {PUBLISHED: partial(plain.predict, batch),
             UNSEEN: lambda: steps.predict(next(strangers)),
             SEEN: partial(steps.predict, batch)}
    steps.predict(batch)  # from now on these names are known
    counts = {way: _count_texts(plain if way == PUBLISHED else steps, call)
              for way, call in calls.items()}
    if not counts[UNSEEN].calls:  # a fixed list, say: the prompter does not ask the samples
        del calls[UNSEEN]
    times = test.time(calls, f'text, {steps.precision}')
    shares = {way: times[way].over(times[PUBLISHED]) for way in calls}
    promised = _promised(model) and model.size == (256, 256) and steps.precision == 'fp32'
    return [[model.name, steps.precision, way, counts[way].texts, str(times[way]),
             TEXT_SHARE.judge(share) if promised and way == SEEN else f'{share:.2f}']
            for way, share in shares.items()]


def _strangers(model: BenchmarkedModel, batch: dict, count: int) -> Iterator[dict]:
    """Return batches with the frames of ``batch`` and class names of their own."""
    batches = [model.batch(len(batch['inputs']), seed=seed) for seed in range(1, count + 1)]
    return iter([dict(other, inputs=batch['inputs']) for other in batches])


def _count_texts(steps: Steps, call: Callable[[], Any]) -> CallCount:
    count = CallCount()
    with count.watch(steps.model.prompt_encoder.text_encoder.transformer):
        call()
    return count


def _promised(model: BenchmarkedModel) -> bool:
    """Whether the targets were set for such a model on such a device."""
    return model.cfg.model.encoder.type == 'CLIPResNet' and model.device == 'cpu'


def benchmark_windows(config: str, *, size: int = 1024, crop: int = 256, stride: int = 128,
                      window_batch: int = 8, batch_size: int = 1, rounds: int | None = None,
                      **options: Any) -> Section:
    """Compare ways of passing a window over a large pair.

    Args:
        config: Path of a config with a language-guided fusion.
        size: Side of the frames in pixels.
        crop: Side of a window.
        stride: Pixels between windows.
        window_batch: Windows in one call of the model.
        batch_size: Pairs a prediction.
        rounds: Timed predictions of each; see ``Comparison``.
        **options: Of ``load_model``.

    Raises:
        ValueError: If the model encodes no class names, or the windows leave gaps.
    """
    model = variant(load_model(config, size=size, **options), fused=True)
    plain = variant(model, plain_text=True)
    window = dict(mode='slide', crop_size=(crop, crop), stride=(stride, stride))
    one, many = dict(window, window_batch=1), dict(window, window_batch=window_batch)
    ways = {(1, 'off'): _with_test_cfg(plain, one), (1, 'on'): _with_test_cfg(model, one),
            (window_batch, 'on'): _with_test_cfg(model, many)}
    test = Comparison(model, batch_size, rounds, warmup=1)  # two more come before
    promised = _promised(model) and (size, crop, stride) == (1024, 256, 128)
    return test.section(
        'windows', ('Windows over large images', '大幅影像的滑动窗口'),
        (('config', '配置'), ('windows a call', '每次调用的窗口数'), ('text cache', '文本缓存'),
         ('windows', '窗口数'), ('calls of the model', '模型调用次数'),
         ('inference, ms a pair', '推理，毫秒/对'), ('share of the first', '相对第一行'),
         ('peak memory', '峰值内存')), _window_rows(test, ways, promised), FUSED,
        (f'Windows of {crop} x {crop} pixels every {stride}, fp32. Text cache off: both dates of '
         'every window have their texts encoded at full length, as published; on: the class names '
         'are known.',
         f'窗口 {crop} x {crop} 像素，步长 {stride}，fp32。文本缓存关闭：与原始实现相同，'
         '每个窗口的两个时相都以完整长度编码文本；开启：类别名称均为已知。'))


def _window_rows(test: Comparison, ways: dict[tuple[int, str], BenchmarkedModel], promised: bool
                 ) -> list[list[Text]]:
    batch = test.model.batch(test.batch_size)
    steps = {way: Steps(model, 'fp32') for way, model in ways.items()}
    calls = {way: partial(step.predict, batch) for way, step in steps.items()}
    counts, memory = {}, {}
    for way, call in calls.items():
        call()
        counts[way] = CallCount()
        with counts[way].watch(ways[way].network.encoder):
            memory[way] = steps[way].peak(call)
    times = test.time(calls, 'windows')
    first, *_, last = ways
    rows = []
    for way, count in counts.items():
        share = times[way].over(times[first])
        rows.append([test.model.name, str(way[0]), _SWITCH[way[1]],
                     str(count.frames // (2 * test.batch_size)), str(count.calls), str(times[way]),
                     WINDOW_SHARE.judge(share) if promised and way == last else f'{share:.2f}',
                     memory[way]])
    return rows


_SWITCH: dict[str, Text] = {'off': ('off', '关闭'), 'on': ('on', '开启')}


def _with_test_cfg(model: BenchmarkedModel, test_cfg: dict) -> BenchmarkedModel:
    """Return the model with other settings at test time; the parts are shared."""
    network = copy.copy(model.network)
    network.test_cfg = dict(test_cfg)
    return replace(model, network=network)
