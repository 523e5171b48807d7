import pytest
import torch
import torch.nn.functional as F

from rscc.registry import MODELS

WEIGHTS = [0.3, 1.0, 2.0]


def case():
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 5, generator=draw, requires_grad=True)
    target = torch.randint(0, 3, (2, 4, 5), generator=draw)
    target[0, :2] = 255
    return logits, target


def test_it_is_the_weighted_mean_over_the_pixels_that_count():
    logits, target = case()
    for weights in (None, WEIGHTS):
        loss = MODELS.build(dict(type='CrossEntropyLoss', class_weight=weights, loss_weight=2.0))
        table = None if weights is None else torch.tensor(weights)
        expected = 2 * F.cross_entropy(logits, target, table, ignore_index=255)
        torch.testing.assert_close(loss(logits, target), expected)


def test_pixels_may_be_weighted_and_none_may_count():
    logits, target = case()
    loss = MODELS.build(dict(type='CrossEntropyLoss', class_weight=WEIGHTS))
    torch.testing.assert_close(loss(logits, target, weight=torch.full((2, 4, 5), 3.0)),
                               3 * loss(logits, target))
    assert loss(logits, torch.full_like(target, 255)) == 0


def test_a_head_of_mmsegmentation_takes_it_by_scope():
    head = MODELS.build(dict(
        type='mmseg.FCNHead', in_channels=4, channels=4, num_classes=3, num_convs=1,
        loss_decode=dict(type='rscc.CrossEntropyLoss', class_weight=WEIGHTS)))
    logits, target = case()
    losses = head.loss_by_feat(logits, [_sample(mask) for mask in target])
    expected = F.cross_entropy(logits, target, torch.tensor(WEIGHTS), ignore_index=255)
    torch.testing.assert_close(losses['loss_ce'], expected)


def _sample(mask):
    from mmengine.structures import PixelData

    from rscc.structures import ChangeDataSample
    sample = ChangeDataSample()
    sample.gt_sem_seg = PixelData(data=mask[None])
    return sample


def build(**options):
    return MODELS.build(dict(type='FocalLoss', **options))


def case_focal():
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 5, generator=draw, requires_grad=True)
    return logits, torch.randint(0, 3, (2, 4, 5), generator=draw)


def test_without_focus_it_is_cross_entropy():
    logits, target = case_focal()
    torch.testing.assert_close(build(gamma=0)(logits, target), F.cross_entropy(logits, target))


def test_equation_by_hand():
    p = torch.tensor(0.8)
    logits = torch.stack([p, 1 - p]).log().reshape(1, 2, 1, 1)
    loss = build(gamma=2.0, class_weight=[0.25, 0.75], loss_weight=2.0)
    expected = 2 * 0.25 * 0.2**2 * -p.log()
    torch.testing.assert_close(loss(logits, torch.zeros(1, 1, 1, dtype=torch.long)), expected)


def test_ignored_pixels_have_no_gradient_and_nothing_is_no_nan():
    logits, target = case_focal()
    target[0] = 255
    loss = build()(logits, target)
    torch.testing.assert_close(loss, build()(logits[1:], target[1:]))
    loss.backward()
    assert logits.grad[0].abs().sum() == 0 and logits.grad[1].abs().sum() > 0
    assert build()(logits, torch.full_like(target, 255)) == 0


def test_a_negative_focus_is_refused():
    with pytest.raises(ValueError, match='gamma must not be negative, found -1'):
        build(gamma=-1)
