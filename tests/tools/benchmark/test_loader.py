"""Three forms of the same pairs are read through real datasets."""
import cv2
import numpy as np
import pytest
import torch

from tools.benchmark import loader
from tools.benchmark.loader import benchmark_loader, one_core, reader
from tools.benchmark.tables import say


@pytest.fixture(scope='module')
def rendered(tmp_path_factory):
    return loader._rendered(tmp_path_factory.mktemp('data') / 'synth', 4)


def test_every_form_and_pipeline_has_a_row(rendered):
    before = sorted(rendered.rglob('*'))
    section = benchmark_loader(str(rendered), pairs=3, rounds=1, batch_size=2)
    assert [say(row[1], 'en') for row in section.rows] == ['image files', 'HDF5', 'frame cache'] * 2
    assert '3 pairs of 256 x 256' in say(section.notes[0], 'en')
    assert 'target ≥ 150' in say(section.rows[0][2], 'en')
    assert sorted(rendered.rglob('*')) == before, 'the dataset folder is left as it was'


def test_forms_hold_the_same_pixels(rendered, tmp_path):
    pipeline = loader.TEST_PIPELINE
    files = loader._dataset('LEVIRCCDataset', rendered, 'train', 4, pipeline)
    loaded = loader._dataset('LEVIRCCDataset', rendered, 'train', 4,
                                   [dict(type='LoadFrames')])
    loader.write_blip([loaded], tmp_path)
    packed = loader._dataset('HDF5CaptionDataset', tmp_path, 'train', 4, pipeline)
    assert reader(files, 3)() == reader(packed, 3)() == 4
    assert all(torch.equal(files[row]['inputs'], packed[row]['inputs']) for row in range(4))


def test_the_train_pipeline_is_that_of_the_config(repo):
    from mmengine.config import Config
    steps = Config.fromfile(repo / 'configs/_base_/datasets/levir_cc.py').train_pipeline
    assert [step.type for step in steps] == [step['type'] for step in loader.TRAIN_PIPELINE]


def test_threads_are_limited_inside_only():
    before = torch.get_num_threads(), cv2.getNumThreads()
    with one_core():
        assert (torch.get_num_threads(), cv2.getNumThreads()) == (1, 1)
    assert (torch.get_num_threads(), cv2.getNumThreads()) == before


def test_a_folder_without_the_dataset_is_named(tmp_path):
    np.save(tmp_path / 'x.npy', np.zeros(1))
    with pytest.raises(FileNotFoundError, match='LEVIR-CC annotations not found'):
        benchmark_loader(str(tmp_path))
