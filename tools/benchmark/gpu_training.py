"""Training steps of a captioner on a GPU: arithmetic used, and time spent waiting for data."""
import copy
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from rscc.synth.generator import Parameters, generate
from tools.benchmark.benchmarked_model import BenchmarkedModel, innermost_dataset
from tools.benchmark.budget import Budget, Outcome, Way, run_ways
from tools.benchmark.counting import gflop
from tools.benchmark.steps import Steps, steps_in, variant
from tools.benchmark.tables import Target, Text
from tools.benchmark.timing import Timing

MFU = Target(40, at_least=True, digits=1, unit=' %')
WAITING = Target(2, digits=1, unit=' %')
#: Seconds that must be left for a compiler to begin; it may take longer, and cannot be stopped.
COMPILING = 25.0
#: Dense bfloat16 TFLOP/s of GPUs, with sums in float32: the makers' data sheets without sparsity.
#: By parts of the names that torch tells; the first that fits counts.
PEAKS: dict[str, float] = {
    'B200': 2250, 'GH200': 989.4, 'H200 NVL': 835.5, 'H200': 989.4, 'H100 NVL': 835.5,
    'H100 PCIe': 756, 'H100': 989.4, 'H20': 148, 'A100': 312, 'A40': 149.7, 'A30': 165, 'A10': 125,
    'L40S': 362, 'L40': 181, 'L4': 121, 'RTX 6000 Ada': 364.2, 'RTX A6000': 154.8,
    'RTX 5090': 209.5, 'RTX 4090': 165.2, 'RTX 3090': 71}
#: Words of names that mean another GPU, or a part of one, than the same name without them.
_OTHER = r'\b(Laptop|Max-Q|MIG|D|Ti|SUPER)\b'
COLUMNS: tuple[Text, ...] = (
    ('config', '配置'), ('pairs a step', '每步对数'), ('way', '方式'), ('ms a pair', '毫秒/对'),
    ('pairs/s', '对/秒'), ('TFLOP/s', 'TFLOP/s'), ('MFU', 'MFU'),
    ('waiting for data', '等待数据'), ('peak memory', '峰值内存'), ('rounds', '轮数'))
_FED: Text = ('bf16, fed by the loader', 'bf16，由加载器供数')


def peak_tflops(name: str) -> float | None:
    """Return the dense bfloat16 TFLOP/s of a GPU by its name, None of one that is not known."""
    if re.search(_OTHER, name):
        return None
    return next((peak for part, peak in PEAKS.items() if re.search(rf'\b{part}\b', name)), None)


@dataclass(frozen=True)
class Feed:
    """Data of a training.

    Attributes:
        root: Folder in LEVIR-CC's layout; None renders pairs.
        pairs: How many are rendered.
        workers: Processes that load them; None for one a core, 16 at most.
    """
    root: str | None = None
    pairs: int = 512
    workers: int | None = None

    @property
    def processes(self) -> int:
        """Number of workers."""
        return min(16, os.cpu_count() or 1) if self.workers is None else self.workers

    def loader(self, model: BenchmarkedModel, batch_size: int, folder: Path
               ) -> torch.utils.data.DataLoader:
        """Return the config's own loader of training batches, over and over.

        Args:
            model: Whose config's pipeline prepares the pairs.
            batch_size: Pairs a batch.
            folder: Where pairs are rendered.
        """
        root = Path(self.root).resolve() if self.root else folder / 'synth'
        if not self.root:
            generate(root, Parameters(train=self.pairs, val=0, test=0, seed=0),
                     jobs=max(1, self.processes))
        pipeline = copy.deepcopy(innermost_dataset(model.cfg)['pipeline'])
        with DefaultScope.overwrite_default_scope('rscc'):
            return Runner.build_dataloader(dict(
                batch_size=batch_size, num_workers=self.processes, drop_last=True,
                sampler=dict(type='InfiniteSampler', shuffle=True),
                dataset=dict(type='LEVIRCCDataset', data_root=str(root), split='train',
                             pipeline=pipeline)), seed=0)


def training_rows(model: BenchmarkedModel, budget: Budget, batch_sizes: Sequence[int],
                  compiled: bool, feed: Feed, peak: float | None) -> list[list[Text]]:
    """Return the rows of a captioner: batches in bfloat16, float32, compiled, and its own data.

    Args:
        model: The captioner; it is left trained by some steps.
        budget: For all rows.
        batch_sizes: Pairs a step; float32 and the loader take the first, the compiler the last.
        compiled: Whether to compile at all.
        feed: Where the loader reads.
        peak: TFLOP/s of the GPU in bfloat16, None if they are not known.
    """
    work = 3 * gflop(model)  # a backward pass costs twice the forward pass
    steps = steps_in(model, ['fp32', 'bf16'])
    ways = {(size, 'bf16'): Way(partial(_training, steps['bf16'], size)) for size in batch_sizes}
    ways[batch_sizes[0], 'fp32'] = Way(partial(_training, steps['fp32'], batch_sizes[0]))
    if compiled:
        ways[batch_sizes[-1], 'bf16 compile'] = Way(
            lambda: _training(steps_in(variant(model, compiled=True), ['bf16'])['bf16'],
                              batch_sizes[-1]), COMPILING)
    found = run_ways(ways, budget.share(3, 4), lambda way: way[0], model.device,
                     f'{model.name}: training')
    rows = [_row(model, size, way, outcome, work, peak)
            for (size, way), outcome in found.items()]
    waits: list[float] = []
    with tempfile.TemporaryDirectory(prefix='rscc-gpu-') as folder:
        name = batch_sizes[0], 'fed'
        fed = run_ways({name: Way(partial(_fed, steps['bf16'], feed, batch_sizes[0], Path(folder),
                                          waits), 10.0)}, budget, batch_sizes[0], model.device,
                       f'{model.name}: loader')[name]
    return [*rows, _row(model, batch_sizes[0], _FED, fed, work, peak, waits)]


def _training(steps: Steps, batch_size: int) -> Callable[[], dict]:
    steps.optim.optimizer.state.clear()  # every way begins without, and its memory counts
    return partial(steps.train, steps.model.batch(batch_size))


def _fed(steps: Steps, feed: Feed, batch_size: int, folder: Path, waits: list[float]
         ) -> Callable[[], dict]:
    """Return a training step on the loader's next batch, which notes how long it waited for it."""
    batches: Iterator[dict] = iter(feed.loader(steps.model, batch_size, folder))

    def step() -> dict:
        start = time.perf_counter()
        batch = next(batches)
        waits.append(time.perf_counter() - start)
        return steps.train(batch)

    # What workers load ahead, two batches each, hides for a while that they are too slow.
    for _ in range(2 * feed.processes):
        step()
    return step


def _row(model: BenchmarkedModel, size: int, way: Text, outcome: Outcome, work: float,
         peak: float | None, waits: Sequence[float] = ()) -> list[Text]:
    """Return one row; ``work`` is the GFLOP of a pair, ``waits`` seconds of every timed step."""
    def used(timing: Timing) -> Text:
        whole = model.parameters[0] == model.parameters[1]
        return MFU.judge(100 * work / timing.ms / peak) if known and whole else ''

    def waiting(timing: Timing) -> Text:
        last = waits[-len(timing.rounds):]
        return WAITING.judge(100 * sum(last) / sum(timing.rounds) / size) if last else ''

    known = peak is not None and 'bf16' in (way if isinstance(way, str) else way[0])
    return [model.name, str(size), way,
            *outcome.cells(str, lambda timing: f'{timing.per_second:.1f}',
                           lambda timing: f'{work / timing.ms:.1f}', used, waiting),
            '' if waits else outcome.memory(model.held_bytes), outcome.rounds]


def training_notes(name: str, peak: float | None, feed: Feed) -> list[Text]:
    """Return the notes below the table; ``name`` is the GPU's, '' on a CPU."""
    source = Path(feed.root).name if feed.root else ''
    notes: list[Text] = [
        ('TFLOP/s: operations of the forward pass with one sentence (2 per multiply-add), times 3 '
         'for a step. MFU: their share of what the GPU can do in bfloat16, where all weights are '
         'trained.',
         'TFLOP/s：带一个句子的前向计算量（每次乘加计为 2）乘以 3 作为一步。MFU：占该 GPU 的 '
         'bfloat16 峰值算力的比例，仅在训练全部权重时给出。'),
        (f'Waiting for data: share of the time in which a step waits for the next batch of '
         f'{feed.processes} workers, after what they had loaded before is used up; '
         + (f'pairs of {source}.' if source else f'{feed.pairs} rendered pairs as files.')
         + ' Other rows have their batch in memory.',
         f'等待数据：用完预先加载的批之后，每步等待 {feed.processes} 个加载进程送来下一批的时间'
         f'占比；{f"影像来自 {source}" if source else f"{feed.pairs} 对渲染影像，以文件形式读取"}。'
         '其他各行的数据已在内存中。')]
    if peak is None:
        notes.append(('No MFU: the peak of this device is not known; name it with --peak-tflops '
                      '(dense, bfloat16).',
                      '未给出 MFU：该设备的峰值算力未知，可用 --peak-tflops 指定'
                      '（稠密，bfloat16）。'))
    else:
        notes.append((f'Peak: {peak:g} TFLOP/s, dense bfloat16{f" ({name})" if name else ""}.',
                      f'峰值：{peak:g} TFLOP/s，稠密 bfloat16{f"（{name}）" if name else ""}。'))
    return notes
