"""Windows over an image of any size: each covers what a training image covered.

A model knows objects at the size they had in its training. An image is therefore never shrunk to
the size of the training images: it is cut into overlapping windows that cover as many of its pixels
as a training image did, each window is prepared as in training, and the maps are blended. An image
that fits one window is taken whole. The sentences of the windows become one. Every route of
inference goes through this file.
"""
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral

import numpy as np
import torch
from mmengine.config import Config

from rscc.evaluation.functional.content import says_no_change
from rscc.inference.preparation import image_steps, trained_dataset
from rscc.rasters.blending import RowBlender, decided, decided_by_date
from rscc.rasters.windows import Grid, cut, window_grid
from rscc.structures import ChangeDataSample, ScoredCaption
from rscc.text.minimum_bayes_risk import similarity_matrix

Size = tuple[int, int]
#: Share of a window that its neighbour sees too.
OVERLAP = 0.25
#: At most so many different things are told of one image.
MOST = 3
#: Sentences that are more alike tell the same.
ALIKE = 0.4
_BETWEEN = {'en': '; ', 'zh': '；'}


@dataclass(frozen=True)
class Window:
    """The part of an image that the model sees at once.

    Attributes:
        size: (H, W) in pixels of the image; None where it is not known what a training image
            covered, so that every image is taken whole.
        resized: (H, W) that the preparation gives it; None where it stays as it is.
        overlap: (rows, columns) that neighbours share, in pixels of the image.
    """
    size: Size | None
    resized: Size | None = None
    overlap: Size = (0, 0)

    def grid(self, height: int, width: int) -> Grid | None:
        """Return the windows over an image; None where it is taken whole."""
        return window_grid(height, width, self.size, self.overlap)


def training_window(cfg: Config, meta: Mapping, size: int | None = None,
                    overlap: int | None = None) -> Window:
    """Work out what part of an image a training image covered.

    The datasets say how large their images are (``image_size`` of the checkpoint's
    ``dataset_meta``), the pipelines how they were resized and cropped.

    Args:
        cfg: The model's config, with the pipelines it was trained and tested with.
        meta: The checkpoint's ``dataset_meta``.
        size: Side of the window in pixels of the image, in place of all this.
        overlap: Pixels that neighbours share; a quarter of the window unless given.

    Raises:
        ValueError: If the size is no whole number above 0, or the overlap none below the size.
    """
    for name, value, least in (('window', size, 1), ('overlap', overlap, 0)):
        if value is not None and not (isinstance(value, Integral) and value >= least):
            raise ValueError(f'{name}={value!r}: expected a whole number of pixels, at least '
                             f'{least}')
    resized = _resized(image_steps(cfg))
    covered = (size, size) if size is not None else _covered(cfg, meta, resized)
    if covered is None:
        return Window(None, resized)
    overlap = [int(side * OVERLAP) for side in covered] if overlap is None else [overlap] * 2
    if not all(0 <= own < side for own, side in zip(overlap, covered, strict=True)):
        raise ValueError(f'windows of {covered[0]} x {covered[1]} pixels cannot overlap by '
                         f'{max(overlap)}: give an overlap from 0 to {min(covered) - 1}, or a '
                         'larger window')
    return Window(covered, resized, tuple(overlap))


def _resized(steps: list[dict]) -> Size | None:
    """Return the fixed size that the last resizing among the steps gives."""
    sizes = [step['size'] for step in steps
             if step['type'] == 'FramesResize' and not step.get('keep_ratio')]
    if not sizes:
        return None
    return (sizes[-1], sizes[-1]) if isinstance(sizes[-1], int) else tuple(sizes[-1])


def _covered(cfg: Config, meta: Mapping, resized: Size | None) -> Size | None:
    """Return (H, W) in pixels of a training file that the model saw at once."""
    image = meta.get('image_size')
    crops = [step['size'] for step in trained_dataset(cfg).get('pipeline') or ()
             if step['type'] == 'FramesRandomCrop']
    if not crops:
        return None if image is None else tuple(image)
    crop = (crops[-1], crops[-1]) if isinstance(crops[-1], int) else tuple(crops[-1])
    if resized is not None:  # a crop of the resized image covers more pixels of the file
        return None if image is None else tuple(
            max(1, round(side * own / new))
            for side, own, new in zip(crop, image, resized, strict=True))
    return crop if image is None else tuple(map(min, crop, image))


@dataclass
class WindowAnswer:
    """What a model says of one window.

    Attributes:
        box: Left, top, right, bottom in pixels of the image; right and bottom are not inside.
        captions: Sentences, best first.
        change_probability: Probability of any change, 0 to 1; None without a flag head.
        change_share: Share of changed pixels, 0 to 1; None without a mask head.
        sentences: Language -> sentences, best first, where several were asked for; ``captions`` are
            those of the first.
        novelty: Squared distance from the training images over that which 99 % of those keep; None
            where the weights carry no statistic.
    """
    box: tuple[int, int, int, int]
    captions: list[ScoredCaption] = field(default_factory=list)
    change_probability: float | None = None
    change_share: float | None = None
    sentences: dict[str, list[ScoredCaption]] = field(default_factory=dict)
    novelty: float | None = None

    def in_language(self, language: str | None) -> 'WindowAnswer':
        """Return the same with ``captions`` in one of its languages."""
        return replace(self, captions=self.sentences.get(language, self.captions))


class WindowedImage:
    """One image or pair on its way through the model, window by window.

    Args:
        frames: T frames, uint8 (H, W, B).
        window: What the model sees at once.
        threshold: P(changed) above which a pixel is changed, for maps of one or two classes.
        name: Name of the sample for messages.
        sources: Paths of the files, where they are files.
        nodata: Number of pixels that hold no data at some date.
        keep_probabilities: Keep what the mask was decided from.
        same_class: Whether a changed pixel may have one class at both dates, of models that tell
            the classes of each.

    Attributes:
        answers: One for every window so far.
        mask: Classes uint8 (H, W), filled from top to bottom; None without a mask head.
        probabilities: Float32 P(changed) (H, W) of one or two classes, else of each class
            (C, H, W), filled likewise; None where they are not kept.
        date_maps: Classes of each date uint8 (2, H, W), 1 to K, equal where nothing changed, filled
            likewise; None of models that do not tell them.
    """

    def __init__(self, frames: list[np.ndarray], window: Window, threshold: float = 0.5,
                 name: str = '', sources: tuple[str, ...] = (), nodata: int = 0,
                 keep_probabilities: bool = False, same_class: bool = True) -> None:
        self.frames, self.threshold, self.name, self.sources = frames, threshold, name, sources
        self.nodata, self.keep_probabilities = nodata, keep_probabilities
        self.same_class = same_class
        self.probabilities: np.ndarray | None = None
        self.date_maps: np.ndarray | None = None
        self.height, self.width = frames[0].shape[:2]
        self.grid = window.grid(self.height, self.width)
        self.answers: list[WindowAnswer] = []
        self.mask: np.ndarray | None = None
        # Maps of windows are blended as probabilities: those of change, and of the dates' classes.
        self._blender, self._date_blender = (
            None if self.grid is None else RowBlender(self.grid, blend='linear') for _ in range(2))

    def __len__(self) -> int:
        return 1 if self.grid is None else len(self.grid)

    @property
    def complete(self) -> bool:
        """Whether every window has its answer."""
        return len(self.answers) == len(self)

    def windows(self) -> Iterator[list[np.ndarray]]:
        """Yield the frames of every window, (h, w, B) each; mirrored beyond the image's border."""
        if self.grid is None:
            yield self.frames
            return
        for column, row in self.grid.places():
            rows, columns = self.grid.rows.source(row), self.grid.columns.source(column)
            yield [cut(frame, rows, columns) for frame in self.frames]

    def add(self, answer: ChangeDataSample) -> None:
        """Take in the answer to the next window, in the order of :meth:`windows`."""
        box = (0, 0, self.width, self.height)
        if self.grid is not None:
            columns = self.grid.columns.count
            box = self.grid.box(len(self.answers) % columns, len(self.answers) // columns)
        probability = answer.get('pred_change_score')
        said = WindowAnswer(box, list(answer.get('pred_captions') or []),
                            None if probability is None else float(probability),
                            sentences=dict(answer.get('pred_sentences') or {}),
                            novelty=answer.get('pred_novelty'))
        if 'pred_sem_seg' in answer:
            classes = answer.pred_sem_seg.data[0]
            said.change_share = float((classes != 0).float().mean())
            self._draw(answer, classes)
        self.answers.append(said)

    def _draw(self, answer: ChangeDataSample, classes: torch.Tensor) -> None:
        """Put the map of a window into the mask."""
        if self._blender is None:
            self.mask = classes.to(torch.uint8).cpu().numpy()
            if 'pred_sem_seg_from' in answer and 'pred_sem_seg_to' in answer:
                self.date_maps = torch.cat([answer.pred_sem_seg_from.data,
                                            answer.pred_sem_seg_to.data]).to(
                                                torch.uint8).cpu().numpy()
            if self.keep_probabilities:
                self.probabilities = class_probabilities(answer)
            return
        if self.mask is None:
            self.mask = np.zeros((self.height, self.width), np.uint8)
        band = self._blender.add(class_probabilities(answer))
        if band is not None:
            first, values = band
            rows = slice(first, first + values.shape[-2])
            self.mask[rows] = decided(values, self.threshold)
            if self.keep_probabilities:
                if self.probabilities is None:
                    shape = (*values.shape[:-2], self.height, self.width)
                    self.probabilities = np.zeros(shape, np.float32)
                self.probabilities[..., rows, :] = values
        dates = date_probabilities(answer)
        if dates is not None:
            self._draw_dates(dates)

    def _draw_dates(self, probabilities: np.ndarray) -> None:
        """Put the class probabilities of a window (2, K, h, w) into the maps of both dates."""
        if self.date_maps is None:
            self.date_maps = np.zeros((2, self.height, self.width), np.uint8)
        band = self._date_blender.add(probabilities)
        if band is not None:
            first, values = band
            rows = slice(first, first + values.shape[-2])
            self.date_maps[:, rows] = decided_by_date(values, self.mask[rows], self.same_class)


def date_probabilities(answer: ChangeDataSample) -> np.ndarray | None:
    """Return the probability of each class at each date (2, K, H, W); None without them."""
    if 'seg_logits_from' not in answer or 'seg_logits_to' not in answer:
        return None
    dates = torch.stack([answer.seg_logits_from.data, answer.seg_logits_to.data]).float()
    return dates.softmax(1).cpu().numpy()


def class_probabilities(answer: ChangeDataSample) -> np.ndarray:
    """Return P(changed) (H, W) of one or two classes, else the probability of each (C, H, W)."""
    if 'seg_logits' not in answer:  # a model of the user's own, which gives classes alone
        classes = answer.pred_sem_seg.data[0].cpu().numpy()
        return (classes != 0).astype(np.float32)
    logits = answer.seg_logits.data.float()
    if len(logits) == 1:
        return logits[0].sigmoid().cpu().numpy()
    if len(logits) == 2:
        return (logits[1] - logits[0]).sigmoid().cpu().numpy()
    return logits.softmax(0).cpu().numpy()


def merge_captions(answers: Sequence[WindowAnswer], language: str,
                   no_change_captions: Iterable[str] = (), pairs: bool = True
                   ) -> tuple[list[ScoredCaption], int]:
    """Tell an image's windows in one sentence of at most three parts.

    Of pairs, the windows that tell of a change count; where none does, the image is unchanged. The
    parts are sentences that windows said: the one said most often first (of those said equally
    often, the one of the largest changed area), then those that tell something else.

    Args:
        answers: The windows; each with at least one sentence, or all without.
        language: ``'en'`` or ``'zh'``.
        no_change_captions: The dataset's sentences for unchanged pairs.
        pairs: Whether sentences are about changes.

    Returns:
        A list with the sentence and its mean score, empty where the windows have none; and the
        number of windows that it is drawn from.
    """
    said = [answer for answer in answers if answer.captions]
    if not said:
        return [], 0
    stock = list(no_change_captions)
    changed = [answer for answer in said if not (pairs and says_no_change(
        answer.captions[0].text, stock, language))]
    chosen, counted = _distinct(changed or said, language)
    if not changed:
        chosen = chosen[:1]
    text = _BETWEEN[language].join(caption.text for caption in chosen)
    score = float(np.mean([caption.score for caption in chosen]))
    cut_at = next((caption.cut_at for caption in chosen if caption.truncated), None)
    return [ScoredCaption(text, score, cut_at)], counted


def _distinct(answers: Sequence[WindowAnswer], language: str
              ) -> tuple[list[ScoredCaption], int]:
    """Return the sentences said most often that differ from each other, and of how many windows."""
    groups: dict[str, list[WindowAnswer]] = {}
    for answer in answers:
        groups.setdefault(answer.captions[0].text, []).append(answer)
    weights = {text: (len(own), sum(answer.change_share or 0 for answer in own))
               for text, own in groups.items()}
    texts = sorted(groups, key=lambda text: weights[text], reverse=True)
    words = [text.split() if language == 'en' else list(text) for text in texts]
    alike = similarity_matrix(words)
    chosen: list[int] = []
    for place in range(len(texts)):
        if len(chosen) < MOST and all(alike[place, other] < ALIKE for other in chosen):
            chosen.append(place)
    best = [max((answer.captions[0] for answer in groups[texts[place]]),
                key=lambda caption: caption.score) for place in chosen]
    return best, len(answers)
