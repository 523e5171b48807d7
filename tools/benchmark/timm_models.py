"""Benchmark of the encoder of timm models against the bare models."""
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from rscc.models.encoders.timm_encoder import TimmEncoder
from rscc.models.encoders.timm_weights import import_timm
from tools.benchmark.machine import check_device, describe_machine
from tools.benchmark.tables import Section, Target, Text, how_measured
from tools.benchmark.timing import Timing, measure

MODELS = ('tf_efficientnet_lite0', 'vit_tiny_patch16_224')
MOST = Target(1.03)
_WAYS: dict[str, Text] = {
    'bare': ('timm alone', '仅 timm'), 'encoder': ('TimmEncoder', 'TimmEncoder'),
    'pyramid': ('with the pyramid', '含特征金字塔'),
    'plain': ('without channels-last', '不用 channels-last')}


def benchmark_timm(models: Sequence[str] = MODELS, *, size: int = 224, batch_size: int = 2,
                   rounds: int = 30, device: str = 'cpu') -> Section:
    """Compare ``TimmEncoder`` with the bare timm model, in evaluation, without gradient.

    Bare is what gives the same maps: timm's ``features_only`` of a hierarchical model, and
    ``forward_intermediates`` with the pooled vector of a plain transformer.

    Args:
        models: Names in timm, with random weights.
        size: Side of the images in pixels.
        batch_size: Pairs a call.
        rounds: Timed calls of each way.
        device: ``'cpu'`` or ``'cuda[:i]'``.

    Raises:
        ValueError: If there is no such model or device.
    """
    check_device(device)
    rows: list[list[Text]] = []
    for name in models:
        calls = calls_of(name, size, batch_size, device)
        times = measure(calls, samples=batch_size, rounds=rounds,
                        device=device, title=name)
        rows += [[f'`{name}`', _WAYS[way], str(timing), _ratio(way, timing, times['bare'])]
                 for way, timing in times.items()]
    return Section(
        'timm', ('Models of timm', 'timm 模型'),
        (('model', '模型'), ('way', '方式'), ('ms a pair', '毫秒/对'),
         ('ratio to timm alone', '与仅 timm 的比值')), rows, describe_machine(device),
        notes=[how_measured(size, batch_size, rounds), _NOTE])


_NOTE: Text = (
    'Encoder alone, random weights, inference. Ratios are medians over the rounds, in each of '
    'which the ways take turns. Bare: the same maps by features_only of timm, of a plain '
    'transformer its blocks and pooled vector; the encoder adds tokens, checks, and the axes of '
    'the dates. The pyramid is work of its own.',
    '仅编码器，随机权重，推理。比值为各轮比值的中位数，每轮中各方式轮流运行。'
    '仅 timm：以 timm 的 features_only 得到相同的特征图，普通 Transformer 则取各块输出与池化向量；'
    '编码器另外给出 token、做检查并处理时相维。特征金字塔是额外的计算。')


def _ratio(way: str, timing: Timing, bare: Timing) -> Text:
    ratio = statistics.median(one / other for one, other in
                              zip(timing.rounds, bare.rounds, strict=True))
    return '1' if way == 'bare' else MOST.judge(ratio) if way == 'encoder' else f'{ratio:.2f}'


def calls_of(name: str, size: int, batch_size: int, device: str) -> dict[str, Callable[[], Any]]:
    """Return the ways of running a model on the same images, each for itself."""
    def build(**options: Any) -> TimmEncoder:
        return TimmEncoder(name, **options).to(device).eval()

    frames = torch.randn(batch_size, 2, 3, size, size, device=device)
    apart = torch.channels_last
    images = frames.flatten(0, 1).contiguous(memory_format=apart)  # as the preprocessor gives them
    together = images.unflatten(0, (batch_size, 2))

    def of(encoder: Callable[[Tensor], Any], given: Tensor) -> Callable[[], Any]:
        def call() -> Any:
            with torch.inference_mode():
                return encoder(given)
        return call

    encoder = build(pyramid=False)
    if not encoder.plain:
        bare = import_timm().create_model(name, features_only=True,
                                          out_indices=encoder.out_indices)
        bare.load_state_dict(encoder.model.state_dict())
        bare = bare.to(device, memory_format=apart).eval()
        return {'bare': of(bare, images), 'encoder': of(encoder, together),
                'plain': of(build(channels_last=False), frames)}
    network, indices = encoder.model, list(encoder.out_indices)

    def bare(given: Tensor) -> Any:
        final, maps = network.forward_intermediates(given, indices=indices)
        return maps, network.forward_head(final, pre_logits=True)

    return {'bare': of(bare, images), 'encoder': of(encoder, together),
            'pyramid': of(build(), together)}

