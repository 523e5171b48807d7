import numpy as np
import pytest
from PIL import Image

from rscc.rasters.labels import IGNORE, read_mask, read_stored
from rscc.rasters.rows import Reading, open_raster

RGB = np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)
CHANGED = np.zeros((8, 8), np.uint8)
CHANGED[2:4] = 1


def save(path, pixels, **options):
    Image.fromarray(pixels).save(path, **options)
    return path


def palette_file(path, indices, *colours, **options):
    picture = Image.fromarray(indices, mode='P')
    picture.putpalette([channel for colour in colours for channel in colour])
    picture.save(path, **options)
    return path


def test_a_label_of_fractions_is_refused(tmp_path):
    fractions = save(tmp_path / 'a.tif', np.full((4, 4), 1.5, np.float32))
    with pytest.raises(ValueError, match=r'from 1.5 to 1.5 \(float32\).*whole numbers'):
        read_mask(fractions, {1: 1})


@pytest.mark.parametrize('high', [1, 255])
def test_binary_labels_are_recognised(tmp_path, high):
    values = np.zeros((8, 8), np.uint8)
    values[2:4] = high
    mask = read_mask(save(tmp_path / 'a.png', values))
    assert mask.dtype == np.uint8 and np.array_equal(mask, values // high)
    assert read_mask(save(tmp_path / 'b.png', np.zeros((8, 8), np.uint8))).max() == 0
    if high == 255:
        assert read_mask(save(tmp_path / 'c.png', values > 0)).sum() == 16


def test_other_values_need_a_map(tmp_path):
    values = np.array([[0, 128], [254, 255]], np.uint8)
    path = save(tmp_path / 'a.png', values)
    with pytest.raises(ValueError, match=r"label '.*a\.png' holds the values \[0, 128, 254, 255\]; "
                       r'without a label_map only \{0, 255\} and \{0, 1\}'):
        read_mask(path)
    mask = read_mask(path, {0: 0, '128': 1, 254: 255, 255: 2})
    assert mask.tolist() == [[0, 1], [255, 2]]
    with pytest.raises(ValueError, match=r'\[254\] are not in label_map'):
        read_mask(path, {0: 0, 128: 1, 255: 2})


def test_colour_labels_need_a_palette_that_is_complete(tmp_path):
    palette = [[0, 0, 0], [255, 0, 0], [255, 0, 9]]
    colours = np.array(palette, np.uint8)[np.array([[0, 1], [2, 1]])]
    path = save(tmp_path / 'a.png', colours)
    assert read_mask(path, palette=palette).tolist() == [[0, 1], [2, 1]]
    with pytest.raises(ValueError, match=r'outside the palette: \[255, 0, 9\] at row 1, '
                       r'column 0 \(nearest: number 1 \[255, 0, 0\]\); pixels in all: 1\. '
                       'Complete the palette, .* come from JPEG or a smooth resize'):
        read_mask(path, palette=palette[:2])


def test_of_many_strange_colours_the_first_three_are_told_with_their_places(tmp_path):
    colours = np.zeros((3, 5, 3), np.uint8)
    for number, (row, column) in enumerate([(0, 4), (1, 0), (1, 2), (2, 1), (2, 3)]):
        colours[row, column] = (9, 200, 10 * number)
    colours[2, 4] = colours[0, 4]
    path = save(tmp_path / 'a.png', colours)
    with pytest.raises(ValueError, match=r'palette: \[9, 200, 0\] at row 0, column 4 .*, '
                       r'\[9, 200, 10\] at row 1, column 0 .*, \[9, 200, 20\] at row 1, column 2 '
                       r'\([^)]*\) and 2 more; pixels in all: 6\. '):
        read_mask(path, palette=[[0, 0, 0], [255, 0, 0]])


def test_the_first_channel_of_a_grey_rgb_label_counts(tmp_path):
    values = np.repeat(np.array([[0, 255]], np.uint8)[..., None], 3, 2)
    assert read_mask(save(tmp_path / 'a.png', values)).tolist() == [[0, 1]]


def test_a_wide_or_truncated_label_is_named(tmp_path):
    path = save(tmp_path / 'a.png', np.full((4, 4), 300, np.uint16))
    with pytest.raises(ValueError, match=r'from 300 to 300 \(.*whole numbers of 0 to 255'):
        read_mask(path)
    path = save(tmp_path / 'b.png', RGB)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(ValueError, match=r"b.png' cannot be decoded"):
        read_mask(path)


@pytest.mark.parametrize('ending', ['png', 'tif', 'bmp'])
def test_colours_without_a_palette_are_refused_with_what_was_found(tmp_path, ending):
    colours = np.zeros((8, 8, 3), np.uint8)
    colours[0], colours[1] = (255, 0, 0), (0, 255, 0)
    path = save(tmp_path / f'a.{ending}', colours)
    with pytest.raises(ValueError, match=r'is coloured: 3 colours, \[0, 0, 0\] \(75\.0 %\), .*'
                       r'LoadChangeMask\(palette='):
        read_mask(path)
    with pytest.raises(ValueError, match='is coloured'):
        read_mask(path, {0: 0, 255: 1})
    assert read_mask(path, palette=[[0, 0, 0], [255, 0, 0], [0, 255, 0]]).sum() == 8 + 16


def test_a_palette_may_send_colours_to_ignore(tmp_path):
    colours = np.array([[[0, 0, 0], [255, 0, 0], [9, 9, 9]]], np.uint8)
    path = save(tmp_path / 'a.png', colours)
    mask = read_mask(path, {0: 0, 1: 1, 2: IGNORE}, palette=colours[0].tolist())
    assert mask.tolist() == [[0, 1, 255]]


def test_a_grey_label_that_jpeg_tinted_is_grey(tmp_path):
    grey = np.repeat(CHANGED.repeat(4, 0).repeat(4, 1)[..., None] * 255, 3, 2)
    grey[:16, ..., 0] = np.minimum(grey[:16, ..., 0], 250)
    path = save(tmp_path / 'a.jpg', grey, quality=80)
    mask = read_mask(path, {value: int(value >= 128) for value in range(256)})
    assert mask.sum() == CHANGED.sum() * 16


@pytest.mark.parametrize('ending', ['png', 'tif'])
@pytest.mark.parametrize('high', [1, 255])
def test_a_palette_against_its_indices_is_refused(tmp_path, ending, high):
    colours = [(255, 255, 255)] + [(0, 0, 0)] * high
    path = palette_file(tmp_path / f'a.{ending}', CHANGED * high, *colours)
    with pytest.raises(ValueError, match=r'index 0 is the bright colour \[255, 255, 255\].*'
                       rf'inverted.*label_map=\{{0: 1, {high}: 0\}}.*palette='):
        read_mask(path)
    assert read_mask(path, {0: 1, high: 0}).sum() == 48
    assert read_mask(path, palette=[[0, 0, 0], [255, 255, 255]]).sum() == 48
    for stored in (read_stored, lambda path: open_raster(path, Reading(label=True)).rows(0, 8)):
        with pytest.raises(ValueError, match=r'inverted\. Save it as grey first'):
            stored(path)


def test_a_palette_in_the_order_of_its_indices_is_read_by_index(tmp_path):
    path = palette_file(tmp_path / 'a.png', CHANGED, (0, 0, 0), (200, 30, 30))
    assert np.array_equal(read_mask(path), CHANGED)


def test_an_unchanged_label_of_a_reversed_palette_is_refused_too(tmp_path):
    path = palette_file(tmp_path / 'a.png', CHANGED * 0, (255, 255, 255), (0, 0, 0))
    with pytest.raises(ValueError, match='inverted'):
        read_mask(path)


def test_transparent_pixels_are_refused_and_an_opaque_alpha_is_not(tmp_path):
    rgba = np.repeat(CHANGED[..., None] * 255, 4, 2)
    rgba[..., 3] = 255
    assert np.array_equal(read_mask(save(tmp_path / 'a.png', rgba)), CHANGED)
    rgba[0, 0, 3] = 0
    path = save(tmp_path / 'b.png', rgba)
    with pytest.raises(ValueError, match=r'has transparent pixels.*values are \[0, 255\].*alpha'):
        read_mask(path)
    with pytest.raises(ValueError, match=r'with their alpha.*Found \[\[0, 0, 0, 0\]'):
        read_mask(path, palette=[[0, 0, 0], [255, 255, 255]])
    palette = [[0, 0, 0, 255], [255, 255, 255, 255], [0, 0, 0, 0]]
    assert np.bincount(read_mask(path, palette=palette).ravel()).tolist() == [47, 16, 1]
    clear = palette_file(tmp_path / 'c.png', CHANGED, (0, 0, 0), (9, 9, 9), transparency=0)
    with pytest.raises(ValueError, match='has transparent pixels'):
        read_mask(clear)
    assert np.array_equal(read_mask(clear, {0: 0, 1: 1}), CHANGED)


def test_labels_are_turned_upright(tmp_path):
    tag = Image.Exif()
    tag[0x0112] = 6
    wide = np.zeros((4, 8), np.uint8)
    wide[:, 0] = 255
    for name in ('a.png', 'a.tif', 'a.webp'):
        Image.fromarray(wide).save(tmp_path / name, exif=tag, **(
            {'lossless': True} if 'webp' in name else {}))
        mask = read_mask(tmp_path / name)
        assert mask.shape == (8, 4) and mask[0].all() and not mask[1:].any()
        rows = open_raster(tmp_path / name, Reading(label=True)).rows(0, 8)
        assert np.array_equal(rows if rows.ndim == 2 else rows[..., 0], mask * 255)


@pytest.mark.parametrize(('nodata', 'values', 'expected'), [
    (7, [0, 1, 7], [0, 1, 255]), (-9999, [0, 255, -9999], [0, 1, 255]),
    (255, [0, 1, 255], [0, 1, 255]), (0, [0, 1, 1], [0, 1, 1]),
    (float('nan'), [0, 1, float('nan')], [0, 1, 255])])
def test_the_nodata_value_of_a_label_is_ignored_unless_it_is_a_class(tmp_path, nodata, values,
                                                                    expected):
    path = geotiff(tmp_path / 'a.tif', values, nodata)
    assert read_mask(path).tolist() == [expected]


def geotiff(path, values, nodata):
    rasterio = pytest.importorskip('rasterio')
    whole = all(value == value and value >= 0 for value in values)
    with rasterio.open(path, 'w', driver='GTiff', height=1, width=len(values), count=1,
                       dtype='uint8' if whole else 'float32', nodata=nodata,
                       transform=rasterio.Affine(1, 0, 5, 0, -1, 5)) as file:
        file.write(np.array([[values]], 'uint8' if whole else 'float32'))
    return path


def test_a_nodata_value_that_may_be_change_is_refused(tmp_path):
    path = geotiff(tmp_path / 'a.tif', [0, 255, 0], 255)
    with pytest.raises(ValueError, match=r'changed or unknown\? Say label_map=\{0: 0, 255: 1\}'):
        read_mask(path)
    assert read_mask(path, {0: 0, 255: 1}).tolist() == [[0, 1, 0]]
    assert read_mask(path, {0: 0, 255: 255}).tolist() == [[0, 255, 0]]


def test_the_classes_of_a_folder_are_written_and_read(tmp_path):
    from rscc.rasters.labels import CLASSES_FILE, read_classes, write_classes
    assert read_classes(tmp_path) == {}
    write_classes(tmp_path, ['unchanged', 'road'], [[0, 0, 0], (245, 200, 60)], 0.3)
    assert read_classes(tmp_path) == dict(
        classes=('unchanged', 'road'), palette=[[0, 0, 0], [245, 200, 60]],
        label_map={0: 0, 1: 1, 255: 255}, ground_resolution=0.3)
    write_classes(tmp_path, ['unchanged'], [[0, 0, 0]], None)
    assert 'ground_resolution' not in read_classes(tmp_path)
    for text, words in (('{"classes": []}', 'lacks'), (
            '{"classes": ["a"], "palette": [[0, 0, 256]], "label_map": {}}', 'palette'),
            ('{"classes": ["a"], "palette": [], "label_map": {}}', 'do not fit each other'),
            ('{"classes": ["a"], "palette": [[0, 0, 0]], "label_map": {"x": 0}}', "'x'")):
        (tmp_path / CLASSES_FILE).write_text(text)
        with pytest.raises(ValueError, match=words):
            read_classes(tmp_path)
