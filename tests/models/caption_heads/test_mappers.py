import pytest
import torch

from rscc.models.caption_heads.mappers import (
    AMHTMapper,
    MLPMapper,
    PrefixAttention,
    ProjectionMapper,
    TransformerMapper,
)


def test_shapes_and_the_default_width():
    mapper = MLPMapper(6, 5, 3)
    assert mapper(torch.zeros(2, 6)).shape == (2, 3, 5)
    assert mapper.layers[0].out_features == 7  # half of 15, rounded down


def test_without_a_hidden_layer_it_is_linear():
    mapper = MLPMapper(6, 4, 3, hidden_channels=0)
    assert len(mapper.layers) == 1 and mapper(torch.zeros(2, 6)).shape == (2, 3, 4)


def test_tokens_are_refused_with_what_takes_them():
    with pytest.raises(ValueError, match="not source='tokens': take TransformerMapper"):
        MLPMapper(6, 4, 3, from_tokens=True)


SIZES = dict(in_channels=6, out_channels=8, prefix_length=3, num_layers=2, num_heads=2)


def test_a_vector_is_spread_over_tokens():
    mapper = TransformerMapper(**SIZES, input_length=5)
    vectors = torch.randn(2, 6)
    assert mapper.tokens(vectors).shape == (2, 8, 8)
    assert torch.equal(mapper.tokens(vectors)[0, 5:], mapper.constant)
    assert mapper(vectors).shape == (2, 3, 8)


@torch.no_grad()
def test_tokens_bring_their_own_number_and_their_order_does_not_matter():
    torch.manual_seed(0)
    mapper, tokens = TransformerMapper(**SIZES, from_tokens=True), torch.randn(2, 7, 6)
    assert mapper(tokens).shape == (2, 3, 8)
    torch.testing.assert_close(mapper(tokens.flip(1)), mapper(tokens))
    assert not torch.allclose(mapper(tokens[:, :4]), mapper(tokens))


@torch.no_grad()
def test_attention_maps_are_what_the_layer_attends_by():
    torch.manual_seed(0)
    attention, tokens = PrefixAttention(8, 2, query_bias=True), torch.randn(2, 5, 8)
    maps = attention.maps(tokens)
    torch.testing.assert_close(maps.sum(3), torch.ones(2, 2, 5))
    value = attention.key_value(tokens)[..., 8:].unflatten(2, (2, 4)).transpose(1, 2)
    expected = attention.project((maps @ value).transpose(1, 2).flatten(2))
    torch.testing.assert_close(attention(tokens), expected)


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValueError, match=r'num_heads=3 does not divide .* width 8'):
        TransformerMapper(**SIZES | dict(num_heads=3))


def test_a_length_for_tokens_is_refused():
    with pytest.raises(ValueError, match='input_length=4 spreads a vector over tokens'):
        TransformerMapper(**SIZES, input_length=4, from_tokens=True)


SIZES_AMHT = dict(in_channels=6, out_channels=48, prefix_length=3, num_layers=2, num_heads=4)
WIDTH = 12


@pytest.mark.parametrize('init, bound', [('he3d', 6**0.5 / WIDTH), ('he', (6 / WIDTH)**0.5)])
def test_the_matrices_fill_the_range_of_their_rule(init, bound):
    torch.manual_seed(0)
    for block in AMHTMapper(**SIZES_AMHT, init=init).blocks:
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
    mapper, vectors = AMHTMapper(**SIZES_AMHT, init='identity'), torch.randn(2, 6)
    plain = TransformerMapper(**SIZES_AMHT)
    plain.load_state_dict({name: value for name, value in mapper.state_dict().items()
                           if 'adaptation' not in name})
    assert torch.equal(plain(vectors), mapper(vectors))


@pytest.mark.parametrize('changes', [{}, dict(input_length=5), dict(from_tokens=True),
                                     dict(query_bias=True)])
@torch.no_grad()
def test_folding_loses_nothing(changes):
    torch.manual_seed(0)
    mapper = AMHTMapper(**SIZES_AMHT, **changes, init='he').eval()
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
        AMHTMapper(**SIZES_AMHT, init='identiy')


def test_every_token_is_projected_by_itself():
    mapper, tokens = ProjectionMapper(6, 8, 3), torch.randn(2, 3, 6)
    assert mapper.layers[0].out_features == 8
    prefix = mapper(tokens)
    assert prefix.shape == (2, 3, 8)
    torch.testing.assert_close(mapper(tokens.flip(1)), prefix.flip(1))
    assert len(ProjectionMapper(6, 8, 3, hidden_channels=0).layers) == 1


def test_tokens_are_as_many_as_the_prefix_is_long():
    with pytest.raises(ValueError, match=r'each of 4 tokens, and prefix_length=3: .*num_queries'):
        ProjectionMapper(6, 8, 3)(torch.zeros(1, 4, 6))
    with pytest.raises(ValueError, match="not source='pooled': set source='tokens'"):
        ProjectionMapper(6, 8, 3, from_tokens=False)
