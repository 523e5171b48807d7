"""Attention: torch's answers, no copies of weights in bfloat16, and heads of another width."""
import copy

import pytest
import torch
import torch.nn.functional as F
from fake_clip import tiny_clip
from tiny_models import JOINT
from torch import nn
from torch.profiler import ProfilerActivity, profile

from rscc.compat import prepare_torchvision
from rscc.models.attention import BatchFirstAttention, InnerAttention, use_batch_first_attention
from rscc.registry import MODELS

TOKENS = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))
MEMORY = torch.randn(2, 7, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def both():
    """Torch's attention and ours with the same weights."""
    torch.manual_seed(0)
    theirs = nn.MultiheadAttention(8, 2, batch_first=True)
    nn.init.normal_(theirs.in_proj_bias)
    ours = copy.deepcopy(theirs)
    use_batch_first_attention(ours)
    assert type(ours) is BatchFirstAttention
    return ours, theirs


SOFT = torch.randn(5, 5, generator=torch.Generator().manual_seed(2))
CAUSAL = torch.ones(5, 5, dtype=torch.bool).triu(1)


@pytest.mark.parametrize(('memory', 'mask'), [
    (TOKENS, None), (TOKENS, SOFT), (TOKENS, CAUSAL), (MEMORY, None)])
@pytest.mark.parametrize('training', [True, False])
def test_values_and_gradients_are_torch_s(both, memory, mask, training):
    found = []
    for attention in both:
        given = TOKENS.clone().requires_grad_()
        asked = given if memory is TOKENS else memory
        values, weights = attention.train(training)(given, asked, asked, need_weights=False,
                                                    attn_mask=mask)
        assert weights is None
        values.square().sum().backward()
        found.append((values, given.grad, attention.in_proj_weight.grad,
                      attention.in_proj_bias.grad))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_without_bias(both):
    torch.manual_seed(0)
    theirs = nn.MultiheadAttention(8, 2, bias=False, batch_first=True)
    ours = copy.deepcopy(theirs)
    use_batch_first_attention(ours)
    for memory in (TOKENS, MEMORY):
        one, other = (layer(TOKENS, memory, memory, need_weights=False)[0]
                      for layer in (ours, theirs))
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_dropout_is_drawn_in_training_alone(both):
    ours, _ = both
    ours.dropout = 0.9
    drawn = [ours(TOKENS, MEMORY, MEMORY, need_weights=False)[0] for _ in range(2)]
    assert not torch.allclose(*drawn)
    ours.eval()
    kept = [ours(TOKENS, MEMORY, MEMORY, need_weights=False)[0] for _ in range(2)]
    assert torch.equal(*kept)


PADDED = torch.tensor([[False] * 7, [False] * 4 + [True] * 3])


@pytest.mark.parametrize('named', [
    {}, dict(need_weights=True, average_attn_weights=False),
    dict(need_weights=False, key_padding_mask=PADDED),
    dict(need_weights=False, attn_mask=torch.zeros(4, 5, 7))])
def test_what_else_torch_offers_it_computes(both, named):
    for one, other in zip(*(layer(TOKENS, MEMORY, MEMORY, **named) for layer in both), strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_other_attentions_are_left_alone():
    kinds = [nn.MultiheadAttention(8, 2), nn.MultiheadAttention(8, 2, batch_first=True, kdim=4),
             nn.MultiheadAttention(8, 2, batch_first=True, add_bias_kv=True),
             nn.MultiheadAttention(8, 2, batch_first=True, add_zero_attn=True)]
    use_batch_first_attention(nn.ModuleList(kinds))
    assert {type(layer) for layer in kinds} == {nn.MultiheadAttention}


def attentions(model):
    """Kinds of attention in a model."""
    return {type(layer) for layer in model.modules() if isinstance(layer, nn.MultiheadAttention)}


@torch.no_grad()
@pytest.mark.parametrize('kind', ['vit', 'resnet'])
def test_a_clip_answers_the_same(kind):
    plain = tiny_clip(kind)
    ours = copy.deepcopy(plain)
    use_batch_first_attention(ours)
    assert attentions(ours) == {BatchFirstAttention}
    images, ids = torch.randn(3, 3, 32, 32), torch.randint(1, 40000, (2, 24))
    for one, other in zip(ours(images, ids), plain(images, ids), strict=True):
        torch.testing.assert_close(one, other)


def products(call):
    """Names of the operators of a call in bfloat16."""
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16), profile(
            activities=[ProfilerActivity.CPU]) as profiled:
        call()
    return {event.key for event in profiled.key_averages()}


@pytest.mark.parametrize('frozen', [True, False])
def test_reduced_precision_copies_no_weights_per_token(both, frozen):
    ours, theirs = (layer.eval().requires_grad_(not frozen) for layer in both)
    ran = [products(lambda layer=layer: layer(TOKENS, TOKENS, TOKENS, need_weights=False))
           for layer in (ours, theirs)]
    assert 'aten::bmm' not in ran[0]
    if frozen and 'aten::bmm' not in ran[1]:
        pytest.skip('this torch has no such copies either way')


def test_encoders_and_fusions_have_no_other_attention():
    model = MODELS.build(copy.deepcopy(JOINT))
    assert attentions(model) <= {BatchFirstAttention}


@torch.no_grad()
@pytest.mark.parametrize('tied', [False, True])
def test_inner_attention_is_that_of_projected_tokens(tied):
    part = InnerAttention(6, 8, 2, tied_values=tied).eval()
    tokens, memory = torch.randn(3, 5, 6), torch.randn(3, 7, 6)
    heads = []
    values = part.key if tied else part.value
    for head in (slice(0, 4), slice(4, 8)):
        query, key, value = (layer(x)[..., head] for layer, x in (
            (part.query, tokens), (part.key, memory), (values, memory)))
        heads.append((query @ key.transpose(1, 2) / 4**0.5).softmax(-1) @ value)
    expected = F.linear(torch.cat(heads, -1), *part.project[0].parameters())
    torch.testing.assert_close(part(tokens, memory), expected)


def test_only_the_last_layer_has_a_bias():
    names = {name for name, _ in InnerAttention(6, 8, 2).named_parameters() if 'bias' in name}
    assert names == {'project.0.bias'}


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValueError, match='num_heads=3 do not divide the 8 channels'):
        InnerAttention(6, 8, 3)


def test_adapters_of_the_output_projection_take_effect(both):
    prepare_torchvision()
    import peft
    ours, _ = both
    before = ours(TOKENS, TOKENS, TOKENS, need_weights=False)[0]
    peft.inject_adapter_in_model(peft.LoraConfig(
        r=2, target_modules=['out_proj'], init_lora_weights=False), ours)
    after = ours(TOKENS, TOKENS, TOKENS, need_weights=False)[0]
    assert not torch.allclose(before, after, atol=1e-3)
