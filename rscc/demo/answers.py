"""Answers of the web page: the calls of the inference tools, with everything a page shows of them.

A small picture without a place goes the way of ``rscc infer`` for pictures, everything else the way
for scenes: the files are the same as that command writes.
"""
import base64
import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from rscc.demo.findings import refusal
from rscc.demo.jobs import Job
from rscc.demo.own_names import OwnNames
from rscc.demo.wishes import Asked, command_of, decoding_of
from rscc.demo.words import LANGUAGES, Problem
from rscc.evaluation.doubt import Doubt
from rscc.rasters.headers import UnreadableImage, read_header
from rscc.rasters.image_files import as_rgb
from rscc.rasters.pair_check import check_pair as check_headers
from rscc.visualization.overlays import mask_layer, tint_palette
from rscc.visualization.picture_files import safe_name, save_image

#: Longer side of a preview in pixels.
PREVIEW = 1024
#: Longer side of a picture that a model takes whole where it is not known what its training images
#: covered: the memory that takes is not known either.
_WHOLE_SIDE = 2048
_GEO = ('rasterio', 'geopandas', 'pyogrio', 'shapely', 'pyarrow')
_RESULTS = {'change.tif': 'map', 'changes.gpkg': 'geopackage', 'changes.geojson': 'geojson',
            'summary.json': 'json', 'report.html': 'report', 'mask.png': 'mask',
            'overlay.png': 'overlay'}


@dataclass(frozen=True)
class Answer:
    """Everything that the page shows of an answer.

    Attributes:
        model: What answered, in a line.
        sources: Names of the images, earliest first.
        frames: Pictures of the dates.
        layer: Transparent picture of the map; None without one.
        size: (width, height) of the images in pixels.
        sentences: Sentences with score, best first; of a scene, those of its windows.
        lead: Language of the page -> the result of a scene in whole sentences.
        changed: Probability of any change, 0 to 1; None without a flag.
        share: Share of changed pixels, 0 to 1; None without a map.
        classes: (name, colour as ``#rrggbb``, share) of every changed class, largest first.
        check: Findings of the pair check, as JSON has them.
        verdict: Of the pair check: ``'ok'``, ``'warn'``, ``'refuse'``; None where there was none.
        doubt: As JSON has it; None where the model does not tell.
        scene_doubt: Of a scene, ``doubt`` of its summary: about the sentences of all windows; None
            where none was described.
        windows: In which the images were answered; 1 where whole.
        how: What was done to a picture, in a line of the inference tool; empty for a scene.
        rendered: Whether the model has seen rendered images only.
        files: Kind of download -> file.
        command: The same on a command line.
        scene_command: The command that writes the GeoPackage of a picture, which is that of a
            scene; empty where ``command`` does.
        renamed: (name that its owner gave it, name here) of every image whose name was changed.
    """
    model: str
    sources: tuple[str, ...]
    frames: tuple[Path, ...]
    layer: Path | None
    size: tuple[int, int]
    sentences: tuple[tuple[str, float], ...] = ()
    lead: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    changed: float | None = None
    share: float | None = None
    classes: tuple[tuple[str, str, float], ...] = ()
    check: tuple[Mapping[str, Any], ...] = ()
    verdict: str | None = None
    doubt: Mapping[str, Any] | None = None
    scene_doubt: Mapping[str, Any] | None = None
    windows: int = 1
    how: str = ''
    rendered: bool = False
    files: dict[str, Path] = field(default_factory=dict)
    command: str = ''
    scene_command: str = ''
    renamed: tuple[tuple[str, str], ...] = ()


class Models:
    """The models of a page, loaded once, by name.

    Args:
        names: Checkpoints, folders, configs or names of published models.
        device, amp: See :class:`rscc.apis.ChangeInferencer`.

    Raises:
        FileNotFoundError, ValueError: If one cannot be loaded.
    """

    def __init__(self, names: Sequence[str], device: str | None = None, amp: bool = False) -> None:
        from rscc.apis import ChangeInferencer  # late: limits and texts need no torch
        self._load = partial(ChangeInferencer, device=device, amp=amp)
        self._loaded = {name: self._load(name) for name in names}

    def add(self, name: str) -> None:
        """Load one more, which comes last."""
        self._loaded[name] = self._load(name)

    def of_task(self, task: str) -> list[str]:
        """Return the names of the models for ``'pair'`` or ``'single'`` images."""
        return [name for name, model in self._loaded.items()
                if (model.meta.get('task') or 'pair') == task]

    def __getitem__(self, name: str) -> Any:
        try:
            return self._loaded[name]
        except KeyError:
            raise Problem('unknown_model', name=str(name)[:80]) from None

    def title(self, name: str) -> str:
        """Return a model in one line."""
        return self[name].title

    def languages(self, name: str) -> tuple[str, ...]:
        """Return the languages that a model can be asked for; none where it has no choice."""
        head = self[name].model_pass.loaded.caption_head
        known = tuple(getattr(head, 'languages', ()) or ())
        return tuple(language for language in LANGUAGES if language in known) if (
            len(known) > 1) else ()

    def facts(self, name: str, language: str | None) -> Any:
        """Return what a model's file tells, with the language of its sentences."""
        return self._predictor(name, language).facts

    @cache  # noqa: B019 - the models of a page live as long as the page; hashing them takes seconds
    def _predictor(self, name: str, language: str | None) -> Any:
        from rscc.scenes.torch_predictor import TorchPredictor
        decoding = {} if language is None else dict(language=language)
        return TorchPredictor(self[name].model_pass, decoding)

    def answer(self, name: str, images: Sequence[Path], asked: Asked, folder: Path, job: Job
               ) -> Answer:
        """Answer one pair, or one image.

        Args:
            name: Of the model.
            images: Files of the dates, earliest first, each under the name that it shall have.
            asked: What is wanted.
            folder: For the files of the answer; those below ``files`` are for the visitor.
            job: Told how far the answer is.

        Raises:
            Stopped: If the job shall end.
            OSError, ValueError, ImportError, Problem: If images, model or wishes do not fit.
        """
        known = self.languages(name)
        language = None if not known else asked.language if asked.language in known else known[0]
        names = OwnNames(images, folder)
        with names.errors():
            job.stage('stage_checking')
            if asked.as_scene or self._is_scene(name, images):
                return self._scene(name, language, images, asked, folder, job, names)
            return self._picture(name, language, images, asked, folder, job, names)

    def _is_scene(self, name: str, images: Sequence[Path]) -> bool:
        """Tell what the inference tool answers as a scene: what has a place, or is large."""
        header = read_header(images[0])
        if header.transform is not None or header.crs is not None:
            return True
        window = self[name].window
        if window.size is None and max(header.width, header.height) > _WHOLE_SIDE:
            raise Problem('no_window', name=images[0].name, side=str(_WHOLE_SIDE),
                          size=f'{header.width} x {header.height}')
        large = window.grid(header.height, header.width) is not None
        if large and lacking_packages():
            raise Problem('no_geo', packages=', '.join(lacking_packages()))
        return large

    def _picture(self, name: str, language: str | None, images: Sequence[Path], asked: Asked,
                 folder: Path, job: Job, names: OwnNames) -> Answer:
        _check_sizes(images)
        inferencer = _reading(self[name], asked)
        check = None if len(images) < 2 else _check(images, asked, self.facts(name, language))
        job.stage('stage_answering', 1)
        result = inferencer(*map(str, images), **decoding_of(inferencer.decoding, asked.nbest,
                                                             language))
        job.advance()
        job.stage('stage_writing')
        title = safe_name('_'.join(dict.fromkeys(path.stem for path in images)))
        result.save(folder / 'files', title, images=[path.name for path in images],
                    checkpoint=inferencer.checkpoint)
        files = {kind: path for kind, ending in (
            ('mask', '_mask.png'), ('overlay', '_overlay.png'), ('panel', '_panel.png'),
            ('json', '.json')) if (path := folder / 'files' / f'{title}{ending}').is_file()}
        if not lacking_packages():
            geopackage = self._geopackage(name, language, images, asked, folder)
            files |= {} if geopackage is None else dict(geopackage=geopackage)
        told = partial(command_of, name, images, asked, language)
        height, width = result.frames[0].shape[:2]
        return Answer(
            model=inferencer.title, sources=tuple(path.name for path in images),
            frames=tuple(_save_frame(folder / f'date_{place}.png', frame)
                         for place, frame in enumerate(result.frames)),
            layer=_save_layer(folder / 'layer.png', result), size=(width, height),
            sentences=tuple((caption.text, float(caption.score)) for caption in result.captions),
            changed=result.change_probability, share=result.change_share,
            classes=_coloured(result.class_shares(), result.classes, result.palette),
            windows=max(1, len(result.windows)), how=str(result.processing or ''),
            rendered=result.rendered, files=names.files(files),
            doubt=doubt_of(result.doubt), command=told(),
            scene_command=told(scene=True, forced=True) if 'geopackage' in files else '',
            **_checked(check, names))

    def _geopackage(self, name: str, language: str | None, images: Sequence[Path], asked: Asked,
                    folder: Path) -> Path | None:
        """Write the GeoPackage of a picture, in pixels; pictures without a map have none.

        It is that of the command for scenes, which the page shows beside the other one.
        """
        from rscc.apis.scenes import interpret_scene
        predictor = self._predictor(name, language)
        if 'change_head' not in predictor.facts.heads:
            return None
        done = interpret_scene(predictor, *map(str, images), out=folder / 'scene',
                               bands=asked.bands, scale=asked.scale, force=True,
                               say=lambda text: None)
        return next((path for path in done.files if path.name == 'changes.gpkg'), None)

    def _scene(self, name: str, language: str | None, images: Sequence[Path], asked: Asked,
               folder: Path, job: Job, names: OwnNames) -> Answer:
        if lacking_packages():
            raise Problem('no_geo', packages=', '.join(lacking_packages()))
        from rscc.scenes.pictures import map_picture, thumbnails
        from rscc.scenes.preparation import Refused, SceneOptions, ScenePair
        options = SceneOptions(bands=asked.bands, scale=asked.scale, align=asked.align,
                               match_histogram=asked.match_histogram, force=asked.force,
                               assume_same_grid=asked.force)
        pair = ScenePair(safe_name('_'.join(dict.fromkeys(path.stem for path in images))),
                         *map(str, images))
        predictor = self._predictor(name, language)
        try:
            run = _watched(job)([pair], predictor, folder / 'files', options)
        except Refused as error:
            raise refusal(names.values(error.check.to_dict())['findings']) from error
        blocks = run.folder()
        done = run.answer(blocks)
        job.stage('stage_writing')
        scene = run.scenes[pair.name].scene(run.facts, {})
        run.combine(blocks, done)
        frames = [_save_address(folder / f'date_{place}', address)
                  for place, address in enumerate(thumbnails(scene))]
        layer = map_picture(scene, blocks.read)
        summary = done.summaries[pair.name]
        return self._of_summary(
            summary, name, images, asked, language, frames=tuple(frames),
            layer=None if layer is None else _save_address(folder / 'layer', layer),
            files=names.files({_RESULTS[path.name]: path for path in done.files
                               if path.name in _RESULTS}),
            **_checked(run.scenes[pair.name].check, names))

    def _of_summary(self, summary: Mapping[str, Any], name: str, images: Sequence[Path],
                    asked: Asked, language: str | None, **more: Any) -> Answer:
        """Return the answer to a scene, told by its summary."""
        facts, examined = self.facts(name, language), max(1, summary['pixels']['examined'])
        shares = {row['class']: row['pixels'] / examined for row in summary['classes']}
        return Answer(
            model=self[name].title, sources=tuple(path.name for path in images),
            size=(summary['grid']['width'], summary['grid']['height']),
            sentences=tuple((row['sentence'], row['mean_score'])
                            for row in summary['best_sentences']),
            lead={said: _lead(summary, said) for said in LANGUAGES},
            share=summary['changed_share'],
            classes=_coloured(shares, facts.map_classes, facts.map_palette),
            rendered=facts.rendered,
            windows=summary['windows']['computed'], scene_doubt=summary['doubt'],
            command=command_of(name, images, asked, language, scene=True), **more)


def _lead(summary: Mapping[str, Any], language: str) -> tuple[str, ...]:
    """Return the result of a scene in sentences, but for the doubt, which has a card of its own."""
    from rscc.scenes.wording import summary_sentences
    return tuple(summary_sentences({**summary, 'doubt': None}, language)[1])


def lacking_packages() -> list[str]:
    """Return the packages for maps that are not installed."""
    return [name for name in _GEO if find_spec(name) is None]


def doubt_of(doubt: Doubt | None) -> dict[str, Any] | None:
    """Return a doubt as JSON has it; None where there is none to show."""
    if doubt is None or (doubt.value is None and not (doubt.reasons or doubt.inputs)):
        return None
    return doubt.to_json()


def preview(path: Path, target: Path) -> tuple[Path | None, str]:
    """Write a small picture of an image.

    Args:
        path: The image, already found small enough to be decoded.
        target: The picture.

    Returns:
        The picture and nothing; or None and the name of the text that says why there is none.

    Raises:
        UnreadableImage: If it is truncated or no image that can be decoded.
    """
    from rscc.scenes.sources import Reading, open_date, reduced_shape
    for reading in (Reading(), Reading(bands=(1, 2, 3), scale='percentile'),
                    Reading(bands=(1, 1, 1), scale='percentile')):
        try:
            date = open_date(path, reading)
            shape = reduced_shape(date.grid, PREVIEW)
            frame = date.read(date.grid.box, shape)[0]
        except UnreadableImage:
            raise
        except OSError:
            return None, 'damaged'
        except (ValueError, ImportError):
            continue
        return save_image(target, as_rgb(frame)), ''
    return None, 'no_preview'


def _reading(inferencer: Any, asked: Asked) -> Any:
    """Return an inferencer of the same model that reads other bands or values."""
    if asked.bands is None and asked.scale is None:
        return inferencer
    own = inferencer.model_pass
    other = copy.copy(inferencer)
    other.model_pass = type(own)(own.loaded, own.device, own.amp, asked.bands, asked.scale)
    return other


def _check(images: Sequence[Path], asked: Asked, facts: Any) -> Any:
    """Check a pair; without the packages for maps its headers alone."""
    from rscc.scenes.pair_check import check_pair, refused
    from rscc.scenes.reading import PairReader
    from rscc.scenes.sources import Reading, open_date
    try:
        reading = Reading(asked.bands or facts.bands,
                          facts.scale if asked.scale is None else asked.scale)
        dates = [open_date(path, reading) for path in images]
    except ImportError:
        check_headers(images)
        return None
    try:
        return check_pair(PairReader(dates), facts)
    except ImportError:
        check_headers(images)
        return None
    except ValueError as error:
        return refused(str(error))


def _check_sizes(images: Sequence[Path]) -> None:
    """Refuse pictures without a place of different sizes, in the language of the page."""
    sizes = [f'{header.width} x {header.height}' for header in map(read_header, images)]
    if len(set(sizes)) > 1:
        raise Problem('sizes_differ', first=images[0].name, second=images[1].name,
                      size_first=sizes[0], size_second=sizes[1])


def _checked(check: Any, names: OwnNames) -> dict[str, Any]:
    if check is None:
        return {}
    told = names.values(check.to_dict())
    return dict(check=tuple(told['findings']), verdict=told['verdict'])


def _watched(job: Job) -> Any:
    """Return a run of scenes that tells a job of its windows instead of drawing a bar."""
    from rscc.scenes.run import SceneRun

    class WatchedRun(SceneRun):
        """A run of scenes that can be watched and stopped."""

        @contextmanager
        def counting(self, blocks: Sequence[Any], done: Any) -> Iterator[tuple[Any, Any]]:
            """Tell the job how many windows there are, and of each batch that is done."""
            job.stage('stage_answering', sum(map(self.windows, blocks)))

            def count(windows: int, gaps: int, pixels: int) -> None:
                done.add(windows, gaps, pixels, job.seconds)

            yield count, job.advance

    return WatchedRun


def _coloured(shares: Mapping[str, float], classes: Sequence[str], palette: Any
              ) -> tuple[tuple[str, str, float], ...]:
    """Return every class with its colour, largest first."""
    names = list(classes)
    colours = tint_palette(max(len(names), len(shares) + 1, 2), palette)
    rows = []
    for place, (name, share) in enumerate(sorted(shares.items(), key=lambda row: -row[1]), 1):
        colour = colours[names.index(name) if name in names else min(place, len(colours) - 1)]
        rows.append((name, '#{:02x}{:02x}{:02x}'.format(*map(int, colour)), float(share)))
    return tuple(rows)


def _save_frame(path: Path, frame: np.ndarray) -> Path:
    image = Image.fromarray(np.ascontiguousarray(as_rgb(frame)))
    image.thumbnail((1600, 1600))
    return save_image(path, np.asarray(image))


def _save_layer(path: Path, result: Any) -> Path | None:
    if result.mask is None:
        return None
    height, width = result.mask.shape
    scale = min(1.0, 1600 / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    Image.fromarray(mask_layer(result.mask, size, result.palette)).save(path)
    return path


def _save_address(path: Path, address: str) -> Path:
    """Write a ``data:`` address as the picture that it holds."""
    kind = re.match(r'data:image/(\w+);base64,', address)
    path = path.with_suffix(f'.{kind[1]}')
    path.write_bytes(base64.b64decode(address[kind.end():]))
    return path
