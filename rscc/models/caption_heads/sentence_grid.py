"""Sentences of a batch laid out so that a recurrent decoder wastes little on the short ones."""
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class SentenceGrid:
    """N samples of up to M sentences, longest first in both directions.

    At every step the sentences that still go on then lie in a rectangle of the first n samples and
    m places, which only shrinks: with one sentence a sample it is the sorted, shrinking batch of
    the original, and with several they share their sample's memory without copies of it.

    Attributes:
        ids: Ids from the start id on, padded (N, M, T + 1).
        lengths: Ids to predict in each sentence, 0 where there is none (N, M), on the host.
        order: Sample of the batch that each row is (N,).
        shapes: (n, m) of every step, T of them.
        learned: Where the ids to predict lie in the rectangles of all steps, flattened and laid end
            to end (K,).
        targets: Those ids (K,).
    """
    ids: Tensor
    lengths: Tensor
    order: Tensor
    shapes: list[tuple[int, int]]
    learned: Tensor
    targets: Tensor

    @classmethod
    def of(cls, sentences: list[list[list[int]]], pad_id: int,
           device: torch.device | str = 'cpu') -> 'SentenceGrid':
        """Lay sentences out.

        Args:
            sentences: Per sample, per sentence, its ids with start and end; at least one sentence.
            pad_id: Id that fills up.
            device: Where tensors are needed.
        """
        rows = [sorted(sample, key=len, reverse=True) for sample in sentences]
        order = sorted(range(len(rows)), key=lambda row: -len(rows[row][0]) if rows[row] else 0)
        rows = [rows[row] for row in order]
        places = max(map(len, rows))
        lengths = torch.tensor([[len(ids) - 1 for ids in row] + [0] * (places - len(row))
                                for row in rows])
        ids = torch.full((len(rows), places, int(lengths.max()) + 1), pad_id)
        for number, row in enumerate(rows):
            for place, sentence in enumerate(row):
                ids[number, place, :len(sentence)] = torch.tensor(sentence)
        shapes, learned, targets = _unroll(ids, lengths)
        return cls(ids.to(device), lengths, torch.tensor(order, device=device), shapes,
                   learned.to(device), targets.to(device))

    def going(self, step: int) -> Tensor:
        """Return which sentences of the rectangle go on at ``step`` (n, m), on the host."""
        n, m = self.shapes[step]
        return self.lengths[:n, :m] > step


def _unroll(ids: Tensor, lengths: Tensor) -> tuple[list[tuple[int, int]], Tensor, Tensor]:
    """Return the rectangle of every step, and places and ids of what it predicts."""
    shapes, learned, targets, start = [], [], [], 0
    for step in range(ids.shape[2] - 1):
        going = lengths > step
        n, m = int(going.any(1).sum()), int(going.any(0).sum())
        going = going[:n, :m]
        learned.append(start + going.flatten().nonzero().flatten())
        targets.append(ids[:n, :m, step + 1][going])
        shapes.append((n, m))
        start += n * m
    return shapes, torch.cat(learned), torch.cat(targets)
