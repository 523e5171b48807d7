import numpy as np
import pytest
from data_testers import TransformTester

from rscc.datasets.transforms.color import (
    LUMA,
    FramesColorJitter,
    FramesExposure,
    FramesTint,
    hue_matrix,
    jitter,
)

SCENE = np.random.default_rng(0).integers(30, 200, (16, 16, 3), dtype=np.uint8)


def sample(seed=0):
    return {'rng': np.random.default_rng(seed), 'frames': [SCENE, SCENE],
            'gt_sem_seg': np.ones((16, 16), np.uint8)}


class TestDrawsPerDate(TransformTester):
    cfg = dict(type='FramesColorJitter', prob=1.0)
    moves, alike = False, False


class TestOneDrawForAll(TransformTester):
    cfg = dict(type='FramesColorJitter', prob=1.0, per_date=False)
    moves = False


class TestTint(TransformTester):
    cfg = dict(type='FramesTint', prob=1.0)
    moves, alike = False, False


class TestExposure(TransformTester):
    cfg = dict(type='FramesExposure', prob=1.0)
    moves, alike = False, False


def test_colours_change_as_the_generator_draws():
    one, other = (FramesColorJitter(prob=1.0)(sample(seed))['frames'][0] for seed in (4, 5))
    assert not np.array_equal(one, other) and not np.array_equal(one, SCENE)


def test_the_probability_is_kept():
    untouched = sum(np.array_equal(frame, SCENE) for seed in range(100)
                    for frame in FramesColorJitter(prob=0.5)(sample(seed))['frames'])
    assert 70 < untouched < 130


def test_zero_strength_changes_nothing():
    out = FramesColorJitter(0, 0, 0, 0, prob=1.0)(sample())
    assert np.array_equal(out['frames'][0], SCENE)


def test_each_factor_does_what_its_name_says():
    assert jitter(SCENE, brightness=1.2).mean() == pytest.approx(1.2 * SCENE.mean(), rel=0.01)
    assert jitter(SCENE, contrast=0.5).std() == pytest.approx(0.5 * SCENE.std(), rel=0.02)
    grey = jitter(SCENE, saturation=0.0)
    assert np.ptp(grey.astype(int), axis=2).max() == 0
    assert jitter(SCENE, gamma=1.5).mean() < SCENE.mean()
    assert jitter(SCENE, gamma=1.5).dtype == np.uint8


def test_a_turn_of_the_hue_keeps_luma_and_greys():
    turn = hue_matrix(70)
    assert turn @ np.ones(3) == pytest.approx(np.ones(3))
    assert LUMA @ turn == pytest.approx(LUMA)
    assert hue_matrix(-70) @ turn == pytest.approx(np.eye(3), abs=1e-6)
    red = hue_matrix(120) @ np.array([1.0, 0.0, 0.0])
    assert red.argmax() == 1, 'a third of the circle on from red is green'
    turned = jitter(SCENE, hue=20)
    assert not np.array_equal(turned, SCENE)
    assert (turned @ LUMA).mean() == pytest.approx((SCENE @ LUMA).mean(), rel=0.02)


def test_a_hue_is_drawn_only_where_asked():
    plain, coloured = (FramesColorJitter(0, 0, 0, 0, prob=1.0, hue=hue) for hue in (0, 30))
    assert np.array_equal(plain(sample())['frames'][0], SCENE)
    first, second = coloured(sample())['frames']
    assert not np.array_equal(first, SCENE) and not np.array_equal(first, second)


def test_strengths_outside_their_range_are_refused():
    with pytest.raises(ValueError, match=r'contrast=1.5 must be in \[0, 1\)'):
        FramesColorJitter(contrast=1.5)
    with pytest.raises(ValueError, match=r'hue=200 must be in \[0, 180\] degrees'):
        FramesColorJitter(hue=200)


@pytest.mark.parametrize('bands', [1, 2, 4, 10])
def test_other_bands_get_the_light_and_only_colours_the_hue(bands):
    frame = np.random.default_rng(1).integers(30, 200, (12, 9, bands), dtype=np.uint8)
    brighter = jitter(frame, brightness=1.2)
    assert brighter.shape == frame.shape
    assert np.abs(brighter - np.minimum(frame * 1.2, 255)).max() <= 1
    turned = jitter(frame, saturation=0.5, hue=40.0)
    if bands < 3:
        assert np.array_equal(turned, frame)
    else:
        assert np.array_equal(turned[..., :3], jitter(frame[..., :3].copy(), saturation=0.5,
                                                      hue=40.0))
        assert np.array_equal(turned[..., 3:], frame[..., 3:])
    middle = jitter(frame, contrast=0.5).astype(float)
    assert middle.mean() == pytest.approx(frame.mean(), abs=1) and middle.std() < frame.std() * 0.6


def test_a_tint_gives_every_band_its_own_line():
    out = FramesTint().apply(SCENE, np.array([1.1, 1.0, 0.9]), np.array([0, 5, -5])).astype(float)
    expected = np.clip(SCENE * [1.1, 1.0, 0.9] + [0, 5, -5], 0, 255)
    assert np.abs(out - expected).max() <= 0.5 + 1e-9
    assert np.array_equal(FramesTint(0, 0, prob=1.0)(sample())['frames'][0], SCENE)


def test_over_exposure_brightens_and_saturates_in_order():
    ramp = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, 2)
    hard, soft = (FramesExposure().apply(ramp, gain=1.5, knee=knee).ravel().astype(int)
                  for knee in (1.0, 0.7))
    assert (hard == 255).mean() > 0.3 and (hard >= ramp.ravel()).all()
    assert (np.diff(soft[::3]) >= 0).all() and (soft == 255).mean() < (hard == 255).mean()
    assert np.array_equal(hard[:300], soft[:300]), 'below the shoulder nothing bends'


def test_under_exposure_loses_what_is_dark():
    ramp = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, 2)
    out = FramesExposure().apply(ramp, black=0.1)
    assert (out[ramp <= 25] == 0).all() and out.max() == 255 and (out <= ramp).all()


def test_over_and_under_exposure_are_drawn_in_the_share_asked_for():
    brighter = sum(frame.mean() > SCENE.mean() for seed in range(100) for frame in
                   FramesExposure(over=0.8, prob=1.0)(sample(seed))['frames'])
    assert 140 < brighter < 180
    with pytest.raises(ValueError, match=r'gain=\(0.5, 2\) must be two numbers'):
        FramesExposure(gain=(0.5, 2))
    with pytest.raises(ValueError, match=r'offset=-1 must be in \[0, 255\]'):
        FramesTint(offset=-1)
