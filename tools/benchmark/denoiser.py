"""Benchmark of a diffusion caption head: kept keys and values, batches, the whole sampler."""
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from rscc.models.batch_rows import select_rows
from rscc.structures import ChangeFeatures
from tools.benchmark.benchmarked_model import BenchmarkedModel, load_model
from tools.benchmark.counting import gflop_of
from tools.benchmark.machine import describe_machine
from tools.benchmark.steps import Steps, choose_precisions
from tools.benchmark.tables import Section, Target, Text
from tools.benchmark.timing import Timing, measure

KEPT_SHARE = Target(0.65)
BATCH_SPEEDUP = Target(4, at_least=True)
#: Side of the square matrices whose product says what arithmetic the device can do.
_PRODUCT = 2048
_CALLS: dict[str, Text] = {
    'anew': ('denoiser call, keys and values computed', '一次去噪调用，重新计算键与值'),
    'kept': ('denoiser call, keys and values kept', '一次去噪调用，保留键与值')}
#: A part, a precision and a number of captions -> its timing.
Times = Mapping[tuple[str, str, int], Timing]


def benchmark_denoiser(config: str, *, batch_size: int = 32, rounds: int = 5, steps: int = 10,
                       total: int = 50, precisions: Sequence[str] | None = None,
                       **options: Any) -> Section:
    """Compare a denoiser call with kept and computed keys and values, and a batch with one caption.

    Args:
        config: Path of a config with a ``KarrasCaptionHead``.
        batch_size: Captions that are sampled together.
        rounds: Timed calls of each case.
        steps: Sampling steps of a timed round, 2 or more. Every step takes the same time, so one
            step and these give the time of ``total``.
        total: Sampling steps that the table is about.
        precisions: Names of ``PRECISIONS`` for the sampler.
        **options: Of ``load_model``.

    Raises:
        ValueError: If the head has no denoiser, or a number is out of range.
    """
    if not 2 <= steps <= total or batch_size < 2:
        raise ValueError(f'--steps {steps}, --total {total}, --batch-size {batch_size}: expected '
                         'at least 2 steps, no more than in total, and a batch of 2 or more')
    model = load_model(config, **options).require_head(
        'KarrasCaptionHead', 'draws no captions from noise')
    names = choose_precisions(precisions, model.device)
    parts = _Parts(model, batch_size, steps)
    # One call before those that count: a whole batch takes long enough to be nobody's start-up.
    times = _sampler_of(total, steps, measure(
        parts.calls(names), samples=lambda key: key[-1], rounds=rounds, warmup=1,
        device=model.device, title='denoiser'))
    work = {part: gflop_of(call) for part, call in parts.single_calls().items()}
    work['sampler'] = work.pop('one step') + (total - 1) * work['kept']
    return Section(
        'denoiser', ('Diffusion captioning (KD-RSCC)', '扩散描述生成（KD-RSCC）'),
        (('part', '部分'), ('precision', '精度'), ('GFLOP a caption', '每句 GFLOP'),
         ('one alone, ms', '单独一句，毫秒'),
         (f'batch of {batch_size}, ms a caption', f'每批 {batch_size} 句，毫秒/句'),
         ('times as many captions a second', '每秒句数之比')),
        _rows(times, work, names, batch_size, total), describe_machine(model.device),
        notes=_notes(model, times, work, names, rounds, batch_size, steps, total))


class _Parts:
    """Calls of the parts of a captioner, on one caption and on a batch.

    Args:
        model: A captioner with a denoiser.
        batch_size: Captions of a batch.
        steps: Sampling steps of the longer sampler.
    """

    @torch.no_grad()
    def __init__(self, model: BenchmarkedModel, batch_size: int, steps: int) -> None:
        self.model, self.steps = model, steps
        network = model.network.eval()
        self.head = network.caption_head
        inputs = network.data_preprocessor(model.batch(), False)['inputs']
        self.encode = partial(network.extract, inputs)
        one = self.encode()
        # What is in the features changes nothing; a batch of them needs no encoder.
        self.features = {count: select_rows(one, [0] * count, 1) if count > 1 else one
                         for count in (1, batch_size)}

    def calls(self, precisions: Sequence[str]) -> dict[tuple[str, str, int], Callable[[], Any]]:
        """Return every call; the sampler's come in all precisions, the others in float32.

        Images take their time however many there are, and are encoded one pair at a time.
        """
        calls = {('images', 'fp32', 1): self.encode}
        for count, features in self.features.items():
            calls |= {(part, 'fp32', count): call
                      for part, call in self._denoiser_calls(features).items()}
            for name in precisions:
                calls |= {('one step', name, count): self._sampler(features, 1, name),
                          ('some steps', name, count): self._sampler(features, self.steps, name)}
        calls |= {('product', name, 1): self._product(name) for name in precisions}
        return {key: torch.no_grad()(call) for key, call in calls.items()}

    def single_calls(self) -> dict[str, Callable[[], Any]]:
        """Return the calls that one caption takes, to count their operations."""
        features = self.features[1]
        return {'images': self.encode, **self._denoiser_calls(features),
                'one step': self._sampler(features, 1, 'fp32')}

    @torch.no_grad()
    def _denoiser_calls(self, features: ChangeFeatures) -> dict[str, Callable[[], Tensor]]:
        denoiser, memory = self.head.denoiser, features.tokens
        shape = len(memory), self.head.length, self.head.space.table.shape[1]
        words = torch.randn(shape, device=memory.device)
        level, kept = words.new_zeros(len(memory)), denoiser.remember(memory)
        return dict(anew=lambda: denoiser(words, level, denoiser.remember(memory)),
                    kept=lambda: denoiser(words, level, kept))

    def _sampler(self, features: ChangeFeatures, steps: int, precision: str
                 ) -> Callable[[], list]:
        return self._in(precision, partial(self.head.generate, features, steps=steps))

    def _product(self, precision: str) -> Callable[[], Tensor]:
        square = torch.randn(_PRODUCT, _PRODUCT, device=self.model.device)
        return self._in(precision, lambda: square @ square)

    def _in(self, precision: str, call: Callable[[], Any]) -> Callable[[], Any]:
        autocast = Steps(self.model, precision).autocast

        def run() -> Any:
            with autocast():
                return call()

        return run


def _sampler_of(total: int, steps: int, times: Times) -> dict[tuple[str, str, int], Timing]:
    """Replace the samplers that were timed by one of ``total`` steps, round by round."""
    found = {key: timing for key, timing in times.items() if 'step' not in key[0]}
    share = (total - 1) / (steps - 1)
    for (part, precision, count), some in times.items():
        if part == 'some steps':
            one = times['one step', precision, count]
            found['sampler', precision, count] = Timing(tuple(
                first + share * (last - first)
                for first, last in zip(one.rounds, some.rounds, strict=True)))
    return found


def _rows(times: Times, work: Mapping[str, float], precisions: Sequence[str], batch_size: int,
          total: int) -> list[list[Text]]:
    """Return the table."""
    counts = 1, batch_size

    def row(part: str, label: Text, precision: str, judge: Callable[[float], Text]) -> list[Text]:
        one, batch = (times[part, precision, count] for count in counts)
        return [label, precision, f'{work[part]:.1f}', str(one), str(batch), judge(one.over(batch))]

    label = ('image branch: encoder and fusion', '影像分支：编码器与融合')
    rows = [[label, 'fp32', f"{work['images']:.1f}", str(times['images', 'fp32', 1]), '', '']]
    rows += [row(part, label, 'fp32', '{:.2f}'.format) for part, label in _CALLS.items()]
    rows.append([('share of the computed', '占重新计算的比例'), 'fp32',
                 f"{work['kept'] / work['anew']:.2f}",
                 *(KEPT_SHARE.judge(times['kept', 'fp32', count].over(times['anew', 'fp32', count]))
                   for count in counts), ''])
    label = (f'sampler, {total} steps, sentences read', f'采样 {total} 步并读出句子')
    rows += [row('sampler', label, name, BATCH_SPEEDUP.judge) for name in precisions]
    rows += [[('arithmetic, share of what large matrix products reach', '算力占大矩阵乘法的比例'),
              name, '', *(f'{share:.0%}' for share in _shares(times, work, name, batch_size)), '']
             for name in precisions]
    return rows


def _shares(times: Times, work: Mapping[str, float], precision: str, batch_size: int
            ) -> list[float]:
    """Return how near the sampler comes to a large product's operations a second, by counts."""
    product = times['product', precision, 1]
    peak = 2 * _PRODUCT ** 3 / 1e9 / product.ms
    return [work['sampler'] / times['sampler', precision, count].ms / peak
            for count in (1, batch_size)]


def _notes(model: BenchmarkedModel, times: Times, work: Mapping[str, float],
           precisions: Sequence[str], rounds: int, batch_size: int, steps: int, total: int
           ) -> list[Text]:
    head, side = model.network.caption_head, model.size[0]
    length, tokens = head.length, f'{head.denoiser.positions.weight.shape[1]}'
    limits = ', '.join(f'{1 / _shares(times, work, name, batch_size)[0]:.1f} ({name})'
                       for name in precisions)
    return [
        (f'{model.name}: captions of {length} ids, {tokens} wide, images of {side} x {side} '
         f'pixels. Median (fastest to slowest) of {rounds} rounds in turn.',
         f'{model.name}：句长 {length} 个词元，宽 {tokens}，影像 {side} x {side} 像素。'
         f'{rounds} 轮轮流测量的中位数（最快至最慢）。'),
        (f'Sampler: one step and {steps} steps were timed, with keys and values computed once and '
         f'sentences read off at the end; {total} steps are one and {total - 1} times the '
         'difference of a step. The image branch is apart.',
         f'采样：测量 1 步与 {steps} 步（键与值只计算一次，最后读出句子），{total} 步按 1 步加 '
         f'{total - 1} 倍单步差推算；影像分支单列。'),
        (f'Large matrix products: {_PRODUCT} x {_PRODUCT}. A batch computes as much a caption as '
         f'one alone does; were it to reach what such products reach, it would write {limits} '
         'times as many captions a second as one alone in that precision, and no more.',
         f'大矩阵乘法：{_PRODUCT} x {_PRODUCT}。批处理时每句的运算量与单独一句相同；即使达到'
         f'此类乘法的速度，每秒句数至多为同精度单独一句的 {limits} 倍。')]
