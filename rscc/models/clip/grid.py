"""Image sizes of CLIP's towers, and the learned position tables that go with them."""
from math import isqrt

import torch
import torch.nn.functional as F
from torch import Tensor


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
    square = table[1:].float().T.unflatten(1, (side, side))[None]
    resized = F.interpolate(square, tuple(grid), mode='bilinear', align_corners=False)
    return torch.cat([table[:1], resized[0].flatten(1).T.to(table.dtype)])


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
