"""The graphs that an export writes, as torch modules of plain tensors.

``EncoderGraph`` is the model up to its scores; a caption head becomes a ``DecoderGraphs``: what is
computed once for a sample (``start``), and what is computed for every word (``step``). They call
the decoder steps of torch's search, so both search the same scores.
"""
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from rscc import compat
from rscc.models.caption_heads.attention_lstm import AttentionLSTMStep, LSTMState
from rscc.models.caption_heads.attention_lstm_head import AttentionLSTMHead
from rscc.models.caption_heads.base import CaptionHead
from rscc.models.caption_heads.blip_caption_head import BlipCaptionHead
from rscc.models.caption_heads.prefix_gpt_head import PrefixGPTHead
from rscc.models.change_heads.base import as_change_head
from rscc.models.generation.decoders import (
    CausalLMStep,
    CrossAttentionStep,
    MemoryState,
    PrefixState,
)
from rscc.models.interpreter import ChangeInterpreter
from rscc.structures import ChangeFeatures

#: Outputs of the encoder's graph, those that the model has; the memory is the last.
OUTPUTS = ('change_logits', 'class_logits', 'flag_logits', 'novelty', 'memory')


class EncoderGraph(nn.Module):
    """Normalised frames (N, T, B, H, W) to the scores of the heads and the decoder's memory.

    Args:
        model: In evaluation mode, its texts fixed.

    Attributes:
        names: Which of ``OUTPUTS`` it returns.
    """

    def __init__(self, model: ChangeInterpreter) -> None:
        super().__init__()
        self.model = model
        self.head = None if model.change_head is None else as_change_head(model.change_head)
        by_date = None if self.head is None else self.head.groups
        there = (self.head, by_date, model.flag_head, model.novelty, model.caption_head)
        self.names = [name for name, part in zip(OUTPUTS, there, strict=True) if part is not None]

    def forward(self, frames: Tensor) -> tuple[Tensor, ...]:
        """Return the ``names`` among the outputs.

        Change logits (N, C, H, W), class logits of both dates (N, 2, K, H, W), flag logits (N,),
        novelty (N,), memory (N, L, C) or (N, C).
        """
        model = self.model
        of_frames, features = model.encode(frames)
        outputs = []
        if model.change_head is not None:
            raw = model.map_logits(features)
            change, *dates = self.head.split(enlarged(model, raw, frames.shape[-2:]))
            outputs += [change, torch.stack(dates, 1)] if dates else [change]
            features = model.guided(features, raw)
        if model.flag_head is not None:
            outputs.append(model.flag_head(features))
        if model.novelty is not None:
            outputs.append(model.novelty(of_frames))
        if model.caption_head is not None:
            pooled = model.caption_head.source == 'pooled'
            outputs.append(features.pooled if pooled else features.tokens)
        return tuple(outputs)


def enlarged(model: ChangeInterpreter, logits: Tensor, size: Sequence[int]) -> Tensor:
    """Return the change head's logits (N, C, h, w) at ``size``, (N, C, H, W)."""
    meta = dict(img_shape=tuple(size), pad_shape=tuple(size))
    return as_change_head(model.change_head).enlarge(logits, [meta])


class SixBandGraph(nn.Module):
    """Both dates in six bands (N, 6, H, W), 0 to 1, to class probabilities (N, C, H, W).

    Of B bands a date they are 2 B, those of the earlier date first.

    Args:
        model: As for ``EncoderGraph``, with a change head.
    """

    def __init__(self, model: ChangeInterpreter) -> None:
        super().__init__()
        self.model = model

    def forward(self, bands: Tensor) -> tuple[Tensor]:
        """Normalise, and return probabilities that sum to 1; of one class its own alone.

        Of a head that also tells the classes of each date they are those of the change map.
        """
        preprocessor = self.model.data_preprocessor
        frames = bands.unflatten(1, (2, preprocessor.bands))
        frames = (frames - preprocessor.mean) / preprocessor.std
        raw = self.model.map_logits(self.model.extract(frames))
        head = as_change_head(self.model.change_head)
        logits = head.split(enlarged(self.model, raw, frames.shape[-2:]))[0]
        return (logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(1), )


class WholeUpsample(nn.Module):
    """MMSegmentation's ``Upsample`` by a whole factor, without sizes that a trace would fix."""

    def __init__(self, factor: float, mode: str, align_corners: bool | None) -> None:
        super().__init__()
        self.factor, self.mode, self.align_corners = int(factor), mode, align_corners

    def forward(self, maps: Tensor) -> Tensor:
        """Enlarge maps (N, C, h, w)."""
        size = [side * self.factor for side in maps.shape[-2:]]
        return functional.interpolate(maps, size, None, self.mode, self.align_corners)


def make_traceable(model: ChangeInterpreter) -> None:
    """Replace in place what would fix the size of the traced images."""
    known = compat.import_mmseg_models().utils.wrappers.Upsample
    for name, module in list(model.named_modules()):
        factor = getattr(module, 'scale_factor', None)
        if isinstance(module, known) and isinstance(factor, float) and factor.is_integer() and (
                not module.size):
            parent, _, own = name.rpartition('.')
            setattr(model.get_submodule(parent), own,
                    WholeUpsample(factor, module.mode, module.align_corners))


@dataclass
class DecoderInputs:
    """Inputs of a decoder step beside the ids, by their role.

    Attributes:
        once: Read before the first ids, then empty (R, 0, E).
        fixed: The same at every step.
        state: What the last step returned; at first what ``start`` did, else empty.
    """
    once: list[Tensor] = field(default_factory=list)
    fixed: list[Tensor] = field(default_factory=list)
    state: list[Tensor] = field(default_factory=list)

    def named(self) -> dict[str, Tensor]:
        """Return the tensors by the names that they have in both files."""
        return {f'{role}_{number}': tensor for role, tensors in vars(self).items()
                for number, tensor in enumerate(tensors)}


class DecoderGraphs(ABC):
    """A caption head as two graphs.

    Args:
        head: The head.

    Attributes:
        reads_several: Whether a step can read several ids.
        axes: By role, which axes of its tensors follow the data, beside the first, that of rows.
    """
    reads_several: ClassVar[bool] = True
    axes: ClassVar[dict[str, dict[int, str]]]

    def __init__(self, head: CaptionHead) -> None:
        self.head = head

    def first_ids(self, language: str | None = None) -> list[int]:
        """Return the ids that the first step reads for a sentence in a language."""
        return self.head.given(language)

    @abstractmethod
    def start(self, memory: Tensor) -> DecoderInputs:
        """Return what is computed once a sample from its memory (R, L, C) or (R, C)."""

    @abstractmethod
    def step(self, ids: Tensor, inputs: DecoderInputs) -> tuple[Tensor, list[Tensor]]:
        """Read ids (R, t) and return logits (R, V) and the new state."""

    def example(self, memory: Tensor) -> DecoderInputs:
        """Return inputs of a later step, for tracing."""
        return self.start(memory)


def _cache_of(flat: Sequence[Tensor]) -> Any:
    """Return transformers' cache of keys and values, layer by layer."""
    cache = compat.import_transformers('cache_utils').DynamicCache()
    for layer, (keys, values) in enumerate(zip(flat[::2], flat[1::2], strict=True)):
        cache.update(keys, values, layer)
    return cache


def _flat(cache: Any) -> list[Tensor]:
    return [value for layer in cache.layers for value in (layer.keys, layer.values)]


class BlipGraphs(DecoderGraphs):
    """``BlipCaptionHead``: keys and values of the memory once, of the words step by step."""
    axes: ClassVar[dict] = {'fixed': {2: 'length'}, 'state': {2: 'written'}}

    def _read(self, ids: Tensor, memory: Tensor, cache: Any = None) -> tuple[Tensor, Any]:
        logits, state = CrossAttentionStep(self.head.decoder).step(
            None, MemoryState(ids, memory, None, cache=cache))
        return logits, state.cache

    def start(self, memory: Tensor) -> DecoderInputs:
        """Return the keys and values of the memory in every layer."""
        ids = torch.zeros(memory.shape[0], 1, dtype=torch.long)
        return DecoderInputs(fixed=_flat(self._read(ids, memory)[1].cross_attention_cache))

    def step(self, ids: Tensor, inputs: DecoderInputs) -> tuple[Tensor, list[Tensor]]:
        """Read ids beside the keys and values of memory and words."""
        cross = _cache_of(inputs.fixed)
        cache = compat.import_transformers('cache_utils').EncoderDecoderCache(
            _cache_of(inputs.state), cross)
        # Given as they are, these keys and values are not to be computed from a memory again.
        cache.is_updated = dict.fromkeys(range(len(cross.layers)), True)
        logits, cache = self._read(ids, inputs.fixed[0], cache)
        return logits, _flat(cache.self_attention_cache)

    def example(self, memory: Tensor) -> DecoderInputs:
        """Return keys and values of the memory and of three words."""
        ids = torch.zeros(memory.shape[0], 3, dtype=torch.long)
        cache = self._read(ids, memory)[1]
        return DecoderInputs(fixed=_flat(cache.cross_attention_cache),
                             state=_flat(cache.self_attention_cache))


class PrefixGPTGraphs(DecoderGraphs):
    """``PrefixGPTHead``: the mapper once, the language model with its cache step by step."""
    axes: ClassVar[dict] = {'once': {1: 'prefix'}, 'state': {2: 'written'}}

    def start(self, memory: Tensor) -> DecoderInputs:
        """Return the prefix and what stands before it (R, l + P, E)."""
        prefix = self.head.prefix(ChangeFeatures(tokens=memory, pooled=memory))
        return DecoderInputs(once=[self.head.opening(prefix)])

    def step(self, ids: Tensor, inputs: DecoderInputs) -> tuple[Tensor, list[Tensor]]:
        """Read the prefix, if there is one, and ids."""
        words = self.head.language_model.embed(ids).to(inputs.once[0].dtype)
        read = PrefixState(torch.cat([inputs.once[0], words], 1), _cache_of(inputs.state))
        logits, state = CausalLMStep(self.head.language_model.model).step(None, read)
        return logits, _flat(state.cache)

    def example(self, memory: Tensor) -> DecoderInputs:
        """Return a prefix, and keys and values of what stands before it."""
        inputs = self.start(memory)
        read = PrefixState(inputs.once[0])
        state = CausalLMStep(self.head.language_model.model).step(None, read)[1]
        return DecoderInputs(once=inputs.once, state=_flat(state.cache))


class AttentionLSTMGraphs(DecoderGraphs):
    """``AttentionLSTMHead``: memory and keys once, both states of the LSTM step by step."""
    reads_several: ClassVar[bool] = False
    axes: ClassVar[dict] = {'fixed': {1: 'length'}, 'state': {}}

    def first_ids(self, language: str | None = None) -> list[int]:
        """Return the start token."""
        return [self.head.tokenizer.bos_id]

    def _decoder(self) -> AttentionLSTMStep:
        return AttentionLSTMStep(self.head.decoder, self.head.tokenizer.bos_id)

    def start(self, memory: Tensor) -> DecoderInputs:
        """Return memory (R, L, C), keys (R, L, A), hidden and cell state (R, 1, H)."""
        state = self._decoder().start(memory)
        return DecoderInputs(fixed=[memory.clone(), state.keys], state=[state.hidden, state.cell])

    def step(self, ids: Tensor, inputs: DecoderInputs) -> tuple[Tensor, list[Tensor]]:
        """Read one id a row."""
        memory, keys = inputs.fixed
        logits, state = self._decoder().step(ids, LSTMState(*inputs.state, memory, keys))
        return logits, [state.hidden, state.cell]


#: By caption head, subclasses included.
GRAPHS: dict[type[CaptionHead], type[DecoderGraphs]] = {
    BlipCaptionHead: BlipGraphs, PrefixGPTHead: PrefixGPTGraphs,
    AttentionLSTMHead: AttentionLSTMGraphs}


def decoder_graphs(head: CaptionHead) -> DecoderGraphs:
    """Return a caption head as graphs.

    Raises:
        ValueError: If there are none for such a head.
    """
    for kind, graphs in GRAPHS.items():
        if isinstance(head, kind):
            return graphs(head)
    raise ValueError(f'{head.title} cannot be exported to ONNX: it does not write word by word '
                     'with one decoder step. Heads that can: '
                     f'{", ".join(kind.__name__ for kind in GRAPHS)}. A model with a change head '
                     'as well is exported without its sentences by --no-captions')


class StartGraph(nn.Module):
    """``DecoderGraphs.start`` as a module."""

    def __init__(self, graphs: DecoderGraphs) -> None:
        super().__init__()
        self.head, self.graphs = graphs.head, graphs

    def forward(self, memory: Tensor) -> tuple[Tensor, ...]:
        """Return the tensors in the order of their names."""
        return tuple(self.graphs.start(memory).named().values())


class StepGraph(nn.Module):
    """``DecoderGraphs.step`` as a module."""

    def __init__(self, graphs: DecoderGraphs) -> None:
        super().__init__()
        self.head, self.graphs = graphs.head, graphs

    def forward(self, ids: Tensor, once: list[Tensor], fixed: list[Tensor], state: list[Tensor]
                ) -> tuple[Tensor, ...]:
        """Return logits (R, V), then the new state."""
        logits, new = self.graphs.step(ids, DecoderInputs(once, fixed, state))
        return logits, *new
