import numpy as np
import pytest
from painted_scenes import divided, grid_of

from rscc.scenes import regions
from rscc.scenes.contracts import NODATA
from rscc.scenes.regions import RegionCollector

shapely = pytest.importorskip('shapely')


def collect(classes, parts=1, probability=None, order=1, **options):
    collector = RegionCollector(grid_of(classes.shape), **options)
    for left, top, right, bottom in divided(classes.shape, parts)[::order]:
        part = np.s_[top:bottom, left:right]
        collector.add((left, top, right, bottom), classes[part],
                      None if probability is None else probability[part])
    return collector.finish(), collector.left_out


def speckled(share, classes=2, shape=(61, 83), seed=0):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(1, classes + 1, shape, dtype=np.uint8) * (rng.random(shape) < share)
    pixels[5:9, 20:60] = NODATA
    return pixels, rng.integers(0, 256, shape, dtype=np.uint8)


def assert_equal(one, other):
    for name in ('values', 'pixels', 'probability_sums', 'bounds'):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    assert shapely.equals_identical(one.outlines, other.outlines).all()


@pytest.mark.parametrize('share', [0.1, 0.5, 0.6, 0.8, 1.0])
@pytest.mark.parametrize('classes', [1, 3])
def test_regions_do_not_depend_on_the_division_into_blocks(share, classes, monkeypatch):
    pixels, probability = speckled(share, classes)
    whole, _ = collect(pixels, 1, probability)
    assert len(whole.values) > 0
    for parts in (2, 3, 7):
        assert_equal(whole, collect(pixels, parts, probability)[0])
    monkeypatch.setattr(regions, '_MOST_OPEN', 0)  # join after every block
    assert_equal(whole, collect(pixels, 7, probability, order=-1)[0])


@pytest.mark.parametrize('share', [0.3, 0.55, 0.9])
def test_outlines_are_those_of_gdal(share):
    features = pytest.importorskip('rasterio.features')
    pixels, _ = speckled(share)
    found, _ = collect(pixels, 3)
    expected = [(int(value), shapely.geometry.shape(form)) for form, value in features.shapes(
        pixels, (pixels > 0) & (pixels < NODATA), connectivity=4)]
    rows = [sorted((value, shapely.normalize(outline).wkb) for value, outline in table)
            for table in (expected, zip(found.values.tolist(), found.outlines, strict=True))]
    assert rows[0] == rows[1]
    assert shapely.is_valid(found.outlines).all()
    assert np.array_equal(shapely.area(found.outlines), found.pixels)
    assert np.array_equal(shapely.bounds(found.outlines), found.bounds)


def test_counts_and_probabilities_are_those_of_the_pixels():
    pixels, probability = speckled(0.6)
    found, _ = collect(pixels, 4, probability)
    changed = (pixels > 0) & (pixels < NODATA)
    assert found.pixels.sum() == changed.sum()
    assert found.probability_sums.sum() == probability[changed].sum(dtype=np.int64)
    one = np.zeros((10, 10), np.uint8)
    one[2:5, 3:7] = 1
    found, _ = collect(one, 3, np.full_like(one, 100))
    assert found.pixels.tolist() == [12] and found.probability_sums.tolist() == [1200]
    assert found.bounds.tolist() == [[3, 2, 7, 5]]


def test_regions_come_by_their_first_pixel():
    pixels = np.zeros((20, 20), np.uint8)
    pixels[3, 15] = pixels[3, 2] = pixels[9, 0] = 1
    pixels[4:12, 5:9] = 2
    pixels[0, 19] = 2
    found, _ = collect(pixels, 3)
    assert found.bounds[:, :2].tolist() == [[19, 0], [2, 3], [15, 3], [5, 4], [0, 9]]
    assert found.values.tolist() == [2, 1, 1, 2, 1]


def test_pixels_that_touch_at_a_corner_are_two_regions():
    found, _ = collect(np.eye(4, dtype=np.uint8), 2)
    assert found.pixels.tolist() == [1, 1, 1, 1]


def test_classes_side_by_side_are_apart_even_at_a_border_of_blocks():
    pixels = np.ones((8, 8), np.uint8)
    pixels[:, 4:] = 2
    found, _ = collect(pixels, 2)
    assert found.values.tolist() == [1, 2] and found.pixels.tolist() == [32, 32]


@pytest.mark.parametrize('parts', [1, 2, 3])
def test_a_hole_is_kept_within_a_block_and_across_blocks(parts):
    pixels = np.zeros((60, 60), np.uint8)
    pixels[5:55, 5:55] = 1
    pixels[25:35, 22:38] = 0
    pixels[8, 8] = 0
    found, _ = collect(pixels, parts)
    assert [len(outline.interiors) for outline in found.outlines] == [2]
    assert found.outlines[0].area == 2500 - 160 - 1
    assert shapely.box(22, 25, 38, 35).equals(shapely.Polygon(found.outlines[0].interiors[1]))


def test_a_hole_that_touches_the_outside_at_a_corner_makes_a_valid_polygon():
    pixels = np.uint8([[1, 1, 1], [1, 0, 1], [1, 1, 0]])
    found, _ = collect(pixels)
    outline, = found.outlines
    assert outline.is_valid and len(outline.interiors) == 1 and outline.area == 7


def test_straight_sides_keep_no_corners_where_blocks_meet():
    found, _ = collect(np.ones((30, 30), np.uint8), 5)
    assert found.outlines[0].wkt == 'POLYGON ((0 0, 30 0, 30 30, 0 30, 0 0))'


def test_small_regions_are_left_out_whole_or_in_parts():
    pixels = np.zeros((40, 40), np.uint8)
    pixels[2, 2] = 1  # inside a block
    pixels[19:21, 5] = 1  # two pixels, in two blocks
    pixels[18:22, 18:22] = 1  # in four blocks
    pixels[30:34, 30:34] = 1
    found, left_out = collect(pixels, 2, fewest=lambda bounds: np.full(len(bounds), 16))
    assert found.pixels.tolist() == [16, 16] and left_out == 2


@pytest.mark.parametrize('value', [0, NODATA])
def test_unchanged_pixels_and_those_without_data_are_no_region(value):
    found, _ = collect(np.full((10, 10), value, np.uint8), 2)
    assert len(found.values) == len(found.outlines) == 0
