"""The record of one sample and of the captions predicted for it."""
from collections.abc import Iterable, Mapping
from copy import copy
from typing import Any, NamedTuple, Self

from mmengine.structures import BaseDataElement, PixelData
from mmseg.structures import SegDataSample
from torch import Tensor

from rscc.utils.logging import warn_deprecated


class _TextAndScore(NamedTuple):
    text: str
    score: float


class ScoredCaption(_TextAndScore):
    """A generated sentence and how likely the model finds it; unpacks into ``text, score``.

    Attributes:
        text: Detokenised sentence, lower case, words separated by one blank, no end mark.
        score: Mean log-probability per generated token (natural logarithm, <= 0); comparable
            between captions of different length.
        cut_at: The limit ``max_tokens`` where generation reached it before the end of the sentence;
            None where the model itself ended it.
        words: Its words (W), as the tokenizer splits it; None unless it knows where its decoder
            looked.
        attention: Weight of every place at every word (W, G, h, w), float32 on the CPU; G groups of
            the memory, dates for instance. Each word's weights sum to at most one (a class token
            has no place). None as for ``words``.
    """
    cut_at: int | None
    words: list[str] | None = None
    attention: Tensor | None = None

    def __new__(cls, text: str, score: float, cut_at: int | None = None) -> Self:
        """Make a caption; ``cut_at`` is beside the tuple, so that two values unpack as ever."""
        caption = super().__new__(cls, text, score)
        caption.cut_at = cut_at
        return caption

    @property
    def truncated(self) -> bool:
        """Whether the sentence was cut at the limit of tokens."""
        return self.cut_at is not None

    @property
    def common_ground(self) -> float | None:
        """Mean similarity, 0 to 1, of several sentences drawn for the sample; None of others."""
        return None

    def looking(self, words: list[str], attention: Tensor) -> Self:
        """Return the sentence with its words and where the decoder looked for each."""
        caption = copy(self)
        caption.words, caption.attention = words, attention
        return caption

    def details(self) -> dict[str, Any]:
        """Return what else it knows that JSON can hold, by name: ``truncated``, the limit."""
        return {'truncated': self.cut_at} if self.truncated else {}


class SampledCaption(ScoredCaption):
    """A minimum Bayes risk choice among sentences sampled from noise; also a ``ScoredCaption``.

    Attributes:
        agreement: Mean similarity of the sentences drawn for the sample, 0 to 1; 1 where only one
            was drawn.
        abstained: Whether they agree too little for the sentence to be relied on.
        trajectory: Denoising trajectory: noise level, and what the sentence was at it, of every
            sampling step, noisiest first; empty unless asked for.
        drawn: Number K of sentences drawn for the sample; of one alone the agreement says nothing.
    """
    agreement: float
    abstained: bool
    trajectory: list[tuple[float, str]]
    drawn: int

    @classmethod
    def of(cls, caption: ScoredCaption, agreement: float, abstained: bool = False,
           trajectory: Iterable[tuple[float, str]] = (), drawn: int = 1) -> Self:
        """Add what the other sentences say of it, and how it came about."""
        sampled = cls(*caption, caption.cut_at)
        sampled.agreement, sampled.abstained = agreement, abstained
        sampled.trajectory, sampled.drawn = list(trajectory), drawn
        return sampled

    @property
    def common_ground(self) -> float | None:
        """``agreement``, unless one sentence alone was drawn, of which it says nothing."""
        return self.agreement if self.drawn > 1 else None

    @property
    def strip(self) -> list[tuple[float, str]]:
        """The old name of ``trajectory``."""
        warn_deprecated("'SampledCaption.strip'", 'SampledCaption.trajectory', '0.3')
        return self.trajectory

    def details(self) -> dict[str, Any]:
        """Return ``agreement``, ``abstained``, ``drawn``, and where there is one ``trajectory``."""
        steps = [[float(f'{sigma:.6g}'), text] for sigma, text in self.trajectory]
        return {**super().details(), 'agreement': round(float(self.agreement), 4),
                'abstained': bool(self.abstained), 'drawn': int(self.drawn),
                **({'trajectory': steps} if steps else {})}


def caption_from(text: str, score: float, details: Mapping[str, Any]) -> ScoredCaption:
    """Return a caption as it was before its :meth:`~ScoredCaption.details` were written down.

    Args:
        text: The sentence.
        score: Its score.
        details: Among other things what ``details()`` returned. Older files say
            ``strip`` in place of ``trajectory``.
    """
    # Only sentences drawn from noise have an agreement.
    caption = ScoredCaption(text, score, details.get('truncated') or None)
    if details.get('agreement') is None:
        return caption
    steps = details.get('trajectory') or details.get('strip') or ()
    return SampledCaption.of(caption, details['agreement'], details.get('abstained', False),
                             [(sigma, text) for sigma, text in steps], details.get('drawn', 1))


def source_of(sample: Any) -> tuple[str, ...]:
    """Return the image paths of a sample (a data sample or a mapping), empty where it has none."""
    paths = (sample.get(key) for key in ('img_path_from', 'img_path_to', 'img_path'))
    return tuple(str(path) for path in paths if path)


_OWN_FIELDS = {
    'gt_sem_seg_from': PixelData,  # int64 (1, H, W), class of the earlier date, 0 = no label
    'gt_sem_seg_to': PixelData,
    'pred_sem_seg_from': PixelData,  # int64 (1, H, W), 1..K at every pixel
    'pred_sem_seg_to': PixelData,
    'gt_captions': list,  # list[str], every reference sentence
    'target_captions': list,  # list[str], those drawn for this training visit
    'gt_change_flag': bool,
    'pred_caption': str,
    'pred_captions': list,  # list[ScoredCaption], n-best, best first
    'pred_sentences': dict,  # language -> list[ScoredCaption], where several were asked for
    'pred_caption_score': float,
    'pred_change_flag': bool,
    'pred_change_score': float,  # probability of "changed", 0 to 1
    'pred_novelty': float,  # squared distance from the training images over what 99 % of them keep
    'prompts': list,  # list[list[str]], class names per date
    'pred_swapped': BaseDataElement,  # what is said of the pair with its dates exchanged
}


class ChangeDataSample(SegDataSample):
    """MMSegmentation's sample plus captions, so that its heads and metrics work unchanged.

    Inherited fields: ``gt_sem_seg`` and ``pred_sem_seg`` (``PixelData`` whose ``data`` is int64
    (1, H, W)), ``seg_logits`` ((classes, H, W)).

    Semantic change: beside the change map (``gt_sem_seg``: 0 unchanged, 1 changed, 255 not known)
    a class map of each date, ``gt_sem_seg_from`` and ``gt_sem_seg_to`` (``PixelData`` whose
    ``data`` is int64 (1, H, W); 0 is no label, 1 to K are the classes), and what a model says,
    ``pred_sem_seg_from`` and ``pred_sem_seg_to`` (1 to K at every pixel, equal where nothing
    changed). ``LABEL_MAPS`` names the reference maps.

    Fields of ours: ``gt_captions``, ``target_captions``, ``gt_change_flag``, ``pred_caption``,
    ``pred_captions``, ``pred_sentences``, ``pred_caption_score``, ``pred_change_flag``,
    ``pred_change_score``, ``pred_novelty``, ``prompts``, ``pred_swapped`` (another such sample:
    what the model says of the same pair with its dates exchanged, where it was asked for that).

    Metainfo: ``sample_id``, ``language`` (of the references, and of what a head that knows several
    writes), ``img_path_from`` and ``img_path_to`` (or ``img_path``), ``ori_shape``
    and ``img_shape`` ((H, W) on disk and as given to the model), ``pad_shape``.
    """


def _own_property(name: str, kind: type) -> property:

    def getter(self: ChangeDataSample) -> object:
        return getattr(self, f'_{name}')

    def setter(self: ChangeDataSample, value: object) -> None:
        self.set_field(value, f'_{name}', dtype=kind)

    def deleter(self: ChangeDataSample) -> None:
        delattr(self, f'_{name}')

    return property(getter, setter, deleter)


for _name, _kind in _OWN_FIELDS.items():
    setattr(ChangeDataSample, _name, _own_property(_name, _kind))
