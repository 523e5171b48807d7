import numpy as np
import pytest
import torch
from torch.nn import functional

from rscc.rasters.resizing import resize_frame, resize_mask, resize_scores, size_within


@pytest.mark.parametrize('size', [(48, 64), (31, 7), (8, 40), (16, 24)])
def test_scores_are_resized_as_torch_does(size):
    scores = np.random.default_rng(0).normal(size=(3, 16, 24)).astype(np.float32)
    expected = functional.interpolate(torch.from_numpy(scores)[None], size, mode='bilinear',
                                      align_corners=False)[0].numpy()
    assert np.abs(resize_scores(scores, size) - expected).max() < 1e-5


def test_many_classes_and_their_own_size_are_no_obstacle():
    scores = np.random.default_rng(0).normal(size=(7, 4, 4)).astype(np.float32)
    assert resize_scores(scores, (4, 4)) is scores
    assert resize_scores(scores, (9, 2)).shape == (7, 9, 2)


def test_frames_shrink_by_area_and_masks_invent_no_class():
    frame = np.zeros((4, 4, 3), np.uint8)
    frame[:2, :2] = 100
    assert resize_frame(frame, (2, 2))[:, :, 0].tolist() == [[100, 0], [0, 0]]
    assert resize_frame(frame, (1, 1))[0, 0, 0] == 25
    mask = np.array([[0, 5], [0, 0]], np.uint8)
    assert set(np.unique(resize_mask(mask, (7, 7)))) == {0, 5}
    assert resize_frame(frame, (4, 4)) is frame and resize_mask(mask, (2, 2)) is mask


def test_proportions_are_kept_within_a_size():
    assert size_within((64, 64), 100, 200) == (32, 64)
    assert size_within((10, 10), 1, 1000) == (1, 10)


@pytest.mark.parametrize('size', [(16, 20), (13, 9), (60, 50), (33, 90)])
@pytest.mark.parametrize('bands', [1, 2, 3, 4, 5, 10])
def test_every_band_is_resized_as_if_it_were_alone(bands, size):
    frame = np.random.default_rng(0).integers(0, 256, (33, 41, bands), dtype=np.uint8)
    resized = resize_frame(frame, size)
    assert resized.shape == (*size, bands)
    for band in range(bands):
        alone = resize_frame(np.ascontiguousarray(frame[..., band]), size)
        assert np.abs(resized[..., band].astype(int) - alone).max() <= 1
