import numpy as np
import pytest
from painted_scenes import grid_of, painted, window

from rscc.scenes.contracts import NODATA, Gap, OutputOptions
from rscc.scenes.findings import (
    FindingsCollector,
    Ground,
    best_windows,
    class_names,
    pixels_inside,
)
from rscc.scenes.regions import RegionCollector

shapely = pytest.importorskip('shapely')
pyproj = pytest.importorskip('pyproj')
pytest.importorskip('geopandas')

UTM = (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0)


def find(classes, parts=2, options=None, **more):
    scene, read = painted(classes, parts, **more)
    collector = FindingsCollector(scene, options or OutputOptions())
    for block in scene.blocks:
        collector.add(read(block))
    return collector.finish()


def two_houses():
    classes = np.zeros((60, 80), np.uint8)
    classes[10:20, 10:30] = 1
    classes[40:43, 50:52] = 1
    return classes


@pytest.mark.parametrize(('crs', 'transform', 'way'), [
    ('EPSG:32633', UTM, 'plane'),
    ('EPSG:32633', (7, 7, 500_000, 7, -7, 5_000_000), 'plane'),  # rotated
    ('EPSG:2264', (1, 0, 2_000_000, 0, -1, 600_000), 'plane'),  # US survey feet
    ('EPSG:32633+5773', UTM, 'plane'),  # with heights
    ('EPSG:3857', (10, 0, 1_000_000, 0, -10, 8_400_000), 'ellipsoid'),  # 60 degrees north
    ('EPSG:3857', (7, 7, 1_000_000, 7, -7, 8_400_000), 'ellipsoid'),
    ('EPSG:4326', (1e-4, 0, 10, 0, -1e-4, 60), 'ellipsoid'),
    ('EPSG:4326', (1e-3, 0, 179.7, 0, -1e-3, 60), 'ellipsoid'),  # across the 180th meridian
    ('EPSG:4326', (0.25, 0, -180, 0, -0.25, 70), 'ellipsoid'),
    ('EPSG:3413', (200, 0, -50_000, 0, -200, 40_000), 'ellipsoid'),  # the pole inside
])
def test_areas_are_those_on_the_ellipsoid(crs, transform, way):
    ground = Ground(grid_of((300, 720), crs, transform))
    outline = shapely.box(100, 50, 660, 280) - shapely.box(200, 100, 300, 150)
    area, = ground.areas(np.array([outline]), np.array([outline.area]))
    assert ground.area_by == way
    assert area == pytest.approx(geodesic_area(ground, crs, outline),
                                 rel=1e-4 if way == 'ellipsoid' else 5e-3)


def geodesic_area(ground, crs, outline):
    """Area by geodesics between points half a pixel apart, with longitudes that go on."""
    crs = pyproj.CRS(crs).to_2d()
    place = ground.on_map(np.array([shapely.segmentize(outline, 0.5)]))[0]
    to_degrees = pyproj.Transformer.from_crs(crs, crs.geodetic_crs.to_2d(), always_xy=True)
    degrees = shapely.transform(place, lambda points: np.stack(
        to_degrees.transform(*points.T), -1))
    return abs(crs.get_geod().geometry_area_perimeter(degrees)[0])


def test_areas_in_grads_are_right():
    ground = Ground(grid_of((100, 100), 'EPSG:4807', (1e-3, 0, 2, 0, -1e-3, 50)))
    degrees = Ground(grid_of((100, 100), 'EPSG:4275', (9e-4, 0, 4.13722917, 0, -9e-4, 45)))
    assert ground.pixel_area == pytest.approx(degrees.pixel_area, rel=1e-6)


@pytest.mark.parametrize(('crs', 'transform'), [(None, None), (None, UTM), ('EPSG:32633', None)])
def test_without_a_place_there_are_pixels_and_no_areas(crs, transform):
    classes = two_houses()
    found = find(classes, grid=grid_of(classes.shape, crs, transform))
    assert found.area_by is None and found.area_by_class == {}
    assert found.regions['area_m2'].isna().all()
    assert found.regions['pixels'].tolist() == [200, 6]
    assert found.regions.crs is None


def test_without_a_place_polygons_lie_where_qgis_shows_the_image():
    found = find(two_houses())
    assert found.regions.geometry[0].bounds == (10, -20, 30, -10)
    assert found.regions[['left', 'top', 'right', 'bottom']].to_numpy()[0].tolist() == [
        10, 10, 30, 20]


def test_rows_hold_class_area_score_and_sentence():
    classes = two_houses()
    classes[40:43, 50:52] = 7
    classes[0, :5] = NODATA
    probability = np.full(classes.shape, 102, np.uint8)
    found = find(classes, grid=grid_of(classes.shape, 'EPSG:32633', UTM), probability=probability,
                 windows=[window((0, 0, 40, 40))], gaps=[Gap((0, 0, 5, 1), 'block 3 is damaged')])
    rows = found.regions
    assert rows['class'].tolist() == ['building', 'class 7'] and rows['value'].tolist() == [1, 7]
    assert rows['area_m2'].tolist() == [20_000, 600]
    assert rows['score'].tolist() == pytest.approx([0.4, 0.4])
    assert rows['sentence'].tolist() == ['a house was built', None]
    assert rows.geometry[0].bounds == (500_100, 4_999_800, 500_300, 4_999_900)
    assert found.classes == {0: 'unchanged', 1: 'building', 2: 'road', 7: 'class 7'}
    assert found.pixels_by_class == {'unchanged': 60 * 80 - 211, 'building': 200, 'road': 0,
                                     'class 7': 6}
    assert found.area_by_class['building'] == 20_000
    assert (found.pixels, found.nodata_pixels, found.windows) == (4800, 5, 12)
    assert found.gaps == [Gap((0, 0, 5, 1), 'block 3 is damaged')]


def test_blocks_that_are_not_answered_have_no_data():
    scene, read = painted(two_houses())
    collector = FindingsCollector(scene, OutputOptions())
    collector.add(read(scene.blocks[0]))
    assert collector.finish().nodata_pixels == 60 * 80 * 3 / 4


@pytest.mark.parametrize('options', [
    OutputOptions(), OutputOptions(min_area=500), OutputOptions(simplify=1.0)])
@pytest.mark.parametrize('crs', [None, 'EPSG:32633', 'EPSG:3857'])
def test_findings_do_not_depend_on_the_division_into_blocks(options, crs):
    rng = np.random.default_rng(3)
    classes = rng.integers(0, 3, (90, 90), dtype=np.uint8) * (rng.random((90, 90)) < 0.7)
    classes[20:70, 30:60] = 1
    grid = grid_of(classes.shape, crs, crs and (10, 0, 5e5, 0, -10, 8e6))
    said = [window((x, y, x + 32, y + 32), f'{x} {y}', flag=(x + y) % 3 > 0)
            for y in range(0, 60, 16) for x in range(0, 60, 16)]
    whole, *others = (find(classes, parts, options, grid=grid, windows=said,
                           probability=classes * 70) for parts in (1, 2, 3))
    assert len(whole.regions) > 0
    for other in others:
        assert whole.regions.equals(other.regions)
        assert whole.sentences.equals(other.sentences)
        assert whole.left_out == other.left_out
        assert whole.pixels_by_class == other.pixels_by_class


@pytest.mark.parametrize(('crs', 'transform', 'min_area'), [
    ('EPSG:32633', UTM, 601), (None, None, 7),
    ('EPSG:4326', (1e-4, 0, 10, 0, -1e-4, 60), 380)])
def test_small_regions_make_no_row_but_count_in_the_class(crs, transform, min_area):
    classes = two_houses()
    grid = grid_of(classes.shape, crs, transform)
    every, large = (find(classes, options=OutputOptions(min_area=area), grid=grid)
                    for area in (0, min_area))
    assert (len(every.regions), every.left_out) == (2, 0)
    assert (len(large.regions), large.left_out) == (1, 1)
    assert large.pixels_by_class == every.pixels_by_class
    if crs:
        assert every.area_by_class['building'] == pytest.approx(every.regions['area_m2'].sum())
        assert large.area_by_class['building'] == pytest.approx(every.area_by_class['building'],
                                                                rel=1e-3)


def test_a_region_of_just_the_least_area_stays():
    classes = two_houses()
    grid = grid_of(classes.shape, 'EPSG:32633', (0.1, 0, 5e5, 0, -0.1, 5e6))
    area = find(classes, grid=grid).regions['area_m2'].min()
    assert len(find(classes, grid=grid, options=OutputOptions(min_area=area)).regions) == 2


def test_simplified_outlines_stay_within_the_tolerance_and_areas_stay():
    rows, columns = np.mgrid[:80, :80]
    classes = np.uint8(np.hypot(rows - 40, columns - 40) < 30)
    exact, simple = (find(classes, options=OutputOptions(simplify=tolerance)).regions
                     for tolerance in (0, 1.5))
    one, other = exact.geometry[0], simple.geometry[0]
    assert len(other.exterior.coords) < len(one.exterior.coords) / 3
    assert one.hausdorff_distance(other) <= 1.5 and other.is_valid
    assert simple['pixels'].tolist() == exact['pixels'].tolist()


def test_footprints_are_clipped_to_the_scene():
    found = find(two_houses(), windows=[
        window((-10, 30, 30, 70), 'nothing', flag=False, probability=0.25, sampled=True),
        window((0, 0, 40, 40), change_share=0.5)])
    rows = found.sentences
    assert rows['sentence'].tolist() == ['a house was built', 'nothing']
    assert rows.geometry[1].bounds == (0, -60, 30, -30)
    assert rows['flag'].tolist() == [True, False] and rows['sampled'].tolist() == [False, True]
    assert rows['probability'].fillna(-1).tolist() == [-1, 0.25]
    assert rows['change_share'].fillna(-1).tolist() == [0.5, -1]


@pytest.mark.parametrize(('language', 'told'), [(None, 'odd; far'), ('zh', '怪; 远')])
def test_doubt_stands_beside_the_sentence_of_window_and_region(language, told):
    reasons = [dict(name='novelty', score=0.9, text=text, texts=dict(en=text, zh=chinese))
               for text, chinese in (('odd', '怪'), ('far', '远'))]
    doubt = dict(value=0.7, sure=False, reasons=reasons, inputs={})
    found = find(two_houses(), options=OutputOptions(language=language), language='en', windows=[
        window((0, 0, 40, 40), doubt=doubt), window((40, 30, 60, 60))])
    for table in (found.regions, found.sentences):
        assert table['doubt'].fillna(-1).tolist() == [0.7, -1]
        assert table['risk'].tolist() == ['high', None]
        # Where nobody knows, it is not said to be sure.
        assert table['unsure'].isna().tolist() == [False, True] and table['unsure'][0]
        assert table['reasons'].tolist() == [told, None]
        assert table['reason_inputs'].tolist() == [['novelty', 'novelty'], []]


def test_a_sentence_without_calibration_says_so():
    doubt = dict(value=None, sure=None, reasons=[], inputs={'change_told': 1.0})
    found = find(two_houses(), windows=[window((0, 0, 40, 40), doubt=doubt)]).sentences
    assert found['risk'].tolist() == ['uncalibrated'] and found['unsure'].isna().all()


def regions_of(classes):
    collector = RegionCollector(grid_of(classes.shape))
    collector.add((0, 0, *classes.shape[::-1]), classes)
    return collector.finish()


@pytest.mark.parametrize(('said', 'expected'), [
    ([], -1),
    ([window((40, 0, 60, 20))], -1),  # beside it
    ([window((20, 10, 40, 20)), window((15, 10, 40, 20))], 1),  # half of it, three quarters
    ([window((0, 0, 60, 60), flag=False), window((25, 10, 40, 20))], 1),  # flagged first
    ([window((30, 0, 60, 60)), window((0, 0, 60, 60), flag=False)], 1),  # flagged, but beside it
    ([window((10, 10, 60, 60)), window((10, 5, 30, 25))], 1),  # both hold it: in the middle
    ([window((10, 10, 30, 20)), window((10, 10, 30, 20))], 0),
])
def test_a_region_gets_the_sentence_of_the_window_that_holds_most_of_it(said, expected):
    classes = np.zeros((60, 60), np.uint8)
    classes[10:20, 10:30] = 1
    assert best_windows(regions_of(classes), said).tolist() == [expected]


def test_windows_of_many_regions_are_those_of_counted_pixels():
    rng = np.random.default_rng(4)
    classes = np.uint8(rng.random((80, 80)) < 0.62)
    found = regions_of(classes)
    said = [window((x, y, x + 30, y + 22), flag=bool(rng.random() < 0.5))
            for y in range(-10, 70, 17) for x in range(-10, 70, 13)]
    chosen = best_windows(found, said)
    assert (chosen >= 0).any()
    for index, outline in enumerate(found.outlines):
        covered = [shapely.box(*one.box).intersection(outline).area for one in said]
        flagged = [area if one.flag else 0 for area, one in zip(covered, said, strict=True)]
        expected = max(flagged) or max(covered)
        assert (covered[chosen[index]] if chosen[index] >= 0 else 0) == expected
        if max(flagged):
            assert said[chosen[index]].flag


def test_pixels_of_a_region_inside_boxes_are_counted():
    rng = np.random.default_rng(5)
    classes = np.uint8(rng.random((50, 50)) < 0.7)
    found = regions_of(classes)
    largest = int(found.pixels.argmax())
    inside = shapely.contains_xy(found.outlines[largest], *np.meshgrid(*[np.arange(50) + .5] * 2))
    boxes = np.array([(0, 0, 50, 50), (10, 20, 30, 40), (-5, -5, 7, 60), (3, 3, 4, 4)])
    expected = [inside[max(top, 0):bottom, max(left, 0):right].sum()
                for left, top, right, bottom in boxes]
    assert pixels_inside(found.outlines[largest], boxes).tolist() == expected


def test_each_value_has_a_name_of_its_own():
    counts = np.bincount([0, 1, 4, 255], minlength=256)
    assert class_names((), counts) == {0: 'unchanged', 1: 'class 1', 4: 'class 4'}
    assert class_names(('none', 'house', 'house'), counts) == {
        0: 'none', 1: 'house', 2: 'house (2)', 4: 'class 4'}
