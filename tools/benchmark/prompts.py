"""Benchmarks of a language-guided detector: its text cache, and windows over large images."""
import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from tools.benchmark.benchmarked_model import Subject, load_subject
from tools.benchmark.counting import EncodeCount, TextCount
from tools.benchmark.machine import describe_machine
from tools.benchmark.steps import (
    Steps,
    check_device,
    choose_precisions,
    steps_in,
    time_in_turn,
    variant,
)
from tools.benchmark.tables import Section, Target, Text, how_measured
from tools.benchmark.timing import WARMUP

#: Shares of the time without them, promised for a CLIP ResNet in float32 on CPUs.
TEXT_SHARE, WINDOW_SHARE = Target(0.65), Target(0.6)
PUBLISHED: Text = ('off: both dates, full length', '关闭：两个时相，完整长度')
#: Both studies are about inference as ``ChangeInferencer`` does it.
FUSED: Text = ('Batch norms are computed inside their convolutions, as ChangeInferencer does.',
               '批归一化并入卷积计算，与 ChangeInferencer 相同。')
UNSEEN: Text = ('on, class names never seen before', '开启，类别名称首次出现')
SEEN: Text = ('on, class names seen before', '开启，类别名称曾经出现')


def study_text(config: str, *, batch_size: int = 1, rounds: int = 20, device: str = 'cpu',
               precisions: Sequence[str] | None = None, **options: Any) -> Section:
    """Compare inference with and without remembered texts.

    Args:
        config: Path of a config with a language-guided fusion.
        batch_size: Pairs a call.
        rounds: Timed calls of each.
        device: ``'cpu'`` or ``'cuda[:i]'``.
        precisions: Each is compared for itself; float32 by default.
        **options: Of ``load_subject``.

    Raises:
        ValueError: If the model encodes no class names; see also ``load_subject``.
    """
    check_device(device)
    names = choose_precisions(precisions or ['fp32'], device)
    subject = variant(load_subject(config, device=device, **options), fused=True)
    plain = steps_in(variant(subject, plain_text=True), names)
    rows: list[list[Text]] = []
    for name, steps in steps_in(subject, names).items():
        rows += _text_rows(name, steps, plain[name], batch_size, rounds)
    return Section(
        'text', ('Texts of a language-guided detector', '语言引导检测器的文本'),
        (('config', '配置'), ('precision', '精度'), ('text cache', '文本缓存'),
         ('texts x positions encoded', '编码的文本 x 位置数'),
         ('inference, ms a pair', '推理，毫秒/对'), ('share of off', '相对关闭')),
        rows, describe_machine(device),
        notes=[how_measured(subject.size[0], batch_size, rounds), FUSED,
               ('Off: every pair has its two texts encoded for both dates, equal or not, with '
                'padding, as published. On: equal texts are encoded once, without padding, and '
                'remembered; with a fixed list of class names all are seen before, with names of '
                'each image only the background text is.',
                '关闭：与原始实现相同，每对影像的两个时相各编码两条文本，无论是否相同，包括填充。'
                '开启：相同的文本只编码一次，不含填充，并被缓存；固定类别列表的文本都曾出现，'
                '按影像给出类别名称时只有背景文本曾经出现。')])


def _text_rows(precision: str, steps: Steps, plain: Steps, batch_size: int, rounds: int
               ) -> list[list[Text]]:
    """Compare three ways of coming by the texts, on the same pixels."""
    subject = steps.subject
    batch = subject.batch(batch_size)
    strangers = _strangers(subject, batch, rounds + WARMUP + 1)
    calls = {PUBLISHED: lambda: plain.predict(batch),
             UNSEEN: lambda: steps.predict(next(strangers)),
             SEEN: lambda: steps.predict(batch)}
    steps.predict(batch)  # from now on these names are known
    counts = {way: _texts(plain if way == PUBLISHED else steps, call)
              for way, call in calls.items()}
    if not counts[UNSEEN].texts:  # a fixed list, say: the prompter does not ask the samples
        del calls[UNSEEN]
    times = time_in_turn(calls, amount=batch_size, rounds=rounds, device=subject.device,
                         title=f'text, {precision}')
    shares = {way: times[way].over(times[PUBLISHED]) for way in calls}
    promised = _promised(subject) and subject.size == (256, 256) and precision == 'fp32'
    return [[subject.name, precision, way, str(counts[way]), str(times[way]),
             TEXT_SHARE.judge(share) if promised and way == SEEN else f'{share:.2f}']
            for way, share in shares.items()]


def _strangers(subject: Subject, batch: dict, count: int) -> Iterator[dict]:
    """Return batches with the frames of ``batch`` and class names of their own."""
    seeds = range(1, count + 1)
    batches = [subject.batch(len(batch['inputs']), seed=seed) for seed in seeds]
    return iter([dict(other, inputs=batch['inputs']) for other in batches])


def _texts(steps: Steps, call: Callable[[], Any]) -> TextCount:
    count = TextCount()
    with count.watch(steps.subject.prompt_encoder):
        call()
    return count


def _promised(subject: Subject) -> bool:
    """Whether the targets were set for such a model on such a device."""
    return subject.cfg.model.encoder.type == 'CLIPResNet' and subject.device == 'cpu'


def study_windows(config: str, *, size: int = 1024, crop: int = 256, stride: int = 128,
                  window_batch: int = 8, batch_size: int = 1, rounds: int = 20,
                  device: str = 'cpu', **options: Any) -> Section:
    """Compare ways of passing a window over a large pair.

    Args:
        config: Path of a config with a language-guided fusion.
        size: Side of the frames in pixels.
        crop: Side of a window.
        stride: Pixels between windows.
        window_batch: Windows in one call of the model.
        batch_size: Pairs a prediction.
        rounds: Timed predictions of each.
        device: ``'cpu'`` or ``'cuda[:i]'``.
        **options: Of ``load_subject``.

    Raises:
        ValueError: If the model encodes no class names, or the windows leave gaps.
    """
    check_device(device)
    subject = variant(load_subject(config, size=size, device=device, **options), fused=True)
    plain = variant(subject, plain_text=True)
    window = dict(mode='slide', crop_size=(crop, crop), stride=(stride, stride))
    one, many = dict(window, window_batch=1), dict(window, window_batch=window_batch)
    ways = {(1, 'off'): _with_test_cfg(plain, one), (1, 'on'): _with_test_cfg(subject, one),
            (window_batch, 'on'): _with_test_cfg(subject, many)}
    batch = subject.batch(batch_size)
    rows = _window_rows(ways, batch, rounds, promised=_promised(subject) and (
        size, crop, stride) == (1024, 256, 128))
    settings = how_measured(size, batch_size, rounds)
    return Section(
        'windows', ('Windows over large images', '大幅影像的滑动窗口'),
        (('config', '配置'), ('windows a call', '每次调用的窗口数'), ('text cache', '文本缓存'),
         ('windows', '窗口数'), ('calls of the model', '模型调用次数'),
         ('inference, ms a pair', '推理，毫秒/对'), ('share of the first', '相对第一行'),
         ('peak memory', '峰值内存')),
        rows, describe_machine(device),
        notes=[settings, FUSED,
               (f'Windows of {crop} x {crop} pixels every {stride}, fp32. Text cache off: both '
                'dates of every window have their texts encoded at full length, as published; on: '
                'the class names are known.',
                f'窗口 {crop} x {crop} 像素，步长 {stride}，fp32。文本缓存关闭：与原始实现相同，'
                '每个窗口的两个时相都以完整长度编码文本；开启：类别名称均为已知。')])


def _window_rows(ways: dict[tuple[int, str], Subject], batch: dict, rounds: int, promised: bool
                 ) -> list[list[Text]]:
    steps = {way: Steps(subject, 'fp32') for way, subject in ways.items()}
    counts, memory = {}, {}
    for way, subject in ways.items():
        steps[way].predict(batch)
        counts[way] = EncodeCount()
        with counts[way].watch(subject.model.encoder):
            memory[way] = steps[way].peak(lambda way=way: steps[way].predict(batch))
    amount, device = len(batch['inputs']), next(iter(ways.values())).device
    calls = {way: lambda way=way: steps[way].predict(batch) for way in ways}
    times = time_in_turn(calls, amount=amount, rounds=rounds, device=device, title='windows')
    first, last = next(iter(ways)), [*ways][-1]
    rows = []
    for way, subject in ways.items():
        share, count = times[way].over(times[first]), counts[way]
        rows.append([subject.name, str(way[0]), _SWITCH[way[1]],
                     str(count.frames // (2 * amount)), str(count.calls), str(times[way]),
                     WINDOW_SHARE.judge(share) if promised and way == last else f'{share:.2f}',
                     memory[way]])
    return rows


_SWITCH: dict[str, Text] = {'off': ('off', '关闭'), 'on': ('on', '开启')}


def _with_test_cfg(subject: Subject, test_cfg: dict) -> Subject:
    """Return the model with other settings at test time; the parts are shared."""
    model = copy.copy(subject.model)
    model.test_cfg = dict(test_cfg)
    return replace(subject, model=model)
