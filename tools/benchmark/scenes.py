"""Benchmark of scenes: from files to files against the model alone, in time and memory."""
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from mmengine.dataset import pseudo_collate

from rscc.apis.scenes import scene_of
from rscc.inference.model_pass import ModelPass
from rscc.rasters.windows import cut
from rscc.scenes.preparation import PreparedScene, SceneOptions
from rscc.scenes.run import SceneRun
from rscc.scenes.torch_predictor import TorchPredictor
from rscc.structures import ChangeDataSample
from rscc.utils import check_choice, progress
from tools.benchmark.machine import describe_machine
from tools.benchmark.scene_inputs import DETECTORS, rendered_cells, save_detector, write_pair
from tools.benchmark.tables import Section, Target, Text
from tools.benchmark.timing import timed

THROUGHPUT = Target(85, at_least=True, digits=1, unit=' %')
PEAK = Target(1.5, unit=' GB')
GROWTH, EMPTY, PARTS = Target(1.15), Target(1.05), Target(1.05)
SIDES = [2500, 5000, 10000]
_COUNT = 4
_ROOT = Path(__file__).resolve().parents[2]
Pair = tuple[Path, Path]

#: Starts a command and tells its seconds, seconds of CPU and peak in bytes. A process inherits the
#: peak of the one that starts it (Linux), which this small one keeps low.
_LAUNCHER = """
import json, os, subprocess, sys, time
start = time.perf_counter()
child = subprocess.Popen(sys.argv[1:], stdout=sys.stderr)
_, status, usage = os.wait4(child.pid, 0)
print(json.dumps([os.waitstatus_to_exitcode(status), time.perf_counter() - start,
                  usage.ru_utime + usage.ru_stime,
                  usage.ru_maxrss * (1 if sys.platform == 'darwin' else 1024)]))
"""


@dataclass(frozen=True)
class Child:
    """What a command took: seconds, seconds of CPU, and bytes of memory at its peak."""
    seconds: float
    cpu: float
    peak: int


@dataclass
class Found:
    """What was measured of one detector, in seconds, by side in pixels or whatever the name says.

    Attributes:
        answer, combine: Of a scene, each round.
        windows, lattice: Windows that were computed, and those that lie over the scene.
        pure: Of the model alone on the windows of the middle scene, each round.
        whole, half: CPU of the middle scene, and of the one with half of it without data.
        half_windows: Windows computed of that.
        children: Whole commands by side.
        parts: CPU beside starting: of all parts, of one.
        start: CPU of loading the model and preparing the scene.
    """
    answer: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    combine: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    windows: dict[int, int] = field(default_factory=dict)
    lattice: dict[int, int] = field(default_factory=dict)
    pure: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    half: list[float] = field(default_factory=list)
    half_windows: int = 0
    children: dict[int, Child] = field(default_factory=dict)
    parts: tuple[float, float] = (0.0, 0.0)
    start: float = 0.0


def benchmark_scenes(sides: Sequence[int] = SIDES, *, rounds: int = 3,
                     batch_size: int = 8, detectors: Sequence[str] = ('quickstart', ),
                     block_size: int = 4096) -> Section:
    """Answer rendered scenes of several sizes with small detectors of random weights.

    Args:
        sides: Of the scenes, in pixels. The second largest is the one whose windows the model
            answers alone, of which half is left without data, and that is done in parts.
        rounds: Timed runs of every scene.
        batch_size: Windows that are answered at once.
        detectors: Of :data:`tools.benchmark.scene_inputs.DETECTORS`; the larger one takes half an
            hour on two cores.
        block_size: Side of a block in pixels, about.

    Raises:
        ValueError: If there are fewer than two sides, no rounds, or a detector is unknown.
        OSError: If a command fails; the message ends with what it said.
    """
    sides = sorted(set(sides))
    if len(sides) < 2 or sides[0] < 1 or rounds < 1:
        raise ValueError(f'expected at least two sides in pixels and one round, found {sides} and '
                         f'{rounds}')
    for detector in detectors:
        check_choice('detector', detector, DETECTORS)
    rows: list[list[Text]] = []
    with tempfile.TemporaryDirectory(prefix='rscc-scenes-') as name:
        folder, cells = Path(name), rendered_cells(32)
        pairs = {side: write_pair(folder, side, cells) for side in sides}
        half = write_pair(folder, sides[-2], cells, empty=True)
        options = SceneOptions(batch_size=batch_size, block_pixels=block_size**2)
        for detector in detectors:
            checkpoint = save_detector(detector, folder / f'{detector}.pth', cells)
            found = _Study(folder, checkpoint, pairs, half, options).run(rounds)
            rows += _rows(DETECTORS[detector], sides, found)
    return Section(
        'scene', ('Scenes from files to files', '大幅影像：从文件到文件'),
        (('detector', '检测模型'), ('measurement', '测量项'), *(f'{side:,} px' for side in sides)),
        rows, describe_machine(), notes=_notes(sides, rounds, batch_size))


class _Study:
    """The measurements of one detector."""

    def __init__(self, folder: Path, checkpoint: Path, pairs: dict[int, Pair], half: Pair,
                 options: SceneOptions) -> None:
        self.out, self.checkpoint, self.pairs, self.half = folder / 'out', checkpoint, pairs, half
        self.options, self.middle = options, sorted(pairs)[-2]
        self.model = ModelPass.of(checkpoint, device='cpu')
        self.predictor = TorchPredictor(self.model)

    def run(self, rounds: int) -> Found:
        """Measure: commands first, then rounds in turn after one that does not count."""
        found = Found(children={side: self._command(*map(str, pair))
                                for side, pair in self.pairs.items()})
        self._parts(found)
        alone = self._alone()
        self._scene(min(self.pairs), Found())
        alone()
        for _ in progress(range(rounds), 'scenes', unit='round'):
            for side in self.pairs:
                self._scene(side, found)
            found.pure.append(timed(alone)[0])
            found.half_windows = self._half(found)
        return found

    def _prepared(self, pair: Pair) -> tuple[SceneRun, PreparedScene]:
        run = SceneRun([scene_of(*pair)], self.predictor, self.out, self.options)
        return run, next(iter(run.scenes.values()))

    def _scene(self, side: int, found: Found) -> None:
        """Answer and combine a scene, and count its windows."""
        run, scene = self._prepared(self.pairs[side])
        folder, cpu = run.folder(), time.process_time()
        seconds, done = timed(lambda: run.answer(folder))
        if side == self.middle:
            found.whole.append(time.process_time() - cpu)
        found.answer[side].append(seconds)
        found.combine[side].append(timed(lambda: run.combine(folder))[0])
        found.windows[side], found.lattice[side] = done.windows, scene.windows()
        shutil.rmtree(self.out)

    def _half(self, found: Found) -> int:
        run, _ = self._prepared(self.half)
        folder, cpu = run.folder(), time.process_time()
        windows = timed(lambda: run.answer(folder))[1].windows
        found.half.append(time.process_time() - cpu)
        shutil.rmtree(self.out)
        return windows

    def _alone(self) -> Callable[[], None]:
        """Return a function that lets the model answer the windows of the middle scene alone."""
        _, scene = self._prepared(self.pairs[self.middle])
        frames, _ = scene.reader.read(scene.reader.grid.box)
        lattice, model = scene.lattice, self.model.loaded.model
        windows = [self.model.prepare([cut(frame, lattice.rows.source(row),
                                           lattice.columns.source(column)) for frame in frames], '')
                   for column, row in lattice.places()]
        size = self.options.batch_size
        batches = [windows[first:first + size] for first in range(0, len(windows), size)]

        def answer() -> None:
            with torch.inference_mode():
                for batch in batches:
                    # New samples: those that are kept would keep all answers.
                    data = pseudo_collate([dict(window, data_samples=ChangeDataSample(
                        metainfo=window['data_samples'].metainfo)) for window in batch])
                    data = model.data_preprocessor(data, False)
                    model.predict(data['inputs'], data['data_samples'])
        return answer

    def _parts(self, found: Found) -> None:
        """Compare the work of all parts with that of one, each in a process of its own."""
        pair = [str(path) for path in self.pairs[self.middle]]

        def work(count: int) -> tuple[float, float]:
            parts = [('--part', f'{number}/{count}') for number in range(1, count + 1)]
            cpu = sum(self._command(*pair, *part, keep=True).cpu for part in parts)
            # Once more: all blocks are there, so that it starts and ends.
            start = self._command(*pair, *parts[-1]).cpu
            return cpu - count * start, start

        several, found.start = work(_COUNT)
        found.parts = several, work(1)[0]

    def _command(self, earlier: str, later: str, *words: str, keep: bool = False) -> Child:
        side = round(self.options.block_pixels**0.5)
        child = run_child([
            sys.executable, str(_ROOT / 'tools/infer.py'), str(self.checkpoint), '--device', 'cpu',
            '--img-from', earlier, '--img-to', later, '--out', str(self.out), '--batch-size',
            str(self.options.batch_size), '--block-size', str(side), *words])
        if not keep:
            shutil.rmtree(self.out)
        return child


def run_child(words: Sequence[str]) -> Child:
    """Run a command and measure it.

    Raises:
        OSError: If it fails; the message ends with what it said.
    """
    done = subprocess.run([sys.executable, '-S', '-c', _LAUNCHER, *words], capture_output=True,
                          text=True, check=False)
    code, *values = json.loads(done.stdout) if done.returncode == 0 else (done.returncode,)
    if code:
        raise OSError(f"'{' '.join(words)}' ended with code {code}:\n{done.stderr[-2000:]}")
    return Child(*values)


def _rows(detector: Text, sides: Sequence[int], found: Found) -> list[list[Text]]:
    """Make the rows of one detector."""
    median, middle, last = statistics.median, sides[-2], sides[-1]

    def row(label: Text, cells: dict[int, Text]) -> list[Text]:
        return [detector, label, *(cells.get(side, '') for side in sides)]

    def rate(seconds: dict[int, list[float]]) -> dict[int, float]:
        return {side: median(seconds[side]) / (side**2 / 1e6) for side in sides}

    each = {side: found.windows[side] / found.lattice[side] for side in sides}
    share = median(alone / found.lattice[middle] * found.windows[middle] / answer for alone, answer
                   in zip(found.pure, found.answer[middle], strict=True))
    half = median(a / b for a, b in zip(found.half, found.whole, strict=True)) / (
        found.half_windows / found.windows[middle])
    answer, combine = rate(found.answer), rate(found.combine)
    peaks = {side: child.peak / 1e9 for side, child in found.children.items()}
    return [
        row(('windows a second against the model alone', '每秒窗口数与单独运行模型之比'),
            {middle: THROUGHPUT.judge(100 * share)}),
        row(('windows computed, against those over the scene',
             '实际计算窗口数与覆盖全景窗口数之比'),
            {side: f'{value:.3f}' for side, value in each.items()}),
        row(('answering, s/Mpx', '推理，秒/百万像素'),
            {side: f'{value:.3f}' for side, value in answer.items()}),
        row(('combining, s/Mpx', '合并，秒/百万像素'),
            {side: f'{value:.3f}' for side, value in combine.items()}),
        row((f'both, s/Mpx against {sides[0]:,} px',
             f'两者合计，秒/百万像素，与 {sides[0]:,} 像素之比'),
            {last: GROWTH.judge((answer[last] + combine[last])
                                / (answer[sides[0]] + combine[sides[0]]))}),
        row(('half without data: CPU time a computed window, against the whole',
             '一半无数据：每个计算窗口的 CPU 时间，与全有数据之比'), {middle: EMPTY.judge(half)}),
        row((f'{_COUNT} parts: their CPU time against one',
             f'分 {_COUNT} 份：CPU 时间之和与一份之比'),
            {middle: PARTS.judge(found.parts[0] / found.parts[1])}),
        row(('start of a process, CPU s', '进程启动，CPU 秒'), {middle: f'{found.start:.1f}'}),
        row(('whole command, s', '整条命令，秒'),
            {side: f'{child.seconds:.1f}' for side, child in found.children.items()}),
        row(('its peak memory', '其内存峰值'),
            {side: PEAK.judge(value) if side == last else f'{value:.2f} GB'
             for side, value in peaks.items()}),
        row((f'its peak memory against {middle:,} px', f'其内存峰值与 {middle:,} 像素之比'),
            {last: GROWTH.judge(peaks[last] / peaks[middle])})]


def _notes(sides: Sequence[int], rounds: int, batch_size: int) -> list[Text]:
    return [
        ('GeoTIFFs of tiled rendered pairs (tiles of 512, deflate); random weights, whose map '
         f'calls about 3 % of the pixels changed; batches of {batch_size}; medians of {rounds} '
         'rounds in turn. Peaks and parts are those of single commands (tools/infer.py).',
         '由渲染影像对拼成的 GeoTIFF（512 分块，deflate 压缩）；随机权重，约 3% 的像素判为变化；'
         f'批大小 {batch_size}；{rounds} 轮轮流测量的中位数。内存峰值与分份各由单条命令'
         '（tools/infer.py）测得。'),
        (f'Model alone: preprocessing and prediction of the windows of the {sides[-2]:,} px scene, '
         'prepared and in memory. Windows at the border of blocks are computed by each block that '
         'they reach into: the second row tells how many those are.',
         f'单独运行模型：对 {sides[-2]:,} 像素影像的全部窗口做归一化与预测，'
         '窗口事先准备好并置于内存。跨越块边界的窗口由相邻各块分别计算，所占比例见第二行。'),
        ('CPU time of parts is that beside starting (loading the model, opening and checking the '
         'scene), which has a row of its own.',
         '分份的 CPU 时间不含进程启动（加载模型、打开并检查影像），后者单列一行。')]
