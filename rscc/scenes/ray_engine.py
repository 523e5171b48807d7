"""Scenes on a cluster with one driver: blocks go through Ray Data.

Tasks on CPUs read the blocks, actors that hold the model answer them and write their files, and
what comes back is a few numbers a block. The files are those of the local engine, byte for byte.
When a worker dies, Ray does its blocks again.
"""
import copy
import json
import logging
import math
import os
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from rscc.rasters.windows import Grid
from rscc.scenes.block_files import BlockFolder
from rscc.scenes.contracts import Block, BlockAnswer, Gap, Predictor
from rscc.scenes.model_pass import BlockPass, PassOptions
from rscc.scenes.preparation import SceneRecipe
from rscc.scenes.reading import READERS, Bands, PairReader
from rscc.scenes.run import Done, SceneRun
from rscc.utils import require
from rscc.utils.logging import log_from

#: Columns of one row of the table of blocks, as Ray Data hands them over.
Batch = dict[str, np.ndarray]
#: Cores that are left for reading, and those that a task takes which reads a block.
_READING, _READER = 0.5, 0.25
#: Scenes that this process has opened, by run and name, and how many may be open.
_OPEN: dict[tuple[str, str], PairReader] = {}
_MOST_OPEN = 4


@dataclass(frozen=True)
class Work:
    """What every worker of a run is told; it can be pickled.

    Attributes:
        name: Of this run, unlike any other's.
        folder: Of the blocks.
        scenes: Name -> how the scene is opened.
        lattices: Name -> its windows; None where one takes the scene whole.
        passing: How blocks go through the model.
        weights: Hash of the weights that the driver has loaded.
        factor: By which the driver's windows are enlarged.
        place: Working folder of the driver, which relative paths start from.
    """
    name: str
    folder: BlockFolder
    scenes: Mapping[str, SceneRecipe]
    lattices: Mapping[str, Grid | None]
    passing: PassOptions
    weights: str
    factor: int
    place: Path

    def enter(self) -> None:
        """Go to the driver's working folder, where this machine has it."""
        if self.place.is_dir():
            os.chdir(self.place)

    def reader(self, scene: str) -> PairReader:
        """Return the pixels of a scene, which the next block finds again."""
        key = self.name, scene
        if key not in _OPEN:
            while len(_OPEN) >= _MOST_OPEN:
                del _OPEN[next(iter(_OPEN))]
            self.enter()
            _OPEN[key] = self.scenes[scene].open()
        return _OPEN[key]


def answer_with_ray(run: SceneRun, folder: BlockFolder, make_predictor: Callable[[], Predictor],
                    part: tuple[int, int] | None = None, workers: int = 2) -> Done:
    """Answer the blocks that are not there yet on a Ray cluster, or on this machine.

    The cluster is the one that the process is connected to or that ``RAY_ADDRESS`` names; without
    any, Ray is started on this machine and stopped afterwards. All machines need the images, the
    weights and the folder of the run under the same paths, and rscc itself.

    Args:
        run: The scenes, prepared by the driver.
        folder: From :meth:`SceneRun.folder`.
        make_predictor: Loads the model in each worker; it has to be picklable.
        part: (i, n) for the i-th of n parts, from 1.
        workers: Processes that hold the model; each takes a GPU where there are enough.

    Raises:
        ImportError: If Ray is not installed.
        OSError: If a block cannot be written or read; those before it are kept.
        ValueError: If ``part`` does not exist, or a worker has other weights than the driver.
    """
    ray, data = (require(name, '--engine ray') for name in ('ray', 'ray.data'))
    todo, done = run.todo(folder, part)
    if not todo:
        return done
    work = work_of(run, folder)
    with _connected(ray), _quiet(data), run.counting(todo, done) as (count, advance):
        by_id = {block.id: block for block in todo}
        try:
            for row in _answers(ray, data, todo, work, make_predictor, workers).iter_rows():
                block = by_id[row['block_id']]
                if row['error']:
                    raise OSError(f"block '{block.id}': {row['error']}")
                count(int(row['windows']), int(row['gaps']), int(row['pixels']))
                advance(run.windows(block))
        except ray.exceptions.RayError as error:
            raise OSError(f'--engine ray: {_told(error)}. Blocks that are done are kept'
                          ) from error
    return done


def _answers(ray: ModuleType, data: ModuleType, blocks: list[Block], work: Work,
             make_predictor: Callable[[], Predictor], workers: int) -> Any:
    """Return the dataset of answered blocks, which computes them when it is read."""
    cpus, gpus = shares(ray.cluster_resources(), workers)
    one = dict(batch_size=1, batch_format='numpy')
    # One row a task: a block is read, and done again, by itself.
    table = data.from_items([_row(block) for block in blocks], override_num_blocks=len(blocks))
    pixels = table.map_batches(read_block, fn_args=(work,), num_cpus=_READER,
                               compute=data.TaskPoolStrategy(workers), **one)
    return pixels.map_batches(
        BlockAnswerer, fn_constructor_args=(work, make_predictor), num_cpus=cpus, num_gpus=gpus,
        compute=data.ActorPoolStrategy(size=workers), zero_copy_batch=False, **one)


def _told(error: Exception) -> str:
    """Return what a worker's error says, without the way that it took through Ray."""
    text = str(error)
    own = [line for line in re.findall(r'^\s*(\w[\w.]*(?:Error|Exception): .+)$', text, re.M)
           if not line.startswith('ray.')]
    return own[-1] if own else text.strip().partition('\n')[0] or type(error).__name__


def work_of(run: SceneRun, folder: BlockFolder) -> Work:
    """Return what the workers of a run are told."""
    own = copy.copy(folder)
    own.folder = folder.folder.absolute()
    return Work(uuid.uuid4().hex, own,
                {name: scene.recipe(run.facts, run.options) for name, scene in run.scenes.items()},
                {name: scene.lattice for name, scene in run.scenes.items()}, run.options.passing,
                run.facts.weights_hash, run.predictor.factor, Path.cwd())


def shares(resources: Mapping[str, float], workers: int) -> tuple[float, float]:
    """Divide what a cluster has among the processes that hold the model.

    Args:
        resources: Of the cluster: ``CPU`` and ``GPU``, among others.
        workers: Number of such processes.

    Returns:
        Cores and GPUs of each. Ray takes numbers above 1 only where they are whole.
    """
    cores = max(resources.get('CPU', 0) - _READING, 0.01 * workers) / workers
    gpus = min(1.0, resources.get('GPU', 0) / workers)
    return float(math.floor(cores) if cores >= 1 else math.floor(100 * cores) / 100), (
        math.floor(100 * gpus) / 100)


@contextmanager
def _connected(ray: ModuleType) -> Iterator[None]:
    """Connect to the cluster, or start Ray on this machine and stop it in the end."""
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')
    ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def _quiet(data: ModuleType) -> Iterator[None]:
    """Leave it to the run to say how far it is."""
    context = data.DataContext.get_current().copy()
    context.enable_progress_bars = False
    # What went wrong is raised.
    with (log_from(logging.getLogger('ray.data'), logging.CRITICAL),
          data.DataContext.current(context)):
        yield


def _row(block: Block) -> dict[str, Any]:
    """Return a block as a row of the table that goes through Ray Data."""
    return asdict(block) | dict(box=list(block.box), halo=list(block.halo))


def _block(batch: Batch) -> Block:
    """Return the block of a batch of one row."""
    box, halo = (tuple(map(int, batch[name][0])) for name in ('box', 'halo'))
    return Block(str(batch['scene'][0]), int(batch['number'][0]), box, halo,
                 float(batch['nodata'][0]), float(batch['resolution'][0]))


def read_block(batch: Batch, work: Work) -> Batch:
    """Read the pixels under the windows of a block; runs in a task without a GPU.

    Args:
        batch: One row of the table.
        work: What the workers are told.

    Returns:
        The row, and ``pixels`` (1, T, h, w, B), ``data`` (1, h, w), ``gaps`` (JSON) and ``error``.
    """
    block = _block(batch)
    try:
        reader = work.reader(block.scene)
        with ThreadPoolExecutor(READERS) as pool:
            bands = Bands(reader, block.halo, pool)
            frames, data = bands.rows(block.halo[1], block.halo[3])
        reader.release()  # the next block has other threads, whose handles would be more and more
        pixels, gaps, error = np.stack(frames), bands.gaps, ''
    except (OSError, ValueError) as problem:
        pixels, data = np.zeros((1, 1, 1, 3), np.uint8), np.zeros((1, 1), bool)
        gaps, error = [], str(problem)
    return batch | dict(pixels=pixels[None], data=data[None], error=np.array([error]),
                        gaps=np.array([json.dumps([asdict(gap) for gap in gaps])]))


class BlockAnswerer:
    """Actor that holds the model, answers blocks and writes their files.

    Args:
        work: What the workers are told.
        make_predictor: Loads the model.

    Raises:
        ValueError: If its weights are not the driver's.
    """

    def __init__(self, work: Work, make_predictor: Callable[[], Predictor]) -> None:
        work.enter()
        self._work, self._predictor = work, make_predictor()
        weights = self._predictor.facts.weights_hash
        if weights != work.weights:
            raise ValueError(f"the weights of this worker have the hash '{weights}', those of the "
                             f"driver '{work.weights}': all machines need the same file")
        if work.factor != 1:
            self._predictor = self._predictor.enlarged(work.factor)

    def __call__(self, batch: Batch) -> Batch:
        """Answer a block.

        Args:
            batch: A row of :func:`read_block`.

        Returns:
            A row with ``block_id``, ``windows``, ``gaps`` and ``pixels`` (counts), and ``error``.
        """
        block, error = _block(batch), str(batch['error'][0])
        answer = BlockAnswer(block)
        if not error:
            bands = ReadBands(block, batch)
            try:
                answer = BlockPass(block, self._work.lattices[block.scene], bands, self._predictor,
                                   self._work.passing).run()
                self._work.folder.write(answer)
            except OSError as problem:
                error = str(problem)
        row = dict(block_id=block.id, windows=answer.windows, gaps=len(answer.gaps),
                   pixels=answer.data_pixels, error=error)
        return {name: np.array([value]) for name, value in row.items()}


class ReadBands:
    """Rows of a block that was read elsewhere, see :class:`rscc.scenes.reading.Bands`.

    Args:
        block: The block.
        batch: A row of :func:`read_block`.

    Attributes:
        gaps: What could not be read.
    """

    def __init__(self, block: Block, batch: Batch) -> None:
        self._top = block.halo[1]
        self._frames, self._valid = batch['pixels'][0], batch['data'][0]
        self.gaps = [Gap(tuple(gap['box']), gap['reason'])
                     for gap in json.loads(str(batch['gaps'][0]))]

    def rows(self, first: int, end: int) -> tuple[list[np.ndarray], np.ndarray]:
        """Return frames (n, W, B) and where there is data (n, W) of some rows of the scene."""
        part = slice(first - self._top, end - self._top)
        return [frame[part] for frame in self._frames], self._valid[part]
