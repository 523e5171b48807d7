import io

import numpy as np
import pytest
import torch
from PIL import Image

from rscc.datasets.transforms.loading import LoadFrames
from rscc.inference.inputs import is_image, name_of, read_images, samples_of

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)


@pytest.fixture
def path(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / 'a.png')
    return tmp_path / 'a.png'


def forms(path):
    return dict(
        string=str(path), path=path, encoded=path.read_bytes(), array=PIXELS,
        pil=Image.open(path), palette=Image.open(path).quantize(256), last=torch.tensor(PIXELS),
        first=torch.tensor(PIXELS).permute(2, 0, 1))


def test_every_kind_of_image_is_read_alike(path):
    for name, image in forms(path).items():
        frames, nodata = read_images([image, image], 'x', LoadFrames())
        assert is_image(image) and len(frames) == 2 and nodata == 0
        if name != 'palette':
            assert all((frame == PIXELS).all() for frame in frames), name
        ((single,), _) = read_images([image], 'x', LoadFrames())
        assert single.shape == PIXELS.shape and single.dtype == np.uint8


def test_the_orientation_of_a_picture_is_honoured(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, 'png', exif=exif)
    ((frame,), _) = read_images([Image.open(buffer)], 'x', LoadFrames())
    assert (frame == np.rot90(PIXELS, -1)).all()


def test_bands_and_scale_reach_arrays():
    deep = np.stack([np.full((4, 4), value, np.uint16) for value in (0, 500, 1000, 2000)], -1)
    ((frame,), _) = read_images([deep], 'x', LoadFrames(bands=(4, 3, 1), scale=(0, 1000)))
    assert frame[0, 0].tolist() == [255, 255, 0]
    with pytest.raises(ValueError, match=r'4 bands of uint16.*Say how to show it'):
        read_images([deep], 'x', LoadFrames())


@pytest.mark.parametrize('image', [None, 3, {'a': 1}, object()])
def test_what_is_no_image_is_refused_with_what_is_accepted(image):
    with pytest.raises(TypeError, match=r'an image cannot be a \w+; expected a path, the bytes'):
        read_images([image], 'x', LoadFrames())


def test_a_folder_and_tensors_without_range_are_refused(tmp_path):
    with pytest.raises(IsADirectoryError, match='is a folder; an image was expected'):
        read_images([tmp_path], 'x', LoadFrames())
    with pytest.raises(ValueError, match=r'torch\.float32 has no known range; expected uint8'):
        read_images([torch.rand(3, 4, 4)], 'x', LoadFrames())
    with pytest.raises(ValueError, match='no image; expected'):
        read_images([np.zeros((1, 2, 3, 4), np.uint8)], 'x', LoadFrames())


@pytest.mark.parametrize('kind', ['array', 'pil', 'bytes', 'path'])
def test_a_grey_date_beside_an_rgb_one_is_refused_on_every_route(path, tmp_path, kind):
    grey = Image.fromarray(PIXELS).convert('L')
    grey.save(tmp_path / 'g.png')
    image = dict(array=np.asarray(grey), pil=grey, path=tmp_path / 'g.png',
                 bytes=(tmp_path / 'g.png').read_bytes())[kind]
    with pytest.raises(ValueError, match=r'different kinds.*grey'):
        read_images([path, image], 'x', LoadFrames())
    assert len(read_images([image, image], 'x', LoadFrames())[0]) == 2


def geotiff(path, left=500000.0, pixels=PIXELS, **more):
    import rasterio
    from rasterio.transform import from_origin
    with rasterio.open(path, 'w', driver='GTiff', height=6, width=9, count=3, dtype='uint8',
                       crs='EPSG:32650', transform=from_origin(left, 3e6, 1, 1), **more) as file:
        file.write(np.moveaxis(pixels, -1, 0))
    return path


@pytest.mark.parametrize('kind', ['path', 'bytes', 'both'])
def test_shifted_geotiffs_are_refused_as_bytes_too(tmp_path, kind):
    a, b = geotiff(tmp_path / 'a.tif'), geotiff(tmp_path / 'b.tif', left=500020.0)
    if kind != 'path':
        b = b.read_bytes()
    if kind == 'bytes':
        a = a.read_bytes()
    with pytest.raises(ValueError, match='different grids: their corners are up to 20') as caught:
        read_images([a, b], 'x', LoadFrames())
    assert 'rscc-' not in str(caught.value)
    assert kind == 'path' or "'bytes of image 2.tif'" in str(caught.value)


@pytest.mark.parametrize('as_bytes', [False, True])
def test_pixels_without_data_are_counted(tmp_path, as_bytes):
    pixels = np.where(PIXELS[..., :1] > 200, 0, PIXELS | 7)
    path = geotiff(tmp_path / 'a.tif', pixels=pixels, nodata=0)
    expected = int((PIXELS[..., 0] > 200).sum())
    image = path.read_bytes() if as_bytes else path
    assert read_images([image, image], 'x', LoadFrames())[1] == expected > 0


def test_damaged_bytes_are_called_bytes():
    with pytest.raises(ValueError, match=r"^sample 'x': 'bytes of image 1' cannot be decoded"):
        read_images([b'hello', b'hello'], 'x', LoadFrames())


@pytest.mark.parametrize('as_path', [False, True])
def test_advice_about_bands_and_scale_names_options_of_inference(tmp_path, as_path):
    deep = np.full((4, 5), 4000, np.uint16)
    Image.fromarray(deep).save(tmp_path / 'd.png')
    with pytest.raises(ValueError, match=r"^sample 'x': .*1 band of uint16.* --scale 0 10000 "
                                         r'\(in Python, bands and scale of ChangeInferencer'):
        read_images([tmp_path / 'd.png' if as_path else deep], 'x', LoadFrames())


def test_folders_named_like_images_are_no_images(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / 'a.png')
    (tmp_path / 'b.png').mkdir()
    Image.fromarray(PIXELS).save(tmp_path / 'b.png/c.png')
    assert [path[len(str(tmp_path)):] for path, _ in samples_of(str(tmp_path))] == [
        '/a.png', '/b.png/c.png']


def test_names_are_of_files_or_kinds(path):
    assert name_of([path, PIXELS]) == 'a.png -> ndarray'


def test_folders_are_matched_by_name_and_lists_read(tmp_path):
    for folder, ending in (('A', 'png'), ('B', 'tif')):
        for name in ('x', 'city/y'):
            file = tmp_path / folder / f'{name}.{ending}'
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(PIXELS).save(file)
    pairs = samples_of(str(tmp_path / 'A'), str(tmp_path / 'B'))
    assert [(a[len(str(tmp_path)):], b[len(str(tmp_path)):]) for a, b in pairs] == [
        ('/A/city/y.png', '/B/city/y.tif'), ('/A/x.png', '/B/x.tif')]
    assert len(samples_of(str(tmp_path / 'A'))) == 2
    (tmp_path / 'list.txt').write_text('A/x.png  B/x.tif\n')
    assert samples_of(None, None, str(tmp_path / 'list.txt')) == [
        (str(tmp_path / 'A/x.png'), str(tmp_path / 'B/x.tif'))]


def test_what_does_not_belong_together_is_named(tmp_path):
    for name in ('A/1.png', 'A/2.png', 'B/2.png'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(PIXELS).save(tmp_path / name)
    a, b = str(tmp_path / 'A'), str(tmp_path / 'B')
    with pytest.raises(ValueError, match=r"^1 of 2 images in '.*A' \(1\) have no image of"):
        samples_of(a, b)
    for pair in ((a, f'{b}/2.png'), (f'{a}/1.png', b)):
        with pytest.raises(ValueError, match='give two files or two'):
            samples_of(*pair)
    with pytest.raises(FileNotFoundError, match=r"no image at '.*gone\.png'"):
        samples_of(f'{a}/gone.png', f'{b}/2.png')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ValueError, match=r'no image in .*expected files ending in'):
        samples_of(str(tmp_path / 'empty'))
    Image.fromarray(PIXELS).save(tmp_path / 'A/1.tif')
    with pytest.raises(ValueError, match='differ in their endings only'):
        samples_of(a)


def test_arrays_with_their_bands_first_are_refused(tmp_path):
    dates = [np.zeros((4, 64, 48), np.uint8)] * 2
    with pytest.raises(ValueError, match=r'\(4, 64, 48\) seems to have its bands first.*moveaxis'):
        read_images(dates, 'arrays', LoadFrames(bands=(1, 2, 3, 4)))
