"""Preconditioning of the network, and weightings of the loss by noise level.

Paper: Karras et al., Elucidating the Design Space of Diffusion-Based Generative Models (EDM),
NeurIPS 2022, https://arxiv.org/abs/2206.00364, Table 1 (last column) and Appendix B.6.

A weight multiplies the squared error of the network F against its target. The error of the denoiser
D is c_out times as large, so a weight w on F is w / c_out^2 = w * ``edm_lambda`` on D. In terms of
SNR = (sigma_data / sigma)^2, with c_out^2 = sigma_data^2 / (1 + SNR):

============  ====================  ======================================
name          weight on F           weight on D, times sigma_data^2
============  ====================  ======================================
uniform       1                     1 + SNR
snr           SNR / (1 + SNR)       SNR
min_snr       ... up to gamma       min(SNR, gamma)
soft_min_snr  SNR / (1 + SNR)^2     SNR / (1 + SNR), a smooth min(SNR, 1)
============  ====================  ======================================
"""
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from rscc.registry import LOSS_WEIGHTINGS


class Preconditioning(NamedTuple):
    """Factors that keep input and target of the network at unit variance.

    All have the shape of sigma; ``over`` makes them fit a state.
    """
    c_skip: Tensor
    c_out: Tensor
    c_in: Tensor
    c_noise: Tensor

    def over(self, x: Tensor) -> 'Preconditioning':
        """Return the factors with axes appended until they broadcast over ``x`` (R, ...)."""
        # (R,) to (R, 1, ..., 1); a scalar broadcasts as it is.
        return Preconditioning(*(factor.reshape(factor.shape + (1,) * (x.ndim - factor.ndim))
                                 if factor.ndim else factor for factor in self))


def precondition(sigma: Tensor, sigma_data: float | Tensor) -> Preconditioning:
    """Return the four factors of Table 1.

    Args:
        sigma: Noise levels above 0, (R,) or a scalar.
        sigma_data: Standard deviation of the data about zero.
    """
    # Variance of x = x0 + sigma n. c_in makes it 1, c_skip and c_out that of F's target.
    variance = sigma**2 + sigma_data**2
    return Preconditioning(
        c_skip=sigma_data**2 / variance,
        c_out=sigma * sigma_data / variance.sqrt(),
        c_in=variance.rsqrt(),
        c_noise=sigma.log() / 4)


def denoise(network: Callable[[Tensor, Tensor], Tensor], x: Tensor, sigma: Tensor,
            sigma_data: float | Tensor) -> Tensor:
    """Return D(x; sigma) = c_skip x + c_out F(c_in x, c_noise): Eq. (7).

    Args:
        network: F, called with the scaled state and with c_noise in the shape of sigma.
        x: Noisy data (R, ...).
        sigma: Noise level of every row (R,), or one for all, a scalar.
        sigma_data: Standard deviation of the data about zero.
    """
    # Factors (R,) for the network, and with axes to broadcast over (R, ...).
    factors = precondition(torch.as_tensor(sigma, device=x.device), sigma_data)
    c_skip, c_out, c_in, _ = factors.over(x)
    return c_skip * x + c_out * network(c_in * x, factors.c_noise)


def edm_lambda(sigma: Tensor, sigma_data: float | Tensor) -> Tensor:
    """Return 1 / c_out^2, the weight on D that weighs F evenly: EDM, Table 1, "loss weighting"."""
    return (sigma**2 + sigma_data**2) / (sigma * sigma_data)**2


@LOSS_WEIGHTINGS.register_module()
def uniform(sigma: Tensor, sigma_data: float | Tensor) -> Tensor:
    """Return 1 for every level, the weighting of EDM: Eq. (8) with lambda(sigma) c_out^2 = 1."""
    return torch.ones_like(sigma)


@LOSS_WEIGHTINGS.register_module()
def snr(sigma: Tensor, sigma_data: float | Tensor) -> Tensor:
    """Return SNR / (1 + SNR): the error of D counts 1 / sigma^2, that of the noise evenly."""
    return sigma_data**2 / (sigma**2 + sigma_data**2)


@LOSS_WEIGHTINGS.register_module()
def min_snr(sigma: Tensor, sigma_data: float | Tensor, gamma: float = 5.0) -> Tensor:
    """Return min(SNR, gamma) / (1 + SNR): ``snr`` that stops growing where gamma is reached.

    Paper: Hang et al., Efficient Diffusion Training via Min-SNR Weighting Strategy, ICCV 2023,
    https://arxiv.org/abs/2303.09556, Section 3.4, for a network that predicts x0.

    Args:
        sigma: Noise levels above 0.
        sigma_data: Standard deviation of the data.
        gamma: Largest SNR that counts, above 0; infinity is ``snr``.
    """
    # SNR, cut at gamma, then from a weight on D to one on F.
    ratio = (sigma_data / sigma)**2
    return ratio.clamp(max=gamma) / (1 + ratio)


@LOSS_WEIGHTINGS.register_module()
def soft_min_snr(sigma: Tensor, sigma_data: float | Tensor) -> Tensor:
    """Return SNR / (1 + SNR)^2, the weighting of KD-RSCC: 1/4 at sigma_data, falling on both sides.

    Crowson et al., Hourglass Diffusion Transformers, ICML 2024, https://arxiv.org/abs/2401.11605:
    Min-SNR with a harmonic in place of the hard minimum, gamma = 1.
    """
    return (sigma * sigma_data)**2 / (sigma**2 + sigma_data**2)**2
