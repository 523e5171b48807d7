"""Blur, noise and JPEG of frames, each date by its own draw, and all transforms in one line."""
import cv2
import numpy as np
import pytest
from data_testers import TransformTester

from rscc.datasets.transforms.sensor import (
    PERIOD,
    FramesBlur,
    FramesJPEG,
    FramesNoise,
    SensorChange,
    steps_of,
)
from rscc.registry import TRANSFORMS

#: Every transform that changes how a date looks, those of the other modules too.
APPEARANCE = ('FramesBlur', 'FramesNoise', 'FramesJPEG', 'FramesHaze', 'FramesShadow',
              'FramesSeason', 'FramesTint', 'FramesExposure', 'FramesColorJitter')


def scene(size=(64, 80), bands=3, seed=0):
    """Return blotches with sharp edges, uint8 (H, W, B)."""
    rough = np.random.default_rng(seed).integers(0, 256, (*size, bands), dtype=np.uint8)
    smooth = np.dstack([cv2.GaussianBlur(rough[..., band], (0, 0), 3) for band in range(bands)])
    return np.where(smooth > 127, 190, 60).astype(np.uint8)


def sample(seed=0, frames=None):
    frames = [scene(), scene()] if frames is None else frames
    return {'rng': np.random.default_rng(seed), 'frames': frames, 'sample_id': 's'}


def sharpness(frame):
    return cv2.Laplacian(frame, cv2.CV_32F).var()


class TestBlur(TransformTester):
    cfg = dict(type='FramesBlur', prob=1.0)
    moves, alike = False, False

    def sample(self, seed=0, size=(64, 80)):
        return super().sample(seed, size) | dict(frames=[scene(size), scene(size)])


class TestNoise(TestBlur):
    cfg = dict(type='FramesNoise', prob=1.0)


class TestJPEG(TestBlur):
    cfg = dict(type='FramesJPEG', prob=1.0)


class TestBlurOfAllAlike(TestBlur):
    cfg = dict(type='FramesBlur', prob=1.0, per_date=False)
    alike = True


class TestSensorChange(TestBlur):
    cfg = dict(type='SensorChange')


@pytest.mark.parametrize('name', APPEARANCE)
@pytest.mark.parametrize('bands', [1, 2, 3, 4, 5, 10])
def test_any_number_of_bands_keeps_its_shape(name, bands):
    step = TRANSFORMS.build(dict(type=name, prob=1.0))
    given = [scene((33, 21), bands, seed) for seed in (0, 1)]
    for seed in range(4):
        for frame in step(sample(seed, [image.copy() for image in given]))['frames']:
            assert frame.shape == (33, 21, bands) and frame.dtype == np.uint8


@pytest.mark.parametrize('name', APPEARANCE)
def test_the_smallest_and_the_extreme_frames_pass(name):
    step = TRANSFORMS.build(dict(type=name, prob=1.0))
    for value, size in ((0, (1, 1)), (255, (1, 1)), (0, (40, 30)), (255, (40, 30))):
        frames = [np.full((*size, 3), value, np.uint8)] * 2
        for seed in range(5):
            assert step(sample(seed, frames))['frames'][0].shape == (*size, 3)


@pytest.mark.parametrize('name', APPEARANCE)
def test_a_date_is_changed_as_often_as_asked_and_by_the_same_draws(name):
    always, never, half = (TRANSFORMS.build(dict(type=name, prob=prob)) for prob in (1, 0, 0.5))
    assert all(np.array_equal(frame, scene()) for frame in never(sample())['frames'])
    one, other = sample(7), sample(7)
    always(one), never(other)
    assert one['rng'].random() == other['rng'].random(), 'the next transform gets other numbers'
    used = [half(sample(seed))['frames'] for seed in range(60)]
    kept = sum(np.array_equal(frame, scene()) for frames in used for frame in frames)
    assert 35 < kept < 90


@pytest.mark.parametrize('name', APPEARANCE)
def test_settings_are_named_in_full(name):
    step = TRANSFORMS.build(dict(type=name, prob=0.25))
    assert repr(step).startswith(f'{name}(') and 'prob=0.25, per_date=True' in repr(step)


def test_blur_takes_detail_away_unequally_in_the_two_directions():
    frame = scene()
    soft = FramesBlur().apply(frame, (1.0, 1.0))
    assert sharpness(soft) < 0.3 * sharpness(frame)
    assert sharpness(FramesBlur().apply(frame, factor=2.0)) < 0.5 * sharpness(frame)
    along = FramesBlur().apply(frame, (1.5, 0.0)).astype(float)
    assert np.abs(np.diff(along, axis=1)).max() < 0.6 * np.abs(np.diff(along, axis=0)).max()
    assert np.array_equal(FramesBlur().apply(frame, (0.0, 0.0)), frame)


def test_blur_keeps_the_position():
    frame = np.zeros((65, 65, 3), np.uint8)
    frame[30:35, 30:35] = 255
    for drawn in (dict(sigmas=(1.5, 0.7)), dict(factor=1.7), dict(factor=2.5)):
        moments = cv2.moments(FramesBlur().apply(frame, **drawn)[..., 0])
        centre = moments['m10'] / moments['m00'], moments['m01'] / moments['m00']
        assert centre == pytest.approx((32, 32), abs=0.15)


def noise_of(value, **strengths):
    frame = np.full((256, 256, 3), value, np.uint8)
    drawn = FramesNoise().draw(np.random.default_rng(3), frame.shape) | dict(
        shot=0.0, read=0.0, grain=0.0) | strengths
    return FramesNoise().apply(frame, **drawn).astype(float) - value


def test_noise_has_the_deviation_asked_for():
    # Rounding to whole grey values adds a twelfth to the variance.
    assert noise_of(120, read=4.0).std() == pytest.approx(4.0, rel=0.03)
    assert noise_of(204, shot=8.0).std() == pytest.approx(8 * 0.8 ** 0.5, rel=0.03)
    assert noise_of(51, shot=8.0).std() == pytest.approx(8 * 0.2 ** 0.5, rel=0.03)
    assert noise_of(120, grain=4.0).std() == pytest.approx(4.0, rel=0.05)
    assert abs(noise_of(120, read=4.0, shot=4.0, grain=3.0).mean()) < 0.3
    assert not noise_of(120).any()


def test_noise_is_each_bands_own_and_grain_is_shared_and_wide():
    own, shared = noise_of(120, read=5.0), noise_of(120, grain=5.0)
    assert abs(np.corrcoef(own[..., 0].ravel(), own[..., 1].ravel())[0, 1]) < 0.05
    assert np.array_equal(shared[..., 0], shared[..., 2])
    neighbours = [np.corrcoef(noise[:, 1:, 0].ravel(), noise[:, :-1, 0].ravel())[0, 1]
                  for noise in (own, shared)]
    assert abs(neighbours[0]) < 0.05 and neighbours[1] > 0.6


def test_noise_of_a_frame_larger_than_the_stored_table_repeats_without_a_seam():
    frame = np.full((PERIOD + 40, 40, 1), 120, np.uint8)
    noise = FramesNoise().apply(frame, shot=0.0, read=0.0, grain=6.0,
                                corners=np.array([[PERIOD - 1, PERIOD - 1], [500, 510]]))
    steps = np.abs(np.diff(noise[..., 0].astype(float), axis=0)).mean(axis=1)
    assert steps.max() < 2.5 * steps.mean() and np.array_equal(noise[:40], noise[PERIOD:])


def test_a_lower_quality_loses_more_and_colours_stay_in_their_order():
    smooth = cv2.GaussianBlur(np.random.default_rng(0).integers(
        0, 256, (64, 64, 3), dtype=np.uint8), (0, 0), 1.0)
    lost = [np.abs(FramesJPEG().apply(smooth, quality).astype(float) - smooth).mean()
            for quality in (20, 60, 95)]
    assert lost[0] > 1.1 * lost[1] and lost[1] > 1.1 * lost[2] > 0
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 200
    assert FramesJPEG().apply(red, 90).mean((0, 1)) == pytest.approx((200, 0, 0), abs=3)


def test_blocks_begin_at_the_drawn_pixel():
    slope = np.repeat(np.tile(np.arange(64, dtype=np.uint8)[None] * 3, (64, 1))[..., None], 3, 2)
    for left in (0, 3):
        coded = FramesJPEG().apply(slope, 1, corner=(0, left)).astype(float)[..., 0]
        steps = np.abs(np.diff(coded, axis=1)).mean(0)
        assert set(np.flatnonzero(steps > 0.9 * steps.max()) % 8) == {(7 - left) % 8}


def test_bad_settings_say_what_is_expected():
    with pytest.raises(ValueError, match=r'sigma=\(1.5, 0.3\) must be two numbers \(least, most\) '
                       r'in \[0, 20\]'):
        FramesBlur(sigma=(1.5, 0.3))
    with pytest.raises(ValueError, match=r'quality=80 must be two numbers'):
        FramesJPEG(quality=80)
    with pytest.raises(ValueError, match=r'prob=2 must be in \[0, 1\]'):
        FramesNoise(prob=2)
    with pytest.raises(ValueError, match=r'strength=0 must be in \(0, 2\].*leave SensorChange out'):
        SensorChange(strength=0)
    with pytest.raises(ValueError, match=r"without='FramesMisalgn' .*Did you mean "
                       "'FramesMisalign'"):
        SensorChange(without=['FramesMisalgn'])


def test_a_stronger_sensor_change_changes_more_and_any_strength_can_be_built():
    def distance(strength):
        step = SensorChange(strength)
        return np.mean([np.abs(frame.astype(float) - scene()).mean() for seed in range(40)
                        for frame in step(sample(seed))['frames']])

    assert 1 < distance(0.3) < distance(1.0) < distance(2.0)
    assert len(steps_of(0.01)) == len(steps_of(2.0))


def test_single_images_are_not_misaligned_and_parts_can_be_left_out():
    assert len(SensorChange()(sample(0, [scene()]))['frames']) == 1
    names = [type(step).__name__ for step in SensorChange(without=['FramesJPEG']).steps]
    assert 'FramesJPEG' not in names and len(names) == len(steps_of(1.0)) - 1
