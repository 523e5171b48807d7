import numpy as np

from rscc.datasets import collage
from rscc.datasets.tile_pool import View


def ground(size=(96, 96), colour=(90, 110, 70), seed=0):
    noise = np.random.default_rng(seed).normal(0, 4, (*size, 3))
    return np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)


def village(boxes=((10, 10, 20, 24), (50, 40, 22, 18)), size=(96, 96)):
    """Ground with red roofs (top, left, rows, columns)."""
    view = View(ground(size), np.zeros(size, np.uint8))
    for top, left, rows, columns in boxes:
        view.image[top:top + rows, left:left + columns] = (200, 60, 50)
        view.mask[top:top + rows, left:left + columns] = 1
    return view


def rng(seed=0):
    return np.random.default_rng(seed)


def test_what_is_erased_is_gone_from_picture_and_mask_and_the_rest_stays():
    view, before = village(), village()
    first, second = collage.objects_in(view.mask)
    collage.erase(view, [first], View(ground(seed=3), np.zeros((96, 96), np.uint8)), rng())
    assert not (view.mask[first] == 1).any() and (view.mask[second] == 1).all()
    assert np.abs(view.image[first].astype(int) - (90, 110, 70)).mean() < 25
    assert np.array_equal(view.image[second], before.image[second])


def test_ground_for_a_large_hole_comes_from_another_place():
    view = village(((4, 4, 88, 88), ))
    region = collage.objects_in(view.mask)[0]
    spare = View(ground(size=(160, 160), colour=(20, 40, 200)), np.zeros((160, 160), np.uint8))
    collage.erase(view, [region], spare, rng())
    assert view.image[region][:, 2].mean() > view.image[region][:, 0].mean()


def test_pasted_objects_change_picture_and_mask_alike():
    view, before = View(ground(), np.zeros((96, 96), np.uint8)), ground()
    pieces = collage.cutouts(village(), view, rng(), 2)
    assert len(pieces) == 2
    assert sum(collage.paste(view, piece, rng(seed)) for seed, piece in enumerate(pieces)) >= 1
    changed = np.abs(view.image.astype(int) - before).sum(2) > 40
    assert view.mask.sum() > 200
    assert changed[view.mask == 1].mean() > 0.95


def test_nothing_is_pasted_where_there_is_no_room():
    view = View(ground(), np.ones((96, 96), np.uint8))
    assert not collage.paste(view, collage.cutouts(village(), view, rng(), 1)[0], rng())


def test_distractors_fit_into_views_that_are_smaller_than_the_largest_of_them():
    small = View(ground((40, 64)), np.zeros((40, 64), np.uint8))
    for seed in range(8):
        collage.distract(small, View(ground((40, 64), (20, 30, 90)), small.mask), rng(seed), 6)
    assert (small.image != ground((40, 64))).any() and small.image.shape == (40, 64, 3)


def test_distractors_change_the_picture_and_no_object():
    view, before = village(), village()
    source = View(ground(colour=(180, 170, 120), seed=5), np.zeros((96, 96), np.uint8))
    collage.distract(view, source, rng(2), 8)
    changed = np.abs(view.image.astype(int) - before.image).sum(2) > 40
    assert changed.any() and np.array_equal(view.mask, before.mask)
    assert changed[before.mask == 1].mean() < 0.3  # soft edges alone


def test_leaning_moves_objects_and_leaves_the_ground():
    view = village()
    moved = collage.lean(view, rng(1), 4.0)
    far = np.ones((96, 96), bool)
    for region in collage.objects_in(view.mask):
        rows, columns = np.nonzero(region)
        far[max(rows.min() - 8, 0):rows.max() + 9, max(columns.min() - 8, 0):columns.max() + 9] = 0
    assert np.array_equal(moved[far], view.image[far])
    assert not np.array_equal(moved, view.image)
