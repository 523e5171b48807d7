"""Scenes from files to files: blocks through the model, then the maps, tables and reports.

A run without parts does all. ``part`` does a share of the blocks and leaves them as files;
``combine`` makes the results of them and refuses while blocks are missing. Blocks that are there
are never computed again, so that a run that ended early goes on where it was.
"""
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rscc.scenes.block_files import BlockFolder
from rscc.scenes.blocks import part_of, share, write_table
from rscc.scenes.contracts import Block, ModelFacts, Predictor, Scene
from rscc.scenes.fingerprints import fingerprint
from rscc.scenes.map_files import write_maps
from rscc.scenes.model_pass import BlockPass
from rscc.scenes.pictures import write_pictures
from rscc.scenes.plans import Plans
from rscc.scenes.preparation import (
    PreparedScene,
    SceneOptions,
    ScenePair,
    prepare_scene,
    versions,
)
from rscc.scenes.reading import READERS, Bands
from rscc.scenes.report import write_report
from rscc.scenes.summary import write_summary
from rscc.scenes.window_probe import choose_windows
from rscc.utils import progress
from rscc.utils.files import locked

#: Folder of the blocks, and the table of them, below that of a run.
BLOCKS, TABLE = 'blocks', 'blocks.parquet'
#: Files of a scene.
RESULTS = ('change.tif', 'probability.tif', 'change.qml', 'changes.gpkg', 'changes.qml',
           'changes.geojson', 'changes.parquet', 'sentences.parquet', 'mask.png', 'overlay.png',
           'summary.json', 'report.html')


@dataclass
class Done:
    """What one call has done.

    Attributes:
        blocks: Blocks answered now.
        found: Blocks that were there.
        windows: Windows that the model computed now.
        megapixels: Of the blocks answered now, those with data.
        seconds: That took.
        files: Written by combining.
        summaries: Of each combined scene, by name.
        gaps: Places that could not be read, in all blocks of the combined scenes, or answered now.
    """
    blocks: int = 0
    found: int = 0
    windows: int = 0
    megapixels: float = 0.0
    seconds: float = 0.0
    files: list[Path] = field(default_factory=list)
    summaries: dict[str, dict[str, Any]] = field(default_factory=dict)
    gaps: int = 0

    @property
    def rate(self) -> float:
        """Megapixels a second."""
        return self.megapixels / self.seconds if self.seconds else 0.0

    def add(self, windows: int, gaps: int, pixels: int, seconds: float) -> None:
        """Count a block.

        Args:
            windows: That the model computed.
            gaps: Places that could not be read.
            pixels: With data.
            seconds: Since the call began.
        """
        self.blocks += 1
        self.windows += windows
        self.gaps += gaps
        self.megapixels += pixels / 1e6
        self.seconds = seconds


class SceneRun:
    """The work on one or several scenes with one model, in one folder.

    Args:
        pairs: The scenes.
        predictor: The model.
        out: Folder of the results; those of a list go to a folder of each scene's name.
        options: How scenes are read, answered and written.
        say: Told what was done to the dates, and other remarks.
        listed: The scenes are those of a list: remarks name them, and one that cannot be read is
            left out; None where there are several.

    Attributes:
        scenes: Name -> the scene, ready to be answered.
        left_out: Name -> why a scene of a list is not among them.

    Raises:
        FileNotFoundError, ValueError: See :func:`rscc.scenes.preparation.prepare_scene`; of a list,
            if no scene is left.
    """

    def __init__(self, pairs: Sequence[ScenePair], predictor: Predictor, out: str | Path,
                 options: SceneOptions | None = None,
                 say: Callable[[str], object] = lambda text: None,
                 listed: bool | None = None) -> None:
        self.options, self.predictor, self.out = options or SceneOptions(), predictor, Path(out)
        self.say, self.listed = say, len(pairs) > 1 if listed is None else listed
        self.left_out: dict[str, str] = {}
        names = [pair.name for pair in pairs]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f'several scenes are called {twice[:3]}: give each its own name')
        if self.listed and BLOCKS in names:
            raise ValueError(f"a scene is called '{BLOCKS}', as the folder of the blocks is: give "
                             'it another name')
        plans = Plans(self.out / BLOCKS)
        self.scenes: dict[str, PreparedScene] = {}
        for pair in pairs:
            self._prepare(pair, plans)
            if pair.name in self.scenes:
                self._release(pair.name, len(pairs))
        if pairs and not self.scenes:
            raise ValueError(f'none of {len(pairs)} scenes can be answered; first, '
                             f'{pairs[0].name}: {self.left_out[pairs[0].name]}')
        if self.options.choose_window and self.scenes:
            self._choose_window(plans)

    def _prepare(self, pair: ScenePair, plans: Plans) -> None:
        """Make a scene ready; of a list, one that cannot be answered does not stop the others."""
        def say(text: str) -> None:
            self.say(f'{pair.name}: {text}' if self.listed else text)

        try:
            self.scenes[pair.name] = prepare_scene(pair, self.facts, self.options, say, plans)
        except (OSError, ValueError) as error:
            if not self.listed:
                raise
            self.left_out[pair.name] = str(error)
            say(f'left out: {error}')

    def _release(self, name: str, scenes: int) -> None:
        """Close the files of a scene; of several, forget its pixels until they are read again."""
        self.scenes[name].reader.release(forget=scenes > 1)

    def _choose_window(self, plans: Plans) -> None:
        """Try larger windows, or take those that another part has chosen."""
        facts, predictor = self.facts, self.predictor
        key = dict(windows=[facts.window, facts.overlap], scenes=list(self.scenes),
                   weights=facts.weights_hash or facts.weights,
                   overrides=dict(predictor.overrides), amp=predictor.amp)
        plans.folder.mkdir(parents=True, exist_ok=True)
        # Parts that begin together wait for the first one: times differ from trial to trial.
        with locked(plans.folder / 'windows.lock'):
            found = plans.find(key)
            if found is None:
                reader = next(iter(self.scenes.values())).reader
                self.predictor, why = choose_windows(predictor, reader, self.options.batch_size)
                self.say(why)
                plans.keep(key, dict(factor=self.predictor.factor))
            elif found['factor'] > 1:
                self.predictor = predictor.enlarged(found['factor'])
        for name, scene in self.scenes.items():
            self.scenes[name] = scene.divided(self.facts, self.options)
            self._release(name, len(self.scenes))

    @property
    def facts(self) -> ModelFacts:
        """What the model's file tells."""
        return self.predictor.facts

    @property
    def blocks(self) -> list[Block]:
        """The blocks of all scenes."""
        return [block for scene in self.scenes.values() for block in scene.blocks]

    def record(self) -> dict[str, Any]:
        """Return what the answers depend on, as JSON values."""
        facts, options = self.facts, self.options
        return dict(
            weights=facts.weights_hash or facts.weights, config=facts.config,
            window=facts.window, overlap=facts.overlap, bands=options.bands or facts.bands,
            sample_every=options.sample_every, block_pixels=options.block_pixels,
            match_histogram=options.match_histogram,
            probability=options.outputs.probability,
            area=None if options.area is None else fingerprint(options.area),
            decoding=dict(self.predictor.decoding), amp=self.predictor.amp,
            threshold=facts.threshold, overrides=dict(self.predictor.overrides),
            rscc=versions()['rscc'],
            scenes={name: scene.record() for name, scene in self.scenes.items()})

    def folder(self, overwrite: bool = False) -> BlockFolder:
        """Return the folder of the blocks, and write the table of them.

        Args:
            overwrite: Delete the blocks of another run first.

        Raises:
            OtherRun: If it holds blocks of another run.
        """
        folder = BlockFolder(self.out / BLOCKS, self.record(), overwrite)
        if folder.replaced:  # what is not written anew would pass for a result of this run
            for path in [self.out / name for name in RESULTS] + [
                    self.out / scene / name for scene in self.scenes for name in RESULTS]:
                path.unlink(missing_ok=True)
        if not (self.out / TABLE).is_file() or folder.new:
            write_table(self.out / TABLE, self.blocks, {
                name: scene.reader.grid for name, scene in self.scenes.items()})
        return folder

    def answer(self, folder: BlockFolder, part: tuple[int, int] | None = None) -> Done:
        """Answer the blocks that are not there yet, all or those of one part.

        Args:
            folder: From :meth:`folder`.
            part: (i, n) for the i-th of n parts, from 1.

        Raises:
            ValueError: If there is no such part.
            OSError: If a block cannot be written; those before it are kept.
        """
        todo, done = self.todo(folder, part)
        with self.counting(todo, done) as (count, advance):
            for answer in self._answers(todo, advance):
                folder.write(answer)
                count(answer.windows, len(answer.gaps), answer.data_pixels)
        return done

    def todo(self, folder: BlockFolder, part: tuple[int, int] | None = None
             ) -> tuple[list[Block], Done]:
        """Return the blocks that are not there yet, and the count of those that are.

        Args:
            folder, part: See :meth:`answer`.
        """
        wanted = self.blocks if part is None else share(self.blocks, *part)
        todo = folder.missing(wanted)
        return todo, Done(found=len(wanted) - len(todo))

    @contextmanager
    def counting(self, blocks: Sequence[Block], done: Done) -> Iterator[tuple[Callable, Callable]]:
        """Show a bar with rate and remaining time while blocks are answered.

        Args:
            blocks: Those that will be.
            done: Counts them.

        Yields:
            What to call after each block, with its windows, gaps and pixels with data; and what to
            call with a number of windows that are done.
        """
        began = time.perf_counter()
        total = sum(map(self.windows, blocks))
        with progress(None, 'scene', total, 'window') as bar:
            def count(windows: int, gaps: int, pixels: int) -> None:
                done.add(windows, gaps, pixels, time.perf_counter() - began)
                bar.set_postfix_str(f'{done.rate:.2f} Mpx/s', refresh=False)

            yield count, bar.update

    def windows(self, block: Block) -> int:
        """Return the number of windows that reach into a block."""
        lattice = self.scenes[block.scene].lattice
        return 1 if lattice is None else len(part_of(lattice, block.box))

    def _answers(self, blocks: Sequence[Block], advance: Callable[[int], object]) -> Iterator:
        """Yield the answers; the next block is read while the model computes."""
        with ThreadPoolExecutor(READERS) as pool:
            def start(block: Block) -> Bands:
                return Bands(self.scenes[block.scene].reader, block.halo, pool)

            following = None
            try:
                for place, block in enumerate(blocks):
                    bands = following or start(block)
                    later = blocks[place + 1:place + 2]
                    following = start(later[0]) if later else None
                    yield BlockPass(block, self.scenes[block.scene].lattice, bands, self.predictor,
                                    self.options.passing, advance).run()
                    if not later or later[0].scene != block.scene:
                        self._release(block.scene, len(self.scenes))
            finally:
                if following is not None:
                    following.close()

    def combine(self, folder: BlockFolder, done: Done | None = None) -> Done:
        """Make the results of the blocks.

        Args:
            folder: From :meth:`folder`.
            done: Gets the files and summaries; a new one unless given.

        Raises:
            FileNotFoundError: If blocks are missing; the message names them.
        """
        folder.check_complete(self.blocks)
        done = done or Done(found=len(self.blocks))
        done.gaps = 0
        for scene in self.scenes.values():
            into = self.out / scene.name if self.listed else self.out
            files, summary = self._write(scene.scene(self.facts, self._told()), folder, into)
            self._release(scene.name, len(self.scenes))
            done.files += files
            done.summaries[scene.name] = summary
            done.gaps += len(summary['gaps'])
        return done

    def _write(self, scene: Scene, folder: BlockFolder, into: Path
               ) -> tuple[list[Path], dict[str, Any]]:
        """Write the files of one scene."""
        outputs = self.options.outputs
        maps = write_maps(scene, folder.read, into, outputs)
        for remark in maps.remarks:
            self.say(remark)
        summary = write_summary(scene, maps.findings, into, outputs)
        report = write_report(scene, folder.read, maps.findings, summary, into, outputs)
        pictures = write_pictures(scene, folder.read, into)
        files = [*maps.files, *pictures, into / 'summary.json', report]
        for left in {into / name for name in RESULTS} - set(files):
            left.unlink(missing_ok=True)  # of an earlier call with other options
        return files, summary

    def _told(self) -> dict[str, Any]:
        """Return the options as JSON values, for the summary."""
        told = asdict(self.options) | dict(
            decoding=dict(self.predictor.decoding), amp=self.predictor.amp,
            overrides=dict(self.predictor.overrides))
        return {name: value for name, value in told.items() if value not in (None, False, {})}


def run_scenes(pairs: Iterable[ScenePair], predictor: Predictor, out: str | Path,
               options: SceneOptions | None = None, part: tuple[int, int] | None = None,
               combine: bool = False, overwrite: bool = False,
               say: Callable[[str], object] = lambda text: None) -> Done:
    """Answer scenes: all, or the share of one part, or the combination of what parts have done.

    Args:
        pairs, predictor, out, options, say: See :class:`SceneRun`.
        part: (i, n) does the i-th of n parts of the blocks and combines nothing.
        combine: Only make the results of blocks that are there.
        overwrite: Delete the blocks of another run in ``out`` first.

    Raises:
        FileNotFoundError: If a file, or for ``combine`` a block, is missing.
        OtherRun: If ``out`` holds blocks of another run.
        ValueError: If files or options do not fit.
    """
    if part is not None and combine:
        raise ValueError('--part and --combine exclude each other: parts first, then --combine')
    run = SceneRun(list(pairs), predictor, out, options, say)
    folder = run.folder(overwrite)
    done = None if combine else run.answer(folder, part)
    return done if part is not None else run.combine(folder, done)
