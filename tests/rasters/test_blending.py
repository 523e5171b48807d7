import tracemalloc

import numpy as np
import pytest
from PIL import Image

from rscc.rasters.blending import merge_rows, read_tile
from rscc.rasters.windows import TileGrid

RNG = np.random.default_rng(0)


def cutter(image, grid):
    """Return the function that gives the tiles of an array."""
    def read(column, row):
        return image[np.ix_(grid.rows.source(row), grid.columns.source(column))]
    return read


def merged(read, grid, **options):
    """Join the bands, checking that they follow each other."""
    parts = []
    for first, band in merge_rows(read, grid, **options):
        assert first == sum(map(len, parts)) and len(band)
        parts.append(band)
    return np.concatenate(parts)


GRIDS = [TileGrid(100, 70, 32, 8), TileGrid(9, 200, 32, 8), TileGrid(5, 5, 32, 8),
         TileGrid(64, 96, 32, 0), TileGrid(70, 33, 32, 0), TileGrid(77, 80, 32, 24),
         TileGrid(50, 40, 16, 15), TileGrid(1, 300, 32, 8), TileGrid(32, 32, 32, 8)]


@pytest.mark.parametrize('grid', GRIDS, ids=str)
@pytest.mark.parametrize(('rule', 'blend'), [
    ('mean', 'none'), ('mean', 'linear'), ('and', 'none'), ('or', 'none')])
def test_merging_undoes_cutting(grid, rule, blend):
    image = RNG.random((grid.height, grid.width), dtype=np.float32)
    result = merged(cutter(image, grid), grid, rule=rule, blend=blend)
    assert result.shape == image.shape and np.abs(result - image).max() < 1e-5


@pytest.mark.parametrize('grid', GRIDS, ids=str)
@pytest.mark.parametrize('rule', ['mean', 'vote', 'and', 'or'])
def test_bands_give_what_the_whole_array_gives(grid, rule):
    tiles = RNG.random((grid.rows.count, grid.columns.count, grid.rows.tile, grid.rows.tile),
                       dtype=np.float32)
    height = grid.rows.before + grid.height + grid.rows.after
    width = grid.columns.before + grid.width + grid.columns.after
    stack = np.full((len(grid), height, width), np.nan, np.float32)
    for row in range(grid.rows.count):
        for column in range(grid.columns.count):
            top, left = row * grid.rows.step, column * grid.columns.step
            stack[row * grid.columns.count + column, top:top + grid.rows.tile,
                  left:left + grid.rows.tile] = tiles[row, column]
    stack = stack[:, grid.rows.before:height - grid.rows.after,
                  grid.columns.before:width - grid.columns.after]
    votes = np.where(np.isnan(stack), np.nan, stack > 0.5)
    expected = {'mean': np.nanmean(stack, 0), 'vote': np.nanmean(votes, 0),
                'and': np.nanmin(stack, 0), 'or': np.nanmax(stack, 0)}[rule]
    result = merged(lambda column, row: tiles[row, column], grid, rule=rule)
    assert np.abs(result - expected).max() < 1e-5


def test_an_overlap_by_hand():
    # Two tiles of 4 that share 2 columns, mirrored by nothing: 6 columns from 0 are covered by
    # 3 tiles, of which the outer ones reach 1 pixel beyond the image.
    grid = TileGrid(4, 6, 4, 2)
    assert (grid.columns.count, grid.columns.before, grid.rows.count) == (3, 1, 2)
    values = {0: 0.9, 1: 0.6, 2: 0.3}
    result = merged(lambda column, row: np.full((4, 4), values[column], np.float32), grid)
    assert np.allclose(result[0], [0.9, 0.75, 0.75, 0.45, 0.45, 0.3])
    every = merged(lambda column, row: np.full((4, 4), values[column], np.float32), grid,
                   rule='and')
    assert (every[0] > 0.5).tolist() == [True, True, True, False, False, False]
    any_ = merged(lambda column, row: np.full((4, 4), values[column], np.float32), grid, rule='or')
    assert (any_[0] > 0.5).tolist() == [True] * 5 + [False]
    linear = merged(lambda column, row: np.full((4, 4), values[column], np.float32), grid,
                    blend='linear')
    # Weights along a tile are 1 2 2 1: the second pixel is 2 of the first tile and 1 of the next.
    assert np.allclose(linear[0], [0.9, 0.8, 0.7, 0.5, 0.4, 0.3])


def test_the_originals_rule_needs_all_masks_to_agree():
    grid = TileGrid(4, 6, 4, 2)
    masks = {0: 1.0, 1: 0.0, 2: 1.0}
    read = lambda column, row: np.full((4, 4), masks[column], np.float32)  # noqa: E731
    accidental = np.uint8([1, 0.5, 0.5, 0.5, 0.5, 1])  # an average of masks cast to whole numbers
    assert (merged(read, grid, rule='and')[0] > 0.5).tolist() == accidental.astype(bool).tolist()


@pytest.mark.parametrize(('options', 'words'), [
    (dict(rule='maen'), r"rule='maen' is unknown.*Did you mean 'mean'"),
    (dict(blend='lin'), "blend='lin' is unknown: use one of"),
    (dict(rule='and', blend='linear'), "blend 'linear' weighs tiles, which rule 'and' cannot do")])
def test_unknown_rules_and_senseless_blends_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        next(merge_rows(None, GRIDS[0], **options))


def saved(path, values, mode=None):
    picture = Image.fromarray(values, mode=mode)
    if mode == 'P':
        picture.putpalette([0, 0, 0, 255, 255, 255])
    picture.save(path)
    return path


def test_tiles_of_every_kind_become_probabilities(tmp_path):
    grey = np.array([[0, 51], [204, 255]], np.uint8)
    expected = [[0, 0.2], [0.8, 1]]
    assert np.allclose(read_tile(saved(tmp_path / 'a.png', grey), 2), expected)
    assert np.allclose(read_tile(saved(tmp_path / 'b.png', grey.astype(np.uint16) * 257), 2),
                       expected)
    classes = np.array([[0, 1], [3, 0]], np.uint8)
    for path, given in ((saved(tmp_path / 'c.png', classes, 'P'), False),
                        (saved(tmp_path / 'd.png', classes), True),
                        (saved(tmp_path / 'e.png', classes > 0), False)):
        assert read_tile(path, 2, given).tolist() == [[0, 1], [1, 0]]


def test_class_numbers_are_not_taken_for_probabilities(tmp_path):
    path = saved(tmp_path / 'a.png', np.eye(4, dtype=np.uint8))
    with pytest.raises(ValueError, match=r"a\.png' is grey with no value above 1.*--classes"):
        read_tile(path, 4)
    assert read_tile(path, 4, classes=True).sum() == 4


def test_tiles_of_another_size_or_kind_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"a\.png' is \(5, 4\).*4 x 4 of one channel"):
        read_tile(saved(tmp_path / 'a.png', np.zeros((4, 5), np.uint8)), 4)
    with pytest.raises(ValueError, match=r'4 x 4 of one channel was expected.*probabilities/'):
        read_tile(saved(tmp_path / 'b.png', np.zeros((4, 4, 3), np.uint8)), 4)
    with pytest.raises(ValueError, match="of kind 'F'; grey of 8 or 16 bits"):
        read_tile(saved(tmp_path / 'c.tif', np.zeros((4, 4), np.float32)), 4)
    (tmp_path / 'd.png').write_text('hello')
    with pytest.raises(ValueError, match=r"d\.png' cannot be decoded"):
        read_tile(tmp_path / 'd.png', 4)


def test_memory_does_not_grow_with_the_height_of_the_image():
    peaks = []
    tile = np.full((64, 64), 0.25, np.float32)
    for height in (500, 5000):
        tracemalloc.start()
        rows = sum(len(band) for _, band in merge_rows(lambda column, row: tile,
                                                       TileGrid(height, 700, 64, 16)))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert rows == height
    assert peaks[1] < 1.2 * peaks[0] < 5000 * 700 * 4 / 5
