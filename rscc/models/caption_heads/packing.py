"""Several sentences of one sample in one row, so that they share its memory."""
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class PackedSentences:
    """Sentences laid end to end, one row a sample.

    Attributes:
        ids: Token ids (N, S).
        labels: The same with -100 where nothing is to be learned (N, S).
        positions: Position of each token in its own sentence (N, S).
        mask: Additive attention mask (N, 1, S, S): 0 where a token may look (itself and earlier
            tokens of its own sentence), the lowest float elsewhere.
        num_learned: Number of labels that are not -100.
    """
    ids: Tensor
    labels: Tensor
    positions: Tensor
    mask: Tensor
    num_learned: int


def pack(sentences: list[list[list[int]]], pad_id: int, prompt_length: int = 1,
         device: torch.device | str = 'cpu') -> PackedSentences:
    """Pack the sentences of N samples into N rows.

    A decoder with cross-attention then projects each sample's memory once, however many sentences
    learn from it; and rows are as long as their words, not as the longest sentence times five.

    Args:
        sentences: Per sample, per sentence, its ids, the start token first.
        pad_id: Id that fills up the rows.
        prompt_length: Leading tokens of each sentence, the start token among them, that are given
            and not learned.
        device: Where the tensors are made.

    Returns:
        The rows; the loss of row r equals that of its sentences in rows of their own.
    """
    length = max(1, max(sum(map(len, sample)) for sample in sentences))
    shape = (len(sentences), length)
    ids = torch.full(shape, pad_id, dtype=torch.long)
    labels = torch.full(shape, -100, dtype=torch.long)
    positions = torch.zeros(shape, dtype=torch.long)
    segments = torch.zeros(shape, dtype=torch.long)
    for row, sample in enumerate(sentences):
        start = 0
        for number, sentence in enumerate(sample, 1):
            stop = start + len(sentence)
            ids[row, start:stop] = torch.tensor(sentence)
            labels[row, start + prompt_length:stop] = ids[row, start + prompt_length:stop]
            positions[row, start:stop] = torch.arange(len(sentence))
            segments[row, start:stop] = number
            start = stop
    return PackedSentences(ids.to(device), labels.to(device), positions.to(device),
                           _segment_mask(segments.to(device)), int((labels != -100).sum()))


def _segment_mask(segments: Tensor) -> Tensor:
    """Return the causal mask within segments; padding is a segment (0) of its own."""
    same = segments[:, :, None] == segments[:, None, :]
    causal = torch.ones(segments.shape[1:] * 2, dtype=torch.bool, device=segments.device).tril()
    allowed = (same & causal)[:, None]
    return torch.zeros(allowed.shape, device=segments.device).masked_fill(
        ~allowed, torch.finfo(torch.float32).min)
