"""Benchmark of the models of configs: weights, operations, time, memory."""
import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from tools.benchmark.benchmarked_model import BenchmarkedModel, Plan, load_model, read_plan
from tools.benchmark.counting import gflop
from tools.benchmark.fakes import pretrained_sources
from tools.benchmark.machine import check_device, describe_machine
from tools.benchmark.steps import Comparison, Steps, choose_precisions, steps_in, variant
from tools.benchmark.tables import Section, Text, count_rounds
from tools.benchmark.timing import WARMUP, Timing

COLUMNS: tuple[Text, ...] = (
    ('config', '配置'), ('variant', '方式'), ('px', '像素'),
    ('parameters (trained)', '参数量（训练）'), ('GFLOP', 'GFLOP'),
    ('train step, ms a pair', '训练一步，毫秒/对'), ('ratio', '比值'),
    ('inference, ms a pair', '推理，毫秒/对'), ('ratio', '比值'),
    ('peak memory, train', '峰值内存，训练'), ('peak memory, inference', '峰值内存，推理'))

#: Configs of ``recent``, one of each kind, the smallest that are published: heads and languages of
#: the built-in dataset, images of more bands, then encoders of a published size.
RECENT = ('btc_synth', 'btc_4_bands_synth', 'btc_10_bands_synth', 'fcsiam_diff_synth', 'timm_synth',
          'llm_synth', 'llm_scene_synth', 'changeclip_caption_synth', 'compare_blip_synth',
          'compare_prefix_gpt_synth', 'compare_attention_synth', 'compare_karras_synth',
          'compare_llm_synth', 'fcsiam_diff_levircd', 'btc_swin_t_levircd',
          'clipgpt_remoteclip_mlp_ucm', 'changeclip_remoteclip_rn50_levircd', 'llm_levircc')
#: Seconds that the timed rounds of all models may take, training and inference together.
STUDY = 600.0
CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
PLAIN_TEXT = 'text cache off'
TEXT: Text = (
    'Text cache off: class names are encoded for both dates of every pair at full length, as '
    'published. In the other rows equal texts of a batch are encoded once, without padding, and '
    'inference remembers them: after the warm-up it knows all class names.',
    'text cache off（文本缓存关闭）：与原始实现相同，每对影像的两个时相都以完整长度编码类别名称。'
    '其他各行：同一批中相同的文本只编码一次，不含填充；推理会缓存结果，预热之后类别名称均为已知。')


def benchmark_models(configs: Sequence[str], *, size: int | None = None, batch_size: int = 1,
                     rounds: int | None = None, device: str = 'cpu',
                     precisions: Sequence[str] | None = None, channels_last: bool = False,
                     compiled: bool = False, tokens: int = 12, random_weights: bool = False,
                     vocab: str | None = None, plain_text: bool = True, warmup: int = WARMUP,
                     cfg_options: Mapping[str, Any] | None = None) -> Section:
    """Measure the models of configs, one after the other, the variants of each in turn.

    Configs that train the same model on frames of the same size are measured once.

    Args:
        configs: Paths.
        size: Side of the frames in pixels; the config's own by default.
        batch_size: Samples a step; two at least where a head cannot train on one.
        rounds: Timed calls of each variant; 20 by default, fewer where all together would take
            longer than ``STUDY`` seconds.
        device: ``'cpu'`` or ``'cuda[:i]'``.
        precisions: ``'fp32'``, ``'bf16'``, ``'fp16'``; what the device is good at by default.
        channels_last: Measure that memory layout beside the plain one.
        compiled: Measure ``torch.compile`` beside eager execution.
        tokens: Length of the generated sentences.
        random_weights: See ``load_model``; also ``vocab`` and ``cfg_options``.
        plain_text: Measure language-guided detectors with the text cache off, too.
        warmup: Calls before the timed ones, which do not count.

    Raises:
        ValueError: If a setting is impossible; see also ``load_model``.
    """
    precisions = choose_precisions(precisions, check_device(device))
    groups = _alike([read_plan(config, size=size, cfg_options=cfg_options) for config in configs])
    rows: list[list[Text]] = []
    notes, counted = _notes(tokens), []
    sources = [name for plan, *_ in groups for name in pretrained_sources(plan.cfg.model)]
    if random_weights and sources:
        notes.append(_stand_ins(sources))
    for plan, *others in groups:
        model = load_model(plan, device=device, random_weights=random_weights, vocab=vocab)
        model.fix_sentence_length(tokens)
        samples = max(batch_size, plan.least_batch)
        if samples > batch_size:
            notes.append(_larger_batch(plan, samples))
        test = Comparison(model, samples, rounds, warmup, within=STUDY / (2 * len(groups)))
        rows += _rows(test, len(others), precisions, channels_last, compiled, plain_text)
        counted += test.counted
        if others:
            notes.append(_stands_for(plan, others))
        if plain_text and model.prompt_encoder is not None and TEXT not in notes:
            notes.append(TEXT)
        del test, model  # two large ones at a time, optimizers and all, may be too many
        gc.collect()
    return Section('model', ('Models', '模型'), COLUMNS, rows, describe_machine(device),
                   notes=[_times(count_rounds(counted), batch_size), *notes])


def benchmark_recent(configs: Sequence[str] = (), *, rounds: int = 2, batch_size: int = 1,
                     device: str = 'cpu', tokens: int = 12, vocab: str | None = None,
                     cfg_options: Mapping[str, Any] | None = None) -> Section:
    """Measure one recent config of each kind, briefly, in float32, from random weights.

    It is ``benchmark_models`` with few rounds and one row a model, so that all of them take minutes
    on two cores, a language model of half a billion weights among them. The steps whose memory is
    measured come before, and are the warm-up.

    Args:
        configs: Paths; those of ``RECENT`` by default.
        rounds, batch_size, device, tokens, vocab, cfg_options: See ``benchmark_models``.
    """
    configs = list(configs) or [str(CONFIGS / f'{name}.py') for name in RECENT]
    section = benchmark_models(
        configs, rounds=rounds, batch_size=batch_size, device=device, precisions=['fp32'],
        tokens=tokens, random_weights=True, vocab=vocab, plain_text=False, warmup=0,
        cfg_options=cfg_options)
    ratios = [column for column, head in enumerate(section.columns) if head[0] == 'ratio']

    def without(cells: Sequence[Text]) -> list[Text]:  # one variant of each: nothing to compare
        return [cell for column, cell in enumerate(cells) if column not in ratios]

    return replace(section, name='recent', columns=without(section.columns),
                   notes=[section.notes[0], *section.notes[2:]],
                   title=('Recent encoders, decoders and models of several heads',
                          '新增的编码器、解码器与多头模型'),
                   rows=[without(row) for row in section.rows])


def _alike(plans: Sequence[Plan]) -> list[list[Plan]]:
    """Group what would cost the same, in the order given; a config named twice counts once."""
    groups: list[list[Plan]] = []
    for plan in plans:
        group = next((group for group in groups if group[0].costs_as(plan)), None)
        if group is None:
            groups.append([plan])
        elif plan.name not in [other.name for other in group]:
            group.append(plan)
    return groups


def _rows(test: Comparison, others: int, precisions: Sequence[str], channels_last: bool,
          compiled: bool, plain_text: bool) -> list[list[Text]]:
    """Measure one model; ratios are to its first row."""
    model, batch = test.model, test.model.batch(test.batch_size)
    name = f'{model.name} (+ {others})' if others else model.name
    layouts = _layouts(model, channels_last, compiled, plain_text)
    operations = {layout: f'{gflop(other, test.batch_size):.1f}'
                  for layout, other in layouts.items() if layout in ('', PLAIN_TEXT)}
    ways = {(precision, layout): steps for layout, other in layouts.items()
            for precision, steps in steps_in(other, precisions).items()}
    memory = {way: _memory(steps, batch) for way, steps in ways.items()}

    def times(step: Callable[[Steps, dict], Any], title: str) -> dict[tuple[str, str], Timing]:
        calls = {way: lambda steps=steps: step(steps, batch) for way, steps in ways.items()}
        return test.time(calls, f'{model.name}: {title}')

    predicting, training = times(Steps.predict, 'inference'), times(Steps.train, 'training')
    first = next(iter(ways))
    return [[name, ' '.join(filter(None, way)), str(model.size[0]), _parameters(model),
             operations.get(way[1], operations['']),
             str(training[way]), f'{training[way].over(training[first]):.2f}',
             str(predicting[way]), f'{predicting[way].over(predicting[first]):.2f}', *memory[way]]
            for way in ways]


def _layouts(model: BenchmarkedModel, channels_last: bool, compiled: bool, plain_text: bool
             ) -> dict[str, BenchmarkedModel]:
    """Return the model and the copies of it that are measured beside it."""
    layouts = {'': model}
    if plain_text and model.prompt_encoder is not None:
        layouts[PLAIN_TEXT] = variant(model, plain_text=True)
    if channels_last:
        layouts['channels_last'] = variant(model, channels_last=True)
    if compiled:
        layouts['compile'] = variant(model, compiled=True)
    return layouts


def _parameters(model: BenchmarkedModel) -> str:
    every, trained = model.parameters
    return f'{every / 1e6:.1f} M' + (f' ({trained / 1e6:.1f} M)' if trained < every else '')


def _memory(steps: Steps, batch: dict) -> list[str]:
    """Return the peaks of training and inference: weights and what the calls need beside them."""
    def train() -> None:
        for _ in range(3):  # the optimizer's state exists from the second step on
            steps.train(batch)

    steps.predict(batch)  # kernels and tables that are made once are nobody's cost
    inference = steps.peak(lambda: steps.predict(batch))
    training = steps.peak(train)
    # The next precision starts from nothing, too.
    steps.optim.optimizer.state.clear()
    for weight in steps.model.network.parameters():
        weight.grad = None
    if steps.model.device != 'cpu':
        torch.cuda.empty_cache()
    return [training, inference]


def _times(rounds: str, batch_size: int) -> Text:
    return (f'Times: median (fastest to slowest) of {rounds} rounds, batch size {batch_size}, data '
            'loading apart.',
            f'时间：{rounds} 轮的中位数（最快至最慢），批大小 {batch_size}，不含数据读取。')


def _notes(tokens: int) -> list[Text]:
    return [
        ('The variants of a config take turns; ratio: to the first of them.',
         '同一配置的各种方式轮流测量；比值：相对于其中第一种。'),
        (f'GFLOP: one forward pass of a sample with all heads, its texts and one sentence; 2 per '
         f'multiply-add (2*MAC). Inference: masks and sentences of {tokens} tokens, with the beams '
         'of the config.',
         f'GFLOP：一个样本连同所有头、文本和一个句子的一次前向计算，每次乘加计为 2（2*MAC）。'
         f'推理：变化图和 {tokens} 个词元的句子，束宽同配置。'),
        ('Peak memory: weights and what the step needs beside them, without libraries.',
         '峰值内存：权重以及该步骤所需的其余内存，不含程序库本身。'),
    ]


def _larger_batch(plan: Plan, samples: int) -> Text:
    return (f'{plan.name}: batch size {samples}; its head normalises a pooled map over the batch.',
            f'{plan.name}：批大小 {samples}；其变化头在批内对池化后的特征图做归一化。')


def _stand_ins(sources: Sequence[str]) -> Text:
    names = ', '.join(dict.fromkeys(sources))
    return (f'Weights are random, in the published shapes, in place of {names}; tokenizers that '
            'come with such weights are made up.',
            f'权重为随机值，形状与已发布的相同，代替 {names}；'
            '随这些权重发布的分词器用虚构词表代替。')


def _stands_for(plan: Plan, others: Sequence[Plan]) -> Text:
    names = ', '.join(other.name for other in others)
    return (f'{plan.name} (+ {len(others)}): {names} train the same model at this size; it is '
            'measured once.',
            f'{plan.name} (+ {len(others)})：{names} 以相同尺寸训练同一模型，只测量一次。')
