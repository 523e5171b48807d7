"""Base class of caption heads that write all words of a sentence at once, in a row of L positions.

The row, its length, captions without their images for guidance, and what they all report: a head
that diffuses adds how words are hidden in training and found again.
"""
from collections.abc import Callable
from typing import ClassVar

import torch
from mmengine.dist import get_dist_info
from torch import Tensor, nn

from rscc.models.caption_heads.base import CaptionHead
from rscc.models.diffusion.caption_rows import CaptionRows
from rscc.models.diffusion.denoiser import Denoiser
from rscc.models.diffusion.noise_levels import stratified
from rscc.models.diffusion.sampled_captions import SampledDecoding
from rscc.structures import ChangeDataSample, ChangeFeatures

LENGTH = 'caption_length'


class WholeCaptionHead(CaptionHead):
    """Sentences as rows of L ids, start, end and padding among them.

    Args:
        tokenizer, memory_channels, loss_weight: As for ``CaptionHead``.
        pad_weight: What padding beyond the first counts in the losses, 0 to 1.
        condition_dropout: Share of samples that learn without their images, 0 to 1; guidance needs
            it.
        rows_per_sample: Rows that learn from one encoding of the images, at least.

    Attributes:
        denoiser: The network that a subclass builds.
        nothing: Memory (1, 1, C) that stands for no image; None without ``condition_dropout``.

    Raises:
        ValueError: If a probability is none, or the tokenizer knows several languages.
    """

    CARRIED: ClassVar[tuple[str, ...]] = (*CaptionHead.CARRIED, LENGTH)
    HAS_ATTENTION: ClassVar[bool] = True
    denoiser: nn.Module
    decoding: SampledDecoding

    def __init__(self, tokenizer: dict, memory_channels: int, loss_weight: float = 1.0,
                 pad_weight: float = 1.0, condition_dropout: float = 0.0,
                 rows_per_sample: int = 1) -> None:
        self.check_shares(pad_weight=pad_weight, condition_dropout=condition_dropout)
        super().__init__(tokenizer, memory_channels, loss_weight)
        if len(self.languages) > 1:
            raise ValueError(f'{type(self).__name__} draws whole captions and can be given '
                             f'no language: found a tokenizer of {list(self.languages)}. Take '
                             'WordTokenizer, or BlipCaptionHead for several languages')
        self.pad_weight, self.rows_per_sample = pad_weight, rows_per_sample
        self.condition_dropout = condition_dropout
        self.nothing = (nn.Parameter(torch.zeros(1, 1, memory_channels)) if condition_dropout
                        else None)

    @classmethod
    def check_shares(cls, **shares: float) -> None:
        """Refuse options, by name, that are no shares from 0 to 1."""
        for name, value in shares.items():
            if not 0 <= value <= 1:
                raise ValueError(f'{cls.__name__} {name}={value} is not within [0, 1]')

    def set_length(self, max_tokens: int | None) -> None:
        """Set L of a head whose denoiser is built; 0 until data or a checkpoint tells.

        Args:
            max_tokens: Limit of a caption; None takes the longest one of the data, which a
                tokenizer made from ``word_encoding.json`` knows.

        Raises:
            ValueError: If L is beyond the denoiser's positions.
        """
        longest = self.tokenizer.max_tokens if max_tokens is None else max_tokens
        length = 0 if longest is None else longest + 2
        if length > self.denoiser.max_positions:
            raise ValueError(f'captions of up to {length} ids and a denoiser with positions for '
                             f'{self.denoiser.max_positions}: lower max_tokens or raise '
                             'denoiser.max_positions')
        self.register_buffer(LENGTH, torch.tensor(length))

    def check_decoding(self, options: SampledDecoding) -> None:
        """Refuse guidance of a head that never learned what is said without an image."""
        super().check_decoding(options)
        if options.guidance != 1 and self.nothing is None:
            raise ValueError(f'decoding guidance={options.guidance} compares with what the head '
                             'says without an image, which this one never learned: train it with '
                             'condition_dropout=0.1, or use guidance=1')

    @property
    def length(self) -> int:
        """Number L of positions in a row.

        Raises:
            ValueError: If neither the config, nor the data, nor a checkpoint has told.
        """
        length = int(self.caption_length)
        if not length:
            raise ValueError('the length of captions is not known: set max_tokens, take the '
                             "tokenizer's words from word_encoding.json (python "
                             'tools/dataset_converters/levircc.py --word-encode), or load a '
                             'checkpoint')
        return length

    @property
    def max_tokens(self) -> int:
        """Limit of a caption: what start and end leave of a row."""
        return self.length - len(self.tokenizer.start_ids) - 1

    def rows_of(self, data_samples: list[ChangeDataSample], device: torch.device) -> CaptionRows:
        """Return the captions of N samples as K rows each, ids (N, K, L)."""
        sentences = self.encode_targets(data_samples)
        return CaptionRows.of(sentences, self.tokenizer.pad_id, self.length,
                              self.rows_per_sample).to(device)

    def draw_levels(self, count: int, device: torch.device) -> Tensor:
        """Draw numbers in (0, 1), one for each row (count,), stratified over all processes."""
        rank, world_size = get_dist_info()
        # Strata in random order: the rows of one sample lie side by side.
        return stratified(count, rank, world_size, device=device)[
            torch.randperm(count, device=device)]

    def averaged(self, errors: dict[str, Tensor], rows: CaptionRows) -> dict[str, Tensor]:
        """Return the means of errors (N * K,) over the rows of samples that have a caption."""
        weight = rows.known.repeat_interleave(rows.ids.shape[1]).float()
        weight = weight / weight.sum().clamp(min=1)
        return {name: (value * weight).sum() * (self.loss_weight if 'loss' in name else 1)
                for name, value in errors.items()}

    def with_dropout(self, memory: Tensor) -> Tensor:
        """Replace the memory (N, M, C) of some samples by that of no image."""
        if self.nothing is None:
            return memory
        share = self.condition_dropout if self.training else 0
        # (N, 1, 1): classifier-free guidance needs an estimate without the images.
        dropped = torch.rand(len(memory), 1, 1, device=memory.device) < share
        return torch.where(dropped, self.nothing.to(memory.dtype), memory)

    def earlier(self, estimate: Callable[[], Tensor]) -> Tensor | None:
        """Return a first estimate half the time in training, for self-conditioning; else None."""
        if not (self.training and self.denoiser.self_conditioning and torch.rand(()) < 0.5):
            return None
        with torch.no_grad():
            return estimate()

    @property
    def unwritten(self) -> tuple[int, ...]:
        """Ids that are never written: the unknown word would leave a hole."""
        unknown = self.tokenizer.unk_id
        return () if unknown in (self.tokenizer.pad_id, self.tokenizer.eos_id) else (unknown, )

    def gives_maps(self, features: ChangeFeatures, options: SampledDecoding) -> bool:
        """Return whether sentences come with maps; a denoiser of one's own may have none."""
        return super().gives_maps(features, options) and isinstance(self.denoiser, Denoiser)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, local_metadata: dict,
                              strict: bool, missing_keys: list, unexpected_keys: list,
                              error_msgs: list) -> None:
        """Refuse rows of another length than the config's."""
        theirs, ours = state_dict.get(prefix + LENGTH), int(self.caption_length)
        if theirs is not None and ours and int(theirs) != ours:
            error_msgs.append(f'captions of the checkpoint have {int(theirs)} ids and those of the '
                              f'config {ours}: set max_tokens={int(theirs) - 2}')
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing_keys,
                                      unexpected_keys, error_msgs)
