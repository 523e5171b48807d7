import pytest
import torch

from rscc.inference.preparation import existing_device


def test_the_best_device_is_the_default():
    assert existing_device('cpu') == torch.device('cpu')
    assert existing_device(None).type in ('cpu', 'cuda', 'mps', 'npu', 'mlu')


@pytest.mark.parametrize(('name', 'message'), [
    ('gpu', "device 'gpu' is unknown; use 'cpu', 'cuda' or 'cuda:N'"),
    ('cuda:77', r"device 'cuda:77' is not there: torch sees \d+ CUDA devices; use --device cpu"),
])
def test_devices_that_are_not_there_are_refused(name, message):
    with pytest.raises(ValueError, match=message):
        existing_device(name)
