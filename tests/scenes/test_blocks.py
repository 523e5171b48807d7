import itertools

import numpy as np
import pytest

from rscc.rasters.windows import window_grid
from rscc.scenes.blocks import part_of, plan_blocks, share, write_table
from rscc.scenes.contracts import SceneGrid

#: Height and width of scenes; side and overlap of windows; pixels of a block.
SHAPES = [((300, 420), (64, 16), 128**2), ((301, 419), (64, 0), 100**2), ((65, 900), (64, 32), 64),
          ((900, 65), (64, 32), 300**2), ((64, 700), (64, 16), 128**2), ((30, 500), (64, 16), 128),
          ((513, 1), (64, 16), 128), ((129, 129), (128, 127), 10), ((1000, 1000), (256, 64), 10**9)]


def divided(size, window, pixels, stored=(64, 64), valid=None):
    grid = SceneGrid(size[1], size[0])
    lattice = window_grid(*size, (window[0],) * 2, (window[1],) * 2)
    valid = np.ones((8, 8), bool) if valid is None else valid
    return lattice, plan_blocks('s', grid, lattice, valid, stored, pixels)


@pytest.mark.parametrize(('size', 'window', 'pixels'), SHAPES)
def test_blocks_tile_the_scene_and_halos_hold_their_windows(size, window, pixels):
    lattice, blocks = divided(size, window, pixels)
    count, owners = np.zeros(size, int), np.zeros((lattice.rows.count, lattice.columns.count), int)
    for block in blocks:
        left, top, right, bottom = block.box
        assert left < right and top < bottom
        count[top:bottom, left:right] += 1
        part = part_of(lattice, block.box)
        for axis, (first, end) in ((part.rows, block.halo[1::2]), (part.columns, block.halo[::2])):
            read = [pixel for index in range(axis.count) for pixel in axis.source(index)]
            assert first <= min(read) and max(read) < end, 'a window reads beyond the halo'
        for column, row in part.places():
            if part.rows.owned(row) and part.columns.owned(column):
                owners[part.rows.lowest + row, part.columns.lowest + column] += 1
        assert 0 <= block.halo[0] <= left and right <= block.halo[2] <= size[1]
        assert 0 <= block.halo[1] <= top and bottom <= block.halo[3] <= size[0]
    assert (count == 1).all()
    assert (owners == 1).all(), 'a window is described in no block, or in two'
    assert [block.number for block in blocks] == list(range(len(blocks)))
    assert len({block.id for block in blocks}) == len(blocks)


@pytest.mark.parametrize(('size', 'window', 'pixels'), SHAPES)
def test_a_part_has_the_windows_of_the_whole_that_reach_into_it(size, window, pixels):
    lattice, blocks = divided(size, window, pixels)
    for block in blocks:
        for axis, first, end in ((lattice.rows, *block.box[1::2]), (lattice.columns,
                                                                    *block.box[::2])):
            part = part_of(lattice, block.box)
            part = part.rows if axis is lattice.rows else part.columns
            inside = [index for index in range(axis.count)
                      if axis.inside(index)[0] < end and axis.inside(index)[1] > first]
            assert [part.lowest, part.count] == [inside[0], len(inside)]
            assert part.start(0) == axis.start(inside[0]) - first


def test_blocks_have_about_the_size_that_was_asked_for():
    _, blocks = divided((2000, 3000), (64, 16), 500**2)
    assert len(blocks) in range(24, 36)
    assert max(height * width for height, width in (block.shape for block in blocks)) < 1.3 * 500**2


def test_files_stored_in_rows_are_divided_into_whole_rows():
    _, blocks = divided((3000, 900), (64, 16), 500**2, stored=(1, 900))
    assert {block.shape[1] for block in blocks} == {900}
    _, blocks = divided((900, 90000), (64, 16), 500**2, stored=(1, 90000))
    assert {block.shape[1] for block in blocks} != {90000}, 'a block would be thinner than windows'


def test_one_window_is_one_block():
    assert window_grid(50, 60, (64, 64), (16, 16)) is None
    _, (block,) = divided((50, 60), (64, 16), 100)
    assert block.box == block.halo == (0, 0, 60, 50)


def test_nodata_comes_from_the_reduced_image():
    valid = np.ones((3, 4), bool)
    valid[:, :2] = False
    _, blocks = divided((300, 420), (64, 16), 128**2, valid=valid)
    assert {block.nodata for block in blocks if block.box[2] <= 210} == {1.0}
    assert {block.nodata for block in blocks if block.box[0] >= 210} == {0.0}


def test_parts_share_the_blocks_that_hold_data_evenly():
    valid = np.ones((6, 6), bool)
    valid[:3] = False
    _, blocks = divided((600, 600), (64, 16), 100**2, valid=valid)
    parts = [share(blocks, number, 4) for number in (1, 2, 3, 4)]
    assert sorted(block.number for part in parts for block in part) == [
        block.number for block in blocks]
    full = [sum(block.nodata < 1 for block in part) for part in parts]
    assert max(full) - min(full) <= 1 and sum(full) > 12


def test_more_parts_than_blocks_leave_some_empty():
    _, blocks = divided((300, 420), (64, 16), 10**9)
    assert [len(share(blocks, number, 3)) for number in (1, 2, 3)] == [1, 0, 0]


@pytest.mark.parametrize('part', [(0, 4), (5, 4), (1, 0)])
def test_a_part_that_does_not_exist_is_refused(part):
    with pytest.raises(ValueError, match=f'--part {part[0]}/{part[1]}: expected a part from 1/'):
        share([], *part)


def test_the_table_tells_place_size_and_halo(tmp_path):
    geopandas = pytest.importorskip('geopandas')
    from rasterio.crs import CRS
    grid = SceneGrid(420, 300, CRS.from_epsg(32631).to_wkt(), (.5, 0, 5e5, 0, -.5, 5e6))
    _lattice, blocks = divided((300, 420), (64, 16), 128**2)
    table = geopandas.read_parquet(write_table(tmp_path / 't.parquet', blocks, {'s': grid}))
    assert len(table) == len(blocks) and table.crs.to_epsg() == 4326
    for row, block in zip(table.itertuples(), blocks, strict=True):
        assert (row.block_id, row.scene, row.number) == (block.id, 's', block.number)
        assert (row.left, row.top) == block.box[:2] and (row.height, row.width) == block.shape
        assert (row.halo_left, row.halo_top, row.halo_right, row.halo_bottom) == block.halo
        height, width = block.shape
        assert row.geometry.is_valid
        assert table.to_crs(32631).geometry[row.Index].area == pytest.approx(
            height * width / 4, rel=1e-4)
    for one, other in itertools.combinations(table.geometry, 2):
        assert one.intersection(other).area < 1e-12


def test_the_table_of_images_without_a_place_has_no_geometry(tmp_path):
    geopandas = pytest.importorskip('geopandas')
    _, blocks = divided((300, 420), (64, 16), 128**2)
    path = write_table(tmp_path / 't.parquet', blocks, {'s': SceneGrid(420, 300)})
    assert geopandas.read_parquet(path).geometry.isna().all()
