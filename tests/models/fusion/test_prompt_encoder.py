import copy

import pytest
import torch
from fake_siglip import options_of, save_siglip

from rscc.models.fusion.prompt_encoder import PromptEncoder

TINY = dict(text_encoder=dict(type='CLIPTextEncoder', width=16, heads=2, layers=2, embed_dim=12),
            contexts=3)
NAMES = [[['road', 'lake'], ['road']], [['road'], []]]


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return PromptEncoder(**TINY).eval()


def test_each_image_gets_a_background_and_a_foreground_sentence(encoder):
    assert encoder.sentences(['road', 'lake']) == [
        'remote sensing image background objects',
        'remote sensing image foreground objects, road, lake']
    assert encoder.sentences([])[1] == 'remote sensing image foreground objects'
    embedded = encoder(NAMES)
    assert embedded.shape == (2, 2, 2, 12)
    assert torch.equal(embedded[0, 1], embedded[1, 0])
    assert not torch.allclose(embedded[0, 0, 1], embedded[0, 1, 1])
    assert torch.equal(embedded[:, :, 0], embedded[:1, :1, 0].expand(2, 2, -1))


def test_each_distinct_sentence_of_a_batch_is_encoded_once(encoder):
    encoder.train()(NAMES)
    assert encoder.encoded == 4  # background, "road, lake", "road", and no names
    encoder.deduplicate = False
    encoder(NAMES)
    assert encoder.encoded == 4 + 8


def test_sharing_an_encoding_changes_neither_values_nor_gradients(encoder):
    values, gradients = [], []
    for encoder.deduplicate in (True, False):
        encoder.zero_grad()
        values.append(encoder(NAMES))
        (values[-1]**2 * torch.arange(12)).sum().backward()
        gradients.append([p.grad.clone() for p in encoder.parameters()])
    torch.testing.assert_close(*values)
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_positions_after_the_last_end_token_change_nothing(encoder):
    short = encoder(NAMES)
    encoder.truncate = False
    torch.testing.assert_close(encoder(NAMES), short)


@torch.no_grad()
def test_a_sentence_is_encoded_once_at_inference(encoder):
    first = encoder(NAMES)
    again = encoder([[['lake'], ['road']]])
    assert encoder.encoded == 4 + 1
    assert torch.equal(again[0, 1], first[0, 1])


@torch.no_grad()
def test_the_oldest_sentences_are_forgotten_first(encoder):
    encoder.cache_size = 2
    full = encoder(NAMES)
    torch.testing.assert_close(encoder(NAMES), full)
    assert len(encoder._cache) == 2
    encoder.cache_size = 0
    encoder.encoded = 0
    encoder(NAMES)
    encoder(NAMES)
    assert encoder.encoded == 8


@torch.no_grad()
@pytest.mark.parametrize('change', [
    lambda encoder: encoder.train().eval(),
    lambda encoder: encoder.load_state_dict(
        {name: value * 1.5 for name, value in encoder.state_dict().items()}),
    lambda encoder: encoder.double(),
    lambda encoder: encoder.clear_cache()])
def test_what_may_change_the_weights_empties_the_memory(encoder, change):
    encoder(NAMES)
    change(encoder)
    assert len(encoder._cache) == 0
    other = copy.deepcopy(encoder)
    other.clear_cache()
    assert torch.equal(encoder(NAMES), other(NAMES))


@torch.no_grad()
def test_reduced_precision_is_remembered_apart(encoder):
    with torch.autocast('cpu', torch.bfloat16):
        encoder(NAMES)
    exact = encoder(NAMES)
    assert exact.dtype == torch.float32
    encoder.clear_cache()
    assert torch.equal(encoder(NAMES), exact)


def test_nothing_is_remembered_while_gradients_are_recorded(encoder):
    encoder(NAMES)
    assert len(encoder._cache) == 0


def test_a_sentence_longer_than_the_context_is_refused(encoder):
    with pytest.raises(ValueError, match='64'):
        encoder([[['storage tanks'] * 40]])


def test_context_tokens_may_be_left_out():
    encoder = PromptEncoder(**TINY | dict(contexts=0))
    assert encoder.contexts is None and encoder(NAMES).shape == (2, 2, 2, 12)


@pytest.fixture
def siglip(tmp_path):
    pytest.importorskip('sentencepiece')
    model = save_siglip(tmp_path / 'siglip')
    return dict(text_encoder=options_of(model), contexts=13, tokenizer=dict(
        type='SiglipTokenizer', pretrained=str(tmp_path / 'siglip'), context_length=51))


def test_siglips_texts_are_embedded_alike_and_remembered(siglip):
    encoder = PromptEncoder(**siglip).eval()
    with torch.no_grad():
        first = encoder(NAMES)
        assert first.shape == (2, 2, 2, 32) and torch.equal(first, encoder(NAMES))
    assert encoder.encoded == 4
    encoder.train()(NAMES).square().sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())


def test_contexts_and_tokens_without_room_are_refused_when_built(siglip):
    siglip['tokenizer']['context_length'] = 64
    with pytest.raises(ValueError, match=(
            r'SiglipTokenizer gives up to 64 tokens \(context_length\), and 13 contexts leave 51 '
            'of the 64 positions of SiglipTextEncoder: set context_length=51')):
        PromptEncoder(**siglip)
    with pytest.raises(ValueError, match=r'CLIPTokenizer gives up to 64 tokens .* leave 63 of'):
        PromptEncoder(**(TINY | dict(contexts=14)))


def test_a_tokenizer_of_another_family_is_refused(siglip):
    message = r'knows \d+ token ids of {}, and {} gives \d+ of {}: give prompt_encoder the'
    with pytest.raises(ValueError, match=message.format('siglip', 'CLIPTokenizer', 'clip')):
        PromptEncoder(siglip['text_encoder'])
    with pytest.raises(ValueError, match=message.format('clip', 'SiglipTokenizer', 'siglip')):
        PromptEncoder(TINY['text_encoder'], tokenizer=siglip['tokenizer'])


def test_a_text_encoder_with_fewer_ids_than_the_tokenizer_is_refused(siglip):
    siglip['text_encoder']['vocab_size'] = 20
    with pytest.raises(ValueError, match='SiglipTextEncoder knows 20 token ids'):
        PromptEncoder(**siglip)
