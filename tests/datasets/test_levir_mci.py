import pytest
import torch

from rscc.datasets.levir_mci import LEVIRMCIDataset

LOAD = [{'type': 'LoadFrames'}, {'type': 'LoadChangeMask'}, {'type': 'PackChangeInputs'}]


def test_grey_labels_become_road_and_building(levir):
    dataset = LEVIRMCIDataset(str(levir), pipeline=LOAD)
    mask = dataset[0]['data_samples'].gt_sem_seg.data
    assert mask.shape == (1, 32, 32) and mask.dtype == torch.int64
    assert dataset.metainfo['classes'] == ('unchanged', 'road', 'building')
    assert mask[0, 5, 3] == 2 and mask[0, 21, 30] == 1 and mask[0, 30, 30] == 0
    assert dataset[1]['data_samples'].gt_sem_seg.data.max() == 0


def test_a_label_can_be_left_out(levir):
    sample = LEVIRMCIDataset(str(levir), label=None, pipeline=LOAD)[0]['data_samples']
    assert 'gt_sem_seg' not in sample


def test_a_third_value_names_file_and_values(levir):
    dataset = LEVIRMCIDataset(str(levir), label_map={0: 0, 255: 1}, pipeline=LOAD)
    with pytest.raises(ValueError, match=r"sample 'train_000000': label .*train_000000\.png' holds "
                       r'the values \[0, 128, 255\]; \[128\] are not in label_map'):
        dataset[0]


def test_real_figure_crops_hold_all_three_classes(samples):
    root = samples / 'levir_mci_figure_crops'
    if not root.is_dir():
        pytest.skip(f"no real triplets at '{root}'")
    dataset = LEVIRMCIDataset(str(root), 'captions.json', split=None, img_from='A/{filename}',
                              img_to='B/{filename}', label='label/{filename}', pipeline=LOAD)
    found = {int(value) for idx in range(len(dataset))
             for value in dataset[idx]['data_samples'].gt_sem_seg.data.unique()}
    assert len(dataset) == 4 and found == {0, 1, 2}
