"""Generation of the built-in dataset: any pair from (seed, split, index), folders in parallel.

On disk it is LEVIR-CC with LEVIR-MCI's masks: ``LevirCCcaptions.json`` and
``images/{split}/{A,B,label}``, with the land cover of each date in ``label_A`` and ``label_B``;
beside the folders ``vocab_en.json``, ``vocab_zh.json`` (captions of
changes), ``vocab_scene_en.json``, ``vocab_scene_zh.json`` (of single images) and ``synth.json``.
The images come first and the JSON files last, so a folder with ``synth.json`` is complete. The
annotation file says of every pair what stands in the scene at each date, which settles the captions
of single images: they are not stored.
"""
import json
import multiprocessing
import os
import shutil
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from rscc.synth import captions_en, captions_zh
from rscc.synth.captioner import SceneMetadata
from rscc.synth.changes import Change, plan
from rscc.synth.land_cover import COVER, COVER_PALETTE, draw_land_cover
from rscc.synth.mask import draw_buildings, draw_mask, locate, write_palette_png
from rscc.synth.objects import BOTH, CLASSES, FROM, PALETTE, SIDE, TO, Trees
from rscc.synth.rendering import draw_appearance, render
from rscc.synth.scene import BIOMES, Scene
from rscc.synth.spectra import BAND_SETS, render_bands, write_bands
from rscc.synth.town import COARSEST, FINEST
from rscc.synth.varied import plan_varied
from rscc.synth.view import draw_view, render_varied
from rscc.utils import check_choice, progress, read_json, write_json
from rscc.utils.forms import check_form

VERSION = 1  # raise it whenever the same seed gives other bytes
SPLITS = ('train', 'val', 'test')
KINDS = ('A', 'B', 'label')
#: Folders of the land cover of the earlier and of the later date; older datasets lack them.
COVER_KINDS = ('label_A', 'label_B')
MARKER, ANNOTATIONS, PARTIAL = 'synth.json', 'LevirCCcaptions.json', '.synth_partial.json'
VOCABULARIES = {'en': 'vocab_en.json', 'zh': 'vocab_zh.json'}
SCENE_VOCABULARIES = {'en': 'vocab_scene_en.json', 'zh': 'vocab_scene_zh.json'}
#: Date -> folder of its images.
FOLDERS = {FROM: 'A', TO: 'B'}
MIN_CHANGED = 300  # pixels: less is not seen by a person at first sight
MIN_PIXELS = 120  # of any one statement
MIN_SMALL = 40  # pixels: the least of both where a pixel is more than half a metre
_ATTEMPTS = 60


@dataclass(frozen=True)
class Parameters:
    """Parameters that determine every byte of the dataset.

    Attributes:
        train, val, test: Pairs of each split.
        seed: Of all draws.
        version: Of the renderer.
        bands: 3 for RGB pictures, 4 or 10 for bands of Sentinel-2 (:mod:`rscc.synth.spectra`).
        look: ``'plain'``, or ``'varied'`` for scenes nearer to the world (RGB only).
    """

    train: int
    val: int
    test: int
    seed: int
    version: int = VERSION
    bands: int = 3
    look: str = 'plain'

    def __post_init__(self) -> None:
        check_choice('look', self.look, LOOKS)
        if self.look != 'plain' and self.bands != 3:
            raise ValueError(f"look='{self.look}' with bands={self.bands}: only the plain look is "
                             "drawn in bands of Sentinel-2; choose bands=3 or look='plain'")
        if self.bands not in (3, *BAND_SETS):
            raise ValueError(f'bands={self.bands}: expected 3 (red, green, blue), '
                             f'{" or ".join(map(str, BAND_SETS))} (of Sentinel-2)')
        for name in (*SPLITS, 'seed'):
            if getattr(self, name) < 0:
                raise ValueError(f'{name} must not be negative, found {getattr(self, name)}')
        if not any(getattr(self, split) for split in SPLITS):
            raise ValueError('no pairs asked for: give at least one of train, val, test')

    def pairs(self) -> list[tuple[str, int]]:
        """Return (split, index) of all pairs, in the order of their image ids."""
        return [(split, index) for split in SPLITS for index in range(getattr(self, split))]

    def record(self) -> dict[str, int | str]:
        """Return the parameters for the marker file of a folder: bands and look if not usual."""
        usual = {'bands': 3, 'look': 'plain'}
        return {name: value for name, value in asdict(self).items()
                if name not in usual or value != usual[name]}


@dataclass
class Plan:
    """One pair before it is drawn: its scene, its changes and their mask."""

    scene: Scene
    changes: list[Change]
    mask: np.ndarray
    rng: np.random.Generator
    look: str = 'plain'


@dataclass(frozen=True)
class Look:
    """Functions that make the pairs of one look.

    Attributes:
        plan: Lays out a place and its changes.
        appearance: Draws season, light and sensor of a date.
        shift: Pixels by which the other date is off at most, along each axis.
    """

    plan: Callable
    appearance: Callable
    shift: float


LOOKS = {'plain': Look(plan, draw_appearance, 1.05), 'varied': Look(plan_varied, draw_view, 1.41)}


def is_changed(seed: int, split: str, index: int) -> bool:
    """Tell whether a pair changes: of pairs 2k and 2k+1 exactly one does, by lot."""
    first = np.random.default_rng([seed, SPLITS.index(split), index // 2, 1]).random() < 0.5
    return bool(first == (index % 2 == 0))


def plan_pair(seed: int, split: str, index: int, look: str = 'plain') -> Plan:
    """Lay out a pair.

    Args:
        seed, split, index: Which pair.
        look: See :class:`Parameters`.

    Raises:
        RuntimeError: If no attempt found room for a visible change.
    """
    changed = is_changed(seed, split, index)
    for attempt in range(_ATTEMPTS):
        rng = np.random.default_rng([seed, SPLITS.index(split), index, 2 + attempt])
        scene, changes = LOOKS[look].plan(rng, changed)
        mask = draw_mask(scene)
        locate(changes, mask, scene)
        size = min((0.5 / scene.resolution) ** 2, 1.0)  # a house seen from farther is smaller
        seen = changes and (mask > 0).sum() >= max(size * MIN_CHANGED, MIN_SMALL) and all(
            change.pixels >= max(size * MIN_PIXELS, MIN_SMALL) for change in changes)
        if seen or not changed:
            return Plan(scene, changes, mask, rng, look)
    raise RuntimeError(f"no room for a visible change in '{name_of(split, index)}' of seed {seed} "
                       f'after {_ATTEMPTS} layouts; choose another seed')


def render_pair(planned: Plan, bands: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Draw both dates of a plan.

    The date that shows the changed objects (the later one for a draw) is registered exactly with
    the mask, the other is off by up to 1.5 pixels (2 in the varied look).

    Args:
        planned: The plan.
        bands: See :class:`Parameters`.

    Returns:
        RGB uint8 (256, 256, 3) each, or uint16 (256, 256, bands).
    """
    rng, look = planned.rng, LOOKS[planned.look]
    appearances = {date: look.appearance(rng) for date in (FROM, TO)}
    shown = Counter(thing.when for thing in planned.scene.things
                    if thing.when != BOTH and thing.label and not isinstance(thing, Trees))
    only_from = shown[FROM] > shown[TO] if shown else rng.random() < 0.5
    appearances[TO if only_from else FROM].shift = rng.uniform(-look.shift, look.shift, 2)
    draw = render_varied if planned.look == 'varied' else render
    if bands != 3:
        draw = partial(render_bands, count=bands)
    before, after = (draw(planned.scene, date, appearances[date]) for date in (FROM, TO))
    return before, after


def name_of(split: str, index: int, bands: int = 3) -> str:
    """Return the file name of a pair's images; that of its label ends in .png always."""
    return f'{split}_{index:06d}.{"png" if bands == 3 else "tif"}'


def annotate(planned: Plan, split: str, index: int, imgid: int, seed: int, bands: int = 3) -> dict:
    """Return a pair's entry of the annotation file; sentence ids are five a pair."""
    words = np.random.default_rng([seed, SPLITS.index(split), index, 0])
    english = captions_en.EnglishCaptioner(words).captions(planned.changes)
    chinese = captions_zh.ChineseCaptioner(words).captions(planned.changes)
    sentids = list(range(5 * imgid, 5 * imgid + 5))
    sentences = [
        {'tokens': en.split(), 'raw': f' {en} .', 'imgid': imgid, 'sentid': sentid,
         'tokens_chinese': list(zh), 'raw_chinese': ''.join(zh) + '。'}
        for en, zh, sentid in zip(english, chinese, sentids, strict=True)]
    resolution = {} if planned.look == 'plain' else {
        'resolution': round(planned.scene.resolution, 3)}
    return {'filepath': split, 'filename': name_of(split, index, bands), 'imgid': imgid,
            **resolution, 'split': split, 'changeflag': int(bool(planned.changes)),
            'sentids': sentids, 'sentences': sentences,
            'objects': [change.metadata() for change in planned.changes],
            'scene': {date: scene_metadata(planned.scene, date) for date in (FROM, TO)}}


def scene_metadata(scene: Scene, date: str) -> dict[str, str | int]:
    """Return what stands in a scene at one date: its biome and how many of each object."""
    metadata: dict[str, str | int] = {'ground': scene.biome}
    for thing in scene.things:
        if thing.exists(date) and thing.name:
            amount = len(thing.crowns) if isinstance(thing, Trees) else 1
            metadata[thing.name] = int(metadata.get(thing.name, 0)) + amount
    return metadata


#: What one date of a pair shows, and what of its entry in the annotations is read again.
_DATE = {'ground': set(BIOMES), 'trees?': int, **{f'{thing}?': range(10000) for thing in (
    'house', 'building', 'road', 'parking lot', 'pond')}}
_PAIR = {'filename': str, 'split': str, 'imgid': int, 'changeflag': {0, 1},
         'scene': dict.fromkeys(FOLDERS, _DATE)}


def scenes_in(path: str | Path) -> list[dict]:
    """Read the pairs of an annotation file with what stands in their scenes.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is of another dataset, or damaged.
    """
    data = read_json(path, unique_keys=True)
    check_form(data, {'images': [_PAIR]}, f"annotations with scene metadata '{path}'",
               'Only folders of tools/dataset_converters/synth.py have them')
    return data['images']


def scene_words(image: Mapping, date: str, language: str = 'en') -> list[tuple[str, ...]]:
    """Return five captions of one date of a pair as words, the same every time.

    Args:
        image: The pair's entry in the annotation file.
        date: ``'from'`` or ``'to'``.
        language: ``'en'`` or ``'zh'``.
    """
    # crc32 is the same on every machine and in every process, which Python's hash is not.
    seed = [zlib.crc32(image['filename'].encode()), list(FOLDERS).index(date)]
    rng, metadata = np.random.default_rng(seed), SceneMetadata.of(image['scene'][date])
    if language == 'zh':
        return captions_zh.ChineseSceneCaptioner(rng).captions(metadata)
    english = captions_en.EnglishSceneCaptioner(rng).captions(metadata)
    return [tuple(text.split()) for text in english]


def scene_captions(image: Mapping, date: str, language: str = 'en') -> list[str]:
    """Return what :func:`scene_words` does as sentences."""
    blank = '' if language == 'zh' else ' '
    return [blank.join(words) for words in scene_words(image, date, language)]


def vocabulary(images: Sequence[Mapping], language: str) -> list[str]:
    """Return the words of the captions of changes, see :func:`scene_vocabulary`."""
    key, closed = {'en': ('tokens', captions_en.VOCABULARY),
                   'zh': ('tokens_chinese', captions_zh.VOCABULARY)}[language]
    return _by_frequency(closed, (sentence[key] for image in images if image['split'] == 'train'
                                  for sentence in image['sentences']))


def scene_vocabulary(images: Sequence[Mapping], language: str) -> list[str]:
    """Return the words of the captions of single images.

    Those of the training split come first, most frequent first. Words of the grammar that a small
    training split happens not to use follow in alphabetical order, so that every split can be
    encoded whatever its size.
    """
    closed = {'en': captions_en, 'zh': captions_zh}[language].SCENE_VOCABULARY
    return _by_frequency(closed, (words for image in images if image['split'] == 'train'
                                  for date in FOLDERS
                                  for words in scene_words(image, date, language)))


def _by_frequency(closed: Iterable[str], sentences: Iterable[Iterable[str]]) -> list[str]:
    counts = Counter(word for words in sentences for word in words)
    return sorted({*closed, *counts}, key=lambda word: (-counts[word], word))


def _write_image(path: Path, write: object) -> None:
    """Let ``write`` fill a temporary sibling of ``path``, then move it there."""
    temporary = path.with_name(f'.{path.stem}.{os.getpid()}{path.suffix}')
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _write_rgb(image: np.ndarray, path: Path) -> None:
    # Sensor noise has no repeats to search for: Huffman coding alone is smaller and a third faster.
    options = [cv2.IMWRITE_PNG_COMPRESSION, 1,
               cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY]
    if not cv2.imwrite(str(path), image[..., ::-1], options):
        raise OSError(f"could not write '{path}'; is the disk full?")


def make_pair(job: tuple[int, str, int], out: Path, seed: int, bands: int = 3,
              look: str = 'plain') -> dict:
    """Write one pair's images and labels unless they are there, and return its annotation."""
    imgid, split, index = job
    planned = plan_pair(seed, split, index, look)
    paths = [out / 'images' / split / kind / name_of(split, index, 3 if kind == 'label' else bands)
             for kind in KINDS]
    covers = [out / 'images' / split / kind / name_of(split, index) for kind in COVER_KINDS]
    # Before the pictures: what is drawn in them takes numbers from the plan, this takes none.
    if not all(path.is_file() for path in covers):
        classes = draw_land_cover(planned.scene, planned.mask)
        for path, image in zip(covers, classes, strict=True):
            _write_image(path, partial(write_palette_png, image, COVER_PALETTE))
    if not all(path.is_file() for path in paths):
        images = render_pair(planned, bands)
        for path, image in zip(paths, images, strict=False):
            _write_image(path, partial(_write_rgb if bands == 3 else write_bands, image))
        _write_image(paths[2], partial(write_palette_png, planned.mask, PALETTE))
    return annotate(planned, split, index, imgid, seed, bands)


def _single_thread() -> None:
    """Keep each process to one core: the pairs are the parallelism."""
    cv2.setNumThreads(1)


def _annotations(parameters: Parameters, out: Path, jobs: int) -> list[dict]:
    """Write all images with ``jobs`` processes; annotations come in the order of the pairs."""
    todo = [(imgid, *pair) for imgid, pair in enumerate(parameters.pairs())]
    work = partial(make_pair, out=out, seed=parameters.seed, bands=parameters.bands,
                   look=parameters.look)

    def bar(results: Iterable[dict]) -> list[dict]:
        return list(progress(results, f"writing '{out}'", total=len(todo), unit='pair'))

    if jobs == 1:
        return bar(map(work, todo))
    # A plain fork would copy locks that OpenCV's and the bar's threads may hold, and hang. The fork
    # server imports once, before any thread exists.
    method = 'forkserver' if 'forkserver' in multiprocessing.get_all_start_methods() else 'spawn'
    context = multiprocessing.get_context(method)
    if method == 'forkserver':
        context.set_forkserver_preload([__name__])
    with context.Pool(jobs, _single_thread) as pool:
        return bar(pool.imap(work, todo, chunksize=8))


def generate(out: str | os.PathLike, parameters: Parameters, jobs: int = 1,
             overwrite: bool = False) -> bool:
    """Write the dataset, or finish writing it.

    Args:
        out: The dataset's folder.
        parameters: What to make.
        jobs: Processes; the result does not depend on it.
        overwrite: Replace a dataset of other parameters.

    Returns:
        True if something was written, False if the folder was complete already.

    Raises:
        ValueError: If ``jobs`` is not positive.
        FileExistsError: If the folder holds a dataset of other parameters, or other files.
    """
    if jobs < 1:
        raise ValueError(f'jobs must be at least 1, found {jobs}')
    out = Path(out)
    if _claim(out, parameters, overwrite):
        _write_scene_vocabularies(out)
        return False
    for split in SPLITS:
        for kind in (*KINDS, *COVER_KINDS):
            (out / 'images' / split / kind).mkdir(parents=True, exist_ok=True)
    images = _annotations(parameters, out, jobs)
    for stray in (out / 'images').rglob('.*_*.*'):  # of a process that was killed while writing
        stray.unlink()
    write_json(out / ANNOTATIONS, {'dataset': 'synth', 'images': images}, indent=None)
    for language, name in VOCABULARIES.items():
        write_json(out / name, vocabulary(images, language))
    _write_scene_vocabularies(out, images)
    write_json(out / MARKER, _marker(parameters, images))
    (out / PARTIAL).unlink(missing_ok=True)
    return True


def write_tiles(out: str | os.PathLike, count: int, seed: int = 0) -> None:
    """Write rendered single images with masks of all their buildings, for ``TileDataset``.

    They are the later dates of training pairs of the plain look, at 0.5 m a pixel:
    ``image/tile_000000.png`` and ``label/tile_000000.png`` (0 and 255). The same seed gives the
    same bytes.

    Args:
        out: The folder.
        count: Number of tiles.
        seed: Of all draws.

    Raises:
        ValueError: If ``count`` is not positive.
    """
    if count < 1:
        raise ValueError(f'the number of tiles must be at least 1, found {count}')
    folders = [Path(out) / name for name in ('image', 'label')]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    for index in progress(range(count), f"writing '{out}'", unit='tile'):
        planned = plan_pair(seed, 'train', index)
        image = render(planned.scene, TO, draw_appearance(planned.rng))
        mask = 255 * draw_buildings(planned.scene)[..., None]  # one channel: a grey file
        for folder, pixels in zip(folders, (image, mask), strict=True):
            _write_image(folder / f'tile_{index:06d}.png', partial(_write_rgb, pixels))


def _write_scene_vocabularies(out: Path, images: list[dict] | None = None) -> None:
    """Write the words of scene captions where they are missing: older folders lack these files."""
    for language, name in SCENE_VOCABULARIES.items():
        if images is not None or not (out / name).is_file():
            images = images or scenes_in(out / ANNOTATIONS)
            write_json(out / name, scene_vocabulary(images, language))


def _marker(parameters: Parameters, images: list[dict]) -> dict:
    changed = Counter(image['split'] for image in images if image['changeflag'])
    return {'name': 'synth', 'parameters': parameters.record(),
            'changed': {split: changed[split] for split in SPLITS}, 'size': SIDE,
            'metres_per_pixel': 0.5 if parameters.look == 'plain' else [FINEST, COARSEST],
            'classes': list(CLASSES), 'palette': list(PALETTE),
            'semantic_classes': list(COVER), 'semantic_palette': list(COVER_PALETTE),
            'note': 'Rendered scenes, not real imagery.', **_bands_of(parameters)}


def _bands_of(parameters: Parameters) -> dict[str, list[str] | int]:
    """Return what stands in the images of more than three bands, and the value of white."""
    if parameters.bands == 3:
        return {}
    return {'bands': list(BAND_SETS[parameters.bands]), 'reflectance_1': 10000}


def _claim(out: Path, parameters: Parameters, overwrite: bool) -> bool:
    """Return True if the dataset is complete; else reserve the folder for these parameters."""
    wanted = parameters.record()
    for name in (MARKER, PARTIAL):
        if (out / name).is_file():
            marker = read_json(out / name)
            check_form(marker, {'parameters?': (dict, None)}, f"'{out / name}'", 'Choose another '
                       'folder or pass --overwrite')
            found = marker.get('parameters')
            if found == wanted:
                if name == MARKER and _is_whole(out, parameters):
                    return True
                break
            if not overwrite:
                raise FileExistsError(
                    f"'{out}' holds a synthetic dataset of other parameters: found "
                    f'{json.dumps(found)}, asked for {json.dumps(wanted)}. Choose another '
                    'folder or pass --overwrite')
            _clear(out)
            break
    else:
        if out.is_dir() and any(out.iterdir()):
            raise FileExistsError(f"'{out}' is not empty and holds no synthetic dataset; choose "
                                  'an empty or new folder')
    write_json(out / PARTIAL, {'parameters': wanted})
    return False


def _is_whole(out: Path, parameters: Parameters) -> bool:
    """Tell whether every file that a marker promises is still there."""
    endings = {kind: 'tif' if parameters.bands != 3 and kind in FOLDERS.values() else 'png'
               for kind in (*KINDS, *COVER_KINDS)}
    counts = {(split, kind): len(list((out / 'images' / split / kind).glob(
        f'{split}_*.{ending}'))) for split in SPLITS for kind, ending in endings.items()}
    files = all((out / name).is_file() for name in (ANNOTATIONS, *VOCABULARIES.values()))
    return files and all(count == getattr(parameters, split)
                         for (split, _), count in counts.items())


def _clear(out: Path) -> None:
    """Delete what ``generate`` writes, and nothing else; the marker goes first."""
    for name in (MARKER, ANNOTATIONS, *VOCABULARIES.values(), *SCENE_VOCABULARIES.values()):
        (out / name).unlink(missing_ok=True)
    shutil.rmtree(out / 'images', ignore_errors=True)
