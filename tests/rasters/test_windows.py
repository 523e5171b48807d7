import numpy as np
import pytest

from rscc.rasters.windows import Axis, TileGrid, mirror, stem_of_tile, tile_name

SHAPES = [(1, 8, 2), (3, 8, 2), (7, 8, 3), (8, 8, 2), (9, 8, 2), (41, 8, 7), (64, 8, 0), (65, 8, 0),
          (3, 8, 0), (100, 8, 5), (31, 8, 1)]


def test_the_grid_of_a_levir_scene_is_the_originals():
    axis = Axis(1024, 256, 64)
    assert (axis.count, axis.before, axis.after) == (6, 96, 96)
    assert axis.before + 1024 + axis.after == ((1024 - 256) // 192 + 1) * 192 + 256 == 1216
    names = list(TileGrid(1024, 1024).names('train_1'))
    assert len(names) == len(TileGrid(1024, 1024)) == 36
    assert names[:2] == ['train_1_1_1', 'train_1_2_1'] and names[-1] == 'train_1_6_6'


@pytest.mark.parametrize('length', [257, 300, 448, 449, 1000, 15354, 32507])
def test_the_padded_length_follows_the_formula(length):
    axis = Axis(length, 256, 64)
    padded = ((length - 256) // 192 + 1) * 192 + 256
    assert axis.before + length + axis.after == padded == (axis.count - 1) * 192 + 256
    assert 0 <= axis.after - axis.before <= 1


def test_without_overlap_a_levir_scene_gives_sixteen_tiles_and_nothing_is_padded():
    grid = TileGrid(1024, 1024, 256, 0)
    assert len(grid) == 16 and grid.rows.after == 0
    assert [grid.columns.start(index) for index in range(4)] == [0, 256, 512, 768]


def test_without_overlap_the_whu_pair_gives_the_usual_7620_tiles():
    grid = TileGrid(15354, 32507, 256, 0)
    assert len(grid) == 7620 == 127 * 60
    assert grid.rows.before == 0 and grid.rows.after == 60 * 256 - 15354


@pytest.mark.parametrize(('length', 'tile', 'overlap'), SHAPES)
def test_tiles_are_those_of_an_image_padded_by_numpy(length, tile, overlap):
    axis, image = Axis(length, tile, overlap), np.arange(length) * 10
    padded = np.pad(image, (axis.before, axis.after), mode='reflect')
    for index in range(axis.count):
        begin = index * axis.step
        assert np.array_equal(image[axis.source(index)], padded[begin:begin + tile])


@pytest.mark.parametrize(('length', 'tile', 'overlap'), SHAPES)
def test_every_pixel_lies_in_a_tile_and_reading_only_moves_forward(length, tile, overlap):
    axis = Axis(length, tile, overlap)
    parts = [axis.inside(index) for index in range(axis.count)]
    assert {p for first, end in parts for p in range(first, end)} == set(range(length))
    lowest = [min(axis.source(index)) for index in range(axis.count)]
    assert lowest == sorted(lowest)


def test_mirroring_leaves_out_the_border_pixel_and_goes_on_beyond_the_other_end():
    assert [mirror(p, 3) for p in range(-5, 8)] == [1, 0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1]
    assert [mirror(p, 1) for p in (-3, 0, 4)] == [0, 0, 0]


def test_names_put_the_column_first_and_count_from_one():
    assert tile_name('a', 4, 0) == 'a_5_1'
    assert stem_of_tile('test_12_5_1') == 'test_12'
    assert stem_of_tile('test_12') is None


@pytest.mark.parametrize(('size', 'overlap'), [(0, 0), (8, 8), (8, -1)])
def test_a_senseless_size_is_refused(size, overlap):
    with pytest.raises(ValueError, match=f'tiles of {size} pixels with an overlap of {overlap}'):
        Axis(10, size, overlap)


def test_an_empty_image_is_refused():
    with pytest.raises(ValueError, match='0 pixels along one axis'):
        Axis(0, 8, 2)
