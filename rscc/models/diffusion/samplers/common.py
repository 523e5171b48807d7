"""What samplers share: their types, the check of what they are given, and the ancestral split."""
import itertools
from collections.abc import Callable

import torch
from torch import Tensor

Denoise = Callable[[Tensor, Tensor], Tensor]
Noise = Callable[[], Tensor]
Callback = Callable[[int, Tensor, Tensor], None]


def prepare(x: Tensor, sigmas: Tensor) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    """Return the state in float64 and the (sigma, next sigma) of every step.

    Float32 where the device (Apple's) has no float64.

    Raises:
        ValueError: If there are fewer than two levels, or they do not fall to 0 or above.
    """
    sigmas = sigmas.detach().to('cpu', torch.float64)
    falling = sigmas.ndim == 1 and len(sigmas) >= 2 and bool((sigmas.diff() < 0).all())
    if not falling or sigmas[-1] < 0 or not sigmas.isfinite().all():
        raise ValueError('a sampler needs two or more noise levels that fall to 0, found '
                         f'{sigmas.tolist()}; make them with a schedule')
    state = x.to(torch.float32 if x.device.type == 'mps' else torch.float64)
    return state, list(itertools.pairwise(sigmas))


def check_noise(noise: Noise | None, **amounts: float) -> None:
    """Stop where a sampler is asked for randomness and given none.

    Raises:
        ValueError: If an amount is negative, or positive without a source of noise.
    """
    for name, amount in amounts.items():
        if not amount >= 0:
            raise ValueError(f'{name}={amount}: expected 0 (deterministic) or more')
        if amount > 0 and noise is None:
            raise ValueError(f'{name}={amount} draws noise and there is no source of it: pass '
                             f'noise=gaussian_noise(x, generator), or {name}=0')


def ancestral_split(sigma: Tensor, sigma_next: Tensor, eta: float) -> tuple[Tensor, Tensor]:
    """Split a step into a longer one down and noise that leads back up.

    Song et al., DDIM, ICLR 2021, Eq. (16), in terms of sigma: eta = 1 is the ancestral step of DDPM
    (its noise is the standard deviation of the posterior), eta = 0 adds none.

    Args:
        sigma: Level at the start of the step.
        sigma_next: Level at its end, below ``sigma``.
        eta: Share of the noise, 0 or more.

    Returns:
        sigma_down and sigma_up with sigma_down^2 + sigma_up^2 = sigma_next^2.
    """
    posterior = sigma_next * (1 - (sigma_next / sigma)**2).sqrt()
    sigma_up = torch.minimum(eta * posterior, sigma_next)
    return (sigma_next**2 - sigma_up**2).sqrt(), sigma_up
