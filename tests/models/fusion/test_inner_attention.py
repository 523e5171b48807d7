import pytest
import torch
from torch.nn import functional

from rscc.models.fusion.inner_attention import InnerAttention


@torch.no_grad()
@pytest.mark.parametrize('tied', [False, True])
def test_it_is_attention_of_projected_tokens(tied):
    part = InnerAttention(6, 8, 2, tied_values=tied).eval()
    tokens, memory = torch.randn(3, 5, 6), torch.randn(3, 7, 6)
    heads = []
    values = part.key if tied else part.value
    for head in (slice(0, 4), slice(4, 8)):
        query, key, value = (layer(x)[..., head] for layer, x in (
            (part.query, tokens), (part.key, memory), (values, memory)))
        heads.append((query @ key.transpose(1, 2) / 4**0.5).softmax(-1) @ value)
    expected = functional.linear(torch.cat(heads, -1), *part.project[0].parameters())
    torch.testing.assert_close(part(tokens, memory), expected)


def test_only_the_last_layer_has_a_bias():
    names = {name for name, _ in InnerAttention(6, 8, 2).named_parameters() if 'bias' in name}
    assert names == {'project.0.bias'}


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValueError, match='num_heads=3 do not divide the 8 channels'):
        InnerAttention(6, 8, 3)
