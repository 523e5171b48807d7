"""The Show, Attend and Tell caption head: an LSTM that attends to the image at every word.

Paper: Xu et al., ICML 2015, https://arxiv.org/abs/1502.03044; scheduled sampling: Bengio et al.,
NeurIPS 2015, https://arxiv.org/abs/1506.03099.
"""
from typing import ClassVar

import torch
from mmengine.logging import print_log
from torch import Tensor
from torch.nn import functional

from rscc.models.caption_heads.attention_lstm import (
    AttentionLSTM,
    AttentionLSTMStep,
    LSTMState,
    SentenceGrid,
)
from rscc.models.caption_heads.base import AutoregressiveHead
from rscc.models.generation.beam_scorers import Hypothesis
from rscc.models.generation.options import Decoding
from rscc.registry import MODELS
from rscc.structures import ChangeDataSample, ChangeFeatures
from rscc.text.word_tokenizer import read_word_vectors


@MODELS.register_module()
class AttentionLSTMHead(AutoregressiveHead):
    r"""LSTM that attends to the memory anew for every word.

    The memory is any set of tokens: the places of one image, or those of several dates. What does
    not depend on the words is computed once a sample, however many sentences learn from it.

    Losses returned: ``loss_caption`` (cross-entropy a word, natural logarithm) and
    ``loss_attention`` (doubly stochastic attention: mean over sentences and tokens of
    (1 - sum over the words of the weight)^2).

    Args:
        tokenizer: Config of a tokenizer from the TOKENIZERS registry, without a prompt.
        memory_channels: Width of ``ChangeFeatures.tokens``.
        embed_dims: Width of the words.
        hidden_dims: Units of the LSTM.
        attention_dims: Width in which memory and state are compared.
        dropout: Before the classifier, 0 to 1.
        attention_weight: Factor of ``loss_attention``.
        scheduled_sampling: Probability, 0 to 1, that in training a word is followed by the one the
            model itself finds likeliest in place of the true one. It may be changed at any time.
        max_tokens: Limit of a caption, as in ``CaptionHead``.
        decoding: Defaults of ``generate``, fields of ``Decoding``; ``return_attention=True`` gives
            sentences with ``attention``: the map of every word.
        loss_weight: Factor of both losses.
        word_vectors: Text file of pretrained vectors (``glove.6B.300d.txt``; ``embed_dims`` is
            their width) that the words start training from. Words that it lacks are counted and
            keep their random start. ``freeze=[r'decoder\.embedding']`` of the model fixes all.
    """

    HAS_ATTENTION: ClassVar[bool] = True

    def __init__(self, tokenizer: dict, memory_channels: int, embed_dims: int = 512,
                 hidden_dims: int = 512, attention_dims: int = 512, dropout: float = 0.5,
                 attention_weight: float = 1.0, scheduled_sampling: float = 0.0,
                 max_tokens: int = 40, decoding: dict | None = None, loss_weight: float = 1.0,
                 word_vectors: str | None = None) -> None:
        super().__init__(tokenizer, memory_channels, loss_weight)
        if not 0 <= scheduled_sampling <= 1:
            raise ValueError(f'scheduled_sampling={scheduled_sampling} is a probability in [0, 1]')
        if self.given_ids:
            raise ValueError('AttentionLSTMHead starts from the image alone and the tokenizer puts '
                             f'{len(self.given_ids)} prompt tokens before every sentence (that of '
                             'several languages is the language): leave out its prompt')
        if word_vectors is not None and self.vocabulary is None:
            raise ValueError(f"word_vectors='{word_vectors}' are of words, and the tokens of "
                             f'{type(self.tokenizer).__name__} are none: take WordTokenizer')
        self.decoder = AttentionLSTM(self.tokenizer.vocab_size, memory_channels, embed_dims,
                                     hidden_dims, attention_dims, dropout)
        self.attention_weight, self.scheduled_sampling = attention_weight, scheduled_sampling
        self.word_vectors = word_vectors
        self.set_limits(max_tokens, decoding)

    @torch.no_grad()
    def init_weights(self) -> None:
        """Start from ``word_vectors``; testing, which loads a checkpoint, does without the file."""
        if self.word_vectors is None:
            return
        table, words = self.decoder.embedding.weight, self.tokenizer.vocabulary()
        # Words that the file lacks keep their random start.
        found = read_word_vectors(self.word_vectors, words, table.shape[1])
        for place, word in enumerate(words):
            if word in found:
                table[place] = torch.from_numpy(found[word]).to(table)
        print_log(f"{len(found)} of {len(words)} words start from '{self.word_vectors}', the "
                  'others at random', 'current')

    def loss(self, features: ChangeFeatures, data_samples: list[ChangeDataSample]
             ) -> dict[str, Tensor]:
        """Teacher-forced loss of the sentences; ``features`` with ``tokens`` (N, L, C)."""
        sentences, weight = self.encode_targets(data_samples), self.loss_weight
        if not any(sentences):
            # Nothing to learn; every parameter still takes part, as distributed training expects.
            sentences[0], weight = [[self.tokenizer.bos_id, self.tokenizer.eos_id]], 0
        # K words to predict and the weights (n, m, L) of every step, samples sorted by length.
        grid = SentenceGrid.of(sentences, self.tokenizer.pad_id, features.tokens.device)
        logits, weights = self.forward(features.tokens[grid.order], grid)
        right = logits.detach().argmax(-1) == grid.targets
        return dict(loss_caption=weight * functional.cross_entropy(logits.float(), grid.targets),
                    loss_attention=weight * self.attention_weight * unevenness(weights, grid),
                    accuracy=right.float().mean())

    def forward(self, memory: Tensor, grid: SentenceGrid) -> tuple[Tensor, list[Tensor]]:
        """Read every sentence and predict each next word.

        Args:
            memory: Tokens (N, L, C) in the order of the grid.
            grid: The sentences.

        Returns:
            Logits (K, V) of ``grid.targets``, and the attention weights (n, m, L) of every step.
        """
        # Keys (N, L, A) and first states (N, M, H), M the most sentences of a sample.
        keys = self.decoder.attention.keys(memory)
        hidden, cell = (state.expand(-1, grid.ids.shape[1], -1)
                        for state in self.decoder.start(memory))

        # The first n samples and m places have sentences that still go on: (n, m, H) a step.
        every_hidden, every_weights = [], []
        for step, (n, m) in enumerate(grid.shapes):
            hidden, cell = hidden[:n, :m], cell[:n, :m]
            words = self._previous(grid.ids[:n, :m, step], hidden, step)
            hidden, cell, weights = self.decoder(words, hidden, cell, memory[:n], keys[:n])
            every_hidden.append(hidden.flatten(0, 1))
            every_weights.append(weights)

        # The classifier reads the K states that predict a word, not those of gaps.
        return self.decoder.logits(torch.cat(every_hidden)[grid.learned]), every_weights

    @torch.no_grad()
    def _previous(self, true: Tensor, hidden: Tensor, step: int) -> Tensor:
        """Return the words to read (n, m): the true ones, now and then the model's own."""
        if not (self.training and self.scheduled_sampling and step):
            return true
        own = self.decoder.classify(hidden).argmax(-1)
        # (n, m): a coin for each word, as Bengio et al. toss it.
        drawn = torch.rand(true.shape, device=true.device) < self.scheduled_sampling
        return torch.where(drawn, own, true)

    def start(self, features: ChangeFeatures, options: Decoding
              ) -> tuple[AttentionLSTMStep, LSTMState]:
        """Give the memory (N, L, C) to the LSTM, whose first word is the start token."""
        decoder = AttentionLSTMStep(self.decoder, self.tokenizer.bos_id,
                                    self.gives_maps(features, options))
        return decoder, decoder.start(features.tokens)

    def word_weights(self, features: ChangeFeatures, written: list[list[Hypothesis]],
                     decoder: AttentionLSTMStep, options: Decoding) -> list[list[Tensor]]:
        """Return the weights of every step that chose an id; see ``AutoregressiveHead``."""
        return [[torch.stack([at[row] for at, row in
                              zip(decoder.weights, sentence.rows, strict=False)])
                 for sentence in sentences] for sentences in written]


def unevenness(weights: list[Tensor], grid: SentenceGrid) -> Tensor:
    """Return the mean over sentences and tokens of (1 - sum over the steps of the weight)^2."""
    # What each sentence has looked at each token, summed over its words: (N, M, L).
    samples, places, length = len(grid.lengths), grid.lengths.shape[1], weights[0].shape[2]
    total = weights[0].new_zeros(samples, places, length)
    for step, at in enumerate(weights):
        n, m = grid.shapes[step]
        going = grid.going(step).to(at.device)
        total = total + functional.pad(at * going[..., None], (0, 0, 0, places - m, 0, samples - n))
    return ((1 - total.float())**2)[(grid.lengths > 0).to(total.device)].mean()
