"""Training data of a scene: what is written, where it lies, and what bad input does."""
import json
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image

rasterio = pytest.importorskip('rasterio')
pytest.importorskip('geopandas')

from rendered_scenes import PIXEL, render_scene  # noqa: E402
from scene_files import place, write_plain, write_raster  # noqa: E402

from rscc.scenes import pair_dataset  # noqa: E402
from rscc.scenes.change_polygons import PolygonFiles  # noqa: E402
from rscc.scenes.pair_dataset import make_pair_dataset  # noqa: E402
from rscc.scenes.pair_scene import PairDatasetOptions, PairScene  # noqa: E402
from rscc.scenes.sources import Reading  # noqa: E402

SIZE = 32


@pytest.fixture(scope='module')
def scene(tmp_path_factory):
    return render_scene(tmp_path_factory.mktemp('scene'))


@pytest.fixture
def options(scene):
    """Options of tiles of 32 pixels: 8 x 10 of them."""
    return PairDatasetOptions(str(scene.before), str(scene.after),
                              PolygonFiles(str(scene.polygons), class_column='kind'), size=SIZE)


def pixels(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def places(out, size=SIZE, step=SIZE):
    """Return (split, row, column of the first pixel) of every tile by the names of the files."""
    return [(path.parts[-3], *((int(number) - 1) * step for number in path.stem.split('_')[:0:-1]))
            for path in sorted(out.glob('images/*/label/*'))]


def contents(out):
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob('*'))
            if path.is_file()}


def test_tiles_are_those_of_the_scene_and_masks_the_true_ones(scene, options, tmp_path):
    report = make_pair_dataset(options, tmp_path)
    before = np.moveaxis(rasterio.open(scene.before).read(), 0, -1)
    classes = np.array([0, *(report['classes'].index(name) if name in report['classes'] else 99
                             for name in ('building', 'road', 'vegetation', 'water',
                                          'parking lot'))])
    found = places(tmp_path)
    assert len(found) == sum(split['tiles'] for split in report['splits'].values()) > 40
    for split, row, column in found:
        name = f'before_{column // SIZE + 1}_{row // SIZE + 1}.png'
        at = np.s_[row:row + SIZE, column:column + SIZE]
        label = np.asarray(Image.open(tmp_path / 'images' / split / 'label' / name))
        assert np.array_equal(label, classes[scene.mask[at]])
        assert np.array_equal(pixels(tmp_path / 'images' / split / 'A' / name)[..., ::-1],
                              before[at])
    line = (tmp_path / 'val.txt').read_text().splitlines()[0].split()
    assert line[0].startswith('images/val/A/') and all((tmp_path / path).is_file() for path in line)
    assert (tmp_path / 'contact_sheet.jpg').is_file() and not (tmp_path / '.survey').exists()
    shares = report['splits']['train']['class_shares']
    assert sum(shares.values()) == pytest.approx(report['splits']['train']['changed_share'])


@pytest.mark.parametrize(('overlap', 'gap'), [(0, None), (16, None), (8, 10)])
def test_tiles_of_two_splits_lie_a_tile_apart(options, tmp_path, overlap, gap):
    report = make_pair_dataset(replace(options, overlap=overlap, gap=gap), tmp_path)
    found = places(tmp_path, step=SIZE - overlap)
    assert {split for split, *_ in found} == {'train', 'val', 'test'}
    apart = [max(abs(one[1] - other[1]), abs(one[2] - other[2])) - SIZE
             for one in found for other in found if one[0] != other[0]]
    assert min(apart) >= (SIZE if gap is None else gap)
    assert report['dropped']['too near to another split'] > 0


def test_a_run_that_was_killed_goes_on_and_gives_the_same_files(options, tmp_path, monkeypatch):
    whole = tmp_path / 'whole'
    make_pair_dataset(options, whole)
    out, written, write = tmp_path / 'out', [], pair_dataset._write_tile

    def dying(scene, tile, folder):
        if len(written) == 20:
            raise KeyboardInterrupt
        written.append(tile)
        write(scene, tile, folder)

    monkeypatch.setattr(pair_dataset, '_write_tile', dying)
    with pytest.raises(KeyboardInterrupt):
        make_pair_dataset(options, out, jobs=1)
    assert not (out / 'report.json').exists() and len(list(out.glob('.survey/*/*.json'))) == 8
    tile = next(out.glob('images/*/A/*.png'))
    (tile.parent / f'.{tile.name}.x.tmp').write_bytes(b'half a file')
    age = tile.stat().st_mtime_ns
    monkeypatch.setattr(pair_dataset, '_write_tile', write)
    monkeypatch.setattr(pair_dataset, '_look', lambda *at: pytest.fail('looked at again'))
    make_pair_dataset(options, out)
    assert contents(out) == contents(whole) and tile.stat().st_mtime_ns == age
    monkeypatch.setattr(pair_dataset, 'PairScene', lambda *at: pytest.fail('opened again'))
    assert make_pair_dataset(options, out)['tile_size'] == SIZE  # there is nothing to do


def test_a_folder_of_other_parameters_or_files_is_refused(scene, options, tmp_path):
    make_pair_dataset(options, tmp_path / 'out')
    with pytest.raises(FileExistsError, match=r'made otherwise: seed 0 there, 1 here'):
        make_pair_dataset(replace(options, seed=1), tmp_path / 'out')
    other = shutil.copy(scene.after, tmp_path / 'other.tif')
    with rasterio.open(other, 'r+') as file:
        file.write(file.read(1) + 1, 1)
    with pytest.raises(FileExistsError, match='img_to'):
        make_pair_dataset(replace(options, img_to=str(other)), tmp_path / 'out')
    (tmp_path / 'full').mkdir()
    (tmp_path / 'full/thesis.txt').write_text('mine')
    with pytest.raises(FileExistsError, match='not empty and holds no dataset'):
        make_pair_dataset(options, tmp_path / 'full')
    assert [path.name for path in (tmp_path / 'full').iterdir()] == ['thesis.txt']


def test_a_lost_tile_is_written_again(options, tmp_path):
    make_pair_dataset(options, tmp_path)
    before = contents(tmp_path)
    next(tmp_path.glob('images/train/B/*.png')).unlink()
    make_pair_dataset(options, tmp_path)
    assert contents(tmp_path) == before


def test_dates_of_two_systems_and_a_chosen_resolution(scene, options, tmp_path):
    """A later date in degrees, tiles of 1 m of pixels of half a metre."""
    from rasterio.warp import calculate_default_transform, reproject
    with rasterio.open(scene.after) as file:
        at, width, height = calculate_default_transform(
            file.crs, 'EPSG:4326', file.width, file.height, *file.bounds)
        turned = np.zeros((3, height, width), np.uint8)
        reproject(file.read(), turned, src_transform=file.transform, src_crs=file.crs,
                  dst_transform=at, dst_crs='EPSG:4326')
    after = write_raster(tmp_path / 'after.tif', turned, at, 'EPSG:4326', nodata=0)
    said = []
    report = make_pair_dataset(replace(options, img_to=str(after), resolution=1.0, size=16,
                                       gap=0, min_valid=0.9), tmp_path / 'out', say=said.append)
    assert report['ground_resolution'] == 1.0 and report['lattice'] == [8, 10]
    assert 'resampled to pixels of 1 m' in said[0] and 'EPSG:4326 against EPSG:32633' in said[1]
    split, row, column = places(tmp_path / 'out', 16, 16)[20]
    name = f'before_{column // 16 + 1}_{row // 16 + 1}.png'
    tile = pixels(tmp_path / 'out/images' / split / 'A' / name)[..., ::-1]
    with rasterio.open(scene.before) as file:
        own = np.moveaxis(file.read(), 0, -1)[2 * row:2 * row + 32, 2 * column:2 * column + 32]
    mean = own.reshape(16, 2, 16, 2, 3).mean((1, 3))
    # Bilinear takes a little of the neighbours too.
    assert np.abs(tile - mean).mean() < 6
    later = pixels(tmp_path / 'out/images' / split / 'B' / name)[..., ::-1]
    with rasterio.open(scene.after) as file:
        own = np.moveaxis(file.read(), 0, -1)[2 * row:2 * row + 32, 2 * column:2 * column + 32]
    assert np.abs(later - own.reshape(16, 2, 16, 2, 3).mean((1, 3))).mean() < 8


def test_an_earlier_date_in_degrees_is_laid_onto_metres(options, tmp_path):
    from rasterio import Affine
    rng = np.random.default_rng(0)
    at = Affine(1e-5, 0, 15.001, 0, -1e-5, 36.14)
    paths = [write_raster(tmp_path / f'{name}.tif', rng.integers(1, 255, (3, 200, 220), np.uint8),
                          at, 'EPSG:4326') for name in ('a', 'b')]
    geopandas, shapely = (pytest.importorskip(name) for name in ('geopandas', 'shapely'))
    geopandas.GeoDataFrame(geometry=[shapely.box(15.0015, 36.139, 15.0025, 36.1395)],
                           crs=4326).to_file(tmp_path / 'c.gpkg')
    made = PairScene(replace(options, img_from=str(paths[0]), img_to=str(paths[1]), resolution=2.0,
                             polygons=PolygonFiles(str(tmp_path / 'c.gpkg')), size=16))
    assert made.resolution == 2.0 and rasterio.crs.CRS.from_wkt(made.grid.crs).to_epsg() == 32633
    # 1e-5 degrees are 0.9 m across and 1.11 m down.
    assert made.grid.width == pytest.approx(220 * 0.9 / 2, rel=0.05)
    assert made.grid.height == pytest.approx(200 * 1.11 / 2, rel=0.05)


def test_geotiffs_of_tiles_have_their_place(scene, options, tmp_path):
    make_pair_dataset(replace(options, keep_geo=True), tmp_path)
    split, row, column = places(tmp_path)[7]
    for folder, count in (('A', 3), ('B', 3), ('label', 1)):
        name = f'before_{column // SIZE + 1}_{row // SIZE + 1}.tif'
        with rasterio.open(tmp_path / 'images' / split / folder / name) as file:
            assert file.count == count and file.crs.to_epsg() == 32633
            assert file.transform.almost_equals(place(PIXEL, column * PIXEL, row * PIXEL))


def test_mosaics_bands_and_scale_are_those_of_scenes(scene, options, tmp_path):
    """The later date as a folder of two tiles, four bands of 16 bits each."""
    for name, path in (('before', scene.before), ('after', scene.after)):
        bands = rasterio.open(path).read().astype(np.uint16) * 16
        bands = np.concatenate([bands[::-1], bands[:1] // 2])
        (tmp_path / name).mkdir()
        for number, left in enumerate((0, 160)):
            write_raster(tmp_path / name / f'{number}.tif', bands[:, :, left:left + 160],
                         place(PIXEL, left * PIXEL))
    report = make_pair_dataset(replace(
        options, img_from=str(tmp_path / 'before'), img_to=str(tmp_path / 'after'),
        reading=Reading((3, 2, 1, 4), (0, 4080))), tmp_path / 'out')
    path = next((tmp_path / 'out/images/train/A').iterdir())
    column, row = (int(number) - 1 for number in path.stem.split('_')[1:])
    with rasterio.open(path) as file, rasterio.open(scene.before) as own:
        window = rasterio.windows.Window(column * SIZE, row * SIZE, SIZE, SIZE)
        assert file.count == 4 and path.suffix == '.tif'
        assert np.abs(file.read()[:3] - own.read(window=window).astype(int)).max() <= 1
    assert report['bands'] == [3, 2, 1, 4]


def test_what_has_no_data_is_labelled_255_or_left_out(scene, options, tmp_path):
    bands = rasterio.open(scene.after).read()
    bands[:, :, :40] = 0  # a tile and a quarter of another
    bands[:, :, 40:] = np.maximum(bands[:, :, 40:], 1)
    after = write_raster(tmp_path / 'after.tif', bands, place(PIXEL), nodata=0)
    options = replace(options, img_to=str(after), min_valid=0.7)
    report = make_pair_dataset(options, tmp_path / 'out')
    assert report['dropped']['too little data'] == 8
    partly = [(split, row) for split, row, column in places(tmp_path / 'out') if column == SIZE]
    assert partly
    for split, row in partly:
        name = f'before_2_{row // SIZE + 1}.png'
        label = np.asarray(Image.open(tmp_path / 'out/images' / split / 'label' / name))
        assert (label[:, :8] == 255).all() and (label[:, 8:] < 255).all()
        assert not pixels(tmp_path / 'out/images' / split / 'A' / name)[:, :8].any()
    with pytest.raises(ValueError, match=r'none of 1 tiles has data .* the best has 84%'):
        make_pair_dataset(replace(options, size=256, min_valid=1.0), tmp_path / 'other')


def test_a_split_that_cannot_be_leaves_the_folder_free_and_the_survey_there(options, tmp_path,
                                                                            monkeypatch):
    with pytest.raises(ValueError, match=r'cannot be divided'):
        make_pair_dataset(replace(options, block=500), tmp_path)
    monkeypatch.setattr(pair_dataset, '_look', lambda *at: pytest.fail('looked at again'))
    assert make_pair_dataset(replace(options, block=30), tmp_path)['block_tiles'] == 2


def test_outside_of_the_area_nobody_looked(scene, options, tmp_path):
    geopandas, shapely = (pytest.importorskip(name) for name in ('geopandas', 'shapely'))
    with rasterio.open(scene.before) as file:
        left, bottom, right, top = file.bounds
    geopandas.GeoDataFrame(geometry=[shapely.box(left + 40, bottom, right, top)],
                           crs=32633).to_file(tmp_path / 'area.gpkg')
    report = make_pair_dataset(replace(options, aoi=str(tmp_path / 'area.gpkg'), min_valid=0.4),
                               tmp_path / 'out')
    assert report['dropped']['too little data'] == 16
    assert any(split['ignored_share'] > 0 for split in report['splits'].values())


def test_a_damaged_part_costs_its_own_pixels(scene, options, tmp_path):
    after = tmp_path / 'after.tif'
    write_raster(after, rasterio.open(scene.after).read(), place(PIXEL), tiled=True, blockxsize=64,
                 blockysize=64, compress='deflate')
    with rasterio.open(after) as file:
        offset = int(file.get_tag_item('BLOCK_OFFSET_1_1', 'TIFF', bidx=1))
    data = bytearray(after.read_bytes())
    data[offset:offset + 300] = bytes(300)
    after.write_bytes(data)
    report = make_pair_dataset(replace(options, img_to=str(after)), tmp_path / 'out')
    assert report['dropped']['too little data'] == 4  # a stored block of 64 x 64 pixels
    assert len(report['damaged']) == 4 and 'damaged' in report['damaged'][0]


@pytest.mark.parametrize(('change', 'words'), [
    (lambda folder: dict(img_to=str(folder / 'gone.tif')), 'no image at'),
    (lambda folder: dict(img_from=str(write_plain(folder / 'p.tif', np.ones((3, 64, 64), np.uint8)))
                         ), 'has no place on the map, so polygons cannot be laid'),
    (lambda folder: dict(img_to=str(write_raster(
        folder / 'far.tif', np.ones((3, 64, 64), np.uint8), place(0.5, 9000)))), 'do not overlap'),
    (lambda folder: dict(img_to=str(write_raster(
        folder / 'nocrs.tif', np.ones((3, 64, 64), np.uint8), place(0.5), None))),
     'names no coordinate system'),
    (lambda folder: dict(size=400), 'the dates share 320 x 256 pixels, fewer than one tile'),
    (lambda folder: dict(aoi=str(folder / 'gone.gpkg')), 'no polygons at'),
    (lambda folder: dict(captions=str(folder / 'gone.csv')), 'no such captions file'),
])
def test_bad_input_is_told_before_anything_is_written(options, tmp_path, change, words):
    out = tmp_path / 'out'
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        make_pair_dataset(replace(options, **change(tmp_path)), out)
    assert not list(out.rglob('*.png'))


def test_an_unreadable_image_names_the_file(options, tmp_path):
    (tmp_path / 'bad.tif').write_bytes(b'II*\0' + bytes(100))
    with pytest.raises(ValueError, match=r"bad.tif' cannot be decoded"):
        make_pair_dataset(replace(options, img_to=str(tmp_path / 'bad.tif')), tmp_path / 'out')


@pytest.mark.parametrize(('name', 'value'), [
    ('size', 8), ('overlap', 32), ('min_valid', 0.0), ('resolution', -1.0), ('block', 0.0),
    ('gap', -1), ('seed', -1)])
def test_options_out_of_range_are_refused(options, name, value):
    with pytest.raises(ValueError, match=f'{name}={value}: expected'):
        replace(options, **{name: value})


def test_sentences_come_along(scene, options, tmp_path):
    table = scene.table[scene.table.area > 20]
    rows = [f'"{shape.wkt}",en,a {kind} has changed' for shape, kind
            in zip(table.geometry, table.kind, strict=True)]
    (tmp_path / 'c.csv').write_text('geometry,language,sentence\n' + '\n'.join(rows))
    report = make_pair_dataset(replace(options, captions=str(tmp_path / 'c.csv')),
                               tmp_path / 'out')
    captions = report['captions']
    assert captions['matched'] + sum(captions['unmatched'].values()) == len(rows)
    images = json.loads((tmp_path / 'out/LevirCCcaptions.json').read_text())['images']
    assert len(images) + captions['changed tiles without a sentence'] == len(places(
        tmp_path / 'out'))
    assert {image['split'] for image in images} == {'train', 'val', 'test'}
    assert 'changed' in json.loads((tmp_path / 'out/vocab_en.json').read_text())
    from rscc.datasets.levir_cc import LEVIRMCIDataset
    data = LEVIRMCIDataset(str(tmp_path / 'out'), check_masks='all', faults='error', pipeline=[
        dict(type='LoadFrames'), dict(type='LoadChangeMask')])
    assert data.metainfo['classes'] == tuple(report['classes'])
    assert data.metainfo['ground_resolution'] == 0.5
    assert set(np.unique(data[0]['gt_sem_seg'])) <= set(range(6))
