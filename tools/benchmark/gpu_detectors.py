"""Detectors on a GPU: inference and training, by precision, memory layout and compiler."""
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from tools.benchmark.benchmarked_model import BenchmarkedModel
from tools.benchmark.budget import Budget, Outcome, Way, run_ways
from tools.benchmark.counting import gflop
from tools.benchmark.gpu_training import COMPILING
from tools.benchmark.steps import Steps, steps_in, variant
from tools.benchmark.tables import Text

COLUMNS: tuple[Text, ...] = (
    ('config', '配置'), ('px', '像素'), ('GFLOP', 'GFLOP'), ('pairs a call', '每次对数'),
    ('way', '方式'), ('inference, ms a pair', '推理，毫秒/对'), ('pairs/s', '对/秒'),
    ('times as fast', '倍速'), ('rounds', '轮数'),
    ('training, ms a pair', '训练，毫秒/对'), ('pairs/s', '对/秒'), ('times as fast', '倍速'),
    ('peak memory', '峰值内存'), ('rounds', '轮数'))
LAYOUTS: dict[str, dict[str, bool]] = {
    '': {}, 'channels-last': dict(channels_last=True), 'compile': dict(compiled=True)}
#: Precision and layout, those that matter most first: a compiler takes a minute for each.
WAYS = (('fp32', ''), ('bf16', ''), ('bf16', 'channels-last'), ('fp32', 'channels-last'),
        ('bf16', 'compile'))
_Made = dict[str, dict[str, Steps]]


def detector_rows(model: BenchmarkedModel, budget: Budget, batch_size: int, compiled: bool
                  ) -> list[list[Text]]:
    """Return a row for every way of a detector: inference first, then training.

    Args:
        model: The detector.
        budget: For all rows.
        batch_size: Pairs a call.
        compiled: Whether to compile at all.
    """
    work, made = gflop(model), {}
    ways = [way for way in WAYS if compiled or way[1] != 'compile']
    batch = model.batch(batch_size)

    def made_when_due(call: Callable[[Steps, dict], Any], precision: str, layout: str
                      ) -> Callable[[], Any]:
        steps = _steps(model, layout, made)[precision]
        steps.optim.optimizer.state.clear()  # every way begins without, and its memory counts
        return partial(call, steps, batch)

    def run(call: Callable[[Steps, dict], Any], budget: Budget, title: str) -> list[Outcome]:
        return list(run_ways(
            {way: Way(partial(made_when_due, call, *way),
                      COMPILING if way[1] == 'compile' else 5.0) for way in ways},
            budget, batch_size, model.device, f'{model.name}: {title}').values())

    inference = run(Steps.predict, budget.share(1, 2), 'inference')
    training = run(Steps.train, budget, 'training')
    head = [model.name, str(model.size[0]), f'{work:.1f}', str(batch_size)]
    return [[*head, ' '.join(filter(None, way)), *_figures(predicted, inference[0]),
             predicted.rounds, *_figures(trained, training[0]),
             trained.memory(model.held_bytes), trained.rounds]
            for way, predicted, trained in zip(ways, inference, training, strict=True)]


def _steps(model: BenchmarkedModel, layout: str, made: _Made) -> dict[str, Steps]:
    """Return the steps of a layout, made once."""
    if layout not in made:
        other = variant(model, **LAYOUTS[layout]) if layout else model
        made[layout] = steps_in(other, ['fp32', 'bf16'])
    return made[layout]


def _figures(outcome: Outcome, first: Outcome) -> Sequence[Text]:
    def faster(timing: Any) -> str:
        return '' if first.timing is None else f'{first.timing.over(timing):.2f}'

    return outcome.cells(str, lambda timing: f'{timing.per_second:.1f}', faster)


def detector_notes() -> list[Text]:
    """Return the notes below the table."""
    return [
        ('Inference: from frames in memory to maps, class names remembered after the warm-up. '
         'Training: a whole step. Times as fast: as the first way of the config. GFLOP: forward '
         'pass of a pair, 2 per multiply-add.',
         '推理：从内存中的影像到变化图，预热后类别名称均已缓存。训练：完整的一步。'
         '倍速：相对该配置的第一种方式。GFLOP：一对影像的前向计算量，每次乘加计为 2。'),
        ('fp32: as torch has it by default, with TF32 in convolutions and not in matrix products. '
         'Peak memory: of training, with weights, gradients and the optimizer.',
         'fp32：采用 torch 的默认设置，卷积使用 TF32，矩阵乘法不使用。'
         '峰值内存：训练时，含权重、梯度与优化器。')]
