"""Class maps painted by hand, as a scene whose blocks are answered."""
from itertools import pairwise, product

import numpy as np

from rscc.scenes.contracts import (
    NODATA,
    Block,
    BlockAnswer,
    ModelFacts,
    Scene,
    SceneGrid,
    SceneReader,
    WindowSentence,
)

CLASSES = ('unchanged', 'building', 'road')


class NoPixels(SceneReader):
    """A scene of which only the grid is known."""

    def __init__(self, grid):
        self.grid, self.sources = grid, ('before.tif', 'after.tif')

    def read(self, box, shape=None):
        raise AssertionError('the pixels of the scene are not needed')


def grid_of(shape, crs=None, transform=None):
    """Return the grid of an image (h, w); ``crs`` is whatever pyproj takes."""
    if crs is not None:
        from pyproj import CRS
        crs = CRS.from_user_input(crs).to_wkt()
    return SceneGrid(shape[1], shape[0], crs, transform)


def divided(shape, parts):
    """Return boxes that divide an image (h, w) into parts x parts uneven blocks."""
    rows, columns = (np.linspace(0, size, parts + 1).astype(int).tolist() for size in shape)
    return [(left, top, right, bottom) for (top, bottom), (left, right) in product(
        pairwise(rows), pairwise(columns))]


def window(box, sentence='a house was built', flag=True, score=-0.5, **more):
    return WindowSentence(box, sentence, score, flag, **more)


def painted(pixels, parts=2, grid=None, probability=None, windows=(), gaps=(), **facts):
    """Return a scene and the function that reads the answers to its blocks.

    Args:
        pixels: Its map, uint8 (h, w).
        parts: Blocks along each side.
        grid: Its place on the map; none unless given.
        probability: uint8 (h, w); 255 where changed unless given.
        windows: What was put into words.
        gaps: Of the first block.
        facts: Of the model.
    """
    grid = grid or grid_of(pixels.shape)
    if probability is None:
        probability = np.where((pixels > 0) & (pixels < NODATA), 255, 0).astype(np.uint8)
    blocks = tuple(Block('painted', number, box, box)
                   for number, box in enumerate(divided(pixels.shape, parts)))
    facts = ModelFacts(**{'heads': ('change_head',), 'classes': CLASSES, **facts})

    def read(block):
        left, top, right, bottom = block.box
        part = np.s_[top:bottom, left:right]
        mine = [one for one in windows if left <= (one.box[0] + one.box[2]) // 2 < right
                and top <= (one.box[1] + one.box[3]) // 2 < bottom]
        return BlockAnswer(block, pixels[part], probability[part],
                           int((pixels[part] == NODATA).sum()), mine,
                           list(gaps) if block.number == 0 else [], windows=3)

    return Scene('painted', NoPixels(grid), facts, blocks), read
