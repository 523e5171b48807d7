"""Class maps of both dates: loaded, and carried along by everything that moves pixels."""
import numpy as np
import pytest
import torch
from fake_data import write_fake_dataset

from rscc.datasets.mosaic import MosaicDataset
from rscc.datasets.semantic_cd import SECONDDataset
from rscc.datasets.synth import SynthChangeDataset
from rscc.datasets.transforms.semantic import SemanticLabels
from rscc.models.data_preprocessor import ChangeDataPreprocessor
from rscc.registry import TRANSFORMS
from rscc.structures import LABEL_MAPS

LOAD = [dict(type='LoadFrames'), dict(type='LoadChangeMask'), dict(type='LoadSemanticMaps')]
PACK = [dict(type='PackChangeInputs')]
MOVES = [dict(type='FramesResize', size=(20, 28)), dict(type='FramesRandomCrop', size=24),
         dict(type='FramesRandomCrop', size=24, keep_change=0.5, zoom=(1, 2)),
         dict(type='FramesRandomFlip', prob=1.0, captions='drop'),
         dict(type='FramesRandomRotate90', prob=1.0, captions='drop'),
         dict(type='FramesRandomRotate', prob=1.0, captions='drop', max_angle=40)]


@pytest.fixture
def second(tmp_path):
    return str(write_fake_dataset(tmp_path, dict(type='SECONDDataset', data_root='SECOND')))


def sample(size=(32, 40)):
    """Maps that tell where each pixel comes from: class 1 to 4 by quarter, and a mask of them."""
    rows, columns = np.mgrid[:size[0], :size[1]]
    earlier = (1 + (rows >= size[0] // 2) + 2 * (columns >= size[1] // 2)).astype(np.uint8)
    frame = np.repeat(earlier[..., None] * 20, 3, 2)
    return dict(sample_id='s', rng=np.random.default_rng(1), frames=[frame, frame.copy()],
                gt_sem_seg=(earlier > 2).astype(np.uint8), gt_sem_seg_from=earlier,
                gt_sem_seg_to=5 - earlier, gt_captions=[])


@pytest.mark.parametrize('step', MOVES, ids=lambda step: step['type'])
def test_all_maps_move_with_the_frames(step):
    given = sample()
    for name in LABEL_MAPS:
        given[name].setflags(write=False)  # as those of a cache are
    out = TRANSFORMS.build(dict(step))(given)
    known = out['gt_sem_seg'] != 255
    assert known.any()
    for name, unknown in LABEL_MAPS.items():
        assert out[name].shape == out['frames'][0].shape[:2] and out[name].dtype == np.uint8
        assert (out[name][~known] == unknown).all()
    earlier, later = out['gt_sem_seg_from'][known], out['gt_sem_seg_to'][known]
    assert (earlier + later == 5).all() and ((earlier > 2) == out['gt_sem_seg'][known]).all()
    # Nearest pixels may differ from smooth ones in a strip along the boundaries, nowhere else.
    shown = np.round(out['frames'][0][known, 0] / 20)
    assert (shown == earlier).mean() > 0.85


def test_exchanged_dates_exchange_their_maps_and_keep_the_change():
    given, out = sample(), sample()
    out = TRANSFORMS.build(dict(type='FramesExchangeDates', prob=1.0, captions='drop'))(out)
    assert np.array_equal(out['gt_sem_seg_from'], given['gt_sem_seg_to'])
    assert np.array_equal(out['gt_sem_seg_to'], given['gt_sem_seg_from'])
    assert np.array_equal(out['gt_sem_seg'], given['gt_sem_seg'])


@pytest.mark.parametrize('where', ['memory', None])
def test_a_cache_gives_the_maps_that_the_files_give(second, where):
    plain = SECONDDataset(second, pipeline=LOAD + PACK)
    for _ in range(2):  # written, then read again
        cached = SECONDDataset(second, pipeline=LOAD + PACK, cache=dict(size=None, where=where))
        for name in LABEL_MAPS:
            assert torch.equal(getattr(cached[0]['data_samples'], name).data,
                               getattr(plain[0]['data_samples'], name).data)


def test_a_cache_without_class_maps_is_not_taken_for_one_with_them(second):
    cache = dict(size=(16, 16))
    assert 'gt_sem_seg' not in SECONDDataset(second, pipeline=LOAD[:2] + PACK, cache=cache)[0][
        'data_samples']
    found = SECONDDataset(second, pipeline=LOAD + PACK, cache=cache)[0]['data_samples']
    assert found.gt_sem_seg_to.data.shape == (1, 16, 16)


def test_mosaics_join_all_maps(second):
    inner = SECONDDataset(second, pipeline=LOAD + PACK)
    mosaics = MosaicDataset(inner, prob=1.0, captions='drop')
    for row in range(4):
        found = mosaics[row]['data_samples']
        earlier, later = found.gt_sem_seg_from.data, found.gt_sem_seg_to.data
        assert ((earlier > 0) == (found.gt_sem_seg.data == 1)).all()
        assert ((later > 0) == (earlier > 0)).all()


def test_samples_that_nothing_is_learnt_from_have_no_labels(second):
    inner = SECONDDataset(second, pipeline=LOAD + PACK)
    item = inner.attach({**inner.get_data_info(0), 'unlabelled': True})
    results = inner.pipeline({**item, 'rng': np.random.default_rng(0)})['data_samples']
    assert (results.gt_sem_seg.data == 255).all() and not results.gt_sem_seg_from.data.any()


def test_padding_of_a_batch_is_unknown_in_every_map():
    packed = [TRANSFORMS.build(dict(type='PackChangeInputs'))(sample(size))
              for size in ((32, 40), (20, 48))]
    batch = ChangeDataPreprocessor(size_divisor=16)({
        'inputs': [one['inputs'] for one in packed],
        'data_samples': [one['data_samples'] for one in packed]})
    assert batch['inputs'].shape[-2:] == (32, 48)
    for found, shape in zip(batch['data_samples'], ((32, 40), (20, 48)), strict=True):
        for name, unknown in LABEL_MAPS.items():
            labels = getattr(found, name).data
            assert labels.shape == (1, 32, 48)
            outside = torch.ones(32, 48, dtype=torch.bool)
            outside[:shape[0], :shape[1]] = False
            assert (labels[0][outside] == unknown).all()


def test_a_map_of_another_size_is_refused(second):
    found = SECONDDataset(second, check_masks=False, pipeline=LOAD + PACK)
    item = found.attach(found.get_data_info(0))
    with pytest.raises(ValueError, match=r"label1.*is \(64, 64\) \(H, W\), the frames of "
                       r"'train_.*' are \(32, 32\)"):
        TRANSFORMS.build(LOAD[2])({**item, 'ori_shape': (32, 32)})


def test_the_built_in_dataset_has_maps_when_asked(tmp_path):
    root = write_fake_dataset(tmp_path, dict(type='SynthChangeDataset', data_root='synth',
                                             semantic=True))
    found = SynthChangeDataset(str(root), semantic=True, pipeline=LOAD + PACK)
    assert found.metainfo['classes'] == ('unchanged', 'changed')
    assert found[0]['data_samples'].gt_sem_seg_from.data.min() == 1
    plain = SynthChangeDataset(str(root), pipeline=LOAD + PACK)
    assert len(plain.metainfo['classes']) == 6
    assert 'gt_sem_seg_from' not in plain[0]['data_samples']


@pytest.mark.parametrize('only_changes, expected', [(True, 5), (False, 4)])
def test_class_maps_that_contradict_the_change_map_are_counted(only_changes, expected):
    labels = SemanticLabels(('none', 'water', 'building'), ((0, 0, 0), (0, 0, 255), (255, 0, 0)),
                            only_changes=only_changes)
    change = np.array([[1, 1, 1], [0, 0, 0], [0, 255, 255]])
    earlier = np.array([[1, 0, 2], [1, 1, 0], [1, 0, 1]])
    later = np.array([[2, 2, 0], [1, 2, 0], [2, 0, 2]])
    # Two of the changed pixels lack a class at some date. Of the unchanged, two have another class
    # at each date, and one more has a class at all. What is not known says nothing.
    assert labels.disagreement(change, earlier, later) == expected
