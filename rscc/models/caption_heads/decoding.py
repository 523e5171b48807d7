"""Decoding shared by every autoregressive caption head, on top of transformers' ``generate``."""
import contextlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from rscc.structures import ScoredCaption
from rscc.utils import did_you_mean

BEAM_RULES = ('standard', 'clipcap', 'show_attend_tell')


@dataclass(frozen=True)
class Decoding:
    """How sentences are searched.

    Attributes:
        num_beams: 1 is greedy (or sampling), more is beam search.
        num_captions: Sentences returned per sample (n-best); at most ``num_beams``, any number when
            sampling with one beam.
        max_tokens: Longest sentence in tokens, without the end token.
        min_tokens: Shortest sentence in tokens.
        length_penalty: Exponent on the length that divides a beam's log-probability; above 0
            favours longer sentences.
        repetition_penalty: Above 1 discourages repeated tokens.
        no_repeat_ngram: Forbid repeating n-grams of this size; 0 allows them.
        sample: Draw from the distribution instead of searching its maximum.
        temperature: Divides the logits when sampling.
        top_k: Keep the k likeliest tokens when sampling; 0 keeps all.
        top_p: Keep the smallest set of tokens of at least this probability when sampling.
        seed: Makes sampling repeatable; None draws from the global generator.
        beam_rule: Which sentences a beam search keeps: ``'standard'``, ``'clipcap'`` or
            ``'show_attend_tell'`` (the originals, see ``beam_rules``).
        use_cache: Keep keys and values of earlier tokens; off recomputes them, for comparison.
        return_attention: Return the attention maps of the sentences, where the head has any.
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
    return_attention: bool = False

    def __post_init__(self) -> None:
        self._check_ranges()
        if self.num_captions > self.num_beams and not (self.sample and self.num_beams == 1):
            raise ValueError(f'num_captions={self.num_captions} with num_beams={self.num_beams}: '
                             'beam search returns at most num_beams captions; raise num_beams, or '
                             'set sample=True with num_beams=1')

    def _check_ranges(self) -> None:
        """Refuse what would fail, or be ignored, deep inside transformers."""
        least = dict(num_beams=1, num_captions=1, max_tokens=1, min_tokens=0, no_repeat_ngram=0,
                     top_k=0)
        for name, lowest in least.items():
            if getattr(self, name) < lowest:
                raise ValueError(f'decoding {name}={getattr(self, name)} must be {lowest} or more')
        for name in ('temperature', 'repetition_penalty'):
            if not getattr(self, name) > 0:
                raise ValueError(f'decoding {name}={getattr(self, name)} must be above 0')
        if not 0 < self.top_p <= 1:
            raise ValueError(f'decoding top_p={self.top_p} is a probability in (0, 1]')
        if self.beam_rule not in BEAM_RULES:
            raise ValueError(f"decoding beam_rule='{self.beam_rule}' is none of "
                             f'{list(BEAM_RULES)}.{did_you_mean(self.beam_rule, BEAM_RULES)}')

    def updated(self, options: dict[str, Any]) -> 'Decoding':
        """Return a copy with ``options`` changed.

        Raises:
            TypeError: If an option does not exist; the nearest name is given.
        """
        known = [field.name for field in fields(self)]
        for name in options:
            if name not in known:
                raise TypeError(f"decoding has no option '{name}'.{did_you_mean(name, known)} "
                                f'Options: {", ".join(known)}')
        return replace(self, **options)

    def to_generate(self) -> dict[str, Any]:
        """Return the keywords of transformers' ``generate``."""
        arguments = dict(num_beams=self.num_beams, num_return_sequences=self.num_captions,
                         max_new_tokens=self.max_tokens + 1, do_sample=self.sample,
                         repetition_penalty=self.repetition_penalty,
                         no_repeat_ngram_size=self.no_repeat_ngram, use_cache=True)
        if self.min_tokens:
            arguments['min_new_tokens'] = self.min_tokens
        if self.num_beams > 1:
            arguments['length_penalty'] = self.length_penalty
        if self.sample:
            arguments |= dict(temperature=self.temperature, top_k=self.top_k, top_p=self.top_p)
        return arguments

    def as_dict(self) -> dict[str, Any]:
        """Return the options, for reports."""
        return asdict(self)


@contextlib.contextmanager
def seeded(seed: int | None, device: torch.device) -> Iterator[None]:
    """Draw from a generator of ``seed`` inside the block and restore the global one after it."""
    if seed is None:
        yield
        return
    devices = [device] if device.type == 'cuda' else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def generate(model: Any, prompts: Tensor, decoding: Decoding, *, eos_id: int, pad_id: int,
             **memory: Tensor) -> tuple[Tensor, Tensor]:
    """Run transformers' ``generate`` and score what it wrote.

    Args:
        model: A transformers model with ``generate``.
        prompts: Ids every sentence starts with, (N, P), the start token first.
        decoding: The search.
        eos_id: Token that ends a sentence.
        pad_id: Token after the end.
        **memory: What the decoder attends to; repeated per beam by transformers.

    Returns:
        New ids (N, num_captions, L) without the prompt, and mean log-probability per new token
        (end token included), (N, num_captions).
    """
    with seeded(decoding.seed if decoding.sample else None, prompts.device):
        output = model.generate(input_ids=prompts, attention_mask=torch.ones_like(prompts),
                                eos_token_id=eos_id, pad_token_id=pad_id,
                                return_dict_in_generate=True, output_scores=True,
                                **decoding.to_generate(), **memory)
    ids = output.sequences[:, prompts.shape[1]:]
    steps = model.compute_transition_scores(output.sequences, output.scores,
                                            getattr(output, 'beam_indices', None),
                                            normalize_logits=True)[:, :ids.shape[1]]
    # The end token counts once; what follows it is padding.
    ended = (ids == eos_id).int().cumsum(1)
    written = ((ended == 0) | ((ended == 1) & (ids == eos_id))).to(steps.dtype)
    steps = torch.where(written.bool(), steps, torch.zeros_like(steps))
    scores = steps.sum(1) / written.sum(1).clamp(min=1)
    shape = (prompts.shape[0], decoding.num_captions)
    return ids.unflatten(0, shape), scores.float().unflatten(0, shape)


def to_captions(ids: Tensor, scores: Tensor, decode: Any, ranked: bool
                ) -> list[list[ScoredCaption]]:
    """Detokenise (N, K, L) ids, each sample's sentences best first.

    Args:
        ids: New ids per sample and sentence.
        scores: Their scores (N, K).
        decode: A tokenizer's ``decode``: list of ids to sentence.
        ranked: Whether the search has put them in order already, as beam search does (by its own
            measure, ``length_penalty`` included); drawn sentences are ordered by score here.
    """
    everything = []
    for sentences, values in zip(ids.tolist(), scores.tolist(), strict=True):
        captions = [ScoredCaption(decode(sentence), value)
                    for sentence, value in zip(sentences, values, strict=True)]
        everything.append(captions if ranked else
                          sorted(captions, key=lambda caption: -caption.score))
    return everything
