"""Scores of the constant answer, worked out by hand from a small test split."""
import pytest
from fake_data import write_fake_dataset
from mmengine.config import Config
from mmengine.registry import DefaultScope

from rscc.registry import DATASETS
from tools.benchmark.compared_baselines import baseline_scores


@pytest.fixture
def dataset(repo, tmp_path, monkeypatch):
    """The test split of a captioner with a change map, in miniature."""
    monkeypatch.setenv('RSCC_DATA', str(tmp_path))
    described = Config.fromfile(repo / 'configs/blip_synth.py').test_dataloader.dataset
    write_fake_dataset(tmp_path, described, pairs=4, size=32)
    with DefaultScope.overwrite_default_scope('rscc'):
        return DATASETS.build(described.to_dict())


def test_everything_changed_and_one_sentence_are_scored(dataset):
    samples = [dataset[row]['data_samples'] for row in range(len(dataset))]
    masks = [sample.gt_sem_seg.data for sample in samples]
    known = sum((mask != 255).sum().item() for mask in masks)
    share = sum(((mask != 0) & (mask != 255)).sum().item() for mask in masks) / known
    assert 0 < share < 1
    scores = baseline_scores(['blip_synth'])
    assert scores['change/F1_changed'] == pytest.approx(2 * share / (1 + share))
    flags = [sample.gt_change_flag for sample in samples]
    assert scores['caption/flag_accuracy'] == pytest.approx(sum(flags) / len(flags))
    # All changed pairs have the same sentences here: words that are everywhere weigh nothing.
    assert scores['caption/changed/CIDEr'] == 0


@pytest.mark.usefixtures('dataset')
def test_detectors_alone_have_no_baseline_of_captions():
    assert set(baseline_scores(['bit_synth', 'fcsiam_diff_synth'])) == {'change/F1_changed'}
    assert set(baseline_scores(['bit_synth', 'blip_synth'])) == {
        'change/F1_changed', 'caption/flag_accuracy', 'caption/changed/CIDEr'}
