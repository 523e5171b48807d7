import pytest
import torch
import torch.nn.functional as F

from rscc.registry import MODELS


def build(**options):
    return MODELS.build(dict(type='FocalLoss', **options))


def case():
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 5, generator=draw, requires_grad=True)
    return logits, torch.randint(0, 3, (2, 4, 5), generator=draw)


def test_without_focus_it_is_cross_entropy():
    logits, target = case()
    torch.testing.assert_close(build(gamma=0)(logits, target), F.cross_entropy(logits, target))


def test_equation_by_hand():
    p = torch.tensor(0.8)
    logits = torch.stack([p, 1 - p]).log().reshape(1, 2, 1, 1)
    loss = build(gamma=2.0, class_weight=[0.25, 0.75], loss_weight=2.0)
    expected = 2 * 0.25 * 0.2**2 * -p.log()
    torch.testing.assert_close(loss(logits, torch.zeros(1, 1, 1, dtype=torch.long)), expected)


def test_ignored_pixels_have_no_gradient_and_nothing_is_no_nan():
    logits, target = case()
    target[0] = 255
    loss = build()(logits, target)
    torch.testing.assert_close(loss, build()(logits[1:], target[1:]))
    loss.backward()
    assert logits.grad[0].abs().sum() == 0 and logits.grad[1].abs().sum() > 0
    assert build()(logits, torch.full_like(target, 255)) == 0


def test_a_negative_focus_is_refused():
    with pytest.raises(ValueError, match='gamma must not be negative, found -1'):
        build(gamma=-1)
