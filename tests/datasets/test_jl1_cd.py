"""JL1-CD: masks as published, captions from a file of one's own."""
import json
from pathlib import Path

import pytest
from data_testers import DatasetTester
from fake_data import write_fake_dataset

from rscc.datasets.jl1_cd import JL1CDDataset

LOAD = [dict(type='LoadFrames'), dict(type='LoadChangeMask'), dict(type='PackChangeInputs')]


class TestJL1CD(DatasetTester):
    cfg = dict(type='JL1CDDataset', data_root='JL1-CD')
    test_missing_annotations_are_named = None  # there are none

    def test_a_missing_image_is_named(self):
        victim = Path(self.build().files_of(self.build().get_data_info(0))[0])
        victim.unlink()
        with pytest.raises(ValueError, match=f'without a partner of the same name.*{victim.name}'):
            self.build()


@pytest.fixture
def root(tmp_path):
    return write_fake_dataset(tmp_path, dict(type='JL1CDDataset', data_root='J'))


def test_pairs_of_the_folders_have_masks_and_say_nothing_more(root):
    dataset = JL1CDDataset(str(root), split='test', pipeline=LOAD)
    sample = dataset[0]['data_samples']
    assert sample.gt_sem_seg.data.unique().tolist() == [0, 1]
    assert 'gt_captions' not in sample and 'gt_change_flag' not in sample


def test_captions_come_from_a_file_in_the_usual_style(root):
    images = [dict(filename='test_000000.png', split='test', sentences=[dict(raw='A house.')])]
    (root / 'mine.json').write_text(json.dumps({'images': images}))
    dataset = JL1CDDataset(str(root), 'mine.json', split='test', pipeline=LOAD)
    assert len(dataset) == 1
    sample = dataset[0]['data_samples']
    assert sample.gt_captions == ['a house'] and sample.gt_change_flag is True


def test_another_style_is_refused_with_the_one_that_is_read(root):
    (root / 'qa.json').write_text(json.dumps([dict(image='1.png', question='What changed?')]))
    with pytest.raises(ValueError, match=r'JL1-CC&QA is not read as published.*"sentences"'):
        JL1CDDataset(str(root), 'qa.json', split='test')
