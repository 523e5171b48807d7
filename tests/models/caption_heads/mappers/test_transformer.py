import pytest
import torch

from rscc.models.caption_heads.mappers.transformer import PrefixAttention, TransformerMapper

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
