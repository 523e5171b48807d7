"""Recurrent decoder of Show, Attend and Tell, its decoder step, and its layout of sentences.

Paper: Xu et al., ICML 2015, https://arxiv.org/abs/1502.03044 (deterministic, "soft" attention).
Axes: N samples, M sentences of each, L tokens of C channels, H hidden units.
"""
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn


@dataclass
class SentenceGrid:
    """Training sentences of a batch: N samples of up to M, longest first in both directions.

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
        # Longest sentences first in a sample, samples with the longest first in the batch.
        rows = [sorted(sample, key=len, reverse=True) for sample in sentences]
        order = sorted(range(len(rows)), key=lambda row: -len(rows[row][0]) if rows[row] else 0)
        rows = [rows[row] for row in order]

        # Ids (N, M, T + 1) and how many of each are to be predicted (N, M).
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
        # What still goes on is a rectangle (n, m), and gaps within it.
        going = lengths > step
        n, m = int(going.any(1).sum()), int(going.any(0).sum())
        going = going[:n, :m]

        # Where the words to predict lie in all rectangles end to end, and which they are.
        learned.append(start + going.flatten().nonzero().flatten())
        targets.append(ids[:n, :m, step + 1][going])
        shapes.append((n, m))
        start += n * m
    return shapes, torch.cat(learned), torch.cat(targets)


class AdditiveAttention(nn.Module):
    """Additive attention: w . relu(W_e a_i + W_d h), softmax over the tokens a_i.

    Args:
        memory_channels: C.
        hidden_dims: H.
        attention_dims: Width in which both are compared.
    """

    def __init__(self, memory_channels: int, hidden_dims: int, attention_dims: int) -> None:
        super().__init__()
        self.memory = nn.Linear(memory_channels, attention_dims)
        self.hidden = nn.Linear(hidden_dims, attention_dims)
        self.score = nn.Linear(attention_dims, 1)

    def keys(self, memory: Tensor) -> Tensor:
        """Return W_e a_i, (N, L, C) to (N, L, A): once a sample, whatever is written about it."""
        return self.memory(memory)

    def forward(self, hidden: Tensor, keys: Tensor) -> Tensor:
        """Return the weights (N, M, L) for states (N, M, H)."""
        # (N, 1, L, A) against (N, M, 1, A).
        mixed = torch.relu(keys[:, None] + self.hidden(hidden)[:, :, None])
        return self.score(mixed).squeeze(-1).softmax(-1)


class AttentionLSTM(nn.Module):
    """LSTM that reads the previous word and a gated glance at the memory.

    Args:
        vocab_size: Number of ids.
        memory_channels: C.
        embed_dims: Width of the words.
        hidden_dims: H.
        attention_dims: Width of the attention.
        dropout: Before the classifier, 0 to 1.
    """

    def __init__(self, vocab_size: int, memory_channels: int, embed_dims: int = 512,
                 hidden_dims: int = 512, attention_dims: int = 512, dropout: float = 0.5) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embed_dims)
        self.attention = AdditiveAttention(memory_channels, hidden_dims, attention_dims)
        self.init_hidden = nn.Linear(memory_channels, hidden_dims)
        self.init_cell = nn.Linear(memory_channels, hidden_dims)
        self.gate = nn.Linear(hidden_dims, memory_channels)
        self.cell = nn.LSTMCell(embed_dims + memory_channels, hidden_dims)
        self.dropout = nn.Dropout(dropout)
        self.classify = nn.Linear(hidden_dims, vocab_size)
        for weight in (self.embedding.weight, self.classify.weight):
            nn.init.uniform_(weight, -0.1, 0.1)
        nn.init.zeros_(self.classify.bias)

    def start(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Return hidden and cell state (N, 1, H) from the mean token of memory (N, L, C)."""
        # Two layers over the mean token (N, 1, C), as in Section 3.1.2 of the paper.
        mean = memory.mean(1, keepdim=True)
        return self.init_hidden(mean), self.init_cell(mean)

    def look(self, hidden: Tensor, memory: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Return the context before the gate (N, M, C), and the weights (N, M, L)."""
        weights = self.attention(hidden, keys)
        return weights @ memory, weights

    def forward(self, words: Tensor, hidden: Tensor, cell: Tensor, memory: Tensor, keys: Tensor
                ) -> tuple[Tensor, Tensor, Tensor]:
        """Read one word in every sentence.

        Args:
            words: Ids (N, M).
            hidden: State (N, M, H).
            cell: State (N, M, H).
            memory: Tokens (N, L, C).
            keys: Of the memory (N, L, A).

        Returns:
            New hidden and cell state (N, M, H), and attention weights (N, M, L).
        """
        # Attention by the last state, then the gate: z = beta * sum_i alpha_i a_i (Section 4.2.1).
        context, weights = self.look(hidden, memory, keys)
        inputs = torch.cat([self.embedding(words), self.gate(hidden).sigmoid() * context], -1)

        # One LSTM step of all N * M sentences.
        states = self.cell(inputs.flatten(0, 1), (hidden.flatten(0, 1), cell.flatten(0, 1)))
        hidden, cell = (state.unflatten(0, words.shape) for state in states)
        return hidden, cell, weights

    def logits(self, hidden: Tensor) -> Tensor:
        """Score the next word: (..., H) to (..., vocab_size)."""
        return self.classify(self.dropout(hidden))


@dataclass(frozen=True)
class LSTMState:
    """State of the LSTM in R rows of text, M for each of N samples.

    Attributes:
        hidden, cell: (N, M, H).
        memory: (N, L, C).
        keys: (N, L, A).
    """
    hidden: Tensor
    cell: Tensor
    memory: Tensor
    keys: Tensor


class AttentionLSTMStep:
    """``AttentionLSTM`` as the ``DecoderStep`` of the search.

    Args:
        decoder: The decoder.
        start_id: First word of every sentence.
        record: Keep the attention weights of every step in ``weights``, each (R, L).
    """

    def __init__(self, decoder: AttentionLSTM, start_id: int, record: bool = False) -> None:
        self.decoder = decoder
        self.start_id = start_id
        self.record = record
        self.weights: list[Tensor] = []

    def start(self, memory: Tensor) -> LSTMState:
        """Return the state before the first word, for memory (N, L, C)."""
        return LSTMState(*self.decoder.start(memory), memory, self.decoder.attention.keys(memory))

    def step(self, ids: Tensor | None, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """Read one word a row and score the next (R, V)."""
        shape = state.hidden.shape[:2]
        words = (torch.full(shape, self.start_id, device=state.hidden.device) if ids is None
                 else ids.view(shape))
        hidden, cell, weights = self.decoder(words, state.hidden, state.cell, state.memory,
                                             state.keys)
        if self.record:
            self.weights.append(weights.flatten(0, 1).float().cpu())
        logits = self.decoder.logits(hidden).flatten(0, 1)
        return logits, replace(state, hidden=hidden, cell=cell)

    def select(self, state: LSTMState, rows: Tensor) -> LSTMState:
        """Return the state of these rows; memory is copied only where samples leave."""
        # The samples that the rows belong to; equally many rows of each stay side by side.
        samples, places = state.hidden.shape[:2]
        owners = rows.div(places, rounding_mode='floor')
        kept, counts = owners.unique_consecutive(return_counts=True)
        if not bool((counts == counts[0]).all()):
            kept, counts = owners, torch.ones_like(owners)

        # States follow their rows; the memory only where samples have left.
        shape = (len(kept), int(counts[0]))
        hidden, cell = (value.flatten(0, 1)[rows].unflatten(0, shape)
                        for value in (state.hidden, state.cell))
        if torch.equal(kept, torch.arange(samples, device=kept.device)):
            return replace(state, hidden=hidden, cell=cell)
        return LSTMState(hidden, cell, state.memory[kept], state.keys[kept])
