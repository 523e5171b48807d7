"""The spatial split of tiles."""
import numpy as np
import pytest

from rscc.scenes.spatial_split import BUFFER, UNUSED, Spacing, block_side, check_shares, split_tiles

SHARES = (0.7, 0.15, 0.15)


def distances(splits, spacing):
    """Return the least distance in pixels between tiles of every two splits, by all pairs."""
    places = {split: np.argwhere(splits == split) * spacing.step for split in np.unique(
        splits[splits >= 0])}
    found = []
    for one in places:
        for other in places:
            if one < other:
                apart = np.abs(places[one][:, None] - places[other][None]).max(-1) - spacing.size
                found.append(int(apart.min()))
    return found


@pytest.mark.parametrize('spacing', [
    Spacing(256, 256, 256), Spacing(256, 192, 256), Spacing(256, 64, 100), Spacing(100, 100, 0)])
@pytest.mark.parametrize('block', [1, 3])
def test_tiles_of_two_splits_keep_their_distance(spacing, block):
    changed = np.random.default_rng(0).random((30, 40))
    splits = split_tiles(np.ones((30, 40), bool), changed, SHARES, block * 3, spacing)
    found = distances(splits, spacing)
    assert len(found) == 3 and min(found) >= spacing.gap
    assert (splits == BUFFER).any() == bool(spacing.gap)


def test_whole_blocks_go_to_one_split():
    splits = split_tiles(np.ones((24, 24), bool), np.zeros((24, 24)), SHARES, 4,
                         Spacing(64, 64, 64))
    for row in range(0, 24, 4):
        for column in range(0, 24, 4):
            found = np.unique(splits[row:row + 4, column:column + 4])
            assert (found >= 0).sum() <= 1


def test_shares_and_change_come_near_to_what_is_wanted():
    changed = np.zeros((40, 40))
    changed[:, :20] = 0.2  # all change lies in one half
    splits = split_tiles(np.ones((40, 40), bool), changed, SHARES, 4, Spacing(64, 64, 64), seed=5)
    counts = np.array([(splits == split).sum() for split in range(3)])
    assert np.abs(counts / counts.sum() - SHARES).max() < 0.06
    means = [changed[splits == split].mean() for split in range(3)]
    assert max(means) < 1.7 * min(means)  # 6 and more where nothing balances
    assert (splits == BUFFER).mean() < 0.25


def test_a_seed_gives_one_split_and_another_seed_another():
    made = [split_tiles(np.ones((20, 20), bool), np.ones((20, 20)), SHARES, 2, Spacing(64, 64, 64),
                        seed) for seed in (1, 1, 2)]
    assert np.array_equal(made[0], made[1]) and not np.array_equal(made[0], made[2])


def test_unusable_tiles_stay_out_and_a_split_of_no_share_gets_nothing():
    usable = np.ones((12, 12), bool)
    usable[3:6, 2:9] = False
    splits = split_tiles(usable, np.zeros((12, 12)), (0.8, 0.2, 0), 2, Spacing(64, 64, 64))
    assert ((splits == UNUSED) == ~usable).all()
    assert set(np.unique(splits)) == {BUFFER, UNUSED, 0, 1}
    assert (split_tiles(usable, usable * 0.0, (1, 0, 0), 2, Spacing(64, 64, 64))[usable] == 0).all()


def test_a_scene_that_is_too_small_is_told_what_to_do():
    with pytest.raises(ValueError, match=r'4 tiles in 4 blocks.*--size.*--splits 0.8 0.2 0'):
        split_tiles(np.ones((2, 2), bool), np.zeros((2, 2)), SHARES, 1, Spacing(64, 64, 64))


@pytest.mark.parametrize('shares', [(0.5, 0.5), (0.5, 0.4, 0.2), (0, 0.5, 0.5), (1.2, -0.1, -0.1),
                                    (float('nan'), 0, 1)])
def test_shares_that_are_none_are_refused(shares):
    with pytest.raises(ValueError, match='shares of train, val and test'):
        check_shares(shares)


def test_blocks_grow_with_the_scene():
    assert [block_side(np.ones((side, side), bool)) for side in (3, 20, 200)] == [1, 4, 8]
