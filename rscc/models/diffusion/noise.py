"""Noise of samplers, drawn from an explicit generator."""
from collections.abc import Callable

import torch
from torch import Tensor


def gaussian_noise(x: Tensor, generator: torch.Generator | None = None) -> Callable[[], Tensor]:
    """Return a function whose every call draws standard normal noise like ``x``.

    Numbers are drawn where the generator is and moved, so one seed of a CPU generator gives the
    same sentences on every device.

    Args:
        x: Gives shape, dtype and device.
        generator: Source of the numbers; None is PyTorch's global one of the device of ``x``.
    """
    source = generator.device if generator is not None else x.device

    def noise() -> Tensor:
        drawn = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=source)
        return drawn.to(x.device)

    return noise
