import torch
from testers import assert_gradient_reaches_everything, generator

from rscc.models.fusion.context_decoder import ContextDecoder


def build(**options):
    torch.manual_seed(0)
    return ContextDecoder(12, width=16, heads=2, layers=2, **options)


def inputs():
    draw = generator()
    return torch.randn(3, 2, 12, generator=draw), torch.randn(3, 7, 12, generator=draw)


def test_texts_keep_their_shape_and_every_parameter_learns():
    decoder = build(dropout=0.0)
    out = decoder(*inputs())
    assert out.shape == (3, 2, 12)
    assert_gradient_reaches_everything(decoder, out.square().sum())


@torch.no_grad()
def test_the_order_of_the_visual_tokens_does_not_matter_but_their_content_does():
    decoder, (text, visual) = build().eval(), inputs()
    out = decoder(text, visual)
    torch.testing.assert_close(decoder(text, visual.flip(1)), out)
    assert not torch.allclose(decoder(text, visual * visual), out, atol=1e-3)


@torch.no_grad()
def test_dropout_acts_in_training_only():
    decoder, given = build(dropout=0.5), inputs()
    assert not torch.equal(decoder(*given), decoder(*given))
    assert torch.equal(decoder.eval()(*given), decoder(*given))
