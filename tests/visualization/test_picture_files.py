import numpy as np
import pytest
from PIL import Image

from rscc.visualization.picture_files import (
    safe_name,
    save_image,
    save_mask,
    save_probabilities,
    save_small,
)


@pytest.mark.parametrize('sample_id', ['test_000001', 'y0-x512.png', '样本_1', '7'])
def test_plain_ids_stay_as_they_are(sample_id):
    assert safe_name(sample_id) == sample_id


@pytest.mark.parametrize('sample_id', [
    '../../etc/passwd', 'a/b', 'a b', '..', '', 'C:\\x', 'x' * 300, '.hidden'])
def test_other_ids_become_file_names(sample_id, tmp_path):
    name = safe_name(sample_id)
    assert (tmp_path / name).parent == tmp_path and not name.startswith('.')
    (tmp_path / name).touch()
    assert ' ' not in name and len(name) < 140


def test_different_ids_never_share_a_file():
    ids = ['a/b', 'a_b', 'a b', 'a//b', 'x' * 300, 'x' * 301, '..', '']
    assert len({safe_name(sample_id) for sample_id in ids}) == len(ids)


def test_image_survives_a_round_trip(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    path = save_image(tmp_path / 'new' / 'x.png', image)
    assert (np.asarray(Image.open(path)) == image).all()


def test_a_small_drawing_keeps_the_colour_of_a_single_mark(tmp_path):
    drawing = np.full((300, 400, 3), 255, np.uint8)
    drawing[40:260, 50:52] = np.arange(220, dtype=np.uint8)[:, None, None]
    drawing[100:104, 200:204] = 47, 125, 79
    small = Image.open(save_small(tmp_path / 'x.png', drawing))
    assert small.mode == 'P'
    assert np.abs(np.asarray(small.convert('RGB')).astype(int) - drawing).max() <= 6


def test_mask_keeps_its_numbers(tmp_path):
    mask = np.array([[0, 1, 2], [255, 5, 0]])
    path = save_mask(tmp_path / 'x.png', mask, [[0, 0, 0], [9, 8, 7]])
    assert (np.asarray(Image.open(path)) == mask).all()
    assert Image.open(path).convert('RGB').getpixel((1, 0)) == (9, 8, 7)


def test_class_numbers_beyond_a_byte_are_refused(tmp_path):
    with pytest.raises(ValueError, match='holds 0 to 300; a palette PNG holds'):
        save_mask(tmp_path / 'x.png', np.array([[0, 300]]))
    assert not list(tmp_path.iterdir())


def test_probabilities_keep_sixteen_bits(tmp_path):
    values = np.random.default_rng(0).random((6, 9))
    path = save_probabilities(tmp_path / 'x.png', values)
    image = Image.open(path)
    assert image.mode.startswith('I;16')
    assert np.abs(np.asarray(image) / 65535 - values).max() < 1e-5


@pytest.mark.parametrize('values', [[[0.5, 1.2]], [[-0.1, 0]], [[np.nan, 0]], [0.5]])
def test_what_is_no_probability_is_refused(tmp_path, values):
    with pytest.raises(ValueError, match=r'reach from .*expected \(H, W\) from 0 to 1'):
        save_probabilities(tmp_path / 'x.png', values)
    assert not list(tmp_path.iterdir())
