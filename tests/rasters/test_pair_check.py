import numpy as np
import pytest
from PIL import Image

from rscc.datasets.transforms.loading import LoadChangeMask, LoadFrames
from rscc.rasters.pair_check import check_grids, check_pair
from rscc.rasters.tiles import scenes_of_pair

GREY = np.zeros((1, 40, 60), np.uint8)
RGB = np.zeros((3, 40, 60), np.uint8)


@pytest.fixture
def place(tmp_path):
    rasterio = pytest.importorskip('rasterio')

    def write(name, bands=RGB, crs='EPSG:32633', left=1000.0, top=2000.0, side=0.5, turn=0.0):
        transform = rasterio.Affine(side, turn, left, turn, -side, top)
        with rasterio.open(tmp_path / name, 'w', driver='GTiff', height=bands.shape[1],
                           width=bands.shape[2], count=len(bands), dtype='uint8', crs=crs,
                           transform=transform) as file:
            file.write(bands)
        return tmp_path / name

    return write


def routes(first, second, label=None):
    """Every route that reads a pair, as a call that must refuse it."""
    sample = {'sample_id': 's', 'img_path_from': str(first), 'img_path_to': str(second)}
    files = {'from': first, 'to': second} | ({} if label is None else {'label': label})
    yield lambda: check_pair([first, second], label)
    yield lambda: scenes_of_pair(files)
    yield lambda: LoadChangeMask()(LoadFrames()(
        sample | ({} if label is None else {'seg_map_path': str(label)})))


@pytest.mark.parametrize(('other', 'what'), [
    (dict(left=1010.0), r'their corners are up to 20\.0 pixels apart'),
    (dict(top=1999.75), r'their corners are up to 0\.5 pixels apart'),
    (dict(side=0.6), r'their corners are up to .* pixels apart'),
    (dict(turn=0.05), r'their corners are up to .* pixels apart'),
    (dict(crs='EPSG:32634'), r'coordinate systems EPSG:32633 and EPSG:32634')])
def test_another_grid_is_refused_with_a_command_on_every_route(place, other, what):
    first, second = place('a.tif'), place('b.tif', **other)
    for route in routes(first, second):
        with pytest.raises(ValueError, match=rf"a\.tif' and '.*b\.tif' lie on different grids: "
                           rf"{what}.*rio warp '.*b\.tif' 'b_warped\.tif' --like '.*a\.tif'"):
            route()


def test_a_label_on_another_grid_is_refused_too(place):
    first, second = place('a.tif'), place('b.tif')
    for route in routes(first, second, place('c.tif', GREY, left=990.0)):
        with pytest.raises(ValueError, match=r"c\.tif' lie on different grids"):
            route()
    for route in routes(first, second, place('d.tif', GREY)):
        route()


def test_rounding_and_files_without_a_place_pass(place, tmp_path):
    first, second = place('a.tif'), place('b.tif', left=1000.0 + 1e-6)
    Image.new('RGB', (60, 40)).save(tmp_path / 'c.png')
    for other in (second, tmp_path / 'c.png'):
        for route in routes(first, other):
            route()


def test_definitions_of_one_system_without_a_code_are_compared_by_meaning(place):
    local = '+proj=laea +lat_0=10 +lon_0=20 +datum=WGS84 +units=m'
    check_grids([place('a.tif', crs=local), place('b.tif', crs=local)])
    with pytest.raises(ValueError, match='coordinate systems user-defined'):
        check_grids([place('a.tif', crs=local), place('b.tif', crs=local.replace('=10', '=11'))])


def test_sizes_and_kinds_are_refused_on_every_route(place, tmp_path):
    Image.new('L', (60, 40)).save(tmp_path / 'grey.png')
    Image.new('RGB', (60, 40)).save(tmp_path / 'colour.png')
    for first, second in ((tmp_path / 'colour.png', tmp_path / 'grey.png'),
                          (place('a.tif'), place('b.tif', GREY))):
        for route in routes(first, second):
            with pytest.raises(ValueError, match=r'are of different kinds: .* is RGB, .* is grey'):
                route()
    small = place('c.tif', RGB[:, :39])
    for route in routes(place('a.tif'), small):
        with pytest.raises(ValueError, match='sizes differ: '):
            route()
    with pytest.raises(ValueError, match=r"sizes differ: .*rio warp '.*c\.tif' 'c_warped\.tif'"):
        check_pair([place('a.tif'), small])


def test_pixels_without_data_are_ignored_in_the_mask_and_counted(tmp_path):
    rasterio = pytest.importorskip('rasterio')
    values = np.full((3, 8, 8), 90, np.uint8)
    values[:, :2] = 0
    for name, empty in (('a.tif', 0), ('b.tif', None)):
        with rasterio.open(tmp_path / name, 'w', driver='GTiff', height=8, width=8, count=3,
                           dtype='uint8', nodata=empty,
                           transform=rasterio.Affine(1, 0, 5, 0, -1, 5)) as file:
            file.write(values)
    label = np.zeros((8, 8), np.uint8)
    label[1:4] = 255
    Image.fromarray(label).save(tmp_path / 'label.png')
    sample = {'sample_id': 's', 'seg_map_path': str(tmp_path / 'label.png'),
              'img_path_from': str(tmp_path / 'a.tif'), 'img_path_to': str(tmp_path / 'b.tif')}
    loaded = LoadChangeMask()(LoadFrames()(dict(sample)))
    expected = (label > 0).astype(int)
    expected[:2] = 255
    assert np.array_equal(loaded['gt_sem_seg'], expected) and loaded['nodata_pixels'] == 16
    cached = {**sample, 'frames': loaded['frames'], 'ori_shape': (8, 8)}
    assert np.array_equal(LoadChangeMask()(cached)['gt_sem_seg'], expected)
