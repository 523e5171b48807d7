"""Caption records, scoring options, and the metadata that is stated beside every score."""
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rscc.evaluation.functional.bootstrap import check_resamples
from rscc.evaluation.functional.mask_content import Shown
from rscc.structures import SampledCaption, ScoredCaption
from rscc.text import split_words
from rscc.text.normalisation import check_language, strip_hashes
from rscc.utils import check_choice

PROTOCOLS = ('coco', 'clipcap_rsic')


@dataclass
class CaptionRecord:
    """One sample's captions.

    Attributes:
        sample_id: Name of the sample, unique in its dataset.
        prediction: The generated sentence.
        references: Sentences it is scored against, at least one.
        changed: Whether the sample changed; None for single images.
        predicted_flag: The model's own change flag, where it has one.
        sampled: The sentence with its agreement and denoising trajectory, where it was drawn from
            noise.
        cut_at: The limit of tokens at which it was cut; None where it ended, or nobody says.
        swapped: The sentence on the same pair with its dates exchanged, where one was asked for.
        shown: What the reference mask shows, as ``mask_content`` returns it, where there is one.
    """
    sample_id: str
    prediction: str
    references: Sequence[str]
    changed: bool | None = None
    predicted_flag: bool | None = None
    sampled: SampledCaption | None = None
    cut_at: int | None = None
    swapped: str | None = None
    shown: Shown | None = None


def caption_details(caption: ScoredCaption) -> dict[str, Any]:
    """Return what a sentence says of itself, as fields of ``CaptionRecord``."""
    return dict(sampled=caption if isinstance(caption, SampledCaption) else None,
                cut_at=caption.cut_at)


def describe_cuts(records: Sequence[CaptionRecord]) -> str:
    """Say how many captions were cut at the limit of tokens, '' where none was."""
    limits = [record.cut_at for record in records if record.cut_at is not None]
    if not limits:
        return ''
    limit = ' or '.join(map(str, sorted(set(limits))))
    return f'captions cut at the limit of {limit} tokens: {len(limits)} of {len(records)}'


@dataclass
class CaptionOptions:
    """How captions are scored.

    Attributes:
        protocol: ``'coco'``: coco-caption's arithmetic on words. ``'clipcap_rsic'``: what the
            authors of CLIP-GPT published, for comparison with their figures alone.
        language: ``'en'`` or ``'zh'``.
        no_change_captions: The dataset's stock sentences for unchanged pairs.
        meteor: Compute METEOR (and ``Sm``), which needs Java.
        baselines: Score trivial baselines, too.
        constant_caption: The baseline's sentence for changed samples; chosen on the references by
            default.
        constant_no_change: The same for unchanged samples.
        frequent_caption: The most frequent caption of the training split, the baseline of single
            images; that of the references where none is given.
        bootstrap: Resamples for 95 % intervals; 0 for none.
        seed: Seed of the resamples.

    Raises:
        ValueError: If the protocol or the language is unknown, or the resamples are too few.
    """
    protocol: str = 'coco'
    language: str = 'en'
    no_change_captions: Sequence[str] = ()
    meteor: bool = True
    baselines: bool = True
    constant_caption: str | None = None
    constant_no_change: str | None = None
    frequent_caption: str | None = None
    bootstrap: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        check_language(self.language)
        check_resamples(self.bootstrap)
        check_choice('protocol', self.protocol, PROTOCOLS)


def coco_words(language: str) -> Callable[[str], list[str]]:
    """Return the function that splits sentences into words for protocol ``'coco'``."""
    if language == 'en':
        return split_words
    # Chinese marks are no words: they would count as matches of the commonest kind.
    return lambda text: [word for word in split_words(strip_hashes(text), 'zh')
                         if any(map(str.isalnum, word))]


def coco_characters(text: str) -> list[str]:
    """Return the characters of a Chinese sentence without marks and blanks."""
    return [character for character in strip_hashes(text).lower() if character.isalnum()]


def scoring_metadata(options: CaptionOptions, split: str | None = None,
                     single: bool = False) -> dict[str, str]:
    """State protocol, language and whatever else a score cannot be read without.

    Args:
        options: How the captions are scored.
        split: Split they are of.
        single: Whether they are of single images, whose baseline is the most frequent caption.

    Returns:
        ``protocol``, ``language``, ``tokenizer``, and where they apply ``split``,
        ``most_frequent_of`` (where that caption is from) and ``intervals``.
    """
    # Only what applies: pairs have no most frequent caption, and few runs have intervals.
    metadata = {'protocol': options.protocol, 'language': options.language,
             'tokenizer': _tokenizer(options)}
    if split:
        metadata['split'] = split
    if single and options.baselines:
        metadata['most_frequent_of'] = 'train' if options.frequent_caption else 'these references'
    if options.bootstrap:
        metadata['intervals'] = (f'95 %, {options.bootstrap} resamples of the images, seed '
                                 f'{options.seed}')
    return metadata


def _tokenizer(options: CaptionOptions) -> str:
    if options.protocol == 'clipcap_rsic':
        other = 'CIDEr' if options.language == 'en' else 'char_cosine'
        return f'jieba with blanks and marks (BLEU), PTB (METEOR, {other})'
    if options.language == 'en':
        return 'words and marks, lower case, no PTB'
    # Where jieba is missing, the splitting of the package falls back on characters and says so.
    words = split_words('一座桥梁', 'zh')
    if len(words) == 4:
        return 'characters (jieba is not installed), no marks'
    return 'jieba words, no marks; characters as a second report'
