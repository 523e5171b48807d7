"""Position codes for tokens that lie on a grid."""
import math

import torch
from torch import Tensor


def sine_positions(grid: tuple[int, int], channels: int, like: Tensor) -> Tensor:
    """Return 2-D sine-cosine position codes (1, h*w, channels).

    The first half of the channels codes the row, the second the column, each position scaled to
    0-1 so that a grid of another size describes the same place alike.

    Args:
        grid: Rows h and columns w.
        channels: A multiple of 4.
        like: A tensor whose device and dtype the result takes.

    Raises:
        ValueError: If ``channels`` is not a multiple of 4.
    """
    if channels % 4:
        raise ValueError(f'position codes need channels divisible by 4, found {channels}')
    quarter = channels // 4
    # Wavelengths from twice the image down to one twentieth of it, log-spaced.
    rates = torch.exp(torch.linspace(math.log(math.pi), math.log(20 * math.pi), quarter))
    rows, columns = ((torch.arange(size) + 0.5) / size for size in grid)
    coded = [torch.cat([(axis[:, None] * rates).sin(), (axis[:, None] * rates).cos()], -1)
             for axis in (rows, columns)]
    height, width = grid
    both = torch.cat([coded[0][:, None].expand(height, width, -1),
                      coded[1][None].expand(height, width, -1)], -1)
    return both.reshape(1, height * width, channels).to(like)
