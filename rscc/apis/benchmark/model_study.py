"""What the models of configs cost: weights, operations, time, memory."""
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from rscc.apis.benchmark.machine import describe_machine
from rscc.apis.benchmark.memory import peak_growth
from rscc.apis.benchmark.report import Section, Text
from rscc.apis.benchmark.steps import (
    Steps,
    check_device,
    choose_precisions,
    gflop,
    steps_in,
    synchronizer,
    variant,
)
from rscc.apis.benchmark.subject import Subject, load_subject
from rscc.apis.benchmark.timing import Case, Timing, measure

COLUMNS: tuple[Text, ...] = (
    ('config', '配置'), ('variant', '方式'), ('px', '像素'),
    ('parameters (trained)', '参数量（训练）'), ('GFLOP', 'GFLOP'),
    ('train step, ms a pair', '训练一步，毫秒/对'), ('ratio', '比值'),
    ('inference, ms a pair', '推理，毫秒/对'), ('ratio', '比值'),
    ('peak memory, train', '峰值内存，训练'), ('peak memory, inference', '峰值内存，推理'))


def study_models(configs: Sequence[str], *, size: int | None = None, batch_size: int = 1,
                 rounds: int = 20, device: str = 'cpu', precisions: Sequence[str] | None = None,
                 channels_last: bool = False, compiled: bool = False, tokens: int = 12,
                 random_weights: bool = False, vocab: str | None = None,
                 cfg_options: Mapping[str, Any] | None = None) -> Section:
    """Measure the models of configs, one after the other, the variants of each in turn.

    Args:
        configs: Paths.
        size: Side of the frames in pixels; the config's own by default.
        batch_size: Samples a step.
        rounds: Timed calls of each variant.
        device: ``'cpu'`` or ``'cuda[:i]'``.
        precisions: ``'fp32'``, ``'bf16'``, ``'fp16'``; what the device is good at by default.
        channels_last: Measure that memory layout beside the plain one.
        compiled: Measure ``torch.compile`` beside eager execution.
        tokens: Length of the generated sentences.
        random_weights: See ``load_subject``; also ``vocab`` and ``cfg_options``.

    Raises:
        ValueError: If a setting is impossible; see also ``load_subject``.
    """
    check_device(device)
    precisions = choose_precisions(precisions, device)
    rows: list[list[Text]] = []
    for config in configs:
        subject = load_subject(config, size=size, device=device, random_weights=random_weights,
                               vocab=vocab, cfg_options=cfg_options)
        subject.fix_sentence_length(tokens)
        rows += _rows(subject, precisions, channels_last, compiled, batch_size, rounds)
    return Section('model', ('Models', '模型'), COLUMNS, rows, describe_machine(device),
                   notes=_notes(rounds, batch_size, tokens))


def _rows(subject: Subject, precisions: Sequence[str], channels_last: bool, compiled: bool,
          batch_size: int, rounds: int) -> list[list[Text]]:
    """Measure one model; ratios are to its first row."""
    every, trained = subject.parameters
    parameters = f'{every / 1e6:.1f} M'
    if trained < every:
        parameters += f' ({trained / 1e6:.1f} M)'
    facts = [parameters, f'{gflop(subject, batch_size):.1f}']
    layouts = {'': subject}
    if channels_last:
        layouts[' channels_last'] = variant(subject, channels_last=True)
    if compiled:
        layouts[' compile'] = variant(subject, compiled=True)
    ways = {f'{precision}{layout}': steps for layout, model in layouts.items()
            for precision, steps in steps_in(model, precisions).items()}
    batch = subject.batch(batch_size)
    memory = {name: _memory(steps, batch) for name, steps in ways.items()}
    predicting = _time(ways, lambda steps: steps.predict(batch), batch_size, rounds,
                       f'{subject.name}: inference')
    training = _time(ways, lambda steps: steps.train(batch), batch_size, rounds,
                     f'{subject.name}: training')
    first = next(iter(ways))
    return [[subject.name, name, str(subject.size[0]), *facts,
             str(training[name]), _ratio(training, name, first),
             str(predicting[name]), _ratio(predicting, name, first), *memory[name]]
            for name in ways]


def _time(ways: Mapping[str, Steps], call: Callable[[Steps], Any], amount: int, rounds: int,
          title: str) -> dict[str, Timing]:
    device = next(iter(ways.values())).subject.device
    cases = [Case(name, lambda steps=steps: call(steps), amount) for name, steps in ways.items()]
    return measure(cases, rounds, synchronize=synchronizer(device), title=title)


def _ratio(timings: Mapping[str, Timing], name: str, first: str) -> str:
    return f'{timings[name].over(timings[first]):.2f}'


def _memory(steps: Steps, batch: dict) -> list[str]:
    """Return the peaks of training and inference: weights and what the calls need beside them."""
    subject = steps.subject

    def train() -> None:
        for _ in range(3):  # the optimizer's state exists from the second step on
            steps.train(batch)

    steps.predict(batch)  # kernels and tables that are made once are nobody's cost
    inference = peak_growth(lambda: steps.predict(batch), subject.device)
    training = peak_growth(train, subject.device)
    # The next precision starts from nothing, too.
    steps.optim.optimizer.state.clear()
    for weight in subject.model.parameters():
        weight.grad = None
    if subject.device != 'cpu':
        torch.cuda.empty_cache()
    held = subject.held_bytes
    return ['-' if grown is None else f'{(held + grown) / 2**20:.0f} MiB'
            for grown in (training, inference)]


def _notes(rounds: int, batch_size: int, tokens: int) -> list[Text]:
    return [
        (f'Times: median (fastest to slowest) of {rounds} rounds in which the variants of a config '
         f'take turns, batch size {batch_size}, data loading apart. Ratio: to the first variant of '
         'the config.',
         f'时间：{rounds} 轮的中位数（最快至最慢），同一配置的各种方式轮流测量，'
         f'批大小 {batch_size}，不含数据读取。比值：相对于该配置的第一种方式。'),
        (f'GFLOP: one forward pass of a sample with all heads and one sentence, multiply-add = 2. '
         f'Inference: masks and sentences of {tokens} tokens, with the beams of the config.',
         f'GFLOP：一个样本连同所有头和一个句子的一次前向计算，乘加计为 2。推理：变化图和 {tokens} '
         '个词元的句子，束宽同配置。'),
        ('Peak memory: weights and what the step needs beside them, without libraries.',
         '峰值内存：权重以及该步骤所需的其余内存，不含程序库本身。'),
    ]
