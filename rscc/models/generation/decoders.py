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
        output = self.model(inputs_embeds=inputs, past_key_values=state.cache,
                            use_cache=self.use_cache, **self.keywords)
        cache = output.past_key_values if self.use_cache else None
        return output.logits[:, -1], PrefixState(inputs, cache)

    def select(self, state: PrefixState, rows: Tensor) -> PrefixState:
        """Return the state of these rows; the cache is rearranged in place."""
        if state.cache is not None:
            state.cache.reorder_cache(rows)
        return replace(state, inputs=state.inputs[rows])


@dataclass(frozen=True)
class MemoryState:
    """State of a cross-attending decoder in R rows of text.

    Attributes:
        ids: Ids to read next (R, t): those given at first; without a cache, all so far.
        memory: What each row attends to (R, L, C).
        owners: The sample that each row belongs to (R,).
        cache: transformers' keys and values of ids and memory, or None.
    """
    ids: Tensor
    memory: Tensor
    owners: Tensor
    cache: Any = None


class CrossAttentionStep:
    """Decoder step of a transformers decoder that attends to a memory, BLIP's for instance.

    The memory is projected once a sample, not once a beam, and its keys and values are moved only
    where beams of different samples change places (when a sample leaves the batch).

    Args:
        model: A decoder with a language-model head and ``encoder_hidden_states``.
        use_cache: As for ``CausalLMStep``.
    """

    def __init__(self, model: nn.Module, use_cache: bool = True) -> None:
        self.model = model
        self.use_cache = use_cache

    def start(self, given: Sequence[int], memory: Tensor) -> MemoryState:
        """Return the state before the first id: ids that are given, and memory (N, L, C)."""
        ids = torch.tensor(list(given), device=memory.device).expand(len(memory), -1)
        return MemoryState(ids, memory, torch.arange(len(memory), device=memory.device))

    def step(self, ids: Tensor | None, state: MemoryState) -> tuple[Tensor, MemoryState]:
        """Read what is given or one id a row, and score the next (R, V)."""
        read = state.ids
        # What is given (R, g) first, then one id a row (R, 1) beside the cache.
        if ids is not None:
            read = ids[:, None] if self.use_cache else torch.cat([read, ids[:, None]], 1)
        output = self.model(input_ids=read, encoder_hidden_states=state.memory, is_decoder=True,
                            past_key_values=state.cache, use_cache=self.use_cache,
                            logits_to_keep=1)
        cache = output.past_key_values if self.use_cache else None
        return output.logits[:, -1], replace(state, ids=read, cache=cache)

    def select(self, state: MemoryState, rows: Tensor) -> MemoryState:
        """Return the state of these rows; the cache is rearranged in place."""
        owners = state.owners[rows]
        moved = not torch.equal(owners, state.owners)
        # Beams of one sample share its memory: only their words change places with them.
        if state.cache is not None:
            state.cache.self_attention_cache.reorder_cache(rows)
            if moved:
                state.cache.cross_attention_cache.reorder_cache(rows)
        memory = state.memory[rows] if moved else state.memory
        return MemoryState(state.ids[rows], memory, owners, state.cache)
