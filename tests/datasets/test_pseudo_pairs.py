import cv2
import numpy as np
import pytest

from rscc.datasets.base import NO_CHANGE_CAPTIONS
from rscc.datasets.pseudo_pairs import KINDS, PseudoPairDataset
from rscc.registry import DATASETS


@pytest.fixture(scope='module')
def town(tmp_path_factory):
    """Tiles of noise with red roofs; one without any."""
    root = tmp_path_factory.mktemp('town')
    (root / 'image').mkdir()
    (root / 'label').mkdir()
    draw = np.random.default_rng(0)
    for index in range(4):
        image = np.clip(draw.normal(110, 6, (160, 160, 3)), 0, 255).astype(np.uint8)
        mask = np.zeros((160, 160), np.uint8)
        for top in range(10, 140, 40) if index else ():
            left = int(draw.integers(5, 120))
            mask[top:top + 24, left:left + 26] = 255
        image[mask > 0] = (40, 50, 200)
        cv2.imwrite(str(root / f'image/t_{index}.png'), image)
        if index:
            cv2.imwrite(str(root / f'label/t_{index}.png'), mask)
    return dict(type='TileDataset', data_root=str(root), empty='all')


def dataset(town, **options):
    return PseudoPairDataset([town], **dict(dict(length=12, size=(96, 96), resolution=(0.5, 0.5)),
                                            **options))


def only(kind):
    return {kind: 1.0}


def red(frame):
    return frame[..., 0].astype(int) - frame[..., 1] > 60


@pytest.mark.parametrize('kind', sorted(KINDS))
def test_masks_say_where_buildings_came_or_went(town, kind):
    for item in dataset(town, kinds=only(kind), mosaic=0, lean=0, distractors=0):
        earlier, later = (red(frame) for frame in item['frames'])
        mask = item['gt_sem_seg']
        assert set(np.unique(mask)) <= {1, 254, 255}
        agree = ((earlier ^ later) == (mask == 1))[mask != 255]
        assert agree.mean() > 0.93
        if kind == 'unchanged':
            assert not (mask == 1).any() and not item['gt_change_flag']


def test_flag_mask_and_sentences_agree(town):
    seen = set()
    for item in dataset(town, length=60):
        changed = item['gt_change_flag']
        assert changed == bool((item['gt_sem_seg'] == 1).any())
        stock = set(item['gt_captions']) <= set(NO_CHANGE_CAPTIONS['en'])
        assert stock != changed
        seen.add(changed)
    assert seen == {True, False}


def test_direction_follows_the_order_of_the_dates(town):
    built = dataset(town, kinds=only('pasted'), built=1.0, mosaic=0, distractors=0, lean=0)
    gone = dataset(town, kinds=only('erased'), built=0.0, mosaic=0, distractors=0, lean=0)
    for item in built:
        if item['gt_change_flag']:
            earlier, later = (red(frame).sum() for frame in item['frames'])
            assert later > earlier
    for item in gone:
        if item['gt_change_flag']:
            earlier, later = (red(frame).sum() for frame in item['frames'])
            assert later < earlier


def test_both_languages_tell_the_same_pair(town):
    both = dataset(town, languages=('en', 'zh'), pipeline=[
        dict(type='PickCaptions', mode='one', no_change=dict(en='no change', zh='没有变化'))])
    for item in both:
        english, chinese = item['target_captions']
        assert english.isascii() and not chinese.isascii()


def test_pairs_are_new_in_every_epoch_and_the_same_when_visited_again(town):
    data = dataset(town)
    first, again = data[3], data[3]
    assert all(map(np.array_equal, first['frames'], again['frames']))
    assert first['gt_captions'] == again['gt_captions']
    data.set_epoch(1)
    assert not all(map(np.array_equal, first['frames'], data[3]['frames']))
    tested = dataset(town, test_mode=True)
    before = tested[3]
    tested.set_epoch(1)
    assert all(map(np.array_equal, before['frames'], tested[3]['frames']))


def test_real_dates_are_shown_without_any_change_of_buildings(town, tmp_path):
    """One date of the ground is blue, the other green: both are in each pair of that place."""
    for name, colour in (('a', (200, 90, 60)), ('b', (60, 200, 90))):
        cv2.imwrite(str(tmp_path / f'{name}.png'), np.full((160, 160, 3), colour, np.uint8))
    series = dict(type='TileDataset', data_root=str(tmp_path), images='.', masks=None,
                  empty='all', series=True)
    data = PseudoPairDataset([town, series], length=12, size=(96, 96), resolution=(0.5, 0.5),
                             kinds=only('unchanged'), dated=1.0, distractors=0)
    for item in data:
        assert not item['gt_change_flag'] and set(np.unique(item['gt_sem_seg'])) == {254}
        means = sorted(int(frame[..., 1].mean()) for frame in item['frames'])
        assert means == [90, 200]


def test_it_trains_beside_the_built_in_dataset_through_the_registry(town):
    data = DATASETS.build(dict(type='PseudoPairDataset', tiles=[town], length=3, size=(64, 64),
                               pipeline=[dict(type='SensorChange'),
                                         dict(type='PackChangeInputs')]))
    item = data[0]
    assert item['inputs'].shape == (2, 3, 64, 64)
    assert data.metainfo['classes'][1] == 'building'


@pytest.mark.parametrize('options, message', [
    (dict(kinds=dict(erased=1, repainted=1)), "no kind 'repainted'"),
    (dict(kinds=dict(erased=0.0)), 'one is above 0'),
    (dict(length=0), 'one pair or'),
    (dict(resolution=(0.5, 0.2)), 'metres a pixel'),
])
def test_impossible_options_are_refused(town, options, message):
    with pytest.raises(ValueError, match=message):
        dataset(town, **options)


def test_tiles_without_any_object_are_refused(town):
    with pytest.raises(ValueError, match='none of 1 tiles shows an object'):
        dataset(dict(town, include=['t_0.png']))
