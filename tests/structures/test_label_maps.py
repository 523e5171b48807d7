"""Label maps travel by one list of names."""
import numpy as np
import torch
from mmengine.structures import PixelData

from rscc.structures import LABEL_MAPS, ChangeDataSample, change_maps, change_packed_maps


def test_maps_that_a_sample_lacks_are_passed_over_and_others_are_not_touched():
    results = dict(gt_sem_seg=np.zeros((2, 2), np.uint8), frames=[1])
    change_maps(results, lambda labels, unknown: labels + unknown)
    assert results['gt_sem_seg'].tolist() == [[255, 255], [255, 255]] and results['frames'] == [1]
    assert set(results) == {'gt_sem_seg', 'frames'}


def test_each_packed_map_learns_what_its_unknown_pixels_are():
    sample = ChangeDataSample()
    for name in LABEL_MAPS:
        setattr(sample, name, PixelData(data=torch.ones(1, 2, 2, dtype=torch.int64)))
    kept = sample.gt_sem_seg
    change_packed_maps(sample, lambda labels, unknown: torch.full_like(labels, unknown)
                       if unknown == 0 else labels)
    assert sample.gt_sem_seg is kept
    assert not sample.gt_sem_seg_from.data.any() and not sample.gt_sem_seg_to.data.any()


def test_answers_for_both_dates_have_a_place_of_their_own():
    sample = ChangeDataSample()
    sample.pred_sem_seg_from = PixelData(data=torch.ones(1, 2, 2, dtype=torch.int64))
    assert 'pred_sem_seg_from' in sample and 'pred_sem_seg_to' not in sample
    assert sample.pred_sem_seg_from.data.shape == (1, 2, 2)
