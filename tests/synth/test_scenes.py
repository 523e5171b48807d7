"""Plans, masks and pictures tell one story."""
import numpy as np
import pytest

from rscc.synth.drawing import Appearance
from rscc.synth.generator import MIN_CHANGED, is_changed, plan_pair, render_pair
from rscc.synth.mask import place_of
from rscc.synth.objects import BOTH, House, Road, Trees, blob, oriented_box, walk
from rscc.synth.rendering import render

LABELS = {'building': 1, 'house': 1, 'road': 2, 'trees': 3, 'pond': 4, 'parking lot': 5}


@pytest.fixture(scope='module')
def plans():
    return [plan_pair(11, 'train', index) for index in range(240)]


@pytest.fixture(scope='module')
def pictures():
    """Plans and both dates of 80 pairs."""
    return [(plan, *render_pair(plan))
            for plan in (plan_pair(5, 'test', index) for index in range(80))]


@pytest.fixture
def still():
    """An appearance without noise, blur or shift, so that only objects can differ."""
    return Appearance('summer', np.array([0.6, -0.8]), 1.0, np.ones(3), 1.0, 1.0, 0.0, 0.0, 0.0,
                np.zeros(2), 7)


def test_exactly_half_of_an_even_number_of_pairs_changes():
    flags = [is_changed(0, 'val', index) for index in range(100)]
    assert sum(flags) == 50
    assert len({tuple(flags[i:i + 2]) for i in range(0, 100, 2)}) == 2  # in no fixed order


def test_masks_are_empty_exactly_where_nothing_changed(plans):
    for index, plan in enumerate(plans):
        changed = is_changed(11, 'train', index)
        assert bool(plan.changes) == changed
        assert (plan.mask > 0).sum() >= MIN_CHANGED if changed else not plan.mask.any()


def test_mask_classes_are_those_of_the_facts(plans):
    for plan in plans:
        expected = {LABELS[change.kind] for change in plan.changes}
        assert set(np.unique(plan.mask).tolist()) - {0} == expected


def test_the_stated_place_is_where_the_mask_is(plans):
    checked = 0
    for plan in plans:
        for change in plan.changes:
            label = LABELS[change.kind]
            if sum(LABELS[other.kind] == label for other in plan.changes) == 1:
                assert place_of(plan.mask == label) == change.where
                assert (plan.mask == label).sum() == change.pixels
                checked += 1
    assert checked > 100


def test_the_stated_count_is_the_number_of_objects(plans):
    for plan in plans:
        for change in plan.changes:
            things = [thing for thing in plan.scene.things if thing.when != BOTH
                      and thing.name == change.kind
                      and (thing.when == 'to') == (change.action == 'built')]
            count = sum(len(t.crowns) for t in things) if change.kind == 'trees' else len(things)
            assert count == change.count


def test_a_changed_house_fills_its_mask(plans):
    """Area of the mask = area of the outline: no shadow, nothing cut off."""
    checked = 0
    for plan in plans:
        kinds = [change.kind for change in plan.changes]
        houses = [t for t in plan.scene.things if t.when != BOTH and isinstance(t, House)]
        if kinds == ['house'] and all(house.wing is None for house in houses):
            area = sum(house.size[0] * house.size[1] for house in houses)
            assert (plan.mask > 0).sum() == pytest.approx(area, rel=0.1)
            checked += 1
    assert checked >= 5


def test_only_masked_pixels_and_their_surroundings_differ_in_equal_light(plans, still):
    """With one appearance for both dates, only objects, their shadow and their yard differ."""
    plan = next(p for p in plans if [c.kind for c in p.changes] == ['house']
                and not any(isinstance(t, Road) for t in p.scene.things))
    earlier, later = render(plan.scene, 'from', still), render(plan.scene, 'to', still)
    differs = np.abs(earlier.astype(int) - later).max(2) > 12
    assert differs[plan.mask > 0].mean() > 0.9
    rows, columns = np.nonzero(plan.mask)
    far = np.ones_like(differs)
    far[max(rows.min() - 28, 0):rows.max() + 28, max(columns.min() - 28, 0):columns.max() + 28] = 0
    assert not differs[far].any()


def test_unchanged_pairs_look_different_all_the_same(pictures):
    for plan, earlier, later in pictures:
        assert earlier.shape == later.shape == (256, 256, 3) and earlier.dtype == np.uint8
        if not plan.changes:
            assert np.abs(earlier.astype(int) - later).mean() > 2


def _threshold_accuracy(values, flags):
    """Best accuracy of any single threshold in either direction (a linear classifier in 1-D)."""
    cuts = np.quantile(values, np.linspace(0, 1, 41))
    return max(max(np.mean((values > cut) == flags), np.mean((values <= cut) == flags))
               for cut in cuts)


def test_no_single_cue_gives_the_flag_away(pictures):
    flags = np.array([bool(plan.changes) for plan, *_ in pictures])
    pairs = [(a.astype(float), b.astype(float)) for _, a, b in pictures]
    cues = {'mean absolute difference': [np.abs(a - b).mean() for a, b in pairs],
            'brightness of the later date': [b.mean() for _, b in pairs],
            'brightness difference': [(b - a).mean() for a, b in pairs],
            'contrast difference': [b.std() - a.std() for a, b in pairs]}
    for name, values in cues.items():
        assert _threshold_accuracy(np.array(values), flags) < 0.8, name


def test_buildings_do_not_only_appear_nor_only_brighten(plans):
    actions = [change.action for plan in plans for change in plan.changes
               if change.kind in ('house', 'building')]
    assert 0.12 < np.mean([action == 'removed' for action in actions]) < 0.5


def test_every_kind_of_change_occurs(plans):
    kinds = {(change.kind, change.action) for plan in plans for change in plan.changes}
    assert {kind for kind, _ in kinds} == set(LABELS)
    assert len(kinds) >= 10


def test_solid_objects_never_overlap(plans):
    for plan in plans[:60]:
        for date in ('from', 'to'):
            taken = np.zeros((256, 256), int)
            for thing in plan.scene.things:
                if thing.exists(date) and thing.label in (1, 5):
                    for outline in thing.footprint()[:1]:
                        row, column = np.mgrid[0:256, 0:256] + 0.5
                        centre, (w, h) = thing.centre, thing.size
                        x = (column - centre[0]) * np.cos(thing.angle) + \
                            (row - centre[1]) * np.sin(thing.angle)
                        y = (row - centre[1]) * np.cos(thing.angle) - \
                            (column - centre[0]) * np.sin(thing.angle)
                        taken += (np.abs(x) < w / 2 - 0.5) & (np.abs(y) < h / 2 - 0.5)
                        assert outline.shape == (4, 2)
            assert taken.max() <= 1


def test_geometry_helpers_measure_right():
    box = oriented_box(np.array([10.0, 20.0]), (6, 4), np.pi / 2)
    assert np.ptp(box, axis=0) == pytest.approx([4, 6])
    outline = blob(np.random.default_rng(0), np.array([50.0, 50.0]), 20)
    assert np.linalg.norm(outline - 50, axis=1).max() <= 30
    at, ahead = walk(np.array([[0.0, 0], [10, 0], [10, 10]]), np.array([5.0, 15]))
    assert at.tolist() == [[5, 0], [10, 5]] and ahead.tolist() == [[1, 0], [0, 1]]


def test_trees_always_there_hide_what_is_below_them_in_the_mask(plans):
    plan = next(p for p in plans if any(isinstance(t, Trees) and t.when == BOTH
                                        for t in p.scene.things) and p.changes)
    for group in (t for t in plan.scene.things if isinstance(t, Trees) and t.when == BOTH):
        inside = group.crowns[((group.crowns[:, :2] > 2) & (group.crowns[:, :2] < 254)).all(1)]
        column, row = inside[:, :2].astype(int).T
        assert not plan.mask[row, column].any()
