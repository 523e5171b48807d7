"""Preconditioning of the network.

Paper: Karras et al., Elucidating the Design Space of Diffusion-Based Generative Models (EDM),
NeurIPS 2022, https://arxiv.org/abs/2206.00364, Table 1 (last column) and Appendix B.6.
"""
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


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
        return Preconditioning(*(factor.reshape(factor.shape + (1,) * (x.ndim - factor.ndim))
                                 if factor.ndim else factor for factor in self))

    def target(self, clean: Tensor, x: Tensor) -> Tensor:
        """Return what the network itself should answer, (x0 - c_skip x) / c_out: Eq. (8).

        Args:
            clean: Data x0 (R, ...).
            x: The same with noise, x0 + sigma n.
        """
        factors = self.over(x)
        return (clean - factors.c_skip * x) / factors.c_out


def precondition(sigma: Tensor, sigma_data: float | Tensor) -> Preconditioning:
    """Return the four factors of Table 1.

    Args:
        sigma: Noise levels above 0, (R,) or a scalar.
        sigma_data: Standard deviation of the data about zero.
    """
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
    factors = precondition(torch.as_tensor(sigma, device=x.device), sigma_data)
    c_skip, c_out, c_in, _ = factors.over(x)
    return c_skip * x + c_out * network(c_in * x, factors.c_noise)
