"""Answers of a model to real pairs, each put beside what is known of its pair; and their time."""
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from rscc.apis.inferencer import ChangeInferencer
from rscc.datasets.base import NO_CHANGE_CAPTIONS
from rscc.evaluation.functional.content import caption_hits, says_no_change
from rscc.inference.result import InferenceResult
from rscc.models.caption_heads.base import CaptionHead
from rscc.utils import progress
from tools.benchmark.real_sets import RealPair, RealSet
from tools.benchmark.timing import measure

#: Names of what decides "changed or not".
SOURCES = ('head', 'sentence', 'map')
_TIMED_SIDE = 256
_STOCK = [text for stock in NO_CHANGE_CAPTIONS.values() for text in stock]


@dataclass(eq=False)
class JudgedPair:
    """A model's answer to one pair beside what is known of the pair.

    Attributes:
        one: Its set.
        pair: The pair.
        target: What changed, bool (H, W); None without a label.
        parts: The same by class, where the labels tell classes apart.
        called: What the model calls changed, bool (H, W): the classes that the set labels.
        called_any: The same, any class of change.
        score: Float32 (H, W) by which the pixels of ``called`` are ranked.
        score_any: The same for ``called_any``.
        by_class: What the model calls by the classes of ``parts``, and the score, where it knows
            them.
        counted: Names of the model's classes that ``called`` is made of; empty for any class.
        probability: Of any change, by the flag head.
        sentences: Language -> sentence.
        hits: Language -> what the sentence gets right, see ``caption_hits``.
    """
    one: RealSet
    pair: RealPair
    target: np.ndarray | None = None
    parts: dict[str, np.ndarray] = field(default_factory=dict)
    called: np.ndarray | None = None
    called_any: np.ndarray | None = None
    score: np.ndarray | None = None
    score_any: np.ndarray | None = None
    by_class: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    counted: tuple[str, ...] = ()
    probability: float | None = None
    sentences: dict[str, str] = field(default_factory=dict)
    hits: dict[str, dict[str, bool | None]] = field(default_factory=dict)

    @property
    def changed(self) -> bool | None:
        """Whether anything changed, by the captions or the set, else by the mask."""
        if self.pair.changed is not None or self.target is None:
            return self.pair.changed
        return bool(self.target.any())

    def says(self, source: str) -> bool | None:
        """Return whether one of ``SOURCES`` says that anything changed; None where it is absent."""
        if source == 'head':
            return None if self.probability is None else self.probability > 0.5
        if source == 'map':
            return None if self.called_any is None else bool(self.called_any.any())
        for language, text in self.sentences.items():
            return not says_no_change(text, _STOCK, language)
        return None

    def drop_maps(self) -> None:
        """Forget the scores of pixels that no label judges; they are most of the memory."""
        if self.target is None:
            self.score = self.score_any = None
            self.by_class = {}


def languages_of(inferencer: ChangeInferencer) -> dict[str, dict[str, str]]:
    """Return the languages that a model writes -> the decoding options that ask for each."""
    head = inferencer.model_pass.loaded.caption_head
    if head is None:
        return {}
    known = head.languages if isinstance(head, CaptionHead) else ()
    if len(known) > 1:
        return {language: dict(language=language) for language in sorted(known)}
    return {inferencer.meta.get('language') or 'en': {}}


def known_classes(names: Sequence[str], wanted: Iterable[str]) -> list[int]:
    """Return the places of the wanted classes among those of a model, empty where it has none.

    Args:
        names: The model's classes, "unchanged" first. With two of them there is one class of
            change, which counts everywhere, so that nothing is to be chosen.
        wanted: Names, in the singular.
    """
    wanted = set(wanted)
    return [] if len(names) <= 2 else [
        index for index, name in enumerate(names)
        if index and {name.strip().lower(), name.strip().lower().removesuffix('s')} & wanted]


def judge(one: RealSet, pair: RealPair, answers: Mapping[str, InferenceResult]) -> JudgedPair:
    """Put the answers to a pair beside what is known of it.

    Args:
        one: The set of the pair.
        pair: The pair.
        answers: Language -> answer; ``''`` for a model without sentences.

    Raises:
        ValueError: If the label cannot be read, or differs in size.
    """
    answer = next(iter(answers.values()))
    judged = JudgedPair(one, pair, pair.mask(), probability=answer.change_probability)
    if judged.target is not None:
        judged.parts = {name: pair.mask({name: value}) for name, value in one.values.items()}
    if answer.mask is not None:
        _judge_map(judged, answer)
    for language, said in answers.items():
        if said.caption is None:
            continue
        judged.sentences[language] = said.caption
        if pair.references:
            judged.hits[language] = caption_hits(said.caption, pair.references, language, 'en',
                                                 _STOCK)
    judged.drop_maps()
    return judged


def _judge_map(judged: JudgedPair, answer: InferenceResult) -> None:
    mask, values = answer.mask, answer.probabilities
    if judged.target is not None and mask.shape != judged.target.shape:
        raise ValueError(f"'{judged.pair.label}' is {judged.target.shape}, its images are "
                         f'{mask.shape} (height, width); expected one size')
    counted = known_classes(answer.classes, judged.one.counted)
    judged.counted = tuple(answer.classes[index] for index in counted)
    judged.called_any = mask != 0
    judged.called = np.isin(mask, counted) if counted else judged.called_any
    judged.score_any = values if values.ndim == 2 else 1 - values[0]
    judged.score = _score(values, counted, judged.called) if counted else judged.score_any
    for name in judged.parts:
        if own := known_classes(answer.classes, [name]):
            called = np.isin(mask, own)
            judged.by_class[name] = (called, _score(values, own, called))


def _score(values: np.ndarray, classes: Sequence[int], called: np.ndarray) -> np.ndarray:
    """Return the probability that a pixel is of one of some classes, (H, W).

    A model of the user's own may tell classes without probabilities: then the map is all there is.
    """
    return values[list(classes)].sum(0) if values.ndim == 3 else called.astype(np.float32)


def answer_pairs(inferencer: ChangeInferencer, root: str, pairs: Iterable[tuple[RealSet, RealPair]],
                 show: Callable[[JudgedPair, InferenceResult], Any] | None = None
                 ) -> tuple[list[JudgedPair], list[str]]:
    """Answer and judge pairs one after the other.

    Args:
        inferencer: The model.
        root: Folder of the pairs, which messages leave out.
        pairs: Set and pair.
        show: Called with every judged pair and its first answer, to draw it.

    Returns:
        The judged pairs, and a message for each that could not be read.
    """
    judged, problems = [], []
    asked = languages_of(inferencer) or {'': {}}
    for one, pair in progress(list(pairs), 'answering', unit='pair'):
        try:
            images = pair.images()
            # Of many windows in which nothing changed, one language tells enough.
            spoken = list(asked.items())[:1] if one.unchanged else asked.items()
            answers = {language: inferencer(*images, probabilities=True, **decoding)
                       for language, decoding in spoken}
            judged.append(judge(one, pair, answers))
        except (OSError, ValueError) as error:
            problems.append(f'{pair.name}: {error}'.replace(str(root), '...'))
            continue
        if show is not None:
            show(judged[-1], next(iter(answers.values())))
    return judged, problems


def time_pair(inferencer: ChangeInferencer, frames: Sequence[np.ndarray], rounds: int = 20
              ) -> dict[str, float]:
    """Return the median milliseconds of one pair of 256 x 256 pixels, without reading files.

    Args:
        inferencer: The model.
        frames: Both dates, uint8 (H, W, B); resized where they have another size.
        rounds: Timed calls of each kind, which take turns after a warm-up.

    Returns:
        ``'mask'`` (all heads but the sentences), and the same with the sentence of each language.
    """
    side = (_TIMED_SIDE, _TIMED_SIDE)
    frames = [frame if frame.shape[:2] == side else np.asarray(
        Image.fromarray(frame[..., :3]).resize(side, Image.Resampling.BICUBIC))
        for frame in frames]
    calls = {'mask': lambda: inferencer(*frames, sentences=False)}
    for language, decoding in languages_of(inferencer).items():
        calls[f'with sentence ({language})'] = (
            lambda decoding=decoding: inferencer(*frames, **decoding))
    timings = measure(calls, rounds=rounds, warmup=3, device=str(inferencer.device), title='timing')
    return {name: timing.ms for name, timing in timings.items()}
