"""Land cover of both dates: everywhere, equal where nothing changed, and nothing else differs."""
import hashlib

import numpy as np
import pytest
from PIL import Image

from rscc.datasets.synth import SynthChangeDataset
from rscc.synth.generator import (
    COVER_KINDS,
    Parameters,
    generate,
    plan_pair,
    render_pair,
)
from rscc.synth.land_cover import COVER, COVER_PALETTE, SURFACES, draw_land_cover
from rscc.synth.objects import CLASSES, PALETTE
from rscc.synth.view import SURFACES as PAINTED
from rscc.text.land_cover import class_text
from rscc.utils import read_json


@pytest.mark.parametrize('look', ['plain', 'varied'])
def test_maps_agree_with_the_mask_at_every_pixel(look):
    changed = 0
    for index in range(10):
        planned = plan_pair(3, 'train', index, look)
        earlier, later = draw_land_cover(planned.scene, planned.mask)
        assert earlier.dtype == later.dtype == np.uint8 and earlier.shape == (256, 256)
        assert earlier.min() > 0 and later.min() > 0 and later.max() < len(COVER)
        assert np.array_equal(earlier[planned.mask == 0], later[planned.mask == 0])
        there = planned.mask > 0
        changed += int(there.any())
        # What the mask names stands there at one of the dates.
        named = (earlier == planned.mask) | (later == planned.mask)
        assert named[there].mean() > 0.99 if there.any() else True
    assert changed == 5


def test_maps_take_no_random_number_from_the_pictures():
    with_maps, without = plan_pair(3, 'train', 1), plan_pair(3, 'train', 1)
    draw_land_cover(with_maps.scene, with_maps.mask)
    for one, other in zip(render_pair(with_maps), render_pair(without), strict=True):
        assert np.array_equal(one, other)


def test_classes_continue_those_of_the_changes():
    assert len(COVER) == len(COVER_PALETTE) == len(set(COVER_PALETTE)) == 11
    assert [list(colour) for colour in COVER_PALETTE[:6]] == list(PALETTE)
    assert all(class_text(name, 'zh') != name for name in COVER[1:])
    assert set(SURFACES) == set(PAINTED) - {'fence'} and set(SURFACES.values()) < set(COVER)


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp('cover') / 'synth'
    generate(root, Parameters(4, 1, 1, 7))
    return root


def hashes(root):
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(root.rglob('*')) if path.is_file()}


def test_maps_on_disk_are_palette_files(made):
    image = Image.open(made / 'images/train/label_A/train_000000.png')
    assert image.mode == 'P' and image.getpalette()[3:6] == list(COVER_PALETTE[1])
    marker = read_json(made / 'synth.json')
    assert marker['semantic_classes'] == list(COVER) and marker['classes'] == list(CLASSES)


def test_an_older_folder_says_how_it_gets_maps_and_that_leaves_the_rest_as_it_is(made):
    whole = hashes(made)
    for split in ('train', 'val', 'test'):
        for kind in COVER_KINDS:
            for path in (made / 'images' / split / kind).iterdir():
                path.unlink()
            (made / 'images' / split / kind).rmdir()
    pictures = {path: path.stat().st_mtime_ns for path in made.rglob('[AB]/*.png')}
    with pytest.raises(FileNotFoundError, match=r'before there were class maps.*synth.py --out '
                       r"'.*' --train 4 --val 1 --test 1 --seed 7"):
        SynthChangeDataset(str(made), semantic=True)
    assert generate(made, Parameters(4, 1, 1, 7))
    assert hashes(made) == whole
    assert all(path.stat().st_mtime_ns == written for path, written in pictures.items())
    assert len(SynthChangeDataset(str(made), semantic=True)) == 4
