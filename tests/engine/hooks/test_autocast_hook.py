import pytest
import torch
from mmengine.structures import PixelData

from rscc.engine.hooks.autocast_hook import to_float32
from rscc.structures import ChangeDataSample


def test_forward_is_reduced_and_metrics_see_float32(build, monkeypatch):
    monkeypatch.setattr('rscc.engine.precision.cpu_has_bf16', lambda: True)
    plain = build()
    reduced = build(custom_hooks=[{'type': 'AutocastInferenceHook'}])
    reduced.model.load_state_dict(plain.model.state_dict())
    assert reduced.test() == plain.test()  # the metric itself asserts float32
    assert reduced.model.seen_dtype is torch.bfloat16
    assert plain.model.seen_dtype is torch.float32
    assert 'test_step' not in vars(reduced.model)


def test_validation_is_reduced_as_well(build, monkeypatch):
    monkeypatch.setattr('rscc.engine.precision.cpu_has_bf16', lambda: True)
    runner = build(custom_hooks=[{'type': 'AutocastInferenceHook'}])
    runner.val()
    assert runner.model.seen_dtype is torch.bfloat16 and 'val_step' not in vars(runner.model)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_every_half_tensor_of_a_sample_becomes_float32(dtype):
    sample = ChangeDataSample(metainfo={'sample_id': 'a'})
    sample.seg_logits = PixelData(data=torch.ones(2, 4, 4, dtype=dtype))
    sample.pred_sem_seg = PixelData(data=torch.ones(1, 4, 4, dtype=torch.int64))
    sample.pred_caption = 'a house'
    done, = to_float32([sample])
    assert done.seg_logits.data.dtype is torch.float32
    assert done.pred_sem_seg.data.dtype is torch.int64 and done.pred_caption == 'a house'
