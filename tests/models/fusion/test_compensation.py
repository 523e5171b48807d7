import torch
from testers import assert_gradient_reaches_everything, generator

from rscc.models.fusion.compensation import DifferenceCompensation


def build():
    torch.manual_seed(0)
    return DifferenceCompensation(6, channels=8, reduction=4)


def maps(*channels):
    draw = generator()
    return [torch.randn(2, width, 5, 4, generator=draw) for width in channels]


def test_the_level_keeps_its_size_and_every_parameter_learns():
    layer = build()
    out = layer(*maps(6, 6, 8))
    assert out.shape == (2, 8, 5, 4) and out.min() >= 0
    assert_gradient_reaches_everything(layer, out.square().sum())


@torch.no_grad()
def test_the_gate_is_half_where_dates_agree_and_largest_where_they_are_opposite():
    img_from, = maps(6)
    same, opposite = (DifferenceCompensation.gate(img_from, other)
                      for other in (img_from, -img_from))
    torch.testing.assert_close(same, torch.full((2, 1, 5, 4), 0.5))
    torch.testing.assert_close(opposite, torch.full((2, 1, 5, 4), 2.0).sigmoid())


@torch.no_grad()
def test_exchanged_dates_give_the_same_features():
    layer, (img_from, img_to, fused) = build(), maps(6, 6, 8)
    torch.testing.assert_close(layer(img_from, img_to, fused), layer(img_to, img_from, fused))
