"""Word space in which captions diffuse, and the loss of denoising them.

Papers: Karras et al. (EDM), NeurIPS 2022, https://arxiv.org/abs/2206.00364, Eq. (8); Li et al.,
Diffusion-LM, NeurIPS 2022, https://arxiv.org/abs/2205.14217, whose rounding is the tied classifier
here; Yu, Ma, Qiao, KD-RSCC, IEEE GRSL 22 (2025), https://doi.org/10.1109/LGRS.2025.3608489.

R rows, L positions, C channels, V words.
"""
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from rscc.models.diffusion.caption_rows import position_weights, share_right, surprise
from rscc.models.diffusion.preconditioning import precondition

MEASURED = 'measured'


class WordSpace(nn.Module):
    """Word vectors E (V, C), the classifier tied to them, and the standard deviation of the data.

    Args:
        vocab_size: Number V of words.
        channels: Width C.
        sigma_data: Standard deviation of the data about zero that the preconditioning assumes, a
            number, or ``'measured'``: that of the words of the captions, followed while training
            and kept in the checkpoint. KD-RSCC assumes 0.5 and has vectors of about 1.
        normalise: Scale every vector to the length sqrt(C), unit variance a channel, so that the
            table can neither outgrow the noise nor vanish.
        momentum: Weight of a new batch in the measured value, 0 to 1.

    Raises:
        ValueError: If ``sigma_data`` is neither above 0 nor ``'measured'``.
    """

    def __init__(self, vocab_size: int, channels: int,
                 sigma_data: float | Literal['measured'] = 0.5, normalise: bool = False,
                 momentum: float = 0.01) -> None:
        super().__init__()
        # A number is taken as it is; a measured one starts at that of new vectors.
        self.measured = sigma_data == MEASURED
        if not self.measured and not (isinstance(sigma_data, int | float) and sigma_data > 0):
            raise ValueError(f'sigma_data={sigma_data!r} is neither a number above 0 nor '
                             f"'{MEASURED}'")
        self.table = nn.Parameter(torch.randn(vocab_size, channels))
        self.bias = nn.Parameter(torch.zeros(vocab_size))
        self.normalise, self.momentum = normalise, momentum
        # New vectors have unit variance; a number that the config gives is not stored.
        self.register_buffer('sigma_data', torch.tensor(1.0 if self.measured else sigma_data),
                             persistent=self.measured)

    def vectors(self) -> Tensor:
        """Return E (V, C)."""
        if not self.normalise:
            return self.table
        return functional.normalize(self.table, dim=1) * self.table.shape[1] ** 0.5

    def embed(self, ids: Tensor) -> Tensor:
        """Return the vectors (..., C) of words (...)."""
        return functional.embedding(ids, self.vectors())

    def logits(self, points: Tensor) -> Tensor:
        """Return scores (..., V) of the words at points (..., C): E x + b."""
        return _products(points, self.vectors(), self.bias)

    def posterior(self, points: Tensor, sigma: Tensor, prior: Tensor) -> Tensor:
        """Return log-probabilities (R, L, V), up to a constant, of words behind noisy points.

        Bayes' rule for one word under Gaussian noise: ln p(x | e) = (x.e - |e|^2 / 2) / sigma^2, a
        term of x alone left out.

        Args:
            points: Word vectors with noise (R, L, C).
            sigma: Noise levels (R,).
            prior: What else is known of every word (R, L, V), for instance from its neighbours.
        """
        # Evidence of the noisy vector, how common the word is, and what the network says (R, L, V).
        vectors = self.vectors()
        evidence = _products(points, vectors, -vectors.square().sum(1) / 2)
        return evidence / sigma[:, None, None].square() + self.bias + prior

    def expect(self, logits: Tensor) -> Tensor:
        """Return the mean word vectors (R, L, C) of distributions (R, L, V)."""
        return _products(logits.softmax(-1), self.vectors().T)

    def nearest(self, points: Tensor) -> Tensor:
        """Return the word vectors (..., C) nearest to points (..., C)."""
        vectors = self.vectors()
        # Rounding by distance, where ``logits`` rounds by product.
        # |x - e|^2 = |x|^2 - 2 (x.e - |e|^2 / 2): the smallest distance is the largest bracket.
        closeness = _products(points, vectors, -vectors.square().sum(1) / 2)
        return functional.embedding(closeness.argmax(-1), vectors)

    @torch.no_grad()
    def measure(self, points: Tensor) -> None:
        """Follow the root mean square of word vectors (..., C) of a batch."""
        if self.measured:
            self.sigma_data.lerp_(points.float().square().mean().sqrt(), self.momentum)


def _products(points: Tensor, vectors: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return points (..., C) times vectors (V, C), plus a bias (V,), without autocast.

    The noise levels that these are set against divide them, and bfloat16 has but three digits. The
    vectors are so short that the full precision costs next to nothing.
    """
    with torch.autocast(points.device.type, enabled=False):
        return functional.linear(points.to(vectors.dtype), vectors, bias)


class Estimate(NamedTuple):
    """Estimate of clean captions from noisy ones.

    Attributes:
        vectors: Clean word vectors (R, L, C): D of EDM.
        logits: Scores of the words (R, L, V).
    """
    vectors: Tensor
    logits: Tensor


@dataclass(frozen=True)
class DenoisingLoss:
    """The terms of the loss; those of factor 0 are left out.

    Attributes:
        weighting: Weight of a noise level, called with sigma (R,) and sigma_data.
        diffusion: Factor of the squared error of F.
        rounding: Factor of the words' cross-entropy at the noisy vectors.
        denoised: Factor of the words' cross-entropy at the estimate; it has no weight of the level.
        pad_id: Id of the padding.
        pad_weight: What padding beyond the first counts, 0 to 1.

    Raises:
        ValueError: If every factor is 0.
    """
    weighting: Callable[[Tensor, float | Tensor], Tensor]
    diffusion: float
    rounding: float
    denoised: float
    pad_id: int
    pad_weight: float

    def __post_init__(self) -> None:
        if not (self.diffusion or self.rounding or self.denoised):
            raise ValueError('KarrasCaptionHead has nothing to learn: diffusion_weight, '
                             'rounding_weight and denoised_weight are all 0')

    def __call__(self, space: WordSpace, ids: Tensor, noisy: Tensor, sigma: Tensor,
                 found: Estimate) -> dict[str, Tensor]:
        """Return the terms of every row, and its accuracy.

        Args:
            space: Where the words are.
            ids: Captions (R, L).
            noisy: Their vectors with noise (R, L, C).
            sigma: Noise levels (R,).
            found: What was estimated.

        Returns:
            Tensors (R,): ``loss_diffusion``, ``loss_rounding``, ``loss_caption``, ``accuracy``.
        """
        # How much positions (R, L) and noise levels (R,) count.
        positions = position_weights(ids, self.pad_id, self.pad_weight)
        scale = self.weighting(sigma, space.sigma_data)
        terms = {}

        # Eq. (8) of EDM: (D - x0) / c_out is the error of F (R, L), weighted by level and place.
        if self.diffusion:
            c_out = precondition(sigma, space.sigma_data).over(noisy).c_out
            error = ((found.vectors - space.embed(ids)) / c_out).square().mean(-1)
            terms['loss_diffusion'] = self.diffusion * scale * (error * positions).mean(1)

        # Rounding of Diffusion-LM: which words the noisy vectors are, weighted likewise.
        if self.rounding:
            terms['loss_rounding'] = self.rounding * scale * surprise(space.logits(noisy), ids,
                                                                      positions)

        # Which words the estimate finds, at every level alike.
        if self.denoised:
            terms['loss_caption'] = self.denoised * surprise(found.logits, ids, positions)
        # Words, start and end alone: padding is guessed right by everybody.
        return terms | dict(accuracy=share_right(found.logits, ids, ids != self.pad_id))
