"""SECOND-CC: captions and class maps of one pair."""
import pytest
from data_testers import DatasetTester
from fake_data import write_fake_dataset

from rscc.datasets.second_cc import SECONDCCDataset

LOAD = [dict(type='LoadFrames'), dict(type='LoadSemanticMaps'),
        dict(type='PickCaptions', no_change='the scene is the same as before'),
        dict(type='PackChangeInputs')]


class TestSECONDCC(DatasetTester):
    cfg = dict(type='SECONDCCDataset', data_root='SECOND-CC-AUG')
    keys = ('sample_id', 'gt_captions', 'gt_change_flag')


@pytest.fixture
def root(tmp_path):
    return write_fake_dataset(tmp_path, dict(type='SECONDCCDataset', data_root='S'))


def test_a_pair_has_sentences_and_what_became_what(root):
    sample = SECONDCCDataset(str(root), pipeline=LOAD)[0]['data_samples']
    assert sample.gt_captions[0] == 'a house has been built'
    assert (sample.gt_sem_seg_from.data[0, :16] == 1).all()
    assert (sample.gt_sem_seg_to.data[0, :16] == 6).all()
    assert sample.gt_sem_seg.data.sum() == 16 * 64


def test_sentences_alone_need_no_class_maps(root):
    for path in root.glob('*/sem/*/*.png'):
        path.unlink()
    with pytest.raises(FileNotFoundError, match='sem/A'):
        SECONDCCDataset(str(root))
    dataset = SECONDCCDataset(str(root), semantic=False, pipeline=LOAD)
    assert dataset.metainfo['classes'] is None
    assert 'gt_sem_seg_from' not in dataset[0]['data_samples']


def test_flags_that_class_maps_contradict_are_found(root, monkeypatch):
    said = []
    monkeypatch.setattr('rscc.datasets.checks.warn_once', said.append)
    first, second = sorted((root / 'train/sem/A').iterdir())[:2]
    for date in 'AB':
        unchanged = root / 'train/sem' / date / second.name
        (root / 'train/sem' / date / first.name).write_bytes(unchanged.read_bytes())
    SECONDCCDataset(str(root), pipeline=LOAD)
    assert any('flagged changed, and their masks hold no change' in text for text in said)
