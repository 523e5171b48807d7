"""The result of inference on one image or pair: map, captions, pictures and text."""
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from rscc.evaluation.doubt import Doubt
from rscc.evaluation.functional.from_to import ClassMaps, listed_transitions, transition_table
from rscc.inference.windows import Window, WindowAnswer, WindowedImage
from rscc.structures import SampledCaption, ScoredCaption
from rscc.text.doubts import doubt_lines
from rscc.text.quantities import decimal_text, share_text
from rscc.text.transitions import transition_sentences
from rscc.utils import counted, write_json
from rscc.visualization.attention import drawings_of, find_drawing
from rscc.visualization.denoising_trajectory import denoising_rows
from rscc.visualization.overlays import overlay_mask
from rscc.visualization.panels import draw_panel
from rscc.visualization.picture_files import save_image, save_mask

#: Said of every answer of a model that no real image has trained.
RENDERED = ('this model has seen rendered images only: on real images its answers are a '
            'demonstration, no measurement')


@dataclass(frozen=True)
class Processing:
    """What was done to an image to answer it; ``str()`` gives one line.

    Attributes:
        size: (H, W) of the image in pixels.
        windows: Number of windows, 1 for an image taken whole.
        window: (H, W) of a window in pixels of the image.
        overlap: (rows, columns) in pixels that neighbours share.
        resized: (H, W) that the model saw of each; None where it saw the pixels as they are.
        bands: Bands that were read, red, green and blue first; None as the file has them.
        scale: Values that became 0 and 255; None for 8-bit files.
        covered: (H, W) in pixels that a training image covered; None where that is not known.
        told_by: Number of windows whose sentences the merged sentence is drawn from.
        nodata: Number of pixels that hold no data at some date. The model sees them black, and its
            answer there means nothing.
        normalisation: ``mean`` and ``std`` of every band by which the model standardises images,
            and ``source``, where they come from; None where unknown.
    """
    size: tuple[int, int]
    windows: int
    window: tuple[int, int]
    overlap: tuple[int, int]
    resized: tuple[int, int] | None = None
    bands: tuple[int, ...] | None = None
    scale: Any = None
    covered: tuple[int, int] | None = None
    told_by: int = 1
    nodata: int = 0
    normalisation: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, image: WindowedImage, window: Window, bands: Any, scale: Any) -> 'Processing':
        """Describe an image that went through the windows."""
        size = (image.height, image.width)
        whole = image.grid is None
        return cls(size, len(image), size if whole else window.size,
                   (0, 0) if whole else window.overlap, window.resized, bands, scale, window.size,
                   nodata=image.nodata)

    def __str__(self) -> str:
        def pixels(size: tuple[int, int]) -> str:
            return f'{size[1]} x {size[0]}'

        text = f'{pixels(self.size)} pixels, whole'
        if self.windows > 1:
            text = (f'{pixels(self.size)} pixels in {self.windows} windows of '
                    f'{pixels(self.window)} that overlap by {self.overlap[1]}')
        if self.resized is not None and self.resized != self.window:
            text += f', {"each " if self.windows > 1 else ""}resized to {pixels(self.resized)}'
            if self.covered is None and max(self.size) > 2 * max(self.resized):
                text += (' (the checkpoint does not tell what its training images covered: give '
                         'the window size)')
        bands = 'bands as in the file' if self.bands is None else (
            f'bands {", ".join(map(str, self.bands))}')
        scale = 'values as in the file' if self.scale is None else f'scale {self.scale}'
        lacking = self.nodata and (f'; {counted(self.nodata, "pixel")} without data at some date: '
                                   'the answer means nothing there')
        return f'{text}; {bands}, {scale}{lacking or ""}'


@dataclass(frozen=True)
class InferenceResult:
    """The answer to one image or pair.

    Attributes:
        frames: The images as read, uint8 (H, W, B), earliest first; pictures show their first three
            bands.
        mask: Classes uint8 (H, W) at the size of the frames, 0 = unchanged; None without a mask
            head.
        captions: Sentences, best first; empty without a caption head. They have ``attention`` where
            attention maps were asked for, ``SampledCaption`` of a head that diffuses.
        change_probability: Probability of any change, 0 to 1; None without a flag head.
        classes: Names of the mask's values, or empty where unknown.
        palette: RGB per class, or None for default colours.
        language: ``'en'`` or ``'zh'``: that of ``captions``.
        processing: What was done to the image; None where it is not known.
        windows: The answer to each window, row by row; that of the whole image where it fits one.
        rendered: Whether the model has seen rendered images only.
        sources: Paths of the images, where they are files.
        probabilities: What the mask was decided from, where that was asked for: float32 P(changed)
            (H, W) of one or two classes, else of each class (C, H, W).
        sentences: Language -> sentences, best first: ``captions``, and those of other languages
            that were asked for.
        doubts: Language -> how far its best sentence is to be doubted, and why; that of the answer
            first.
        classes_from: Class of the earlier date at every pixel, uint8 (H, W), 1 to K, the same as at
            the later date where the mask says that nothing changed; None of models that do not
            tell.
        classes_to: The same of the later date.
        semantic_classes: Names of their values, that of "none" first, or empty where unknown.
        semantic_palette: RGB per value, or None for default colours.
        ground_resolution: Metres that a pixel covers, where the files tell; None otherwise.
    """
    frames: list[np.ndarray]
    mask: np.ndarray | None = None
    captions: list[ScoredCaption] = field(default_factory=list)
    change_probability: float | None = None
    classes: tuple[str, ...] = ()
    palette: list | None = None
    language: str | None = None
    processing: Processing | None = None
    windows: list[WindowAnswer] = field(default_factory=list)
    rendered: bool = False
    sources: tuple[str, ...] = ()
    probabilities: np.ndarray | None = None
    sentences: dict[str, list[ScoredCaption]] = field(default_factory=dict)
    doubts: dict[str, Doubt] = field(default_factory=dict)
    classes_from: np.ndarray | None = None
    classes_to: np.ndarray | None = None
    semantic_classes: tuple[str, ...] = ()
    semantic_palette: list | None = None
    ground_resolution: float | None = None

    @property
    def caption(self) -> str | None:
        """The best sentence, or None."""
        return self.captions[0].text if self.captions else None

    @property
    def doubt(self) -> Doubt:
        """Doubt about the best sentence: its risk of error, and the reasons."""
        return next(iter(self.doubts.values()), Doubt())

    @property
    def change_share(self) -> float | None:
        """Share of changed pixels, 0 to 1, or None without a mask."""
        return None if self.mask is None else float((self.mask != 0).mean())

    def class_shares(self) -> dict[str, float]:
        """Return the share of pixels of every changed class that occurs, largest first."""
        if self.mask is None:
            return {}
        values, counts = np.unique(self.mask[self.mask != 0], return_counts=True)
        order = np.argsort(-counts, kind='stable')
        return {self._class_name(int(values[i])): counts[i] / self.mask.size for i in order}

    def _class_name(self, value: int) -> str:
        return self.classes[value] if value < len(self.classes) else f'class {value}'

    @cached_property
    def transitions(self) -> list[tuple[str, str, int]]:
        """Which class became which and how many pixels of it, most first; changed pixels alone."""
        if self.classes_from is None or self.classes_to is None:
            return []
        count = max(int(self.classes_from.max(initial=0)), int(self.classes_to.max(initial=0)),
                    len(self.semantic_classes) - 1)
        table = transition_table(
            ClassMaps(self.classes_from, self.classes_to, self.mask), count)
        known = list(self.semantic_classes) or ['none']
        names = [*known, *(f'class {value}' for value in range(len(known), count + 1))][1:]
        return [tuple(row) for row in listed_transitions(table, names)]

    def transition_rows(self) -> list[dict[str, Any]]:
        """Return :attr:`transitions` as a table: from, to, pixels, and hectares where known."""
        area = self._pixel_area()
        return [{'from': earlier, 'to': later, 'pixels': pixels,
                 **({} if area is None else {'hectares': round(pixels * area / 1e4, 4)})}
                for earlier, later, pixels in self.transitions]

    def transition_sentences(self, language: str | None = None) -> list[str]:
        """Return what became what in words, "farmland became buildings, 1.2 ha" for instance.

        Args:
            language: ``'en'`` or ``'zh'``; that of the captions by default, else English.
        """
        return transition_sentences(self.transitions, language or self.language or 'en',
                                    self._pixel_area())

    def _pixel_area(self) -> float | None:
        return None if self.ground_resolution is None else self.ground_resolution**2

    def overlay(self) -> np.ndarray:
        """Return the last frame with the mask over it, uint8 RGB (H, W, 3).

        Raises:
            ValueError: If there is no mask.
        """
        if self.mask is None:
            raise ValueError('there is no mask to draw: this model has no change_head')
        return overlay_mask(self.frames[-1], self.mask, self.palette)

    def panel(self, title: str | None = None) -> np.ndarray:
        """Return everything in one picture, uint8 RGB (height, width, 3)."""
        best = [captions[0].text for captions in self.sentences.values() if captions]
        return draw_panel(self.frames, pred_mask=self.mask, prediction=best or self.caption,
                          title=title, palette=self.palette, classes=self.classes,
                          language=self.language, doubts=self.doubts,
                          class_maps=self._class_maps(), semantic_palette=self.semantic_palette,
                          semantic_classes=self.semantic_classes)

    def _class_maps(self) -> dict[str, np.ndarray]:
        """Return the class maps that there are by what the pictures and files call them."""
        named = {'from': self.classes_from, 'to': self.classes_to}
        return {name: classes for name, classes in named.items() if classes is not None}

    @property
    def drawings(self) -> list[str]:
        """Names of the pictures that the best sentence brings, for :meth:`drawing`."""
        return [kind.name for kind in drawings_of(self._best)]

    def drawing(self, name: str, title: str | None = None) -> np.ndarray:
        """Return a picture that the best sentence brings.

        Args:
            name: ``'attention'``, its words over what the decoder looked at, or ``'denoising'``,
                its words at falling noise levels.
            title: A line on top.

        Returns:
            uint8 RGB (height, width, 3).

        Raises:
            ValueError: If the name is unknown, or the sentence does not bring this picture.
        """
        return find_drawing(name, self._best).draw(self.frames, self._best, title)

    @property
    def _best(self) -> ScoredCaption | None:
        return self.captions[0] if self.captions else None

    def to_dict(self) -> dict[str, Any]:
        """Return what can go into JSON (pictures and mask stay out).

        Among it what the best sentence says of itself: ``agreement``, ``truncated`` and others.
        """
        return {
            'captions': _listed(self.captions), **_by_language(self.sentences),
            **(self._best.details() if self._best else {}),
            'doubt': self.doubt.to_json(),
            **({'doubts': {name: doubt.to_json() for name, doubt in self.doubts.items()}}
               if len(self.doubts) > 1 else {}),
            'change_probability': self.change_probability,
            'change_share': self.change_share,
            'class_shares': {name: float(share) for name, share in self.class_shares().items()},
            'classes': list(self.classes),
            **self._semantic(),
            **self._how(),
        }

    def _semantic(self) -> dict[str, Any]:
        """Return what became what, of models that tell the classes of both dates."""
        if not self._class_maps():
            return {}
        return {'transitions': self.transition_rows(),
                'transition_sentences': {language: self.transition_sentences(language)
                                         for language in ('en', 'zh')},
                'semantic_classes': list(self.semantic_classes),
                'ground_resolution': self.ground_resolution}

    def _how(self) -> dict[str, Any]:
        """Return what was done, and the sentences of the windows where there are several."""
        if self.processing is None:
            return {}
        found = {'processing': asdict(self.processing) | {'text': str(self.processing)}}
        if self.rendered:
            found['note'] = RENDERED
        if len(self.windows) > 1:
            found['windows'] = [
                {'box': list(window.box), 'captions': _listed(window.captions),
                 **_by_language(window.sentences),
                 'change_probability': window.change_probability,
                 'change_share': window.change_share} for window in self.windows]
        return found

    def save(self, folder: str | os.PathLike, name: str, **facts: Any) -> list[Path]:
        """Write ``<name>.json``, ``<name>_panel.png`` and what else there is.

        A mask gives ``<name>_mask.png`` and ``<name>_overlay.png``, class maps of both dates
        ``<name>_from.png`` and ``<name>_to.png``, each of :attr:`drawings`
        ``<name>_<drawing>.png``.

        Args:
            folder: Made if needed.
            name: First part of the file names.
            **facts: Further entries of the JSON, the image paths for instance.

        Returns:
            The files written.
        """
        folder = Path(folder)
        files = [save_image(folder / f'{name}_panel.png', self.panel(name))]
        if self.mask is not None:
            files += [save_mask(folder / f'{name}_mask.png', self.mask, self.palette),
                      save_image(folder / f'{name}_overlay.png', self.overlay())]
        files += [save_mask(folder / f'{name}_{date}.png', classes, self.semantic_palette)
                  for date, classes in self._class_maps().items()]
        files += [save_image(folder / f'{name}_{kind}.png', self.drawing(kind, name))
                  for kind in self.drawings]
        write_json(folder / f'{name}.json', facts | self.to_dict())
        return [*files, folder / f'{name}.json']


def _listed(captions: Sequence[ScoredCaption]) -> list[list]:
    """Return sentences with their scores as JSON has them."""
    return [[caption.text, round(float(caption.score), 5)] for caption in captions]


def _doubts(result: InferenceResult) -> list[str]:
    """Return grade and reasons of the doubt, of several languages about each sentence."""
    told = [text for _, text in doubt_lines(result.doubts)]
    return [f'{"doubt" if place == 0 else "":12s} {text}'.rstrip()
            for place, text in enumerate(told)]


def _by_language(sentences: Mapping[str, Sequence[ScoredCaption]]) -> dict[str, Any]:
    """Return the entry with the sentences of every language, where there are several."""
    if len(sentences) < 2:
        return {}
    return {'sentences': {name: _listed(captions) for name, captions in sentences.items()}}


def describe(result: InferenceResult, per_window: bool = False) -> str:
    """Lay out what a model says of one image or pair.

    Args:
        result: What was done, sentences with their scores, how much they agree and how the best
            came about where they say so, the probability of change, and the mask's shares.
        per_window: List the sentence of every window too.

    Returns:
        Lines without a final line break; absent heads are said.
    """
    lines = [f'answered     {result.processing}'] if result.processing else []
    if result.rendered:
        lines.append(f'note         {RENDERED}')
    lines += _sentences(result)
    lines += _doubts(result)
    if per_window and len(result.windows) > 1:
        lines += [f'  {_place(window.box):27s} {captions[0].text}' for window in result.windows
                  for captions in (window.sentences or {'': window.captions}).values() if captions]
    if result.change_probability is not None:
        most = ', of the likeliest window' if len(result.windows) > 1 else ''
        lines.append(f'changed      probability {result.change_probability:.3f}{most}')
    if result.mask is None:
        return '\n'.join([*lines, 'mask         none: this model has no mask head'])
    classes = ', '.join(f'{name} {share_text(share)}'
                        for name, share in result.class_shares().items())
    lines.append(f'mask         {share_text(result.change_share)} of the pixels changed'
                 + (f': {classes}' if classes else ''))
    lines += [f'{"" if place else "became":12s} {text}'
              for place, text in enumerate(result.transition_sentences())]
    return '\n'.join(lines)


def _sentences(result: InferenceResult) -> list[str]:
    if not result.captions:
        return ['sentence     none: this model has no caption head']
    merged = ''
    if len(result.windows) > 1:
        merged = f', from {result.processing.told_by} of {len(result.windows)} windows'
    lines, several = [], len(result.sentences) > 1
    for language, captions in (result.sentences or {'': result.captions}).items():
        for rank, caption in enumerate(captions, 1):
            label = f'       {rank}.' if rank > 1 else (
                f'sentence {language}' if several else 'sentence')
            cut = f', cut at the limit of {caption.cut_at} tokens' if caption.truncated else ''
            lines.append(f'{label:12s} {caption.text}  (score {decimal_text(caption.score)}'
                         f'{cut}{merged})')
    if isinstance(result.captions[0], SampledCaption):
        lines += _sampling(result.captions[0])
    return lines


def _place(box: tuple[int, int, int, int]) -> str:
    left, top, right, bottom = box
    return f'x {left}-{right - 1}, y {top}-{bottom - 1}'


def _sampling(caption: SampledCaption) -> list[str]:
    lines = []
    if caption.drawn > 1:
        doubt = ': too little, abstained' if caption.abstained else ''
        drawn = counted(caption.drawn, 'sentence')
        lines.append(f'agreement    {caption.agreement:.2f} of {drawn}{doubt}')
    for row in denoising_rows(caption.trajectory, caption.text):
        words = ' '.join(run.text for run in row.runs)
        lines.append(f'  noise {row.label:17s} {words}'.rstrip())
    return lines
