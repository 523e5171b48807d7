"""Noise levels: densities to train on and schedules to sample at.

Every density maps uniform numbers u in (0, 1), of any shape, to noise levels sigma > 0 and is
chosen by its name. All rise with u but ``cosine_interpolated``, which falls as in its paper.

Every schedule gives ``steps + 1`` levels in float64 and is chosen by its name.
"""
import math

import torch
from torch import Tensor

from rscc.registry import NOISE_DENSITIES, SIGMA_SCHEDULES


def strata(raw: Tensor, group: int = 0, groups: int = 1) -> Tensor:
    """Spread uniform numbers evenly: every one falls into an interval of its own.

    The rows of all groups (processes, steps of accumulation) interleave, so that together they
    cover (0, 1) as one large batch would.

    Args:
        raw: Uniform numbers (n,) in [0, 1).
        group: Index g of this group.
        groups: Number G of groups.

    Returns:
        u_i = (i G + g + raw_i) / (n G), shape (n,).

    Raises:
        ValueError: If the group is not among the groups.
    """
    if not 0 <= group < groups:
        raise ValueError(f'group={group} is not one of {groups} groups; they count from 0')
    # Row i of group g lies in interval i G + g of n G.
    index = torch.arange(len(raw), dtype=raw.dtype, device=raw.device)
    return (index * groups + group + raw) / (len(raw) * groups)


def stratified(count: int, group: int = 0, groups: int = 1,
               generator: torch.Generator | None = None,
               device: torch.device | str | None = None) -> Tensor:
    """Draw ``count`` stratified uniform numbers in the open interval (0, 1), shape (count,).

    Args:
        count: Rows of this group.
        group: Index of this group.
        groups: Number of groups.
        generator: Source of the numbers; None is PyTorch's global one.
        device: Where the numbers are wanted; they are drawn where the generator is.
    """
    source = generator.device if generator is not None else device
    u = strata(torch.rand(count, generator=generator, device=source), group, groups)
    # 0 and 1 have no finite noise level; rounding reaches both.
    eps = torch.finfo(u.dtype).eps
    return u.clamp(eps, 1 - eps).to(device or u.device)


@NOISE_DENSITIES.register_module()
def lognormal(u: Tensor, *, sigma_data: float | Tensor, mean: float = -1.2,
              std: float = 1.2) -> Tensor:
    """Return sigma with ln(sigma) ~ N(mean, std^2): EDM, Table 1, "noise distribution".

    ``sigma_data`` has no part in it.
    """
    return (mean + std * torch.special.ndtri(u)).exp()


@NOISE_DENSITIES.register_module()
def log_uniform(u: Tensor, *, sigma_data: float | Tensor, sigma_min: float = 1e-3,
                sigma_max: float = 1e3) -> Tensor:
    """Return sigma with ln(sigma) uniform between the bounds; ``sigma_data`` has no part in it."""
    # Uniform in ln(sigma) between the two ends.
    _check_bounds(sigma_min, sigma_max)
    low, high = math.log(sigma_min), math.log(sigma_max)
    return (low + u * (high - low)).exp()


@NOISE_DENSITIES.register_module()
def v_diffusion(u: Tensor, *, sigma_data: float | Tensor, sigma_min: float = 1e-3,
                sigma_max: float = 1e3) -> Tensor:
    """Return sigma = sigma_data tan(phi), phi uniform between the angles of the bounds.

    The angle of Salimans and Ho, Progressive Distillation, ICLR 2022, Appendix D: signal cos(phi),
    noise sin(phi).
    """
    # Uniform in the angle phi, tan(phi) = sigma / sigma_data.
    _check_bounds(sigma_min, sigma_max)
    low, high = _angle(sigma_min, sigma_data), _angle(sigma_max, sigma_data)
    return sigma_data * torch.tan(low + u * (high - low))


@NOISE_DENSITIES.register_module()
def log_logistic(u: Tensor, *, sigma_data: float | Tensor, location: float | None = None,
                 scale: float = 0.5, sigma_min: float = 0.0,
                 sigma_max: float = math.inf) -> Tensor:
    """Return sigma with ln(sigma) logistic about ``location``, cut off at the bounds.

    Args:
        u: Uniform numbers in (0, 1).
        sigma_data: Standard deviation of the data.
        location: Median of ln(sigma) without bounds; None is ln(sigma_data).
        scale: Scale of the logistic distribution, above 0.
        sigma_min: Smallest level; 0 cuts nothing.
        sigma_max: Largest level; infinity cuts nothing.
    """
    if not 0 <= sigma_min < sigma_max:
        raise ValueError(f'expected 0 <= sigma_min < sigma_max, found sigma_min={sigma_min} and '
                         f'sigma_max={sigma_max}')
    # Shares of the distribution below the two bounds, between which u is spread.
    sigma_data = torch.as_tensor(sigma_data, dtype=u.dtype, device=u.device)
    location = sigma_data.log() if location is None else location
    low, high = (torch.sigmoid((torch.as_tensor(bound, dtype=u.dtype, device=u.device).log()
                                - location) / scale) for bound in (sigma_min, sigma_max))
    return (location + scale * torch.logit(low + u * (high - low))).exp()


@NOISE_DENSITIES.register_module()
def cosine_interpolated(u: Tensor, *, sigma_data: float | Tensor, image_size: float = 44,
                        noise_low: float = 32, noise_high: float = 44, sigma_min: float = 1e-3,
                        sigma_max: float = 1e3) -> Tensor:
    """Return sigma of the shifted cosine schedule, interpolated between two shifts.

    Paper: Hoogeboom et al., simple diffusion, ICML 2023, https://arxiv.org/abs/2301.11093, Section
    3.1 (shift 2 ln(noise size / image size) of the log SNR, and its interpolation). u = 0 is the
    noisy end, sigma_max. The defaults are KD-RSCC's, whose "image" is a caption of 44 words.

    Args:
        u: Uniform numbers in (0, 1): the time t of the paper, turned round.
        sigma_data: Standard deviation of the data; log SNR = -2 ln(sigma / sigma_data).
        image_size: Size d of the data.
        noise_low: Noise size of the schedule at the noisy end.
        noise_high: Noise size of the schedule at the clean end.
        sigma_min: Level at u = 1.
        sigma_max: Level at u = 0.
    """
    # Log SNR under both shifts, of which u takes a mean (Eq. of Section 3.1 there).
    _check_bounds(sigma_min, sigma_max)
    low, high = (_shifted_cosine(u, 2 * math.log(size / image_size), sigma_data, sigma_min,
                                 sigma_max) for size in (noise_low, noise_high))
    log_snr = (1 - u) * low + u * high
    return sigma_data * torch.exp(-log_snr / 2)


def _shifted_cosine(u: Tensor, shift: float, sigma_data: float | Tensor, sigma_min: float,
                    sigma_max: float) -> Tensor:
    """Return log SNR = -2 ln tan(phi) + shift, phi uniform between the angles of the bounds."""
    scale = sigma_data * math.exp(-shift / 2)  # tan(phi) = sigma / sigma_data * exp(shift / 2)
    noisy, clean = _angle(sigma_max, scale), _angle(sigma_min, scale)
    return -2 * torch.log(torch.tan(noisy + u * (clean - noisy))) + shift


def _angle(sigma: float, sigma_data: float | Tensor) -> float | Tensor:
    """Return atan(sigma / sigma_data)."""
    if isinstance(sigma_data, Tensor):
        return torch.atan(sigma / sigma_data)
    return math.atan(sigma / sigma_data)


def _check_bounds(sigma_min: float, sigma_max: float) -> None:
    if not 0 < sigma_min < sigma_max < math.inf:
        raise ValueError(f'expected 0 < sigma_min < sigma_max, found sigma_min={sigma_min} and '
                         f'sigma_max={sigma_max}')


@SIGMA_SCHEDULES.register_module()
def karras(steps: int, *, sigma_min: float, sigma_max: float, rho: float = 7.0) -> Tensor:
    """Return levels evenly spaced in sigma^(1/rho): EDM, Eq. (5).

    Args:
        steps: Number N of levels above 0, at least 1; 1 gives sigma_max alone.
        sigma_min: Smallest level above 0.
        sigma_max: Largest level.
        rho: Above 0; the larger, the more levels near sigma_min. 3 nearly equalises the truncation
            error of the steps, 7 is EDM's choice, infinity would be ``exponential``.

    Returns:
        Shape (steps + 1,), falling, float64, the last 0.
    """
    # From sigma_max^(1/rho) to sigma_min^(1/rho) in even steps (N,), then back to sigma.
    position = _positions(steps, sigma_min, sigma_max, rho)
    highest, lowest = sigma_max**(1 / rho), sigma_min**(1 / rho)
    return _ended((highest + position * (lowest - highest))**rho)


@SIGMA_SCHEDULES.register_module()
def exponential(steps: int, *, sigma_min: float, sigma_max: float) -> Tensor:
    """Return levels evenly spaced in ln(sigma), the half log SNR of DPM-Solver."""
    return polyexponential(steps, sigma_min=sigma_min, sigma_max=sigma_max, rho=1.0)


@SIGMA_SCHEDULES.register_module()
def polyexponential(steps: int, *, sigma_min: float, sigma_max: float, rho: float = 1.0) -> Tensor:
    """Return levels spaced by a power in ln(sigma).

    Args:
        steps: Number of levels above 0, at least 1.
        sigma_min: Smallest level above 0.
        sigma_max: Largest level.
        rho: Exponent of the falling ramp from 1 to 0, above 0; 1 is ``exponential``, more crowds
            the levels near sigma_min.
    """
    # A ramp from 1 to 0 (N,) between ln(sigma_max) and ln(sigma_min).
    ramp = (1 - _positions(steps, sigma_min, sigma_max, rho))**rho
    return _ended((math.log(sigma_min) + ramp * math.log(sigma_max / sigma_min)).exp())


def _positions(steps: int, sigma_min: float, sigma_max: float, rho: float) -> Tensor:
    """Return i / (N - 1) for i = 0 .. N - 1, having checked what every schedule is given."""
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(f'steps={steps!r}: a schedule needs a whole number of at least 1')
    _check_bounds(sigma_min, sigma_max)
    if not 0 < rho < math.inf:
        raise ValueError(f'rho={rho}: a schedule needs an exponent above 0')
    return torch.linspace(0, 1, steps, dtype=torch.float64)


def _ended(sigmas: Tensor) -> Tensor:
    """Return the levels with the 0 they end at."""
    return torch.cat([sigmas, sigmas.new_zeros(1)])
