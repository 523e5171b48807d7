import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from rscc.rasters.headers import read_header
from rscc.rasters.image_files import (
    NeedsMapping,
    as_bands,
    as_rgb,
    frame_and_nodata,
    read_frame,
    read_frame_and_nodata,
    read_nodata,
    read_rgb,
)
from rscc.rasters.labels import read_mask
from rscc.rasters.scales import check_scale

RGB = np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)


def save(path, pixels, **options):
    Image.fromarray(pixels).save(path, **options)
    return path


def geotiff(path, bands, **options):
    rasterio = pytest.importorskip('rasterio')
    from rasterio.transform import from_origin
    with rasterio.open(path, 'w', driver='GTiff', width=bands.shape[2], height=bands.shape[1],
                       count=len(bands), dtype=bands.dtype,
                       transform=from_origin(0, 0, 1, 1), **options) as file:
        file.write(bands)
    return path


@pytest.mark.parametrize('ending', ['png', 'bmp', 'tif'])
def test_lossless_colour_files_come_back_exactly(tmp_path, ending):
    assert np.array_equal(read_rgb(save(tmp_path / f'a.{ending}', RGB)), RGB)


def test_a_jpeg_keeps_its_channel_order(tmp_path):
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 200
    pixels = read_rgb(save(tmp_path / 'a.jpg', red, quality=95))
    assert pixels[..., 0].mean() > 190 and pixels[..., 2].mean() < 10


@pytest.mark.parametrize('ending', ['png', 'tif', 'gif'])
def test_a_palette_image_shows_its_colours_not_its_numbers(tmp_path, ending):
    halves = np.zeros((8, 8, 3), np.uint8)
    halves[:4], halves[4:] = (204, 51, 51), (51, 51, 204)
    Image.fromarray(halves).convert('P').save(tmp_path / f'a.{ending}')
    assert np.array_equal(read_rgb(tmp_path / f'a.{ending}'), halves)


@pytest.mark.parametrize('ending', ['png', 'tif'])
def test_a_black_and_white_image_is_black_and_white(tmp_path, ending):
    pixels = read_rgb(save(tmp_path / f'a.{ending}', RGB[..., 0] > 128))
    assert np.array_equal(pixels[..., 1], np.where(RGB[..., 0] > 128, 255, 0))


def test_a_grey_image_is_repeated(tmp_path):
    pixels = read_rgb(save(tmp_path / 'a.png', RGB[..., 0]))
    assert pixels.shape == (24, 20, 3) and np.array_equal(pixels[..., 2], RGB[..., 0])
    assert read_rgb(save(tmp_path / 'a.tif', RGB[..., 0])).shape == (24, 20, 3)


@pytest.mark.parametrize('ending', ['png', 'tif', 'webp'])
@pytest.mark.parametrize('opacity', [255, 128, 0])
def test_an_alpha_channel_is_dropped_and_tells_where_there_is_data(tmp_path, ending, opacity):
    pixels = np.dstack([RGB, np.full((24, 20), 255, np.uint8)])
    pixels[3, 5, 3] = opacity
    path = tmp_path / f'a.{ending}'
    kept = dict(lossless=True, exact=True) if ending == 'webp' else {}
    Image.fromarray(pixels).save(path, **kept)
    assert read_header(path).alpha or (ending, opacity) == ('webp', 255)  # not stored then
    frame, empty = read_frame_and_nodata(path)
    assert np.array_equal(frame, RGB)
    found = read_nodata(path)
    if opacity:
        assert empty is None and found is None
    else:
        assert np.argwhere(empty).tolist() == [[3, 5]]
        assert np.array_equal(found, empty)


def test_grey_with_an_alpha_channel_is_grey(tmp_path):
    path = tmp_path / 'a.png'
    Image.fromarray(np.dstack([RGB[..., 0], np.full((24, 20), 9, np.uint8)]), 'LA').save(path)
    assert np.array_equal(read_frame(path), RGB[..., 0])


def test_deep_images_with_an_alpha_channel_need_a_scale_alone(tmp_path):
    deep = np.dstack([RGB[..., ::-1], RGB[..., 0] | 1]).astype(np.uint16) * 10
    cv2.imwrite(str(tmp_path / 'a.png'), deep)
    with pytest.raises(ValueError, match=r'3 bands of uint16.*LoadFrames\(scale'):
        read_rgb(tmp_path / 'a.png')
    assert np.array_equal(read_rgb(tmp_path / 'a.png', scale=(0, 2550)), RGB)


def test_a_fourth_band_that_is_no_alpha_channel_needs_a_choice(tmp_path):
    pytest.importorskip('rasterio')
    bands = np.concatenate([np.moveaxis(RGB, -1, 0), RGB[None, ..., 0] // 2])
    path = geotiff(tmp_path / 'a.tif', bands, photometric='MINISBLACK')
    assert not read_header(path).alpha
    with pytest.raises(ValueError, match=r'has 4 bands of uint8; an 8-bit RGB or grey image.*'
                       r'LoadFrames\(bands=\(1, 2, 3\)\)'):
        read_rgb(path)


def test_sixteen_bits_need_a_scale(tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), RGB[..., ::-1].astype(np.uint16) * 10)
    with pytest.raises(ValueError, match=r"3 bands of uint16.*scale=\(0, 10000\).*'perc"):
        read_rgb(tmp_path / 'a.png')
    assert np.array_equal(read_rgb(tmp_path / 'a.png', scale=(0, 2550)), RGB)


def test_advice_passes_over_pixels_without_data():
    with pytest.raises(NeedsMapping) as error:
        frame_and_nodata(np.float32([[0.5, -7]]), 'a.tif', nodata=-7)
    assert error.value.flags.endswith('Say how to show it: --scale 0 1')
    assert error.value.facts == dict(path='a.tif', count=1, kind='float32', ends=('0.5', '0.5'),
                                     flags='--scale 0 1')


@pytest.mark.parametrize('compression', [None, 'packbits', 'tiff_lzw', 'tiff_adobe_deflate'])
@pytest.mark.parametrize('cut', [1, 8, 200])
def test_a_tiff_that_is_cut_is_refused(tmp_path, compression, cut):
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    path = save(tmp_path / 'a.tif', image, compression=compression)
    assert np.array_equal(read_rgb(path), image)
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(ValueError, match=r'cannot be decoded: .*truncated, damaged or no image'):
        read_rgb(path)


def test_the_bands_of_a_geotiff_are_chosen_and_scaled(tmp_path):
    bands = np.random.default_rng(1).integers(0, 3000, (6, 16, 12)).astype(np.uint16)
    path = geotiff(tmp_path / 's2.tif', bands)
    with pytest.raises(ValueError, match=r"s2\.tif' has 6 bands of uint16.*bands=\(3, 2, 1\)"):
        read_rgb(path)
    pixels = read_rgb(path, bands=(3, 2, 1), scale=(0, 3000))
    expected = np.round(np.moveaxis(bands[[2, 1, 0]], 0, -1) / 3000 * 255)
    assert pixels.shape == (16, 12, 3) and np.abs(pixels - expected).max() <= 1
    stretched = read_rgb(path, bands=(3, 2, 1), scale='percentile')
    assert stretched.min() == 0 and stretched.max() == 255
    with pytest.raises(ValueError, match=r'bands=\(7, 2, 1\) asks for band 7.*has 6'):
        read_rgb(path, bands=(7, 2, 1))


@pytest.mark.parametrize('ending', ['png', 'jpg', 'tif', 'bmp'])
def test_a_truncated_file_is_named(tmp_path, ending):
    path = save(tmp_path / f'cut.{ending}', RGB)
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(ValueError, match=rf"cut\.{ending}' cannot be decoded: .*truncated"):
        read_rgb(path)


def test_a_damaged_empty_missing_or_foreign_file_is_named(tmp_path):
    path = save(tmp_path / 'bad.png', RGB)
    data = bytearray(path.read_bytes())
    data[60:90] = bytes(30)
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"bad.png' cannot be decoded: the decoder refuses it"):
        read_rgb(path)
    path.write_bytes(b'')
    with pytest.raises(ValueError, match='the file is empty'):
        read_rgb(path)
    path.write_text('hello')
    with pytest.raises(ValueError, match=r"bad.png' cannot be decoded"):
        read_rgb(path)
    with pytest.raises(FileNotFoundError, match=r"no such image: '.*gone\.png'"):
        read_rgb(tmp_path / 'gone.png')


def huge_png(path, width, height):
    """Write the header of a PNG and nothing of its pixels."""
    def chunk(kind, data):
        return struct.pack('>I', len(data)) + kind + data + struct.pack(
            '>I', zlib.crc32(kind + data))
    path.write_bytes(b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack(
        '>IIBBBBB', width, height, 8, 0, 0, 0, 0)) + chunk(b'IDAT', zlib.compress(b''))
        + chunk(b'IEND', b''))
    return path


@pytest.mark.parametrize(('read', 'size', 'millions'), [
    (read_mask, (32507, 15354), 499), (read_rgb, (40000, 40000), 1600)])
def test_a_scene_is_sent_to_the_tile_cutter(tmp_path, read, size, millions):
    path = huge_png(tmp_path / 'scene.png', *size)
    limit = Image.MAX_IMAGE_PIXELS
    with pytest.raises(ValueError, match=rf"scene\.png' is too large.*{size[0]} x {size[1]}, "
                       rf'{millions} megapixels, at most 179.*tiles\.py cut'):
        read(path)
    assert limit == Image.MAX_IMAGE_PIXELS


def test_a_tiff_scene_is_sent_to_the_tile_cutter(tmp_path, monkeypatch):
    path = save(tmp_path / 'scene.tif', RGB)
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 100)
    with pytest.raises(ValueError, match=r"scene\.tif' is too large.*20 x 24.*tiles\.py cut"):
        read_rgb(path)


DEEP = np.random.default_rng(2).integers(0, 3000, (10, 16, 12)).astype(np.uint16)


@pytest.mark.parametrize('kind', ['uint16', 'int16', 'float32'])
@pytest.mark.parametrize('bands', [(3, 2, 1, 4), (3, 2, 1, 8, 5), (2, 1), (7,),
                                   (3, 2, 1, 4, 5, 6, 7, 8, 9, 10)])
def test_any_number_of_bands_is_read_each_on_its_own_scale(tmp_path, bands, kind):
    path = geotiff(tmp_path / 's2.tif', DEEP.astype(kind))
    scale = [(10 * band, 2000 + 100 * band) for band in bands]
    frame = read_frame(path, bands, scale)
    assert frame.shape == (16, 12, len(bands)) and frame.dtype == np.uint8
    for place, (band, (low, high)) in enumerate(zip(bands, scale, strict=True)):
        wanted = np.clip((DEEP[band - 1].astype(np.float32) - low) / (high - low) * 255, 0, 255)
        assert np.abs(frame[..., place] - wanted).max() <= 0.51
    shared = read_frame(path, bands, (0, 3000))
    assert np.abs(shared - np.moveaxis(DEEP[[band - 1 for band in bands]], 0, -1) / 3000 * 255
                  ).max() <= 0.51


def test_a_picture_of_four_channels_has_four_bands_where_they_are_chosen(tmp_path):
    deep = np.random.default_rng(3).integers(0, 65536, (8, 9, 4)).astype(np.uint16)
    deep[..., 3] = 65535
    assert cv2.imwrite(str(tmp_path / 'a.png'), deep[..., [2, 1, 0, 3]])
    frame = read_frame(tmp_path / 'a.png', (1, 2, 3, 4), (0, 65535))
    assert np.abs(frame - deep / 257).max() <= 0.51
    # All of a chosen band at 255 is no opaque alpha.
    assert frame.shape[2] == 4 and (frame[..., 3] == 255).all()


def test_pixels_without_data_are_black_in_every_band(tmp_path):
    rasterio = pytest.importorskip('rasterio')
    deep = DEEP.copy()
    deep[:, 3:5] = 0
    deep[:4, 8] = 0  # in some bands alone
    with rasterio.open(geotiff(tmp_path / 'a.tif', deep), 'r+') as file:
        file.nodata = 0
    frame, empty = read_frame_and_nodata(tmp_path / 'a.tif', (3, 2, 1, 8), (-500, 3000))
    assert empty[3:5].all() and not empty[5:].any() and not frame[3:5].any()


@pytest.mark.parametrize(('bands', 'scale', 'message'), [
    ((3, 2, 1, 11), (0, 1), r'bands=\(3, 2, 1, 11\) asks for band 11 of .*which has 10'),
    ((3, 2, 2, 1), (0, 1), r'names band 2 twice: give each once, or one three times for a grey'),
    ((3, 2, 3), (0, 1), r'names band 3 twice'), ((), (0, 1), 'expected whole numbers of bands'),
    ((0, 1, 2), (0, 1), 'counted from 1'), ((1.5, 2, 3), (0, 1), 'whole numbers'),
    ((3, 2, 1, 4), ((0, 1), ) * 3, r'3 pairs, and 4 bands of .* would be read: give one'),
    ((3, 2, 1, 4), None, r'scale=\(0, 10000\)')])
def test_bands_and_scales_that_do_not_fit_are_named(tmp_path, bands, scale, message):
    path = geotiff(tmp_path / 's2.tif', DEEP)
    with pytest.raises(ValueError, match=message):
        read_frame(path, bands, scale)


def test_advice_for_files_of_more_bands_says_that_there_may_be_others(tmp_path):
    with pytest.raises(ValueError, match=r'LoadFrames\(bands=\(3, 2, 1\), scale=\(0, 10000\)\).*'
                       'then any others that the encoder takes; .*one such pair for each band'):
        read_frame(geotiff(tmp_path / 'a.tif', DEEP))
    with pytest.raises(NeedsMapping) as error:
        read_frame(geotiff(tmp_path / 'a.tif', DEEP), (3, 2, 1, 4))
    assert error.value.flags.endswith('Say how to show it: --scale 0 10000')


@pytest.mark.parametrize('scale', [(3, 3), ((0, 1), (5, 2)), (0, 1, 2), ((0, 1, 2), ), 'minmax', (),
                                   (0, float('nan'))])
def test_a_scale_of_unknown_form_is_refused(scale):
    with pytest.raises(ValueError, match=r'scale=.*(must be \(low, high\)|is unknown)'):
        check_scale(scale)


@pytest.mark.parametrize(('bands', 'shown'), [(1, (0, 0, 0)), (2, (0, 0, 0)), (3, (0, 1, 2)),
                                              (4, (0, 1, 2)), (10, (0, 1, 2))])
def test_pictures_show_the_first_three_bands_or_the_first_as_grey(bands, shown):
    frame = np.random.default_rng(0).integers(0, 256, (6, 5, bands), dtype=np.uint8)
    assert np.array_equal(as_rgb(frame), frame[..., list(shown)])
    assert np.array_equal(as_rgb(frame[..., 0]), frame[..., [0, 0, 0]])
    assert as_bands(frame) is frame and as_bands(frame[..., 0]).shape == (6, 5, 3)


def test_bytes_are_no_values_of_a_scale_beyond_them(tmp_path):
    path = tmp_path / 'bytes.png'
    cv2.imwrite(str(path), np.full((8, 8, 4), 200, np.uint8))
    with pytest.raises(ValueError, match=r'holds bytes, 0 to 255, and scale=.*up to 3000'):
        read_frame(path, (1, 2, 3, 4), (0, 3000))
    assert read_frame(path, (1, 2, 3, 4), (0, 200)).max() == 255
