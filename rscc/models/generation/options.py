"""Decoding options of caption heads: their base class, and those of the beam search."""
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from rscc.utils import did_you_mean
from rscc.utils.logging import renamed_keywords


class DecodingOptions:
    """Base class of decoding options, frozen dataclasses of which changed copies are made.

    Attributes:
        language: ``'en'``, ``'zh'``, or None for the first one that the head's tokenizer knows.
        return_attention: Return the attention maps of the sentences; refused where there are none.
            None returns those that there are: of a head that has some, from tokens that have a
            place in the image.
    """
    language: str | None = None
    return_attention: bool | None = False

    def updated(self, options: dict[str, Any]) -> Self:
        """Return a copy with ``options`` changed.

        Args:
            options: New values by name.

        Raises:
            TypeError: If an option does not exist; the nearest name is given.
            ValueError: If a value is impossible.
        """
        known = [field.name for field in fields(self)]
        kept, renamed = vars(self).copy(), renamed_keywords(type(self).__init__)
        for name in options:
            if renamed.get(name, name) not in known:
                raise TypeError(f"decoding has no option '{name}'.{did_you_mean(name, known)} "
                                f'Options: {", ".join(known)}')
            kept.pop(renamed.get(name, name), None)
        return type(self)(**kept, **options)

    def refuse_below(self, **least: int) -> None:
        """Refuse options below the least value that they may have.

        Raises:
            ValueError: Naming the first.
        """
        for name, lowest in least.items():
            if getattr(self, name) < lowest:
                raise ValueError(f'decoding {name}={getattr(self, name)} must be {lowest} or more')

    def as_dict(self) -> dict[str, Any]:
        """Return the options, for reports."""
        return asdict(self)


BEAM_RULES = ('standard', 'clipcap', 'show_attend_tell')


@dataclass(frozen=True)
class Decoding(DecodingOptions):
    """Options of greedy search, beam search and sampling token by token.

    Attributes:
        num_beams: 1 is greedy (or sampling), more is beam search.
        num_captions: Sentences returned per sample (n-best); at most ``num_beams``, any number when
            sampling with one beam.
        max_tokens: Limit of a caption, as in ``CaptionHead``. A caption of so many tokens has not
            come to its end token: it is returned as it is, marked as ``truncated``.
        min_tokens: Fewest tokens of a caption.
        length_penalty: Exponent on the length that divides a beam's log-probability; above 0
            favours longer sentences.
        repetition_penalty: Above 1 discourages repeated tokens.
        no_repeat_ngram: Forbid repeating n-grams of this size; 0 allows them.
        sample: Draw from the distribution instead of searching its maximum.
        temperature: Divides the logits when sampling.
        top_k: Keep the k likeliest tokens when sampling; 0 keeps all.
        top_p: Keep the smallest set of tokens of at least this probability when sampling.
        seed: Makes sampling repeatable: the same batch on the same device draws the same sentences
            (a sample's own depend on its place in the batch). None draws from the global generator.
        beam_rule: Which sentences a beam search keeps: ``'standard'``, ``'clipcap'`` or
            ``'show_attend_tell'`` (the originals, see ``beam_scorers``).
        use_cache: Keep keys and values of earlier tokens; off recomputes them, for comparison.
        return_attention: Return the attention maps of the sentences; refused where there are none.
            None returns those that there are: of a head that has some, from tokens that have a
            place in the image.
        language: Language to write in, where the tokenizer knows several; None for its first.
    """
    num_beams: int = 1
    num_captions: int = 1
    max_tokens: int = 40
    min_tokens: int = 0
    length_penalty: float = 1.0
    repetition_penalty: float = 1.0
    no_repeat_ngram: int = 0
    sample: bool = False
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int | None = None
    beam_rule: str = 'standard'
    use_cache: bool = True
    return_attention: bool | None = False
    language: str | None = None

    def __post_init__(self) -> None:
        self._check_ranges()
        if self.num_captions > self.num_beams and not (self.sample and self.num_beams == 1):
            raise ValueError(f'num_captions={self.num_captions} with num_beams={self.num_beams}: '
                             'beam search returns at most num_beams captions; raise num_beams, or '
                             'set sample=True with num_beams=1')

    def _check_ranges(self) -> None:
        """Refuse what would fail, or be ignored, deep inside a search."""
        # Numbers have a least value, factors and probabilities a range, names a list.
        self.refuse_below(num_beams=1, num_captions=1, max_tokens=1, min_tokens=0,
                          no_repeat_ngram=0, top_k=0)
        for name in ('temperature', 'repetition_penalty'):
            if not getattr(self, name) > 0:
                raise ValueError(f'decoding {name}={getattr(self, name)} must be above 0')
        if self.min_tokens > self.max_tokens:
            raise ValueError(f'decoding min_tokens={self.min_tokens} is above max_tokens='
                             f'{self.max_tokens}')
        if not 0 < self.top_p <= 1:
            raise ValueError(f'decoding top_p={self.top_p} is a probability in (0, 1]')
        if self.beam_rule not in BEAM_RULES:
            raise ValueError(f"decoding beam_rule='{self.beam_rule}' is none of "
                             f'{list(BEAM_RULES)}.{did_you_mean(self.beam_rule, BEAM_RULES)}')
