import numpy as np
import pytest

from rscc.visualization.overlays import (
    ERROR_CLASSES,
    ERROR_PALETTE,
    class_palette,
    error_mask,
    mask_layer,
    overlay_mask,
    tint_palette,
)

RED, GREEN = (255, 0, 0), (0, 255, 0)


@pytest.fixture
def grey():
    return np.full((64, 64, 3), 100, np.uint8)


@pytest.fixture
def square():
    mask = np.zeros((64, 64), np.uint8)
    mask[16:48, 16:48] = 1
    return mask


def test_unchanged_and_ignored_pixels_keep_the_image(grey, square):
    square[:8] = 255
    drawn = overlay_mask(grey, square, [(0, 0, 0), RED])
    assert (drawn[square == 0] == grey[square == 0]).all()
    assert (drawn[:8] == grey[:8]).all()


def test_fill_is_blended_with_the_class_colour(grey, square):
    drawn = overlay_mask(grey, square, [(0, 0, 0), RED], alpha=0.4, outline=False)
    assert drawn[32, 32].tolist() == [162, 60, 60]


def test_outline_is_stronger_than_the_fill_and_only_at_the_edge(grey, square):
    palette = [(0, 0, 0), RED]
    plain = overlay_mask(grey, square, palette, alpha=0.3, outline=False)
    traced = overlay_mask(grey, square, palette, alpha=0.3)
    assert traced[32, 16, 0] > plain[32, 16, 0] + 50
    assert (traced[32, 32] == plain[32, 32]).all()


def test_width_of_the_outline_can_be_given(square):
    thin, thick = (mask_layer(square, (640, 640), alpha=0.3, edge_width=width)[320, :, 3]
                   for width in (2, 10))
    assert 2 * 2 <= (thin > 200).sum() < 2 * 4 < 2 * 9 <= (thick > 200).sum() < 2 * 12


def test_region_at_the_image_border_is_not_framed_there(grey):
    drawn = overlay_mask(grey, np.ones((64, 64), np.uint8), [(0, 0, 0), RED], alpha=0.4)
    assert (drawn == drawn[32, 32]).all()


def test_edges_of_a_small_mask_are_interpolated(grey):
    mask = np.triu(np.ones((8, 8), np.uint8))
    layer = mask_layer(mask, (64, 64), [(0, 0, 0), RED], alpha=1.0, outline=False)
    assert len(np.unique(layer[..., 3])) > 2
    assert layer.shape == (64, 64, 4)


def test_classes_take_their_own_colours(grey):
    mask = np.zeros((64, 64), np.uint8)
    mask[:, 8:24], mask[:, 40:56] = 1, 2
    drawn = overlay_mask(grey, mask, [(0, 0, 0), RED, GREEN])
    assert drawn[32, 16].argmax() == 0 and drawn[32, 48].argmax() == 1


def test_a_white_class_is_tinted_so_that_it_shows_on_a_white_roof(square):
    roof = np.full((64, 64, 3), 255, np.uint8)
    drawn = overlay_mask(roof, square, [(0, 0, 0), (255, 255, 255)])
    assert np.abs(drawn[32, 32].astype(int) - roof[32, 32]).max() > 60
    assert (drawn[0, 0] == 255).all()


def test_tints_keep_colours_and_the_background():
    palette = [(0, 0, 0), (128, 128, 128), RED, (250, 255, 255)]
    tints = tint_palette(4, palette)
    assert tints[0] == (0, 0, 0) and tints[2] == RED
    assert tints[1] == class_palette(4)[1] and tints[3] == class_palette(4)[3]


def test_input_image_is_left_alone(grey, square):
    before = grey.copy()
    overlay_mask(grey, square)
    assert (grey == before).all()


def test_error_mask_knows_found_false_missed_and_wrong_class():
    pred = np.array([[0, 1, 1, 0, 2, 1]])
    gt = np.array([[0, 1, 0, 1, 1, 255]])
    errors = error_mask(pred, gt)
    assert [ERROR_CLASSES[v] for v in errors[0]] == [
        'right', 'found', 'false alarm', 'missed', 'wrong class', 'right'
    ]
    assert len(ERROR_PALETTE) == len(ERROR_CLASSES)


def test_error_mask_refuses_different_sizes():
    with pytest.raises(ValueError, match=r'mask sizes differ: predicted \(4, 4\), reference'):
        error_mask(np.zeros((4, 4)), np.zeros((4, 5)))


def test_rgb_mask_is_refused_with_its_shape(grey):
    with pytest.raises(ValueError, match=r'shape \(64, 64, 3\); expected \(H, W\)'):
        overlay_mask(grey, grey)


def test_short_palette_is_extended_with_distinct_colours():
    colours = class_palette(12, [(0, 0, 0), RED])
    assert colours[:2] == [(0, 0, 0), RED] and len(set(colours)) == 12


def test_bad_palette_entry_is_named():
    with pytest.raises(ValueError, match=r'palette entry 1 is \[300, 0, 0\]'):
        class_palette(2, [[0, 0, 0], [300, 0, 0]])
