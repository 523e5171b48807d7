"""How much every noise level counts in the loss.

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
import torch
from torch import Tensor

from rscc.registry import LOSS_WEIGHTINGS


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
    ratio = (sigma_data / sigma)**2
    return ratio.clamp(max=gamma) / (1 + ratio)


@LOSS_WEIGHTINGS.register_module()
def soft_min_snr(sigma: Tensor, sigma_data: float | Tensor) -> Tensor:
    """Return SNR / (1 + SNR)^2, the weighting of KD-RSCC: 1/4 at sigma_data, falling on both sides.

    Crowson et al., Hourglass Diffusion Transformers, ICML 2024, https://arxiv.org/abs/2401.11605:
    Min-SNR with a harmonic in place of the hard minimum, gamma = 1.
    """
    return (sigma * sigma_data)**2 / (sigma**2 + sigma_data**2)**2
