"""Position codes: sines on a grid, learned tables resized to another grid, learned axes."""
import math
from math import isqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def check_position_width(channels: int) -> None:
    """Raise a ValueError where position codes cannot be as wide as that."""
    if channels % 4:
        raise ValueError(f'position codes need channels divisible by 4, found {channels}')


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
    check_position_width(channels)
    quarter = channels // 4
    # Wavelengths from twice the image down to one twentieth of it, log-spaced.
    rates = torch.exp(torch.linspace(math.log(math.pi), math.log(20 * math.pi), quarter))
    # Each axis coded by sines and cosines: (h, C/2) for rows, (w, C/2) for columns.
    rows, columns = ((torch.arange(size) + 0.5) / size for size in grid)
    coded = [torch.cat([(axis[:, None] * rates).sin(), (axis[:, None] * rates).cos()], -1)
             for axis in (rows, columns)]
    # Spread over the grid, row codes before column codes: (h, w, C).
    height, width = grid
    both = torch.cat([coded[0][:, None].expand(height, width, -1),
                      coded[1][None].expand(height, width, -1)], -1)
    return both.reshape(1, height * width, channels).to(like)


def resize_position_table(table: Tensor, grid: tuple[int, int]) -> Tensor:
    """Interpolate a learned position table to another grid.

    Bilinear, without aligned corners or antialiasing, computed in float32; the class row stays.

    Args:
        table: Positions (1 + n*n, C): one for the class token, then a square grid row by row.
        grid: Rows h and columns w that are wanted.

    Returns:
        Positions (1 + h*w, C); ``table`` itself where its grid is that already.

    Raises:
        ValueError: If ``table`` does not hold a square grid and one row more.
    """
    side = isqrt(len(table) - 1)
    if not side or side * side != len(table) - 1:
        raise ValueError(f'a position table has one row for the class token and n*n for a square '
                         f'grid, found {len(table)} rows')
    if tuple(grid) == (side, side):
        return table
    # The square grid as a picture (1, C, n, n), resized, and back to rows (h*w, C).
    square = table[1:].float().T.unflatten(1, (side, side))[None]
    resized = F.interpolate(square, tuple(grid), mode='bilinear', align_corners=False)
    return torch.cat([table[:1], resized[0].flatten(1).T.to(table.dtype)])


class AxisPositions(nn.Module):
    """Learned position codes of a grid: one table for columns, one for rows.

    The first half of the channels codes the column, the second the row. On another grid than that
    of the tables, both are interpolated.

    Args:
        grid: Rows h and columns w of the tables.
        channels: Width C of the codes, an even number.

    Raises:
        ValueError: If ``channels`` is odd.
    """

    def __init__(self, grid: tuple[int, int], channels: int) -> None:
        super().__init__()
        if channels % 2:
            raise ValueError('codes of rows and columns share the channels half and half: expected '
                             f'an even number, found {channels}')
        self.rows = nn.Parameter(torch.empty(grid[0], channels // 2))
        self.columns = nn.Parameter(torch.empty(grid[1], channels // 2))
        for table in (self.rows, self.columns):
            nn.init.xavier_uniform_(table)

    def forward(self, grid: tuple[int, int]) -> Tensor:
        """Return codes (1, h*w, C) of a grid of h rows and w columns."""
        # Each table at the size of its axis: (h, C/2) and (w, C/2), spread over the grid.
        rows, columns = (_stretch(table, size) for table, size in
                         zip((self.rows, self.columns), grid, strict=True))
        height, width = grid
        both = torch.cat([columns[None].expand(height, width, -1),
                          rows[:, None].expand(height, width, -1)], -1)
        return both.reshape(1, height * width, -1)


def _stretch(table: Tensor, size: int) -> Tensor:
    """Interpolate a table (n, C) to (size, C)."""
    if len(table) == size:
        return table
    return F.interpolate(table.T[None], size, mode='linear', align_corners=False)[0].T


def check_image_size(images: Tensor, divisor: int, encoder: str) -> None:
    """Refuse images whose sides the tower would have to cut.

    Args:
        images: Images (..., H, W).
        divisor: What both sides must be a multiple of, in pixels.
        encoder: Name for the message.

    Raises:
        ValueError: If a side is no multiple of ``divisor``.
    """
    height, width = images.shape[-2:]
    if height % divisor or width % divisor:
        raise ValueError(
            f'{encoder} takes images whose height and width are multiples of {divisor}, found '
            f'{height}x{width}: set size_divisor={divisor} in data_preprocessor, which pads them '
            'and crops the prediction back; test_cfg.crop_size must be such a multiple too')
