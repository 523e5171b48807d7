"""Masked diffusion of captions: the words of a sentence appear out of masks in a few steps.

The second parametrisation of KD-RSCC's idea, a whole sentence in few parallel steps: words are
hidden by masks, not by noise on their vectors (absorbing states: Austin et al., D3PM, NeurIPS 2021,
https://arxiv.org/abs/2107.03006; Ghazvininejad et al., Mask-Predict, EMNLP 2019,
https://arxiv.org/abs/1904.09324). Network, memory and options are those of ``KarrasCaptionHead``.
"""
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from rscc.models.caption_heads.base import BUFFER
from rscc.models.caption_heads.whole_caption_head import LENGTH, WholeCaptionHead
from rscc.models.diffusion.caption_rows import position_weights, share_right, surprise
from rscc.models.diffusion.decoder_denoiser import (
    POSITIONS,
    DecoderDenoiser,
    misfit_of_decoder,
    weights_of_decoder,
)
from rscc.models.diffusion.denoiser_layers import Memory
from rscc.models.diffusion.masked_sampling import MaskedDecoding, MaskedEstimator, fill_masks
from rscc.models.diffusion.sampled_captions import to_sampled_captions
from rscc.registry import MODELS
from rscc.structures import ChangeDataSample, ChangeFeatures, ScoredCaption

DECODER = 'decoder'  # what ``BlipCaptionHead`` calls its own


@MODELS.register_module()
class MaskedCaptionHead(WholeCaptionHead):
    """Masked diffusion of whole captions.

    A caption is a row of L ids, start, end and padding among them. Training hides a share of them,
    drawn evenly from 0 to 1, and learns the hidden ones from the others and the images. Writing
    starts from masks alone.

    With ``glancing``, some rows are hidden whole, but for half as many words as a first pass over
    masks alone gets wrong, drawn at random: what cannot be told yet is shown in part, and more is
    hidden the better the head becomes. Sentences of one or two steps gain by it (Qian et al.,
    Glancing Transformer, ACL 2021, https://arxiv.org/abs/2008.07905, where the part shown falls
    from 0.5 to 0.3).

    Losses returned: ``loss_caption`` (cross-entropy of the hidden words), and ``accuracy``, the
    share of hidden words, padding apart, that are found.

    Args:
        tokenizer: Config of a tokenizer from the TOKENIZERS registry.
        memory_channels: Width of ``ChangeFeatures.tokens``.
        embed_channels: Width C of the word vectors.
        denoiser: Fields of ``ChangeDenoiser``, or the config of another denoiser. With
            ``DecoderDenoiser`` the head can load the checkpoint of a ``BlipCaptionHead`` with the
            same layers and words, and begins with its decoder.
        max_tokens: Limit of a caption, as in ``CaptionHead``; L is two more (start, end). None
            takes the longest caption of the data.
        pad_weight: What padding beyond the first counts in the losses, 0 to 1.
        condition_dropout: Share of samples that learn without their images, 0 to 1; guidance needs
            it.
        rows_per_sample: Rows that learn from one encoding of the images, at least.
        glancing: Share of the rows that learn by a glance at their words, 0 to 1.
        decoding: Defaults of ``generate``, fields of ``MaskedDecoding``; ``return_attention=True``
            gives sentences with ``attention``: that of the denoiser to the memory, rolled out, for
            every word.
        loss_weight: Factor of all losses.

    Raises:
        ValueError: If a probability is none, or L is beyond the denoiser's positions.
    """

    NESTED_OPTIONS: ClassVar[dict] = dict(decoding=MaskedDecoding)

    def __init__(self, tokenizer: dict, memory_channels: int, embed_channels: int = 64,
                 denoiser: dict | None = None, max_tokens: int | None = None,
                 pad_weight: float = 1.0, condition_dropout: float = 0.0, rows_per_sample: int = 1,
                 glancing: float = 0.0, decoding: dict | None = None, loss_weight: float = 1.0
                 ) -> None:
        super().__init__(tokenizer, memory_channels, loss_weight, pad_weight, condition_dropout,
                         rows_per_sample)
        self.check_shares(glancing=glancing)
        self.glancing = glancing
        # One vector more than words: that of the mask.
        self.mask_id = self.tokenizer.vocab_size
        self.table = nn.Embedding(self.mask_id + 1, embed_channels)
        self.denoiser = MODELS.build(dict(
            type='ChangeDenoiser', channels=embed_channels, memory_channels=memory_channels,
            out_channels=self.tokenizer.vocab_size) | dict(denoiser or {}))
        self.set_length(max_tokens)
        self.decoding = MaskedDecoding().updated(dict(decoding or {}))
        self.check_decoding(self.decoding)

    def loss(self, features: ChangeFeatures, data_samples: list[ChangeDataSample]
             ) -> dict[str, Tensor]:
        """Cross-entropy of hidden words; ``features`` with ``tokens`` (N, M, C)."""
        # K rows of every sample, R = N * K: ids (R, L), of which some are hidden.
        rows = self.rows_of(data_samples, features.tokens.device)
        ids = rows.ids.flatten(0, 1)
        memories = self.denoiser.remember(self.with_dropout(features.tokens))
        hidden = self.hide(ids)
        if self.training and self.glancing:
            hidden = torch.where(torch.rand(len(ids), 1, device=ids.device) < self.glancing,
                                 self.hide_by_glance(ids, memories), hidden)
        shown, share = ids.masked_fill(hidden, self.mask_id), hidden.float().mean(1)
        previous = self.earlier(lambda: self.score(shown, share, memories).log_softmax(-1))
        logits = self.score(shown, share, memories, previous)
        return self.averaged(self._errors(logits, ids, hidden), rows)

    def hide(self, ids: Tensor) -> Tensor:
        """Draw which words of rows (R, L) are hidden: a share drawn for each row, one at least."""
        share = self.draw_levels(len(ids), ids.device)
        return _ranks(ids) < (share[:, None] * ids.shape[1]).ceil().clamp(min=1)

    @torch.no_grad()
    def hide_by_glance(self, ids: Tensor, memories: list[Memory]) -> Tensor:
        """Hide rows (R, L) but for half as many words as are wrong out of masks alone."""
        masks = torch.full_like(ids, self.mask_id)
        found = self.score(masks, masks.new_ones(len(ids), dtype=torch.float), memories)
        shown = (found.argmax(-1) != ids).sum(1, keepdim=True) // 2
        return _ranks(ids) >= shown

    def _errors(self, logits: Tensor, ids: Tensor, hidden: Tensor) -> dict[str, Tensor]:
        """Return loss and accuracy (R,) over the words (R, L) that are hidden."""
        positions = position_weights(ids, self.tokenizer.pad_id, self.pad_weight) * hidden
        # A row of which nothing but weightless padding is hidden counts nothing.
        positions = positions / positions.mean(1, keepdim=True).clamp(min=1e-6)
        words = hidden & (ids != self.tokenizer.pad_id)
        return dict(loss_caption=surprise(logits, ids, positions),
                    accuracy=share_right(logits, ids, words))

    def score(self, ids: Tensor, share: Tensor, memories: list[Memory],
              previous: Tensor | None = None) -> Tensor:
        """Score all words at every position.

        Args:
            ids: Rows (R, L), masks among them.
            share: Share of masks in every row (R,), 0 to 1.
            memories: What the denoiser remembers of N samples, R = N * K.
            previous: Log-probabilities (R, L, V) of an earlier call, or None.

        Returns:
            Scores (R, L, V).
        """
        expected = None
        if previous is not None and self.denoiser.self_conditioning:
            expected = functional.linear(previous.exp(), self.table.weight[:self.mask_id].T)
        return self.denoiser(self.table(ids), share, memories, expected).float()

    def write(self, features: ChangeFeatures, options: MaskedDecoding
              ) -> list[list[ScoredCaption]]:
        """Write ``SampledCaption`` s, different ones, for every sample; see ``generate``."""
        maps, memory = self.gives_maps(features, options), features.tokens
        estimator = MaskedEstimator(self.score, self.denoiser.remember, memory, options,
                                    self.nothing, self.unwritten)
        ids, likelihood, trajectory = fill_masks(estimator, len(memory), self.length, self.mask_id,
                                                 options, memory.device)
        seen = self._look(ids, memory) if maps else None
        return to_sampled_captions(ids, likelihood, trajectory, self.tokenizer, options,
                                   self.max_tokens, seen, features.token_grid)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *others: Any) -> None:
        """Take the decoder of a captioner that writes word by word."""
        start = f'{prefix}{DECODER}.'
        if isinstance(self.denoiser, DecoderDenoiser) and start + POSITIONS in state_dict:
            theirs = {key.removeprefix(start): state_dict.pop(key) for key in list(state_dict)
                      if key.startswith(start)}
            same = self.vocabulary is None or prefix + BUFFER in state_dict
            misfit = (misfit_of_decoder(theirs, self.denoiser, int(self.caption_length)) if same
                      else "knows other words: take its captioner's tokenizer")
            if misfit:
                others[-1].append(f'the decoder in the checkpoint {misfit}')  # the error messages
                return
            # What a decoder lacks stays as it was made.
            own = {name: value for name, value in self.state_dict().items()
                   if name == LENGTH or name.startswith('denoiser.local.')}
            taken = weights_of_decoder(theirs, self.denoiser.max_positions)
            state_dict |= {prefix + name: value for name, value in (own | taken).items()}
        super()._load_from_state_dict(state_dict, prefix, *others)

    def _look(self, ids: Tensor, memory: Tensor) -> Tensor:
        """Return where the words of finished sentences (N, K, L) look: shares (N, K, L, M)."""
        rows = ids.flatten(0, 1)
        seen = self.denoiser.look(self.table(rows), rows.new_zeros(len(rows), dtype=torch.float),
                                  self.denoiser.remember(memory))
        return seen.unflatten(0, ids.shape[:2]).cpu()


def _ranks(ids: Tensor) -> Tensor:
    """Return a random order of the positions of each row (R, L), numbers from 0 on."""
    return torch.rand(ids.shape, device=ids.device).argsort(1).argsort(1)
