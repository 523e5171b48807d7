"""What a run will cost, told before it: windows, minutes, memory and disk, from a short trial."""
import time
from dataclasses import dataclass

import numpy as np

from rscc.compat import peak_memory
from rscc.rasters.windows import cut
from rscc.scenes.blocks import part_of, share
from rscc.scenes.contracts import Block, Describe
from rscc.scenes.damage import read_around_gaps
from rscc.scenes.run import SceneRun
from rscc.utils import counted

#: Bytes of disk a pixel: its block (two maps, compressed), change.tif and its uncompressed draft.
_DISK = 2.5
#: Bytes of memory a pixel of a block: its two maps and where it has data.
_BLOCK = 3


@dataclass(frozen=True)
class Estimate:
    """Cost of a run; ``str()`` gives a few lines.

    Attributes:
        scenes: Number of scenes.
        blocks: Number of blocks that are not answered yet.
        windows: Windows in them that have data, about.
        megapixels: Of these blocks.
        seconds: For the maps, without sentences, about.
        sentence_seconds: For the sentence of one window, about; None without a caption head.
        memory: Bytes of resident memory, about.
        disk: Bytes of disk for blocks and results, at most.
        all_described: Whether every window gets a sentence: of single images, and of models that
            cannot tell a change before they have written one.
    """
    scenes: int
    blocks: int
    windows: int
    megapixels: float
    seconds: float
    sentence_seconds: float | None
    memory: float
    disk: float
    all_described: bool = False

    def __str__(self) -> str:
        lines = [f'windows      {self.windows:,} with data, in {counted(self.blocks, "block")} of '
                 f'{counted(self.scenes, "scene")}, {self.megapixels:.1f} Mpx',
                 f'time         about {_minutes(self.seconds)} for the map'
                 f' ({self.megapixels / max(self.seconds, 1e-9):.2f} Mpx/s)']
        if self.sentence_seconds is not None:
            case = '' if self.all_described else ' where one window in ten has changed'
            more = self.sentence_seconds * self.windows / (1 if self.all_described else 10)
            lines.append(f'sentences    {1000 * self.sentence_seconds:.0f} ms a window: about '
                         f'{_minutes(more)} more{case}')
        lines += [f'memory       about {self.memory / 2**30:.1f} GiB',
                  f'disk         at most {self.disk / 2**30:.2f} GiB']
        return '\n'.join(lines)


def _minutes(seconds: float) -> str:
    if seconds < 90:
        return f'{seconds:.0f} s'
    return f'{seconds / 60:.0f} min' if seconds < 5400 else f'{seconds / 3600:.1f} h'


def estimate(run: SceneRun, part: tuple[int, int] | None = None) -> Estimate:
    """Estimate the cost of a run that has not begun, from two trial batches.

    Args:
        run: The run.
        part: (i, n) for the i-th of n parts.
    """
    blocks = run.blocks if part is None else share(run.blocks, *part)
    blocks = [block for block in blocks if block.nodata < 1]
    windows = sum(run.windows(block) * (1 - block.nodata) for block in blocks)
    pixels = [block.shape[0] * block.shape[1] for block in blocks]
    plain, worded = _trial(run, min(blocks, key=lambda block: block.nodata)) if blocks else (0, 0)
    captions = 'caption_head' in run.facts.heads
    semantic = run.facts.semantic
    classes = max(len(run.facts.classes), 1) + (0 if semantic is None else 2 * len(semantic.names))
    widest = max((block.halo[2] - block.halo[0] for block in blocks), default=0)
    window = run.facts.window or (0, 0)
    # Rows that are read ahead and kept, and the sums that windows are blended in.
    ahead = 4 * 256 * run.facts.channels * run.facts.dates
    strips = widest * (ahead + 4 * window[0] * (classes + 1))
    return Estimate(
        len(run.scenes), len(blocks), round(windows), sum(pixels) / 1e6, plain * windows,
        max(worded - plain, 0.0) if captions else None,
        peak_memory() + _BLOCK * max(pixels, default=0) + strips, _DISK * sum(pixels),
        run.facts.task == 'single' or not {'change_head', 'flag_head'} & set(run.facts.heads))


def _trial(run: SceneRun, block: Block) -> tuple[float, float]:
    """Return seconds a window, reading included: without, and with sentences."""
    count = min(run.options.batch_size, run.windows(block))
    frames = _some_windows(run, block, 1)
    run.predictor.predict(frames, ['never'])  # the first call sets up more than it computes
    began = time.perf_counter()
    frames = _some_windows(run, block, count)
    read = time.perf_counter() - began
    times = [read]
    kinds: list[Describe] = ['never', 'always']
    for kind in kinds if 'caption_head' in run.facts.heads else kinds[:1]:
        began = time.perf_counter()
        run.predictor.predict(frames, [kind] * len(frames))
        times.append(time.perf_counter() - began)
    plain = (times[0] + times[1]) / len(frames)
    return plain, plain if len(times) == 2 else (times[0] + times[2]) / len(frames)


def _some_windows(run: SceneRun, block: Block, count: int) -> list[list[np.ndarray]]:
    """Return the frames of some windows in the middle of a block."""
    scene = run.scenes[block.scene]
    if scene.lattice is None:
        return [read_around_gaps(scene.reader, block.box)[0]]
    grid = part_of(scene.lattice, block.box)
    row = grid.rows.count // 2
    rows = np.array(grid.rows.source(row))
    halo = block.halo
    frames, *_ = read_around_gaps(
        scene.reader, (halo[0], int(rows.min()), halo[2], int(rows.max()) + 1))
    columns = [np.array(grid.columns.source(column % grid.columns.count)) - halo[0]
               for column in range(count)]
    return [[cut(frame, rows - int(rows.min()), place) for frame in frames] for place in columns]
