"""Damaged files: what can be read is read, and what cannot is empty and named."""
import itertools
from collections.abc import Callable, Sequence

import numpy as np

from rscc.scenes.contracts import Box, Gap, SceneReader
from rscc.utils.watching import step

#: Pixels; smaller parts of a damaged file are not looked for in a reduced image.
_LEAST_PART = 32


def read_around_gaps(reader: SceneReader, box: Box
                     ) -> tuple[list[np.ndarray], np.ndarray, list[Gap]]:
    """Read a rectangle; what is damaged counts as without data and is listed.

    Args:
        reader: The scene.
        box: The rectangle.

    Returns:
        Frames and where there is data, see :meth:`SceneReader.read`, and the damaged parts, as
        small as the blocks that the file stores.
    """
    try:
        return (*reader.read(box), [])
    except OSError as error:
        left, top, right, bottom = box
        height, width = reader.block
        rows = [top, *range((top // height + 1) * height, bottom, height), bottom]
        columns = [left, *range((left // width + 1) * width, right, width), right]
        if len(rows) == 2 and len(columns) == 2:
            shape = (bottom - top, right - left)
            return ([np.zeros((*shape, reader.channels), np.uint8) for _ in reader.dates],
                    np.zeros(shape, bool), [Gap(box, str(error))])
    return _patched(reader, rows, columns)


def _patched(reader: SceneReader, rows: Sequence[int], columns: Sequence[int]
             ) -> tuple[list[np.ndarray], np.ndarray, list[Gap]]:
    """Read stored block by stored block, so that a damaged one costs its own pixels alone."""
    shape = (rows[-1] - rows[0], columns[-1] - columns[0])
    frames = [np.zeros((*shape, reader.channels), np.uint8) for _ in reader.dates]
    valid, gaps = np.zeros(shape, bool), []
    for top, bottom in itertools.pairwise(rows):
        for left, right in itertools.pairwise(columns):
            parts, there, found = read_around_gaps(reader, (left, top, right, bottom))
            place = np.s_[top - rows[0]:bottom - rows[0], left - columns[0]:right - columns[0]]
            for frame, part in zip(frames, parts, strict=True):
                frame[place] = part
            valid[place] = there
            gaps += found
    return frames, valid, gaps


def read_reduced(read: Callable[[Box, tuple[int, int]], Sequence[np.ndarray]], box: Box,
                 out: Sequence[np.ndarray]) -> None:
    """Read a reduced image; a damaged rectangle is halved until what is whole is found.

    Args:
        read: Reads a rectangle at a shape (h, w) into arrays like those of ``out``.
        box: The rectangle, in pixels.
        out: Arrays (h, w, ...) to fill; what cannot be read keeps its values.
    """
    shape, size = out[0].shape[:2], (box[2] - box[0], box[3] - box[1]) * 2
    parts = [box]
    while parts:
        step()
        part = parts.pop()
        left, top, right, bottom = (
            round((edge - origin) * reduced / full) for edge, origin, reduced, full in zip(
                part, box[:2] * 2, shape[::-1] * 2, size, strict=True))
        if right <= left or bottom <= top:
            continue
        try:
            found = read(part, (bottom - top, right - left))
        except OSError:
            parts += _halves(part)
            continue
        for array, pixels in zip(out, found, strict=True):
            array[top:bottom, left:right] = pixels


def _halves(box: Box) -> list[Box]:
    """Divide a box across its longer side; nothing is left of a small one."""
    left, top, right, bottom = box
    if max(right - left, bottom - top) <= _LEAST_PART:
        return []
    if right - left >= bottom - top:
        middle = (left + right) // 2
        return [(left, top, middle, bottom), (middle, top, right, bottom)]
    middle = (top + bottom) // 2
    return [(left, top, right, middle), (left, middle, right, bottom)]
