"""Rows of captions that heads learn as a whole, and what each of their positions counts.

N samples, K rows of each, R = N * K, L positions, V words.
"""
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from rscc.text.tokenizer import pad_sentences


class CaptionRows(NamedTuple):
    """Padded training captions: K rows of every sample.

    Attributes:
        ids: (N, K, L), captions padded to L.
        known: (N,), false for samples without a caption, whose rows are padding.
    """
    ids: Tensor
    known: Tensor

    @classmethod
    def of(cls, sentences: Sequence[Sequence[Sequence[int]]], pad_id: int, length: int,
           rows: int = 1) -> 'CaptionRows':
        """Lay out the captions of N samples.

        Every sample gets as many rows, its captions in turn: noise differs from row to row, so a
        caption that comes again is new to the network, and samples count alike however many
        captions they have.

        Args:
            sentences: Ids of the captions of every sample; there may be none.
            pad_id: Id that fills up a row.
            length: Length L; longer captions have been cut.
            rows: Least number K of rows; the most captions a sample has, where that is more.
        """
        count = max(rows, *(len(captions) for captions in sentences))
        flat = [captions[row % len(captions)] if captions else []
                for captions in sentences for row in range(count)]
        # (N * K, L), rows of a sample side by side, then (N, K, L).
        ids, _ = pad_sentences(flat, pad_id, length)
        known = torch.tensor([bool(captions) for captions in sentences])
        return cls(ids.view(len(sentences), count, length), known)

    def to(self, device: torch.device) -> 'CaptionRows':
        """Return the same on a device."""
        return CaptionRows(self.ids.to(device), self.known.to(device))


def position_weights(ids: Tensor, pad_id: int, pad_weight: float) -> Tensor:
    """Return how much every position counts, (R, L), 1 on average over a row.

    Words, start, end and the first padding after it count 1, further padding ``pad_weight``: in
    LEVIR-CC three of four positions are padding, and none of them says anything.

    Args:
        ids: (R, L).
        pad_id: Id of the padding.
        pad_weight: 0 to 1.
    """
    # Padding whose neighbour on the left is padding too (R, L).
    padding = ids == pad_id
    further = padding & padding.roll(1, 1)
    further[:, 0] = False
    weights = torch.where(further, pad_weight, 1.0)
    return weights / weights.mean(1, keepdim=True)


@torch.no_grad()
def share_right(logits: Tensor, ids: Tensor, asked: Tensor) -> Tensor:
    """Return which share (R,) of the positions (R, L) asked for have their word by (R, L, V)."""
    return ((logits.argmax(-1) == ids) & asked).sum(1) / asked.sum(1).clamp(min=1)


def surprise(logits: Tensor, ids: Tensor, positions: Tensor) -> Tensor:
    """Return the weighted mean cross-entropy (R,) of words (R, L) by their scores (R, L, V)."""
    # (R, L), then weighted means (R,).
    entropy = functional.cross_entropy(logits.float().transpose(1, 2), ids, reduction='none')
    return (entropy * positions).mean(1)
