"""Decoder steps: decoders as the search uses them, one token at a time.

R rows of text: one a sample at first, one a beam of each sample later. A step reads the token just
chosen in each row and scores the next; what it remembers of the rows is its state, which it can
rearrange. ``AttentionLSTMStep`` stands beside its LSTM; those of transformers' decoders are here.
"""
import inspect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from rscc import compat


class DecoderStep(Protocol):
    """One step of a decoder; a state holds whatever it remembers of R rows."""

    def step(self, ids: Tensor | None, state: Any) -> tuple[Tensor, Any]:
        """Read one id a row and score the next.

        Args:
            ids: The id just chosen in each row (R,); None at the start, where each row is one
                sample and what is given (a prefix, a start id) is in the state.
            state: As ``select`` or the last step left it.

        Returns:
            Logits of the next id (R, V), and the new state.
        """

    def select(self, state: Any, rows: Tensor) -> Any:
        """Return the state of these rows (R',) in this order; a row may come several times."""


@dataclass(frozen=True)
class PrefixState:
    """State of a causal language model in R rows of text.

    Attributes:
        inputs: Embeddings to read next (R, P, E): the prefix at first; without a cache, all so far.
        cache: transformers' keys and values of what was read, or None.
    """
    inputs: Tensor
    cache: Any = None


class CausalLMStep:
    """Decoder step of a causal language model that continues prefix embeddings.

    Args:
        model: A transformers model with a language-model head (peft's wrapper is welcome too).
        use_cache: Keep keys and values; off reads everything again at every id, as the originals
            did, which only serves comparisons.
    """

    def __init__(self, model: nn.Module, use_cache: bool = True) -> None:
        self.model = model
        self.embed = model.get_input_embeddings()
        self.use_cache = use_cache
        # peft wraps the model, whose own forward tells what it takes.
        inner = model.get_base_model() if hasattr(model, 'get_base_model') else model
        # Scores of the last position are all that is needed; large vocabularies make it matter.
        known = inspect.signature(inner.forward).parameters
        self.keywords = dict(logits_to_keep=1) if 'logits_to_keep' in known else {}
        self.cache_argument = compat.cache_argument(inner.forward)

    def start(self, prefix: Tensor) -> PrefixState:
        """Return the state before the first id; ``prefix`` is (N, P, E)."""
        return PrefixState(prefix)

    def step(self, ids: Tensor | None, state: PrefixState) -> tuple[Tensor, PrefixState]:
        """Read the prefix or one id a row, and score the next (R, V)."""
        inputs = state.inputs
        # The prefix (R, P, E) first, then one embedding a row (R, 1, E) beside the cache.
        if ids is not None:
            word = self.embed(ids)[:, None].to(inputs.dtype)
            inputs = word if self.use_cache else torch.cat([inputs, word], 1)
        # Keys and values of what was read stay in the cache; scores of the last position (R, V).
        output = self.model(inputs_embeds=inputs, use_cache=self.use_cache, **self.keywords,
                            **{self.cache_argument: state.cache})
        cache = compat.keys_and_values(output) if self.use_cache else None
        return output.logits[:, -1], PrefixState(inputs, cache)

    def select(self, state: PrefixState, rows: Tensor) -> PrefixState:
        """Return the state of these rows; the cache is rearranged in place."""
        if state.cache is not None:
            state.cache.reorder_cache(rows)
        return replace(state, inputs=state.inputs[rows])


@dataclass(frozen=True)
class MemoryState:
    """State of a cross-attending decoder: R rows of text about n samples.

    Attributes:
        ids: Ids to read next, those given at first (n, g); without a cache, all so far (R, t).
        memory: What is attended to, once a sample (n, L, C).
        owners: The sample that each row is about (R,); as many rows for each, one after the other.
        written: Which of the S ids in its sample's cache are each row's own (R, S); None before
            the first step.
        cache: transformers' keys and values of memory and ids, by sample, or None.
    """
    ids: Tensor
    memory: Tensor
    owners: Tensor
    written: Tensor | None = None
    cache: Any = None


class CrossAttentionStep:
    """Decoder step of a transformers decoder that attends to a memory, BLIP's for instance.

    The B beams of a sample are B positions of one row: its memory is projected once and read once
    a step for all of them, not once a beam. Their words stand side by side in one cache, where a
    mask shows each beam its own. So nothing is moved when beams change places; only a sample that
    leaves the batch takes its keys and values with it.

    Args:
        model: A decoder with a language-model head and ``encoder_hidden_states``.
        use_cache: As for ``CausalLMStep``.
    """

    def __init__(self, model: nn.Module, use_cache: bool = True) -> None:
        self.model = model
        self.use_cache = use_cache
        self.cache_argument = compat.cache_argument(model.forward)

    def start(self, given: Sequence[int], memory: Tensor) -> MemoryState:
        """Return the state before the first id: ids that are given, and memory (N, L, C)."""
        ids = torch.tensor(list(given), device=memory.device).expand(len(memory), -1)
        return MemoryState(ids, memory, torch.arange(len(memory), device=memory.device))

    def step(self, ids: Tensor | None, state: MemoryState) -> tuple[Tensor, MemoryState]:
        """Read what is given or one id a row, and score the next (R, V)."""
        if ids is None:
            return self._read(state.ids, state.memory, state)
        if not self.use_cache:
            return self._read(torch.cat([state.ids, ids[:, None]], 1), state.memory[state.owners],
                              state)
        return self._read_beams(ids, state)

    def _read(self, ids: Tensor, memory: Tensor, state: MemoryState
              ) -> tuple[Tensor, MemoryState]:
        """Read ids (R, t) of rows that have a memory (R, L, C) each."""
        output = self.model(input_ids=ids, encoder_hidden_states=memory, is_decoder=True,
                            use_cache=self.use_cache, logits_to_keep=1,
                            **{self.cache_argument: state.cache})
        cache = compat.keys_and_values(output) if self.use_cache else None
        written = torch.ones_like(ids, dtype=torch.bool)
        return output.logits[:, -1], replace(state, ids=ids, written=written, cache=cache)

    def _read_beams(self, ids: Tensor, state: MemoryState) -> tuple[Tensor, MemoryState]:
        """Read one id a row (R,) beside the cache, the B rows of each sample together."""
        # Of the cache each row sees its own ids and, of the B that come to it, its own: (R, S + B).
        samples = len(state.memory)
        beams = len(ids) // samples
        own = torch.eye(beams, dtype=torch.bool, device=ids.device).repeat(samples, 1)
        written = torch.cat([state.written, own], 1)

        # Rows of B positions, which are the same: a beam's next one. The mask is (n, 1, B, S + B).
        hidden = ~written.view(samples, 1, beams, -1)
        mask = torch.zeros(hidden.shape, device=ids.device).masked_fill(
            hidden, torch.finfo(torch.float32).min)
        output = self.model(
            input_ids=ids.view(samples, beams), attention_mask=mask,
            position_ids=state.written.sum(1).view(samples, beams),
            encoder_hidden_states=state.memory, is_decoder=True, use_cache=True,
            **{self.cache_argument: state.cache})
        return output.logits.flatten(0, 1), replace(
            state, ids=ids[:, None], written=written, cache=compat.keys_and_values(output))

    def select(self, state: MemoryState, rows: Tensor) -> MemoryState:
        """Return the state of these rows; the cache is rearranged in place."""
        kept, counts = state.owners[rows].unique_consecutive(return_counts=True)
        if not counts.eq(counts[0]).all():
            # Sentences drawn apart end apart: every row gets the memory of its sample for itself.
            kept, counts = state.owners[rows], torch.ones_like(rows)
        memory = state.memory
        if not torch.equal(kept, torch.arange(len(memory), device=kept.device)):
            memory = memory[kept]
            if state.cache is not None:
                state.cache.reorder_cache(kept)
        owners = torch.arange(len(kept), device=kept.device).repeat_interleave(counts)
        return MemoryState(state.ids[rows], memory, owners, state.written[rows], state.cache)
