import pytest
import torch
from torch import nn
from torch.nn import functional

from rscc.models.diffusion.denoiser_layers import (
    AlignmentBlock,
    FourierFeatures,
    LevelNorm,
    LocalMixing,
    MemoryAttention,
    RefinementLayer,
    WordAttention,
)

N, K, L, M, H, C = 2, 3, 5, 7, 8, 6


@pytest.fixture(autouse=True)
def _same_numbers():
    torch.manual_seed(0)


def words(rows=N * K):
    return torch.randn(rows, L, H)


def test_features_of_a_level_are_its_cosines_and_sines():
    features = FourierFeatures(6)
    levels = torch.tensor([0.0, 0.3, -2.0])
    found = features(levels)
    assert found.shape == (3, 6) and found[0].tolist() == [1, 1, 1, 0, 0, 0]
    angles = 2 * torch.pi * levels[2] * features.frequencies
    torch.testing.assert_close(found[2], torch.cat([angles.cos(), angles.sin()]))


def test_frequencies_are_saved_and_not_learned():
    features, other = FourierFeatures(6), FourierFeatures(6)
    assert not list(features.parameters())
    other.load_state_dict(features.state_dict())
    assert torch.equal(other(torch.ones(1)), features(torch.ones(1)))


def attention(**changes):
    return MemoryAttention(**dict(channels=H, memory_channels=C, num_heads=2, inner_dims=12)
                           | changes)


def test_words_find_the_softmax_of_their_products_with_the_keys():
    module, query, memory = attention(), words(N), torch.randn(N, M, C)
    found = module(query, module.remember(memory))
    heads = []
    for part in range(2):
        rows = slice(6 * part, 6 * part + 6)  # of 12 inner dimensions
        q, k, v = (layer(given)[..., rows] for layer, given in (
            (module.query, query), (module.key, memory), (module.value, memory)))
        heads.append((q @ k.transpose(1, 2) / 6**0.5).softmax(-1) @ v)
    torch.testing.assert_close(found, module.project(torch.cat(heads, -1)))


def test_weights_are_those_that_the_attention_uses():
    remembering, among = attention(), WordAttention(H, 2)
    memory, rows = remembering.remember(torch.randn(N, M, C)), words()
    shares = remembering.weights(rows, memory)
    assert shares.shape == (N * K, 2, L, M)
    values = memory.value.repeat_interleave(K, 0)
    torch.testing.assert_close(remembering.project((shares @ values).transpose(1, 2).flatten(2)),
                               remembering(rows, memory))
    shares, (_, _, values) = among.weights(rows), among._parts(rows)
    torch.testing.assert_close(among.project((shares @ values).transpose(1, 2).flatten(2)),
                               among(rows))


def test_rows_that_share_a_memory_find_what_they_find_one_by_one():
    module, query, memory = attention(), words(), torch.randn(N, M, C)
    together = module(query, module.remember(memory))
    for row in range(N * K):
        alone = module(query[row:row + 1], module.remember(memory[row // K:row // K + 1]))
        torch.testing.assert_close(together[row:row + 1], alone)


def test_a_memory_is_projected_once_and_not_copied_for_its_rows():
    module, seen = attention(), []
    module.key.register_forward_hook(lambda _, given, output: seen.append(output.shape))
    memory = module.remember(torch.randn(N, M, C))
    for _ in range(3):
        module(words(), memory)
    assert seen == [(N, M, 12)]
    assert memory.key.shape == memory.value.shape == (N, 2, M, 6)


def test_width_of_the_heads_is_that_of_the_words_unless_given():
    assert attention(inner_dims=None).project.in_features == H


@pytest.mark.parametrize('make', [
    lambda: attention(num_heads=5), lambda: WordAttention(12, 5),
    lambda: RefinementLayer(12, 5, 16)])
def test_heads_that_do_not_divide_the_width_are_refused(make):
    with pytest.raises(ValueError, match='5 attention heads do not divide a width of 12'):
        make()


def test_attention_drops_weights_in_training_only():
    module = attention(dropout=0.5)
    query, memory = words(N), module.remember(torch.randn(N, M, C))
    assert not torch.equal(module(query, memory), module(query, memory))
    module.eval()
    assert torch.equal(module(query, memory), module(query, memory))


def test_words_attend_to_one_another_as_in_pytorch():
    ours, theirs = WordAttention(H, 2), nn.MultiheadAttention(H, 2, batch_first=True)
    theirs.in_proj_weight, theirs.in_proj_bias = ours.query_key_value.parameters()
    theirs.out_proj.weight, theirs.out_proj.bias = ours.project.parameters()
    query = words()
    torch.testing.assert_close(ours(query), theirs(query, query, query)[0])


def test_an_adaptive_norm_starts_as_a_plain_one():
    adaptive, level = LevelNorm(H, level_dims=4), torch.randn(N * K, 4)
    query = words()
    assert torch.equal(adaptive(query, level), functional.layer_norm(query, [H]))
    assert torch.equal(LevelNorm(H)(query), functional.layer_norm(query, [H]))


def test_an_adaptive_norm_scales_and_shifts_every_row_by_its_own_level():
    adaptive, level, query = LevelNorm(H, level_dims=4), torch.randn(N * K, 4), words()
    nn.init.normal_(adaptive.modulation.weight)
    scale, shift = adaptive.modulation(functional.silu(level)).chunk(2, -1)
    expected = functional.layer_norm(query, [H]) * (1 + scale[:, None]) + shift[:, None]
    torch.testing.assert_close(adaptive(query, level), expected)


@pytest.mark.parametrize('residual', [False, True])
def test_only_a_residual_carries_words_past_a_memory_that_is_the_same_everywhere(residual):
    block = AlignmentBlock(attention(), H, 16, residual=residual)
    memory = block.remember(torch.randn(N, 1, C).expand(N, M, C))
    one, other = block(words(N), memory), block(words(N), memory)
    assert torch.allclose(one, other, atol=1e-5) != residual
    spread = (one - one[:, :1]).abs().max()
    assert (spread < 1e-5) != residual


def test_the_block_adds_its_perceptron_and_normalises():
    block, query = AlignmentBlock(attention(), H, 16).eval(), words()
    memory = block.remember(torch.randn(N, M, C))
    found = block.attention(query, memory)
    torch.testing.assert_close(block(query, memory), block.norm(found + block.feed_forward(found)))


def test_a_convolution_mixes_a_word_with_its_neighbours_alone():
    mixing, query = LocalMixing(H, kernel_size=3), words(1)
    other = query.clone()
    other[0, 1] += torch.randn(H)
    differs = (mixing(query) != mixing(other)).any(2)
    assert mixing(query).shape == query.shape
    assert differs.tolist() == [[True, True, True, False, False]]


def as_pytorch(ours, theirs):
    """Give a layer of PyTorch the weights of ours."""
    theirs.self_attn.in_proj_weight, theirs.self_attn.in_proj_bias = (
        ours.word_attention.query_key_value.parameters())
    theirs.self_attn.out_proj = ours.word_attention.project
    theirs.linear1, theirs.linear2 = ours.feed_forward[0], ours.feed_forward[2]
    for number, norm in enumerate(ours.norms, 1):
        setattr(theirs, f'norm{number}', norm)
    return theirs


@pytest.mark.parametrize('norm_first', [False, True])
def test_a_layer_is_the_transformer_layer_of_pytorch(norm_first):
    ours = RefinementLayer(H, 2, 16, norm_first=norm_first)
    theirs = as_pytorch(ours, nn.TransformerEncoderLayer(
        H, 2, 16, 0.0, functional.gelu, batch_first=True, norm_first=norm_first))
    query = words()
    torch.testing.assert_close(ours(query), theirs(query))


@pytest.mark.parametrize('norm_first', [False, True])
def test_a_layer_with_a_memory_is_the_decoder_layer_of_pytorch(norm_first):
    look = MemoryAttention(H, H, 2)
    ours = RefinementLayer(H, 2, 16, memory_attention=look, norm_first=norm_first)
    theirs = as_pytorch(ours, nn.TransformerDecoderLayer(
        H, 2, 16, 0.0, functional.gelu, batch_first=True, norm_first=norm_first))
    theirs.multihead_attn.in_proj_weight = nn.Parameter(
        torch.cat([layer.weight for layer in (look.query, look.key, look.value)]))
    theirs.multihead_attn.in_proj_bias = nn.Parameter(
        torch.cat([layer.bias for layer in (look.query, look.key, look.value)]))
    theirs.multihead_attn.out_proj = look.project
    query, memory = words(N), torch.randn(N, M, H)
    torch.testing.assert_close(ours(query, ours.remember(memory)), theirs(query, memory))
