import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageOps

from rscc.rasters.headers import Header, pixel_side, read_header, upright
from rscc.rasters.image_files import read_frame, read_frame_and_nodata
from rscc.rasters.labels import read_mask, read_stored
from rscc.rasters.rows import Reading, open_raster

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (12, 17, 3), dtype=np.uint8)
KINDS = {'png': {}, 'tif': {}, 'webp': {'lossless': True}, 'jpg': {'quality': 95}}


def flagged(path, orientation, pixels=RGB):
    tag = Image.Exif()
    tag[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=tag, **KINDS[path.suffix[1:]])
    return path


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('ending', KINDS)
def test_every_orientation_is_turned_upright_on_every_route(tmp_path, ending, orientation):
    path = flagged(tmp_path / f'a.{ending}', orientation)
    expected = upright(RGB, orientation)
    if ending == 'jpg':
        expected = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    header = read_header(path)
    assert (header.height, header.width) == expected.shape[:2]
    tolerance = 2 if ending == 'jpg' else 0
    for frame in (read_frame(path), read_frame(path, bands=(1, 2, 3))):
        assert frame.shape == expected.shape
        assert np.abs(frame.astype(int) - expected).max() <= tolerance
    raster = open_raster(path)
    rows = [raster.rows(first, min(first + 5, raster.height))
            for first in range(0, raster.height, 5)]
    assert np.array_equal(np.concatenate(rows), read_frame(path))


def test_upright_is_what_viewers_show():
    for orientation in range(1, 9):
        encoded, tag = io.BytesIO(), Image.Exif()
        tag[0x0112] = orientation
        Image.fromarray(RGB).save(encoded, 'png', exif=tag)
        shown = ImageOps.exif_transpose(Image.open(encoded))
        assert np.array_equal(upright(RGB, orientation), np.asarray(shown))


def test_a_damaged_remark_does_not_cost_the_picture(tmp_path):
    Image.fromarray(RGB).save(tmp_path / 'a.png', exif=b'Exif\0\0nonsense')
    assert read_header(tmp_path / 'a.png').orientation == 1
    assert np.array_equal(read_frame(tmp_path / 'a.png'), RGB)


def test_a_georeferenced_file_that_is_stored_turned_is_refused(tmp_path):
    Image.fromarray(RGB).save(tmp_path / 'a.tif', tiffinfo={
        274: 6, 33550: (1.0, 1.0, 0.0), 33922: (0.0, 0.0, 0.0, 500.0, 900.0, 0.0)})
    for read in (read_header, read_frame, open_raster):
        with pytest.raises(ValueError, match=r'place on the map and is stored turned \(orientation '
                           r'6\).*gdal_translate'):
            read(tmp_path / 'a.tif')


@pytest.mark.parametrize('big', [False, True])
def test_place_and_nodata_are_those_that_gdal_reads(tmp_path, big):
    rasterio = pytest.importorskip('rasterio')
    transform = rasterio.Affine(0.5, 0, 1000, 0, -0.5, 2000)
    with rasterio.open(tmp_path / 'a.tif', 'w', driver='GTiff', height=12, width=17, count=2,
                       dtype='int16', nodata=-32768, crs='EPSG:32633', transform=transform,
                       BIGTIFF='YES' if big else 'NO') as file:
        file.write(np.zeros((2, 12, 17), np.int16))
    header = read_header(tmp_path / 'a.tif')
    assert (header.width, header.height, header.bits) == (17, 12, 16)
    assert header.crs == 'EPSG:32633' and header.nodata == -32768 and not header.grey
    assert header.transform == tuple(transform)[:6]
    with rasterio.open(tmp_path / 'p.tif', 'w', driver='GTiff', height=2, width=2, count=1,
                       dtype='uint8', crs='EPSG:4326', transform=transform) as file:
        file.update_tags(AREA_OR_POINT='Point')
        file.write(np.zeros((1, 2, 2), np.uint8))
    assert read_header(tmp_path / 'p.tif').transform == tuple(transform)[:6]


@pytest.mark.parametrize('content', [
    b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n', b'%PDF-1.4', b'P6 2 2 255\n',
    b'<VRTDataset rasterXSize="9" rasterYSize="9"></VRTDataset>', b'\0\0\0\x0cjP  \r\n\x87\n'])
@pytest.mark.parametrize('ending', ['png', 'tif'])
def test_no_other_format_reaches_a_decoder(tmp_path, monkeypatch, content, ending):
    def opened(*arguments, **options):
        raise AssertionError('a decoder was asked')

    path = tmp_path / f'label.{ending}'
    path.write_bytes(content + bytes(64))
    monkeypatch.setattr(Image, 'open', opened)
    for read in (read_header, read_frame, read_mask, read_stored, open_raster):
        with pytest.raises(ValueError, match=r'cannot be decoded: it begins with .* and is no PNG'):
            read(path)


def test_absurd_headers_are_refused_not_decoded(tmp_path):
    Image.fromarray(RGB[..., 0]).save(tmp_path / 'a.bmp')
    data = bytearray((tmp_path / 'a.bmp').read_bytes())
    data[18:26] = struct.pack('<ii', 2_000_000, 2_000_000)
    (tmp_path / 'a.bmp').write_bytes(data)
    Image.fromarray(RGB).save(tmp_path / 'a.tif')
    data = bytearray((tmp_path / 'a.tif').read_bytes())
    for tag, value in ((256, 2**31 - 1), (257, 2**31 - 1)):
        place = data.index(struct.pack('<HH', tag, 4)) if struct.pack(
            '<HH', tag, 4) in data else data.index(struct.pack('<HH', tag, 3))
        data[place:place + 12] = struct.pack('<HHII', tag, 4, 1, value)
    (tmp_path / 'a.tif').write_bytes(data)
    for name in ('a.bmp', 'a.tif'):
        for read in (read_frame, read_mask, lambda path: read_frame(path, bands=(1, 2, 3)),
                     lambda path: open_raster(path).rows(0, 5)):
            with pytest.raises(ValueError, match=rf"{name}' (is too large|cannot be decoded)"):
                read(tmp_path / name)


def test_memory_that_runs_out_is_an_error_with_the_file(tmp_path, monkeypatch):
    Image.fromarray(RGB).save(tmp_path / 'a.png')
    monkeypatch.setattr('cv2.imdecode', lambda *arguments: (_ for _ in ()).throw(MemoryError))
    with pytest.raises(ValueError, match=r"a\.png' is too large to be decoded as one sample: 17 x"):
        read_frame(tmp_path / 'a.png')


def test_pixels_without_data_enter_no_stretch(tmp_path):
    rasterio = pytest.importorskip('rasterio')
    values = RNG.integers(1000, 3000, (3, 20, 30)).astype(np.float32)
    clean = values.copy()
    values[:, :12], values[:, 19, 29] = -9999, np.nan
    path = tmp_path / 'a.tif'
    with rasterio.open(path, 'w', driver='GTiff', height=20, width=30, count=3, dtype='float32',
                       nodata=-9999, transform=rasterio.Affine(1, 0, 5, 0, -1, 5)) as file:
        file.write(values)
    frame, empty = read_frame_and_nodata(path, (1, 2, 3), 'percentile')
    assert empty.sum() == 12 * 30 + 1 and empty[:12].all() and empty[19, 29]
    assert not frame[empty].any()
    seen = clean[:, 12:].reshape(3, -1)[:, :-1]
    low, high = np.percentile(seen, [2, 98], axis=1)
    expected = np.clip((clean[:, 15, 4] - low) / (high - low) * 255, 0, 255)
    assert np.abs(frame[15, 4] - expected).max() <= 1
    raster = open_raster(path, Reading(bands=(1, 2, 3), scale=(1000, 3000)))
    raster.rows(0, 14)
    raster.rows(10, 20)
    assert raster.without_data == empty.sum()
    nothing = np.full((3, 20, 30), -9999, np.float32)
    with rasterio.open(path, 'r+') as file:
        file.write(nothing)
    frame, empty = read_frame_and_nodata(path, (1, 2, 3), 'percentile')
    assert empty.all() and not frame.any()


def seeds(folder):
    """Small files of every format as bytes."""
    found = {kind: flagged(folder / f'a.{kind}', 6).read_bytes() for kind in KINDS}
    for name, picture in (('bmp', Image.fromarray(RGB)), ('gif', Image.fromarray(RGB).convert('P')),
                          ('label.png', Image.fromarray(RGB[..., 0] // 128)),
                          ('palette.png', Image.fromarray(RGB[..., 0]).convert('P'))):
        picture.save(folder / f'b.{name}')
        found[name] = (folder / f'b.{name}').read_bytes()
    return list(found.values())


def mutate(data, rng):
    data = bytearray(data)
    for _ in range(rng.integers(1, 6)):
        place = int(rng.integers(len(data) if rng.random() < 0.6 else min(len(data), 64)))
        kind, length = rng.integers(4), int(rng.integers(1, 9))
        if kind == 0:
            data[place] = rng.integers(256)
        elif kind == 1:
            data[place] ^= 1 << int(rng.integers(8))
        elif kind == 2 and len(data) > 16:
            del data[place:place + length]
        else:
            data[place:place] = rng.bytes(length)
    return bytes(data)


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('count', [2000, pytest.param(100_000, marks=pytest.mark.fuzz)])
def test_damaged_files_raise_nothing_but_what_is_documented(tmp_path, monkeypatch, count):
    # Absurd sizes are decoded in the seconds they take; here they only cost time.
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 100_000)
    rng, files = np.random.default_rng(count), seeds(tmp_path)
    readers = (read_frame, lambda path: read_frame(path, (1, 2, 3), (0, 3000)), read_mask,
               lambda path: read_mask(path, palette=[[0, 0, 0], [255, 255, 255]]),
               lambda path: open_raster(path, Reading(label=True)).rows(0, 1))
    path, read = tmp_path / 'x.png', 0
    for number in range(count):
        path.write_bytes(mutate(files[number % len(files)], rng))
        try:
            readers[number // len(files) % len(readers)](path)
            read += 1
        except ValueError as error:
            assert str(path) in str(error)
    assert 0 < read < count


@pytest.mark.parametrize(('crs', 'transform', 'metres'), [
    ('EPSG:32633', (0.5, 0, 4e5, 0, -0.5, 5e6), 0.5),
    ('EPSG:4326', (1e-5, 0, 13.0, 0, -1e-5, 60.0), 1.1132 * 0.5**0.5),
    ('EPSG:3857', (1.0, 0, 1e6, 0, -1.0, 8399737.9), 0.5),  # 60 degrees north
    (None, (0.5, 0, 0, 0, -0.5, 0), None), ('EPSG:32633', None, None)])
def test_the_side_of_a_pixel_is_told_by_the_header_alone(crs, transform, metres):
    header = Header('TIFF', 10, 10, crs=crs, transform=transform)
    assert pixel_side(header) == (None if metres is None else pytest.approx(metres, rel=1e-3))
