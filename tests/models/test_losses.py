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


def dice(**options):
    return MODELS.build(dict(type='DiceLoss', **options))


def logits_of(*probabilities):
    """One row of pixels, (1, 1, 1, W), whose probabilities of "changed" are given."""
    return torch.tensor(probabilities).logit().reshape(1, 1, 1, -1)


def test_dice_by_hand():
    target = torch.tensor([[[1, 0, 1]]])
    # Overlap .8 + .4, sums 1.5 and 2: 1 - (2 * 1.2 + 1) / (3.5 + 1).
    loss = dice()(logits_of(0.8, 0.3, 0.4), target)
    torch.testing.assert_close(loss, torch.tensor(1 - 3.4 / 4.5))
    loss = dice(smooth=0.5, loss_weight=2.0)(logits_of(0.8, 0.3, 0.4), target)
    torch.testing.assert_close(loss, torch.tensor(2 * (1 - 2.9 / 4.0)))


def test_dice_is_one_quotient_of_the_whole_batch():
    logits = torch.cat([logits_of(0.8, 0.3), logits_of(0.1, 0.2)])
    target = torch.tensor([[[1, 0]], [[0, 0]]])
    # Overlap .8, sums 1.4 and 1; image by image it would be the mean of 2.6 / 3.1 and 1 / 1.3.
    torch.testing.assert_close(dice()(logits, target), torch.tensor(1 - 2.6 / 3.4))


def test_dice_counts_no_pixel_that_is_ignored_and_as_much_of_one_as_it_weighs():
    logits = logits_of(0.8, 0.3, 0.9).requires_grad_()
    loss = dice()(logits, torch.tensor([[[1, 0, 255]]]))
    torch.testing.assert_close(loss, dice()(logits_of(0.8, 0.3), torch.tensor([[[1, 0]]])))
    loss.backward()
    assert logits.grad[..., 2] == 0 and logits.grad[..., 0] < 0 < logits.grad[..., 1]
    assert dice()(logits, torch.full((1, 1, 3), 255)) == 0
    # Half of the second pixel: overlap .8, sums .8 + .15 and 1.
    weighed = dice()(logits_of(0.8, 0.3), torch.tensor([[[1, 0]]]),
                     weight=torch.tensor([[[1.0, 0.5]]]))
    torch.testing.assert_close(weighed, torch.tensor(1 - 2.6 / 2.95))


def test_dice_of_a_batch_without_a_change_falls_as_nothing_is_predicted():
    target = torch.zeros(1, 1, 2, dtype=torch.long)
    torch.testing.assert_close(dice()(logits_of(0.5, 0.5), target), torch.tensor(0.5))
    assert dice()(torch.full((1, 1, 1, 2), -30.0), target) < 1e-6


def test_dice_of_mmsegmentation_takes_unchanged_for_the_foreground():
    theirs = MODELS.build(dict(type='mmseg.DiceLoss', naive_dice=True, eps=1.0))
    logits = logits_of(0.8, 0.3, 0.4)
    target = torch.tensor([[[1, 0, 1]]])
    torch.testing.assert_close(theirs(logits, target), dice()(logits, 1 - target))


@pytest.mark.parametrize(('call', 'told'), [
    (lambda: dice(smooth=0), 'smooth must be positive, found 0'),
    (lambda: dice()(torch.zeros(1, 3, 1, 1), torch.zeros(1, 1, 1)),
     'one or two logits a pixel, found 3 channels: set num_classes=2')])
def test_dice_of_something_else_is_refused(call, told):
    with pytest.raises(ValueError, match=told):
        call()


def test_dice_of_two_logits_is_that_of_their_difference():
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 2, 4, 5, generator=draw)
    target = torch.randint(0, 2, (2, 4, 5), generator=draw)
    torch.testing.assert_close(dice()(logits, target),
                               dice()(logits[:, 1:] - logits[:, :1], target))


def test_a_head_of_mmsegmentation_learns_one_logit_by_dice():
    head = MODELS.build(dict(
        type='mmseg.FCNHead', in_channels=4, channels=4, num_classes=2, out_channels=1,
        threshold=0.5, num_convs=1, loss_decode=dict(type='rscc.DiceLoss')))
    logits = torch.randn(2, 1, 4, 5, generator=torch.Generator().manual_seed(0))
    target = torch.randint(0, 2, (2, 4, 5), generator=torch.Generator().manual_seed(0))
    losses = head.loss_by_feat(logits, [_sample(mask) for mask in target])
    torch.testing.assert_close(losses['loss_dice'], dice()(logits, target))


def test_what_is_absent_costs_the_probability_of_the_absent_classes():
    loss = MODELS.build(dict(type='CrossEntropyLoss', absent={254: (1,)}))
    logits = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    target = torch.full((1, 4, 4), 254)
    expected = -(1 - logits.softmax(1)[:, 1]).log().mean()
    torch.testing.assert_close(loss(logits, target), expected)


def test_absent_and_known_pixels_are_averaged_by_their_weights():
    loss = MODELS.build(dict(type='CrossEntropyLoss', class_weight=[0.5, 2.0, 1.0],
                             absent={254: (1,)}))
    logits = torch.randn(1, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    target = torch.tensor([[[254, 1], [255, 2]]])
    chances = logits.softmax(1)[0]
    costs = [-0.5 * (1 - chances[1, 0, 0]).log(), -2 * chances[1, 0, 1].log(),
             -chances[2, 1, 1].log()]
    torch.testing.assert_close(loss(logits, target), sum(costs) / 3.5)


def agreement(earlier, later, changed, **options):
    """SemanticConsistencyLoss of one row of pixels with the probabilities given, classes first."""
    logits = [torch.tensor(chances).log()[None, :, None] for chances in (earlier, later)]
    loss = MODELS.build(dict(type='SemanticConsistencyLoss', **options))
    return float(loss(*logits, torch.tensor([[changed]])))


def test_agreement_draws_unchanged_pixels_together_and_changed_ones_apart():
    # Three pixels: the same distribution, nearly opposite ones, and 0.6/0.4 against 0.4/0.6.
    earlier, later = [[0.9, 0.999, 0.6], [0.1, 0.001, 0.4]], [[0.9, 0.001, 0.4], [0.1, 0.999, 0.6]]
    far, near = 2 * 0.999 * 0.001 / (0.999**2 + 0.001**2), 0.48 / 0.52
    assert agreement(earlier, later, [0, 0, 0]) == pytest.approx(
        (0 + 1 - far + 1 - near) / 3, abs=1e-5)
    assert agreement(earlier, later, [1, 1, 1]) == pytest.approx((1 + far + near) / 3, abs=1e-5)
    assert agreement(earlier, later, [1, 1, 1], margin=0.1) == pytest.approx(
        (0.9 + 0 + near - 0.1) / 3, abs=1e-5)
    assert agreement(earlier, later, [0, 1, 255], loss_weight=2) == pytest.approx(far, abs=1e-5)
    assert agreement(earlier, later, [255, 255, 255]) == 0
