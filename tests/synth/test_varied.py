"""Varied look: layout, masks and pictures tell one story, and the plain look is left as it was."""
from collections import Counter

import numpy as np
import pytest

from rscc.synth.changes import plan
from rscc.synth.drawing import crop, fill
from rscc.synth.generator import (
    FOLDERS,
    SPLITS,
    Parameters,
    annotate,
    generate,
    is_changed,
    plan_pair,
    render_pair,
    scene_captions,
)
from rscc.synth.mask import draw_mask
from rscc.synth.objects import BOTH, FROM, SIDE, TO, Block, Dwelling, Surface, Trees, oriented_box
from rscc.synth.rendering import draw_appearance, render
from rscc.synth.roofs import draw_block, wings
from rscc.synth.town import COARSEST, FINEST, PLACES, Town, lay_out_town
from rscc.synth.view import CANVAS, SURFACES, View, render_varied
from rscc.utils import read_json

LABELS = {'building': 1, 'house': 1, 'road': 2, 'trees': 3, 'pond': 4, 'parking lot': 5}


@pytest.fixture(scope='module')
def plans():
    return [plan_pair(13, 'train', index, 'varied') for index in range(120)]


@pytest.fixture(scope='module')
def pictures():
    """Plans and both dates of 40 pairs."""
    return [(planned, *render_pair(planned))
            for planned in (plan_pair(6, 'test', index, 'varied') for index in range(40))]


@pytest.fixture
def still():
    """A view without noise, haze, blur or shift, so that only objects can differ."""
    return View('summer', np.array([0.6, -0.8]), 0.5, np.ones(3), 1.0, 1.0, 0.0, 0.0, 0.0,
                np.zeros(2), 7)


def changed_outlines(scene):
    """Return (label, outlines) of all that differs and has a class, trees left out."""
    return [(thing.label, thing.seen(scene.lean[FROM if thing.when == FROM else TO]))
            for thing in scene.things
            if thing.when != BOTH and thing.label and not isinstance(thing, Trees)]


def test_the_plain_look_is_made_by_the_same_draws_as_before_there_was_another():
    """The renderer's own functions, called in the order they always were, give the same pair."""
    for index in (0, 1, 2, 3):
        planned = plan_pair(2, 'val', index)
        changed = is_changed(2, 'val', index)
        for attempt in range(60):
            rng = np.random.default_rng([2, SPLITS.index('val'), index, 2 + attempt])
            scene, changes = plan(rng, changed)
            mask = draw_mask(scene)
            if [c.kind for c in changes] == [c.kind for c in planned.changes] and np.array_equal(
                    mask, planned.mask):
                break
        looks = {date: draw_appearance(rng) for date in (FROM, TO)}
        shown = Counter(thing.when for thing in scene.things
                        if thing.when != BOTH and not isinstance(thing, Trees))
        only_from = shown[FROM] > shown[TO] if shown else rng.random() < 0.5
        looks[TO if only_from else FROM].shift = rng.uniform(-1.05, 1.05, 2)
        for date, picture in zip((FROM, TO), render_pair(planned), strict=True):
            assert np.array_equal(picture, render(scene, date, looks[date]))
        assert 'resolution' not in annotate(planned, 'val', index, index, 2)
        assert scene.resolution == 0.5 and not any(lean.any() for lean in scene.lean.values())
        for thing in scene.things:
            pairs = zip(thing.seen(np.ones(2)), thing.footprint(), strict=True)
            assert all(np.array_equal(*pair) for pair in pairs)


def test_plain_is_the_default_and_its_marker_names_no_look():
    assert Parameters(1, 0, 0, 0).record() == Parameters(1, 0, 0, 0, look='plain').record()
    assert 'look' not in Parameters(1, 0, 0, 0).record()
    assert Parameters(1, 0, 0, 0, look='varied').record()['look'] == 'varied'


def test_bytes_depend_on_nothing_but_the_parameters(tmp_path):
    parameters = Parameters(4, 2, 0, seed=3, look='varied')
    for name, jobs in (('one', 1), ('two', 2)):
        assert generate(tmp_path / name, parameters, jobs)
        assert not generate(tmp_path / name, parameters, jobs)
    files = [{path.relative_to(tmp_path / name): path.read_bytes()
              for path in (tmp_path / name).rglob('*.*') if path.is_file()}
             for name in ('one', 'two')]
    assert files[0] == files[1]
    pictures = [path for path in files[0] if path.suffix == '.png']
    assert len(pictures) == 6 * 5  # both dates, the mask, the land cover of both dates
    with pytest.raises(FileExistsError, match=r'"look": "varied".*asked for'):
        generate(tmp_path / 'one', Parameters(4, 2, 0, seed=3))


def test_folder_records_look_and_resolution(tmp_path):
    generate(tmp_path, Parameters(6, 0, 0, seed=8, look='varied'))
    marker = read_json(tmp_path / 'synth.json')
    assert marker['parameters']['look'] == 'varied'
    assert marker['metres_per_pixel'] == [FINEST, COARSEST]
    images = read_json(tmp_path / 'LevirCCcaptions.json')['images']
    for image in images:
        assert FINEST <= image['resolution'] <= COARSEST
        assert all(scene_captions(image, date, language)
                   for date in FOLDERS for language in ('en', 'zh'))
    assert len({image['resolution'] for image in images}) == 6


@pytest.mark.parametrize(('options', 'message'), [
    ({'look': 'variedd'}, 'look.*variedd.*varied'),
    ({'look': 'varied', 'bands': 4}, "look='varied' with bands=4: only the plain look")])
def test_impossible_looks_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        Parameters(1, 0, 0, 0, **options)


def test_masks_are_empty_exactly_where_nothing_changed(plans):
    for index, planned in enumerate(plans):
        changed = is_changed(13, 'train', index)
        assert bool(planned.changes) == changed == bool(planned.mask.any())
        labels = {LABELS[change.kind] for change in planned.changes}
        assert set(np.unique(planned.mask).tolist()) - {0} == labels


def test_every_masked_pixel_belongs_to_a_changed_object_as_its_date_shows_it(plans):
    checked = 0
    for planned in plans:
        if 'trees' in {change.kind for change in planned.changes}:
            continue
        canvas = np.zeros((CANVAS, CANVAS), np.uint8)
        for _, outlines in changed_outlines(planned.scene):
            fill(canvas, outlines, 1, antialias=False)
        inside = crop(canvas) > 0
        assert not (planned.mask > 0)[~inside].any()
        # What is missing of the objects is under trees or roads that were always there.
        assert (planned.mask > 0).sum() >= 0.5 * inside.sum()
        checked += bool(planned.changes)
    assert checked > 20


def test_the_stated_objects_are_those_of_the_scene(plans):
    for planned in plans:
        for change in planned.changes:
            kept = {id(thing) for thing in planned.scene.things}
            assert all(id(thing) in kept for thing in change.things)
            assert {thing.when for thing in change.things} == {
                TO if change.action == 'built' else FROM}
            assert change.where and change.pixels >= 40
            for thing in change.things if change.kind in ('house', 'building') else ():
                corners = np.concatenate(thing.footprint())  # what is counted reaches into view
                assert (corners.max(0) > 0).all() and (corners.min(0) < SIDE).all()


def test_patches_of_ground_differ_between_dates_and_never_count(plans):
    moved = {False: 0, True: 0}
    for planned in plans:
        patches = [thing for thing in planned.scene.things
                   if isinstance(thing, Surface) and thing.when != BOTH]
        moved[bool(planned.changes)] += bool(patches)
        assert all(thing.label == 0 and thing.kind in SURFACES for thing in patches)
    assert min(moved.values()) > 15


def test_changed_places_show_the_roof_and_little_else_changes(still):
    """In one light the masked pixels differ, and far from them hardly any do."""
    checked = 0
    for index in range(60):
        planned = plan_pair(4, 'val', index, 'varied')
        scene = planned.scene
        if {change.kind for change in planned.changes} & {'house', 'building'}:
            scene.lean = {FROM: scene.lean[TO], TO: scene.lean[TO]}
            scene.things = [thing for thing in scene.things
                            if not isinstance(thing, Surface) or thing.when == BOTH]
            mask = draw_mask(scene)
            earlier, later = (render_varied(scene, date, still).astype(int)
                              for date in (FROM, TO))
            differs = np.abs(earlier - later).max(2) > 8
            assert differs[mask > 0].mean() > 0.75, index
            checked += 1
        if checked == 4:
            return
    raise AssertionError('too few changes of buildings')


def test_resolution_varies_and_objects_keep_their_size_in_metres(plans):
    resolutions = np.array([planned.scene.resolution for planned in plans])
    assert resolutions.min() >= FINEST and resolutions.max() <= COARSEST
    assert ((resolutions > 0.3) & (resolutions < 1)).mean() > 0.6
    assert resolutions.min() < 0.3 and resolutions.max() > 0.9
    for finer in (True, False):
        sizes = [np.linalg.norm(block.parts[0][1] - block.parts[0][0]) * planned.scene.resolution
                 for planned in plans if (planned.scene.resolution < 0.5) == finer
                 for block in planned.scene.things if isinstance(block, Dwelling)]
        assert 5 < np.median(sizes) < 16


def test_unchanged_pairs_look_more_different_than_plain_ones(pictures):
    def difference(pairs):
        return np.median([np.abs(a.astype(int) - b).mean() for a, b in pairs])

    varied = [(a, b) for planned, a, b in pictures if not planned.changes]
    plain = [render_pair(plan_pair(6, 'test', index)) for index in range(40)
             if not is_changed(6, 'test', index)]
    assert difference(varied) > 1.2 * difference(plain)
    assert all(a.shape == b.shape == (SIDE, SIDE, 3) and a.dtype == np.uint8 for a, b in varied)


def test_no_single_cue_gives_the_flag_away(pictures):
    flags = np.array([bool(planned.changes) for planned, *_ in pictures])
    cues = {'difference': [np.abs(a.astype(int) - b).mean() for _, a, b in pictures],
            'brightness of the later date': [b.mean() for *_, b in pictures],
            'contrast of the later date': [b.std() for *_, b in pictures]}
    for name, values in cues.items():
        cuts = np.quantile(values, np.linspace(0, 1, 21))
        best = max(max(np.mean((values > cut) == flags), np.mean((values <= cut) == flags))
                   for cut in cuts)
        assert best < 0.85, name


def test_every_kind_of_change_and_place_occurs(plans):
    changes = Counter((change.kind, change.action) for planned in plans
                      for change in planned.changes)
    assert {kind for kind, _ in changes} == set(LABELS)
    assert changes['house', 'built'] and changes['house', 'removed']
    kinds = {surface.kind for planned in plans for surface in planned.scene.things
             if isinstance(surface, Surface)}
    assert kinds == set(SURFACES)
    counts = [len([t for t in planned.scene.things if isinstance(t, Block)]) for planned in plans]
    assert max(counts) > 100 and min(counts) < 10


@pytest.mark.parametrize('kind', PLACES)
def test_every_kind_of_place_can_be_laid_out_and_drawn(kind, still):
    town = Town(np.random.default_rng(5))
    town.kind = kind
    lay_out_town(town)
    assert town.areas and town.scene.things
    assert render_varied(town.scene, 'to', still).std() > 5


def test_tops_lean_by_their_height_and_the_roof_is_drawn_there(still):
    box = oriented_box(np.array([100.0, 100.0]), (30, 20), 0.0)
    block = Block([box], 'flat', (250, 250, 250), (20, 20, 20), 40.0, 2.0, 3)
    lean = np.array([0.5, 0.0])
    assert block.seen(lean)[0] == pytest.approx(box + np.array([20, 0]))
    canvas = np.full((CANVAS, CANVAS, 3), 128, np.uint8)
    draw_block(canvas, canvas[..., 0].copy(), block, still, lean, TO, 1.0)
    shown = crop(canvas)
    assert shown[100, 125].mean() > 180  # the roof, 20 pixels to the right of the walls' foot
    assert shown[100, 90].mean() < 60  # the facade that this view shows
    assert shown[100, 70].mean() == 128


@pytest.mark.parametrize(('shape', 'count'), [('I', 1), ('L', 2), ('T', 2), ('U', 3), ('O', 4)])
def test_wings_stay_within_the_size_of_the_building(shape, count):
    rng = np.random.default_rng(0)
    found = wings(shape, 30, 20, rng)
    assert len(found) == count
    for centre, size in found:
        assert (np.abs(centre) + np.array(size) / 2 <= np.array([15, 10]) + 1e-9).all()
