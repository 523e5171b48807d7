import pytest
import torch
from testers import WORDS

from rscc.models.diffusion.decoder_denoiser import weights_of_decoder
from rscc.registry import MODELS

N, K, L, M, C, WIDTH, POSITIONS = 2, 3, 5, 7, 8, 6, 9
TINY = dict(type='DecoderDenoiser', channels=C, memory_channels=WIDTH, num_layers=2, num_heads=2,
            feedforward_dims=16, max_positions=POSITIONS)
TOKENIZER = dict(type='WordTokenizer', words=WORDS)


def build(**changes):
    torch.manual_seed(0)
    return MODELS.build(TINY | changes).eval()


def given():
    """Words, levels and the memory of two samples."""
    torch.manual_seed(1)
    return torch.randn(N * K, L, C), torch.rand(N * K), torch.randn(N, M, WIDTH)


def captioner():
    """A head that writes word by word, with weights that differ from those it was made with."""
    torch.manual_seed(2)
    head = MODELS.build(dict(
        type='BlipCaptionHead', tokenizer=TOKENIZER, memory_channels=WIDTH, max_tokens=6,
        config=dict(hidden_size=C, num_hidden_layers=2, intermediate_size=16,
                    num_attention_heads=2, max_position_embeddings=POSITIONS))).eval()
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(torch.randn_like(parameter) / 4)
    return head


@pytest.mark.parametrize('local', [0, 2])
def test_rows_together_get_what_they_get_one_by_one(local):
    denoiser, (words, level, memory) = build(out_channels=11, local_layers=local), given()
    together = denoiser(words, level, denoiser.remember(memory))
    assert together.shape == (N * K, L, 11)
    for row in range(N * K):
        alone = denoiser(words[row:row + 1], level[row:row + 1],
                         denoiser.remember(memory[row // K:row // K + 1]))
        torch.testing.assert_close(together[row:row + 1], alone, atol=1e-5, rtol=1e-4)


def test_words_tell_where_they_look():
    denoiser, (words, level, memory) = build(), given()
    shares = denoiser.look(words, level, denoiser.remember(memory))
    assert shares.shape == (N * K, L, M)
    torch.testing.assert_close(shares.sum(-1), torch.ones(N * K, L))


def test_it_begins_as_the_decoder_looking_both_ways():
    teacher, (_, level, memory) = captioner().decoder, given()
    weights = weights_of_decoder(teacher.state_dict(), POSITIONS)
    denoiser = build(out_channels=teacher.config.vocab_size, local_layers=1)
    own = {name.removeprefix('denoiser.'): value for name, value in weights.items()
           if name.startswith('denoiser.')}
    report = denoiser.load_state_dict(own, strict=False)
    assert report.missing_keys and all(key.startswith('local.') for key in report.missing_keys)
    assert not report.unexpected_keys

    # transformers computes the same where nothing tells it to look back only.
    ids = torch.randint(0, teacher.config.vocab_size, (N, L))
    expected = teacher(input_ids=ids, encoder_hidden_states=memory, is_decoder=False).logits
    found = denoiser(weights['table.weight'][ids], level[:N], denoiser.remember(memory))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_the_mask_begins_as_the_mean_of_the_words():
    table = weights_of_decoder(captioner().decoder.state_dict(), POSITIONS)['table.weight']
    torch.testing.assert_close(table[-1], table[:-1].mean(0))


def test_positions_beyond_the_longest_caption_are_left_out():
    weights = weights_of_decoder(captioner().decoder.state_dict(), 5)
    assert weights['denoiser.positions.weight'].shape == (5, C)


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValueError, match='3 attention heads do not divide a width of 8'):
        build(num_heads=3)
    with pytest.raises(ValueError, match='0 attention heads do not divide'):
        build(num_heads=0)


@pytest.mark.parametrize('option', ['num_layers=0', 'local_layers=-1'])
def test_impossible_numbers_of_layers_are_refused(option):
    name, value = option.split('=')
    with pytest.raises(ValueError, match=f'{option}.*expected 1 or more, and 0 or more'):
        build(**{name: int(value)})
