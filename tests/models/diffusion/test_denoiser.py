import pytest
import torch

from rscc.models.diffusion.denoiser import ChangeDenoiser
from rscc.registry import MODELS

N, K, L, M, C, WIDTH = 2, 3, 5, 7, 4, 6
TINY = dict(channels=C, memory_channels=WIDTH, hidden_dims=8, num_layers=2, num_heads=2,
            feedforward_dims=16, max_positions=9, alignment_heads=2, alignment_dims=12,
            alignment_feedforward=10)
OPTIONS = {
    'published': {}, 'residual': dict(residual=True), 'adaptive': dict(adaptive_norm=True),
    'every layer': dict(alignment='every_layer'), 'twice': dict(self_conditioning=True),
    'local': dict(local_layers=1),
    'all': dict(alignment='every_layer', adaptive_norm=True, self_conditioning=True,
                local_layers=2, out_channels=11)}


def build(seed=0, **changes):
    torch.manual_seed(seed)
    return MODELS.build(dict(type='ChangeDenoiser') | TINY | changes)


def given(rows=N * K):
    """Words, levels and the memory of two samples."""
    torch.manual_seed(1)
    return torch.randn(rows, L, C), torch.randn(rows), torch.randn(N, M, WIDTH)


@pytest.mark.parametrize('options', OPTIONS.values(), ids=OPTIONS)
def test_rows_together_get_what_they_get_one_by_one(options):
    denoiser, (words, level, memory) = build(**options).eval(), given()
    together = denoiser(words, level, denoiser.remember(memory))
    assert together.shape == (N * K, L, options.get('out_channels', C))
    for row in range(N * K):
        alone = denoiser(words[row:row + 1], level[row:row + 1],
                         denoiser.remember(memory[row // K:row // K + 1]))
        torch.testing.assert_close(together[row:row + 1], alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize('options', OPTIONS.values(), ids=OPTIONS)
def test_words_tell_where_they_look_in_the_memory_of_their_own_sample(options):
    denoiser, (words, level, memory) = build(**options).eval(), given()
    before = denoiser(words, level, denoiser.remember(memory))
    shares = denoiser.look(words, level, denoiser.remember(memory))
    assert shares.shape == (N * K, L, M)
    torch.testing.assert_close(shares.sum(-1), torch.ones(N * K, L))
    alone = denoiser.look(words[K:K + 1], level[K:K + 1], denoiser.remember(memory[1:]))
    torch.testing.assert_close(shares[K:K + 1], alone, atol=1e-5, rtol=1e-4)
    # Looking leaves nothing behind.
    assert torch.equal(denoiser(words, level, denoiser.remember(memory)), before)


def test_a_word_looks_where_the_keys_are():
    denoiser, (words, level, memory) = build().eval(), given()
    attention = denoiser.alignment.attention
    for part in (attention.query, attention.key):
        torch.nn.init.zeros_(part.weight)
        torch.nn.init.constant_(part.bias, 4.0)
    memory.zero_()[:, 2] = 1.0
    torch.nn.init.constant_(attention.key.weight, 4.0)  # token 2 alone has a larger key
    shares = denoiser.look(words, level, denoiser.remember(memory))
    assert (shares.argmax(-1) == 2).all() and (shares[..., 2] > 0.99).all()


@pytest.mark.parametrize('options', OPTIONS.values(), ids=OPTIONS)
def test_gradient_reaches_every_parameter_and_the_memory(options):
    denoiser, (words, level, memory) = build(**options), given()
    memory.requires_grad_()
    denoiser(words, level, denoiser.remember(memory)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in denoiser.parameters())
    assert memory.grad.abs().sum() > 0


@pytest.mark.parametrize('options', OPTIONS.values(), ids=OPTIONS)
def test_what_is_remembered_serves_any_number_of_calls(options):
    denoiser, (words, level, memory) = build(**options).eval(), given()
    memories = denoiser.remember(memory)
    assert len(memories) == (2 if options.get('alignment') else 1)
    first = denoiser(words, level, memories)
    denoiser(-words, level + 1, memories)
    assert torch.equal(denoiser(words, level, memories), first)


def answers(denoiser, words, level, memory):
    return denoiser(words, level, denoiser.remember(memory))


@pytest.mark.parametrize('options', OPTIONS.values(), ids=OPTIONS)
def test_words_levels_places_and_memory_all_matter(options):
    denoiser, (words, level, memory) = build(**options).eval(), given()
    first = answers(denoiser, words, level, memory)
    for other in ((words + 1, level, memory), (words, level + 0.1, memory),
                  (words, level, memory.flip(0))):
        assert not torch.allclose(answers(denoiser, *other), first, atol=1e-4)
    same = words[:, :1].expand_as(words)  # the same word everywhere
    placed = answers(denoiser, same, level, memory)
    assert not torch.allclose(placed[:, 0], placed[:, 1], atol=1e-4)


def test_as_published_two_equal_images_hide_the_words_and_the_level():
    denoiser, (words, level, _) = build().eval(), given()
    nothing = torch.zeros(N, M, WIDTH)
    first = answers(denoiser, words, level, nothing)
    torch.testing.assert_close(answers(denoiser, words + 1, level + 1, nothing), first)
    for options in (dict(residual=True), dict(alignment='every_layer')):
        better = build(**options).eval()
        first = answers(better, words, level, nothing)
        assert not torch.allclose(answers(better, words + 1, level, nothing), first, atol=1e-3)


def test_no_estimate_yet_is_one_of_zeros():
    denoiser, (words, level, memory) = build(self_conditioning=True).eval(), given()
    memories = denoiser.remember(memory)
    first = denoiser(words, level, memories)
    assert torch.equal(denoiser(words, level, memories, torch.zeros_like(words)), first)
    assert not torch.allclose(denoiser(words, level, memories, words), first, atol=1e-4)


def test_adaptive_norms_start_as_plain_ones():
    plain, adaptive = build().eval(), build(adaptive_norm=True).eval()
    missing, unexpected = adaptive.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected and missing and all('modulation' in name for name in missing)
    assert torch.equal(answers(adaptive, *given()), answers(plain, *given()))


def test_the_defaults_are_the_published_network():
    with torch.device('meta'):
        denoiser = ChangeDenoiser(channels=16, memory_channels=1024)
    sizes = {'alignment': 7.55, 'layers': 21.26, 'positions': 0.39, 'level_in': 0.59}
    for name, millions in sizes.items():
        found = sum(parameter.numel() for parameter in getattr(denoiser, name).parameters())
        assert found / 1e6 == pytest.approx(millions, abs=0.005), name
    assert not denoiser.alignment.residual and not denoiser.layers[0].norm_first


@pytest.mark.parametrize('changes, message', [
    (dict(alignment='every_layers'), r"alignment='every_layers' is none of \['once', "
     r"'every_layer'\]. Did you mean 'every_layer'"),
    (dict(num_heads=3), '3 attention heads do not divide a width of 8'),
    (dict(alignment_heads=5), '5 attention heads do not divide a width of 12'),
    (dict(alignment='every_layer', alignment_heads=5), '5 attention heads do not divide')])
def test_what_cannot_be_built_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        build(**changes)
