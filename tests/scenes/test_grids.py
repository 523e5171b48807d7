import numpy as np
import pytest
from PIL import Image
from scene_files import LEFT, TOP, place, rgb, texture, write_plain, write_raster

from rscc.scenes.reading import PairReader
from rscc.scenes.sources import Reading, open_date

rasterio = pytest.importorskip('rasterio')
BANDS = texture(90, 130)
RGB = rgb(BANDS).astype(int)
PLAIN = Reading()


@pytest.fixture
def pair(tmp_path):
    """Return a function: bands and place of the later date -> the reader of the pair."""
    earlier = write_raster(tmp_path / 'a.tif', BANDS)

    def build(bands, transform=None, first=earlier, offset=(0, 0), assume_same_grid=False,
              **options):
        later = write_raster(tmp_path / 'b.tif', bands, transform, **options)
        return PairReader([open_date(first, PLAIN), open_date(later, PLAIN)],
                          assume_same_grid, offset)

    return build


def difference(reader, box, share=1.0):
    """Return the largest difference of the dates in a rectangle that holds data everywhere."""
    frames, valid = reader.read(box)
    assert valid.mean() >= share
    return int(np.abs(frames[0].astype(int) - frames[1])[valid].max())


def test_equal_grids_are_read_as_they_are_and_nothing_is_said(pair):
    reader = pair(BANDS)
    assert difference(reader, reader.grid.box) == 0
    assert reader.remarks == [] and reader.overlap == (0, 0, 130, 90)


def test_another_extent_on_the_same_pixels_is_read_unchanged(pair):
    reader = pair(BANDS[:, 20:80, 30:], place(1, 30, 20))
    frames, valid = reader.read(reader.grid.box)
    expected = np.zeros((90, 130), bool)
    expected[20:80, 30:] = True
    assert np.array_equal(valid, expected) and reader.overlap == (30, 20, 130, 80)
    assert np.array_equal(frames[0], frames[1]) and reader.remarks == []
    assert not frames[0][~valid].any(), 'without data at one date is black at both'


def test_half_a_pixel_is_resampled_and_said(pair):
    reader = pair(texture(90, 130, moved=(-0.5, 0)), place(1, 0.5))
    assert difference(reader, (5, 5, 125, 85)) <= 12  # of linear interpolation in fine texture
    frames, _ = reader.read((5, 5, 125, 85))
    assert np.abs(frames[0].astype(int) - frames[1]).mean() < 2
    assert len(reader.remarks) == 1 and 'b.tif' in reader.remarks[0]
    assert 'other origin' in reader.remarks[0] and '(bilinear)' in reader.remarks[0]


def test_finer_pixels_are_averaged(pair):
    reader = pair(BANDS.repeat(4, 1).repeat(4, 2), place(0.25))
    assert difference(reader, reader.grid.box) == 0
    assert 'pixels of 0.25 times the size' in reader.remarks[0] and '(average)' in reader.remarks[0]


def test_coarser_pixels_are_interpolated(pair):
    bands = texture(90, 130, fineness=0.02)
    coarse = bands[:, :90, :130].reshape(3, 45, 2, 65, 2).mean((2, 4)).astype(np.uint8)
    reader = pair(coarse, place(2))
    frames, _ = reader.read((10, 10, 120, 80))
    expected = rgb(bands)[10:80, 10:120].astype(int)
    assert np.abs(frames[1] - expected).max() <= 3
    assert 'pixels of 2 times the size' in reader.remarks[0]


@pytest.mark.parametrize('nodata', [None, 0])
def test_another_system_is_warped_onto_the_first_one(pair, nodata):
    from rasterio.warp import calculate_default_transform, reproject
    smooth = texture(90, 130, fineness=0.03)
    bounds = (LEFT, TOP - 90, LEFT + 130, TOP)
    transform, width, height = calculate_default_transform(
        'EPSG:32633', 'EPSG:4326', 130, 90, *bounds, resolution=2e-6)
    degrees = np.zeros((3, height, width), np.uint8)
    reproject(smooth, degrees, src_transform=place(), src_crs='EPSG:32633',
              dst_transform=transform, dst_crs='EPSG:4326', resampling=1)
    reader = pair(degrees, transform, crs='EPSG:4326', nodata=nodata)
    frames, valid = reader.read((5, 5, 125, 85))
    assert valid.all()
    assert np.abs(frames[1] - rgb(smooth)[5:85, 5:125].astype(int)).max() <= 4
    assert 'EPSG:4326 against EPSG:32633' in reader.remarks[0]
    assert reader.overlap == (0, 0, 130, 90)


def turned(angle=30, column=0, row=0):
    return (rasterio.Affine.translation(LEFT, TOP) * rasterio.Affine.rotation(angle)
            * rasterio.Affine.scale(1, -1) * rasterio.Affine.translation(column, row))


def test_two_dates_turned_alike_need_no_warp(pair, tmp_path):
    first = write_raster(tmp_path / 't.tif', BANDS, turned())
    reader = pair(BANDS[:, 10:, 20:], turned(column=20, row=10), first=first)
    assert difference(reader, (20, 10, 130, 90)) == 0 and reader.remarks == []


def test_a_turned_date_is_laid_straight(pair):
    """The pixels keep their size: rotation alone is no change of scale."""
    from rasterio.warp import reproject
    turn = rasterio.Affine.translation(LEFT - 20, TOP + 50) * rasterio.Affine.rotation(
        -30) * rasterio.Affine.scale(1, -1)
    smooth = texture(90, 130, fineness=0.03)
    bands = np.zeros((3, 260, 260), np.uint8)
    reproject(smooth, bands, src_transform=place(), src_crs='EPSG:32633', dst_transform=turn,
              dst_crs='EPSG:32633', resampling=1)
    reader = pair(bands, turn, nodata=0)
    frames, valid = reader.read((5, 5, 125, 85))
    inside = valid & (frames[1] > 20).all(2)
    assert inside.mean() > 0.5
    assert np.abs(frames[1].astype(int) - rgb(smooth)[5:85, 5:125])[inside].mean() < 2
    assert 'times the size' not in reader.remarks[0]


def test_dates_apart_are_refused_with_both_extents(pair):
    with pytest.raises(ValueError, match=r"'.*a\.tif' and '.*b\.tif' do not overlap: x 500000 to "
                       r'500130, y .* to 4e\+06 \(EPSG:32633\) against x 500130'):
        pair(BANDS, place(1, 130))
    with pytest.raises(ValueError, match='do not overlap'):
        pair(BANDS, rasterio.Affine(1e-5, 0, 100, 0, -1e-5, -30), crs='EPSG:4326')


def test_touching_by_a_pixel_is_an_overlap(pair):
    assert pair(BANDS, place(1, 129)).overlap == (129, 0, 130, 90)


def test_a_system_on_one_side_only_is_refused_unless_said_to_be_the_same(pair):
    with pytest.raises(ValueError, match=r"b\.tif' names no coordinate system.*--assume-same-grid"):
        pair(BANDS, crs=None)
    reader = pair(BANDS[:, 10:, 20:], place(1, 20, 10), crs=None, assume_same_grid=True)
    assert difference(reader, (20, 10, 130, 90)) == 0


def test_without_systems_the_places_count(pair, tmp_path):
    first = write_raster(tmp_path / 'n.tif', BANDS, crs=None)
    reader = pair(BANDS[:, 10:, 20:], place(1, 20, 10), crs=None, first=first)
    assert difference(reader, (20, 10, 130, 90)) == 0 and reader.overlap == (20, 10, 130, 90)


def test_a_place_on_one_side_only_is_refused_unless_said_to_be_the_same(tmp_path):
    placed = open_date(write_raster(tmp_path / 'a.tif', BANDS), PLAIN)
    Image.fromarray(RGB.astype(np.uint8)).save(tmp_path / 'b.png')
    plain = [open_date(write_plain(tmp_path / 'c.tif', BANDS), PLAIN),
             open_date(tmp_path / 'b.png', PLAIN)]
    for lacking in plain:
        for dates in ([placed, lacking], [lacking, placed]):
            with pytest.raises(ValueError, match=r"[bc]\.\w+' has no place.*--assume-same-grid"):
                PairReader(dates)
            reader = PairReader(dates, assume_same_grid=True)
            assert difference(reader, (0, 0, 130, 90)) == 0


def test_sizes_of_images_without_a_place_have_to_agree(tmp_path):
    dates = [open_date(write_plain(tmp_path / name, bands), PLAIN)
             for name, bands in (('a.tif', BANDS), ('b.tif', BANDS[:, :80]))]
    with pytest.raises(ValueError, match=r"sizes differ: '.*a\.tif' 130 x 90, '.*b\.tif' 130 x 80"):
        PairReader(dates)


@pytest.mark.parametrize('offset', [(3, 0), (-2, 4), (0, -1)])
def test_a_whole_offset_undoes_a_whole_shift(tmp_path, pair, offset):
    """A thing at (column, row) of the earlier date is at (column, row) + offset of the later."""
    moved = np.roll(BANDS, offset[::-1], (1, 2))
    inside = (8, 8, 122, 82)
    assert difference(pair(moved, offset=offset), inside) == 0
    plain = write_plain(tmp_path / 'p.tif', BANDS), write_plain(tmp_path / 'q.tif', moved)
    Image.fromarray(rgb(BANDS)).save(tmp_path / 'p.png')
    Image.fromarray(rgb(moved)).save(tmp_path / 'q.png')
    for paths in (plain, (tmp_path / 'p.png', tmp_path / 'q.png')):
        reader = PairReader([open_date(path, PLAIN) for path in paths], offset=offset)
        assert difference(reader, inside) == 0
        assert len(reader.remarks) == 1 and '(--align)' in reader.remarks[0]


def test_an_offset_says_how_the_later_date_was_moved(pair):
    reader = pair(np.roll(BANDS, 3, 2), offset=(3, 0))
    assert "b.tif' was moved by -3.00 columns and +0.00 rows" in reader.remarks[0]


@pytest.mark.parametrize('offset', [(0.5, 0), (-1.3, 0.7)])
def test_a_fraction_of_a_pixel_is_undone_too(tmp_path, pair, offset):
    smooth, moved = (texture(90, 130, moved=by, fineness=0.04) for by in ((0, 0), offset))
    first = write_raster(tmp_path / 's.tif', smooth)
    inside = (8, 8, 122, 82)
    assert difference(pair(moved, first=first), inside) > 5
    assert difference(pair(moved, first=first, offset=offset), inside) <= 3


def test_an_offset_counts_in_pixels_of_the_earlier_date_on_another_grid_too(tmp_path, pair):
    smooth, moved = (texture(90, 130, moved=by, fineness=0.03) for by in ((0, 0), (4, -2)))
    first = write_raster(tmp_path / 's.tif', smooth)
    fine = moved.repeat(2, 1).repeat(2, 2)
    reader = pair(fine, place(0.5), first=first, offset=(4, -2))
    assert difference(reader, (8, 8, 122, 82)) <= 3
