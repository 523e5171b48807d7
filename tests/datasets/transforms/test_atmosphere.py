"""Haze, shadows and seasons of frames, each date by its own draw."""
import numpy as np
import pytest
from data_testers import TransformTester

from rscc.datasets.transforms.atmosphere import (
    CELLS,
    SEASONS,
    FramesHaze,
    FramesSeason,
    FramesShadow,
    building_shadows,
    cloud_shadow,
)

MEADOW, TREE, STRAW = (110, 130, 80), (50, 70, 40), (150, 145, 90)
ROAD, ROOF, WATER = (120, 120, 122), (160, 90, 70), (30, 55, 80)


def plain(*colour, size=(48, 48)):
    return np.full((*size, len(colour)), colour, np.uint8)


def drawn(step, seed, shape=(48, 48, 3), **fixed):
    return step.draw(np.random.default_rng(seed), shape) | fixed


class TestHaze(TransformTester):
    cfg = dict(type='FramesHaze', prob=1.0)
    moves, alike = False, False


class TestShadow(TransformTester):
    cfg = dict(type='FramesShadow', prob=1.0, cloud=1.0)
    moves, alike = False, False


class TestShadowOfBuildings(TransformTester):
    cfg = dict(type='FramesShadow', prob=1.0, cloud=0.0)
    moves, alike = False, False


class TestSeason(TransformTester):
    cfg = dict(type='FramesSeason', prob=1.0, lush=0.0)
    moves, alike = False, False


class TestOneHazeForAll(TransformTester):
    cfg = dict(type='FramesHaze', prob=1.0, per_date=False)
    moves = False


def test_haze_takes_contrast_and_is_bluish():
    frame = np.random.default_rng(0).integers(0, 120, (64, 64, 3), dtype=np.uint8)
    for seed in range(10):
        out = FramesHaze().apply(frame, **drawn(FramesHaze(), seed, strength=0.5,
                                                unevenness=0.0))
        assert out.std() == pytest.approx(0.5 * frame.std(), rel=0.1)
        assert out.mean() > frame.mean() + 50
        red, _, blue = out.mean((0, 1)) - frame.mean((0, 1))
        assert blue >= red - 1.5
    assert np.array_equal(FramesHaze().apply(frame, **drawn(FramesHaze(), 0, strength=0.0)), frame)


def test_uneven_haze_is_smooth():
    frame = plain(20, 20, 20, size=(256, 256))
    out = FramesHaze().apply(frame, **drawn(FramesHaze(), 3, strength=0.5,
                                            unevenness=0.9)).astype(int)
    assert np.ptp(out[..., 0]) > 20
    assert max(np.abs(np.diff(out[..., 0], axis=axis)).max() for axis in (0, 1)) <= 4


def test_infrared_looks_through_haze_and_season_but_lies_in_the_shadow():
    frame = plain(*MEADOW, 200)
    for step in (FramesHaze(), FramesSeason()):
        out = step.apply(frame, **drawn(step, 1, strength=0.8))
        assert np.array_equal(out[..., 3], frame[..., 3])
        assert not np.array_equal(out[..., :3], frame[..., :3])
    step = FramesShadow()
    out = step.apply(frame, **drawn(step, 1, strength=0.5, cells=4))
    assert out[..., 3].min() == pytest.approx(100, abs=2)


@pytest.mark.parametrize('cells', [0, 4])
def test_a_shadow_darkens_a_part_and_leaves_it_bluer(cells):
    for seed in range(20):
        frame = plain(200, 200, 200, size=(128, 128))
        out = FramesShadow().apply(frame, **drawn(FramesShadow(), seed, strength=0.5, cells=cells))
        assert (out <= frame).all()
        dark = out[..., 0] < 150
        if dark.any():
            red, _, blue = out[dark].mean(0)
            assert blue > red + 5
        assert dark.mean() < 0.8


def test_cloud_shadows_cover_a_share_and_have_soft_edges():
    for seed in range(20):
        values = np.random.default_rng(seed).random((CELLS, CELLS))
        depth = cloud_shadow(values, 4, (256, 256)).astype(int)
        assert 0.15 < (depth > 127).mean() < 0.75
        assert np.abs(np.diff(depth, axis=0)).max() < 90


def test_buildings_cast_one_to_four_shadows_with_sharp_edges():
    shares = []
    for seed in range(30):
        depth = building_shadows(np.random.default_rng(seed).random((CELLS, CELLS)), (256, 256))
        shares.append((depth > 127).mean())
        assert (depth == 0).mean() > 0.3
    assert 0.02 < np.mean(shares) < 0.3 and max(shares) > 0.1


@pytest.mark.parametrize('season', ['brown', 'yellow', 'pale'])
@pytest.mark.parametrize('plant', [MEADOW, TREE])
def test_plants_lose_their_green_and_other_things_keep_their_colour(season, plant):
    def turned(colour):
        return FramesSeason().apply(plain(*colour), season=season, strength=1.0, cells=2,
                                    values=np.eye(CELLS))[0, 0].astype(int)

    red, green, blue = turned(plant)
    assert red > plant[0] and 2 * green - red - blue < 0.8 * (2 * plant[1] - plant[0] - plant[2])
    for colour in (ROAD, ROOF, WATER):
        assert np.abs(turned(colour) - colour).max() <= 1


def test_straw_turns_green_where_the_season_is_lush():
    def turned(colour):
        return FramesSeason().apply(plain(*colour), season='lush', strength=1.0, cells=2,
                                    values=np.eye(CELLS))[0, 0].astype(int)

    red, green, _ = turned(STRAW)
    for colour in (ROAD, ROOF, WATER, (150, 125, 95)):
        assert np.abs(turned(colour) - colour).max() <= 2
    assert green - red > STRAW[1] - STRAW[0] + 3 and green >= STRAW[1]
    assert set(SEASONS) == {'brown', 'yellow', 'pale', 'lush'}


def test_no_strength_changes_nothing():
    frame = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    for step in (FramesSeason(), FramesShadow(), FramesHaze()):
        for seed in range(4):
            assert np.array_equal(step.apply(frame, **drawn(step, seed, strength=0.0)), frame)


def test_strengths_outside_their_range_are_refused():
    with pytest.raises(ValueError, match=r'strength=\(0, 1.5\) must be two numbers'):
        FramesHaze(strength=(0, 1.5))
    with pytest.raises(ValueError, match=r'cloud=-1 must be in \[0, 1\]'):
        FramesShadow(cloud=-1)
    with pytest.raises(ValueError, match=r'lush=2 must be in \[0, 1\]'):
        FramesSeason(lush=2)
