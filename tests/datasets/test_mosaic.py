"""Mosaics of samples: what is shown where, what stays true of it, and the same at every run."""
import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from torch.utils.data import DataLoader

from rscc.datasets.concat import ConcatDataset
from rscc.datasets.levir_cc import LEVIRMCIDataset
from rscc.datasets.mosaic import MosaicDataset, arranged, draw_regions, join
from rscc.datasets.samplers import Visit
from rscc.engine.hooks.epoch_hooks import innermost
from rscc.registry import DATASETS
from rscc.structures import ChangeDataSample
from tests.datasets.conftest import make_levir

PIPELINE = [{'type': 'LoadFrames'}, {'type': 'LoadChangeMask'}, {'type': 'PackChangeInputs'}]
TOP, BOTTOM = (slice(0, 4), slice(0, 8)), (slice(4, 8), slice(0, 8))


def levir_config(root, **options):
    return {'type': 'LEVIRMCIDataset', 'data_root': str(root), 'pipeline': PIPELINE, **options}


def part(name, value, mask=None, captions=(), flag=None, size=(8, 8)):
    """A packed sample whose frames hold one value; ``mask`` None for none."""
    sample = ChangeDataSample(metainfo=dict(sample_id=name))
    if mask is not None:
        sample.gt_sem_seg = PixelData(data=torch.as_tensor(mask, dtype=torch.int64)[None])
    if captions:
        sample.gt_captions = list(captions)
    if flag is not None:
        sample.gt_change_flag = flag
    return dict(inputs=torch.full((2, 3, *size), value, dtype=torch.uint8), data_samples=sample)


def mask_with(rows, columns, label=1, rest=0):
    mask = np.full((8, 8), rest)
    mask[rows, columns] = label
    return mask


def told(*parts):
    """Return captions and flag of a mosaic of an upper and a lower half."""
    sample = join(parts, [TOP, BOTTOM])['data_samples']
    return sample.get('gt_captions'), sample.get('gt_change_flag')


QUIET = dict(mask=np.zeros((8, 8)), captions=['nothing'], flag=False)


def test_parts_cover_the_frame_and_are_cut_where_allowed():
    kinds = set()
    for seed in range(60):
        regions = draw_regions(np.random.default_rng(seed), (50, 80), (0.3, 0.7))
        kinds.add((len(regions), regions[0][1].stop == 80))
        covered = np.zeros((50, 80), int)
        for region in regions:
            covered[region] += 1
            assert covered[region].shape[0] >= 15 and covered[region].shape[1] >= 24
        assert (covered == 1).all()
    assert kinds == {(4, False), (2, False), (2, True)}


def test_every_part_stays_where_it_was_in_all_dates_and_the_mask():
    upper, lower = (part(name, value, np.arange(64).reshape(8, 8) % 3, flag=True)
                    for name, value in (('a', 10), ('b', 20)))
    out = join([upper, lower], [TOP, BOTTOM])
    assert (out['inputs'][..., :4, :] == 10).all() and (out['inputs'][..., 4:, :] == 20).all()
    assert np.array_equal(out['data_samples'].gt_sem_seg.data[0], np.arange(64).reshape(8, 8) % 3)
    assert out['data_samples'].sample_id == 'a' and out['data_samples'].mosaic == ['a', 'b']
    assert (upper['inputs'] == 10).all(), 'the parts themselves are not written'


def test_sentences_of_the_only_change_stay_where_all_of_it_is_shown():
    house = dict(captions=['a house at the top'], flag=True)
    inside = part('a', 1, mask_with(slice(0, 3), slice(0, 3)), **house)
    cut_off = part('a', 1, mask_with(slice(2, 6), slice(0, 3)), **house)
    quiet = part('b', 2, **QUIET)
    assert told(inside, quiet) == (['a house at the top'], True)
    assert told(quiet, quiet) == (['nothing'], False)
    assert told(cut_off, quiet) == (None, True)
    below = part('c', 3, mask_with(slice(5, 7), slice(0, 3)), ['a road'], True)
    assert told(inside, below) == (None, True), 'two changes, each with sentences of its own'
    assert told(below, quiet) == (['nothing'], False), 'its change lies outside the part shown'


def test_labels_that_are_no_class_leave_flag_and_sentences_open():
    quiet = part('b', 2, **QUIET)
    for label in (254, 255):
        partly = np.full((8, 8), label)
        assert told(part('a', 1, partly, ['a road'], True), quiet) == (None, None)
        assert told(part('a', 1, partly, ['nothing'], False), quiet) == (['nothing'], False)
    assert told(part('a', 1, captions=['a road'], flag=True),
                part('b', 1, captions=['nothing'], flag=False)) == (None, None)


def test_the_sample_asked_for_takes_the_part_that_shows_most_of_its_change():
    sample = part('a', 1, mask_with(slice(3, 8), slice(0, 3)))['data_samples']
    assert arranged([TOP, BOTTOM], sample) == [BOTTOM, TOP]
    assert arranged([TOP, BOTTOM], part('a', 1, np.zeros((8, 8)))['data_samples']) == [TOP, BOTTOM]


def test_parts_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"samples of a mosaic differ: 'a': \(8, 8\).*"
                       r"'b': \(4, 8\).*FramesRandomCrop"):
        join([part('a', 1), part('b', 1, size=(4, 8))], [TOP, BOTTOM])
    with pytest.raises(ValueError, match=r'without a mask.*with a mask'):
        join([part('a', 1), part('b', 1, np.zeros((8, 8)))], [TOP, BOTTOM])
    features = dict(inputs=torch.zeros(2, 1, 8), data_samples=ChangeDataSample())
    with pytest.raises(ValueError, match=r'found torch.float32 \(2, 1, 8\). Stored features'):
        join([features, features], [TOP, BOTTOM])


def test_bad_settings_are_refused(levir):
    for options, words in ((dict(prob=1.2), r'prob=1.2 must be in \[0, 1\]'),
                           (dict(cut=(0, 0.5)), r'cut=\(0, 0.5\) must be two shares'),
                           (dict(captions='dorp'), "Did you mean 'drop'")):
        with pytest.raises(ValueError, match=words):
            MosaicDataset(levir_config(levir), **options)


def mosaic(root, **options):
    return DATASETS.build(dict(type='MosaicDataset', dataset=levir_config(root), **options))


def frames(dataset, epoch=0):
    return [dataset[Visit(index, epoch)]['inputs'] for index in range(len(dataset))]


def test_a_share_of_the_samples_become_mosaics(levir):
    made = mosaic(levir, prob=0.5, captions='drop')
    parts = [made[Visit(index, epoch)]['data_samples'].get('mosaic')
             for epoch in range(50) for index in range(4)]
    assert 75 < sum(names is not None for names in parts) < 125
    assert {len(names) for names in parts if names} == {2, 4}
    assert len(made) == 4 and made.metainfo == made.dataset.metainfo
    plain = LEVIRMCIDataset(str(levir), pipeline=PIPELINE)
    assert all(torch.equal(a, b) for a, b in zip(frames(mosaic(levir, prob=0)), frames(plain),
                                                 strict=True))


def test_captioned_samples_keep_true_sentences_or_stay_whole(levir):
    made, plain = mosaic(levir, prob=1.0), LEVIRMCIDataset(str(levir), pipeline=PIPELINE)
    joined = 0
    for epoch in range(20):
        for index in range(4):
            sample = made[Visit(index, epoch)]['data_samples']
            expected = plain[index]['data_samples']
            assert sample.gt_captions == expected.gt_captions
            assert sample.gt_change_flag == expected.gt_change_flag
            joined += 'mosaic' in sample
    assert joined > 20


def test_the_same_seed_epoch_and_index_give_the_same_mosaic(levir):
    one, other = mosaic(levir, prob=1.0, captions='drop'), mosaic(levir, prob=1.0, captions='drop')
    assert all(torch.equal(a, b) for a, b in zip(frames(one, 3), frames(other, 3), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(frames(one, 3), frames(one, 4), strict=True))
    [inside] = innermost(one)
    inside.set_epoch(3)
    assert all(torch.equal(one[index]['inputs'], frame)
               for index, frame in enumerate(frames(other, 3)))
    assert torch.equal(one[-1]['inputs'], one[3]['inputs'])


def test_joined_datasets_and_workers_are_served(levir, tmp_path):
    both = ConcatDataset([levir_config(levir), levir_config(make_levir(tmp_path / 'town2'))])
    made = MosaicDataset(both, prob=1.0, captions='drop')
    names = {name for index in range(8)
             for name in made[index]['data_samples'].get('mosaic', [])}
    assert {name.split('/')[0] for name in names} == {'LEVIR', 'town2'}
    loaded = [item['inputs'] for item in DataLoader(
        made, batch_size=None, num_workers=2, collate_fn=lambda item: item)]
    assert all(torch.equal(a, made[index]['inputs']) for index, a in enumerate(loaded))
