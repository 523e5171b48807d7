import copy

import pytest
import torch
from fake_clip import tiny_clip
from torch.profiler import ProfilerActivity, profile

from rscc.models.clip.layout import run_sequence_first


def both(kind='vit'):
    plain = tiny_clip(kind)
    other = copy.deepcopy(plain)
    run_sequence_first(other)
    return plain, other


@torch.no_grad()
@pytest.mark.parametrize('kind', ['vit', 'resnet'])
def test_answers_stay_the_same(kind):
    plain, other = both(kind)
    images, ids = torch.randn(3, 3, 32, 32), torch.randint(1, 40000, (2, 24))
    for ours, theirs in zip(other(images, ids), plain(images, ids), strict=True):
        torch.testing.assert_close(ours, theirs)


@torch.no_grad()
def test_reduced_precision_copies_no_weights_per_token():
    images, calls = torch.randn(3, 3, 32, 32), []
    for clip in both():
        clip.requires_grad_(False)  # trainable weights are folded either way
        with torch.autocast('cpu', torch.bfloat16), profile(
                activities=[ProfilerActivity.CPU]) as profiled:
            clip.visual(images)
        calls.append({event.key for event in profiled.key_averages()})
    assert 'aten::bmm' not in calls[1]
    if 'aten::bmm' not in calls[0]:
        pytest.skip('this torch has no such copies either way')
