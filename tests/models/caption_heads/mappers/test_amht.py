import pytest
import torch

from rscc.models.caption_heads.mappers.amht import AMHTMapper
from rscc.models.caption_heads.mappers.transformer import TransformerMapper

SIZES = dict(in_channels=6, out_channels=48, prefix_length=3, num_layers=2, num_heads=4)
WIDTH = 12


@pytest.mark.parametrize('init, bound', [('he3d', 6**0.5 / WIDTH), ('he', (6 / WIDTH)**0.5)])
def test_the_matrices_fill_the_range_of_their_rule(init, bound):
    torch.manual_seed(0)
    for block in AMHTMapper(**SIZES, init=init).blocks:
        largest = block.attn.adaptation.abs().max()
        assert 0.95 * bound < largest <= bound
        assert not block.attn.adaptation_bias.any()


def test_the_published_initialiser_is_torchs_on_three_axes():
    drawn = torch.empty(4, WIDTH, WIDTH)
    torch.nn.init.kaiming_uniform_(drawn, generator=torch.Generator().manual_seed(0))
    assert 0.95 * 6**0.5 / WIDTH < drawn.abs().max() <= 6**0.5 / WIDTH


@torch.no_grad()
def test_identity_starts_as_plain_attention():
    torch.manual_seed(0)
    mapper, vectors = AMHTMapper(**SIZES, init='identity'), torch.randn(2, 6)
    plain = TransformerMapper(**SIZES)
    plain.load_state_dict({name: value for name, value in mapper.state_dict().items()
                           if 'adaptation' not in name})
    assert torch.equal(plain(vectors), mapper(vectors))


@pytest.mark.parametrize('changes', [{}, dict(input_length=5), dict(from_tokens=True),
                                     dict(query_bias=True)])
@torch.no_grad()
def test_folding_loses_nothing(changes):
    torch.manual_seed(0)
    mapper = AMHTMapper(**SIZES, **changes, init='he').eval()
    for parameter in mapper.parameters():
        parameter.add_(torch.randn_like(parameter), alpha=0.1)
    features = torch.randn(2, 7, 6) if 'from_tokens' in changes else torch.randn(2, 6)
    plain = mapper.fold()
    assert type(plain) is TransformerMapper and not plain.training
    torch.testing.assert_close(plain(features), mapper(features), atol=1e-5, rtol=1e-5)
    extra = 2 * 4 * WIDTH**2
    count = sum(value.numel() for value in mapper.parameters())
    assert count - sum(value.numel() for value in plain.parameters()) == extra + 2 * 48 * (
        'query_bias' in changes)


def test_an_unknown_start_names_the_nearest():
    with pytest.raises(ValueError, match=r"no init='identiy'.*Did you mean 'identity'"):
        AMHTMapper(**SIZES, init='identiy')
