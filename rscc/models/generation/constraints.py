"""What a search may write: bans, repetition, and the shape of the distribution that is drawn from.

Nucleus sampling: Holtzman et al., ICLR 2020, https://arxiv.org/abs/1904.09751. Repetition penalty:
Keskar et al., CTRL, 2019, https://arxiv.org/abs/1909.05858.
"""
import torch
from torch import Tensor

from rscc.models.generation.options import Decoding


class Constraints:
    """Turns a model's logits into the scores that a search ranks or draws by.

    Args:
        options: ``min_tokens``, ``repetition_penalty``, ``no_repeat_ngram``; when sampling also
            ``temperature``, ``top_k`` and ``top_p``.
        stop_ids: Ids that end a sentence (S,).
        banned: Ids that are never written (B,).
    """

    def __init__(self, options: Decoding, stop_ids: Tensor, banned: Tensor) -> None:
        self.options = options
        self.stop_ids = stop_ids
        self.banned = banned

    def __call__(self, logits: Tensor, logprobs: Tensor, written: Tensor, length: int) -> Tensor:
        """Score the next id.

        Args:
            logits: Of the model (R, V).
            logprobs: Their log-softmax (R, V), float32.
            written: Ids so far (R, t), with those that were given.
            length: Number of ids so far, without those.

        Returns:
            Scores (R, V): log-probabilities where nothing is constrained, minus infinity where an
            id is not allowed.
        """
        options = self.options
        scores = logprobs
        if options.repetition_penalty != 1:
            # As transformers does: on logits where one id is chosen, on log-probabilities of beams.
            base = logits.float() if options.num_beams == 1 else logprobs
            scores = penalise_repetition(base, written, options.repetition_penalty)
        allowed = self._allowed(scores, written, length)
        if allowed is not None:
            scores = scores.masked_fill(~allowed, -torch.inf)
        return shape_distribution(scores, options) if options.sample else scores

    def _allowed(self, scores: Tensor, written: Tensor, length: int) -> Tensor | None:
        """Return a mask (R, V) of the ids that may come, or None where all may."""
        size = self.options.no_repeat_ngram
        too_short = length < self.options.min_tokens
        if not (too_short or size or len(self.banned)):
            return None
        allowed = torch.ones_like(scores, dtype=torch.bool)
        if size and written.shape[1] >= size:
            allowed &= ~repeated(written, size, scores.shape[1])
        if too_short:
            allowed[:, self.stop_ids] = False
        allowed[:, self.banned] = False
        # Where nothing is left to say, the sentence may end.
        stuck = ~allowed.any(1, keepdim=True)
        ends = torch.zeros_like(allowed[:1])
        ends[:, self.stop_ids] = True
        return allowed | (stuck & ends)


def penalise_repetition(scores: Tensor, written: Tensor, penalty: float) -> Tensor:
    """Make ids that were written less likely: (R, V) scores, (R, t) ids."""
    found = scores.gather(1, written)
    return scores.scatter(1, written, torch.where(found < 0, found * penalty, found / penalty))


def repeated(written: Tensor, size: int, vocab_size: int) -> Tensor:
    """Return a mask (R, V) of the ids that would repeat an n-gram of ``size`` in (R, t) ids."""
    grams = written.unfold(1, size, 1)
    tail = written[:, written.shape[1] - size + 1:]
    same = (grams[..., :-1] == tail[:, None]).all(-1)
    counts = torch.zeros(len(written), vocab_size, dtype=torch.long, device=written.device)
    return counts.scatter_add_(1, grams[..., -1], same.long()) > 0


def shape_distribution(scores: Tensor, options: Decoding) -> Tensor:
    """Return log-probabilities after temperature, top-k and top-p, (R, V)."""
    scores = scores / options.temperature
    if 0 < options.top_k < scores.shape[1]:
        least = scores.topk(options.top_k).values[:, -1:]
        scores = scores.masked_fill(scores < least, -torch.inf)
    if options.top_p < 1:
        ordered, places = scores.softmax(-1).sort(descending=True)
        # An id stays while those before it have not reached top_p, so the first always stays.
        beyond = ordered.cumsum(-1) - ordered >= options.top_p
        scores = scores.masked_fill(torch.zeros_like(beyond).scatter(1, places, beyond),
                                    -torch.inf)
    return scores.log_softmax(-1)
