"""Benchmarks of a BLIP captioner: captions a pair, precision, search."""
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from rscc.engine.precision import cpu_has_bf16
from tools.benchmark.benchmarked_model import Subject, load_subject
from tools.benchmark.counting import EncodeCount
from tools.benchmark.machine import describe_machine
from tools.benchmark.steps import Steps, check_device, choose_precisions, steps_in, time_in_turn
from tools.benchmark.tables import Section, Target, Text, how_measured
from tools.benchmark.timing import Timing

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
        rows, describe_machine(device), notes=[how_measured(subject.size[0], batch_size, rounds)])


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
        describe_machine(device), notes=[how_measured(subject.size[0], batch_size, rounds)])


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
        notes=[how_measured(subject.size[0], batch_size, rounds),
               (f'Sentences of {tokens} tokens each; frames and calls are counted while a whole '
                'prediction runs.',
                f'句子均为 {tokens} 个词元；帧数与调用次数在完整预测过程中统计。')])


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
    calls = dict(encoder=lambda: model.extract(inputs))
    calls |= {name: lambda search=search: model.caption_head.generate(features, **search)
              for name, search in searches.items()}
    return time_in_turn(calls, amount=batch_size, rounds=rounds, device=subject.device,
                        title='decode')


def _train_times(ways: Mapping[Any, tuple[Steps, dict]], batch_size: int, rounds: int,
                 title: str) -> dict[str, Timing]:
    device = next(iter(ways.values()))[0].subject.device
    calls = {str(name): lambda steps=steps, batch=batch: steps.train(batch)
             for name, (steps, batch) in ways.items()}
    return time_in_turn(calls, amount=batch_size, rounds=rounds, device=device, title=title)
