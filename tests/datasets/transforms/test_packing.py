import numpy as np
import pytest
import torch

from rscc.datasets.transforms.packing import PackChangeInputs
from rscc.structures import ChangeDataSample


def results(**fields):
    frames = [np.full((4, 6, 3), (1, 2, 3), np.uint8), np.full((4, 6, 3), 9, np.uint8)[:, ::-1]]
    return {'sample_id': 's', 'img_path_from': 'a', 'img_path_to': 'b', 'ori_shape': (8, 12),
            'img_shape': (4, 6), 'split': 'train', 'frames': frames, **fields}


def test_dates_become_one_uint8_tensor():
    packed = PackChangeInputs()(results())
    assert packed['inputs'].shape == (2, 3, 4, 6) and packed['inputs'].dtype == torch.uint8
    assert packed['inputs'].is_contiguous()
    assert packed['inputs'][0, :, 0, 0].tolist() == [1, 2, 3]


def test_annotations_become_a_data_sample():
    sample = PackChangeInputs()(results(
        gt_sem_seg=np.full((4, 6), 255, np.uint8), gt_captions=['x'], target_captions=['x'],
        gt_change_flag=np.bool_(True), prompts=(['sea'], [])))['data_samples']
    assert isinstance(sample, ChangeDataSample)
    assert sample.gt_sem_seg.data.shape == (1, 4, 6)
    assert sample.gt_sem_seg.data.dtype == torch.int64 and sample.gt_sem_seg.data.max() == 255
    assert sample.gt_change_flag is True and sample.gt_captions == ['x']
    assert sample.prompts == [['sea'], []]
    assert sample.ori_shape == (8, 12) and sample.img_shape == (4, 6)
    assert sample.img_path_from == 'a' and sample.split == 'train'


def test_what_is_absent_stays_absent():
    sample = PackChangeInputs()(results())['data_samples']
    for name in ('gt_sem_seg', 'gt_captions', 'target_captions', 'gt_change_flag', 'img_path',
                 'prompts'):
        assert name not in sample


def test_stored_features_take_the_place_of_frames():
    features = torch.randn(1, 5, 8).half()
    bare = {'sample_id': 's', 'gt_captions': ['x'], 'features': features}
    packed = PackChangeInputs()(bare)
    assert packed['inputs'] is features and packed['data_samples'].gt_captions == ['x']
    with pytest.raises(ValueError, match="sample 's' has both frames and stored features"):
        PackChangeInputs()(results(features=features))
    with pytest.raises(ValueError, match="sample 's' has nothing to look at"):
        PackChangeInputs()({'sample_id': 's'})
