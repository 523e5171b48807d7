import pytest
import torch
from changeclip_records import EXACT, below, full_size, recorded_model, shapes
from torch import nn

from rscc import compat
from rscc.registry import MODELS

TINY = dict(type='CLIPTextEncoder', context_length=20, vocab_size=50, width=16, heads=2, layers=2,
            embed_dim=8)
IDS = torch.tensor([[48, 3, 49, 0, 0, 0, 0, 0], [48, 5, 6, 7, 49, 0, 0, 0]])


def build(**options):
    torch.manual_seed(0)
    return MODELS.build(TINY | options).eval()


@pytest.mark.parametrize('name', ['rn50_tiny', 'vit_tiny'])
def test_the_original_is_reproduced(name):
    record = recorded_model(name)
    config = record.config['text_encoder']
    encoder = MODELS.build(dict(
        type='CLIPTextEncoder', context_length=config['context_length'],
        vocab_size=config['vocab_size'], width=config['transformer_width'],
        heads=config['transformer_heads'], layers=config['transformer_layers'],
        embed_dim=config['embed_dim'])).eval()
    encoder.load_state_dict(below(record.weights, 'text_encoder.'))
    contexts = record.weights['contexts2'][0, 0]
    for date in 'AB':
        ids = record.arrays[f'tokens_{date}']
        with torch.no_grad():
            encoded = encoder(ids.flatten(0, 1), contexts).unflatten(0, ids.shape[:2])
        torch.testing.assert_close(encoded, record.arrays[f'text_feat_{date}'], **EXACT)


@pytest.mark.parametrize(('name', 'width'), [('rn50', 1024), ('vit_b16', 512)])
def test_weights_have_the_names_and_shapes_of_the_full_original(name, width):
    with torch.device('meta'):
        encoder = MODELS.build(dict(type='CLIPTextEncoder', embed_dim=width))
    assert shapes(encoder) == below(full_size(f'state_dict_{name}.json'), 'text_encoder.')


@torch.no_grad()
def test_without_contexts_it_is_clips_own_tower():
    encoder = build()
    transformer = compat.import_open_clip('transformer')
    tower = transformer.TextTransformer(
        context_length=20, vocab_size=50, width=16, heads=2, layers=2, output_dim=8,
        act_layer=transformer.QuickGELU).eval()
    tower.load_state_dict(encoder.state_dict())
    padded = nn.functional.pad(IDS, (0, 12))
    torch.testing.assert_close(encoder(IDS), tower(padded))


@torch.no_grad()
def test_nothing_after_the_last_end_token_is_computed_or_matters():
    encoder, contexts, lengths = build(), torch.randn(3, 16), []
    encoder.transformer.register_forward_hook(
        lambda _module, _inputs, output: lengths.append(output.shape[1]))
    padded = nn.functional.pad(IDS, (0, 9))
    noisy = padded.clone()
    noisy[:, 5:] = 9
    torch.testing.assert_close(encoder(padded, contexts), encoder(noisy, contexts))
    torch.testing.assert_close(encoder(padded[:1], contexts), encoder(padded, contexts)[:1])
    assert lengths == [8, 8, 6, 8]


def test_contexts_are_learned_and_stand_between_start_and_words():
    encoder, contexts = build(), torch.randn(3, 16, requires_grad=True)
    taken = []
    encoder.transformer.register_forward_pre_hook(
        lambda _module, inputs: taken.append(inputs[0] - encoder.positional_embedding[:8]))
    encoder(IDS, contexts).square().sum().backward()
    assert contexts.grad.abs().sum() > 0
    words = encoder.token_embedding(IDS)
    torch.testing.assert_close(taken[0][:, 0], words[:, 0])
    torch.testing.assert_close(taken[0][:, 1:4], contexts.expand(2, 3, 16))
    torch.testing.assert_close(taken[0][:, 4:], words[:, 1:5])


def test_gradient_reaches_every_parameter():
    encoder = build().train()
    encoder(IDS, torch.randn(2, 16)).square().sum().backward()
    assert not [name for name, parameter in encoder.named_parameters() if parameter.grad is None]


def test_random_weights_follow_clips_scheme():
    encoder = build(width=64, heads=4, vocab_size=2000, embed_dim=256)
    for values, std in ((encoder.token_embedding.weight, 0.02),
                        (encoder.positional_embedding, 0.01),
                        (encoder.text_projection, 64**-0.5)):
        assert values.std().item() == pytest.approx(std, rel=0.1)


def test_the_activation_is_a_choice():
    kinds = [type(build(quick_gelu=quick).transformer.resblocks[0].mlp.gelu)
             for quick in (True, False)]
    assert kinds[0].__name__ == 'QuickGELU' and kinds[1] is nn.GELU


@torch.no_grad()
def test_bfloat16_autocast_is_finite_and_close():
    encoder, contexts = build(), torch.randn(3, 16)
    exact = encoder(IDS, contexts)
    with torch.autocast('cpu', torch.bfloat16):
        rough = encoder(IDS, contexts)
    assert rough.isfinite().all()
    torch.testing.assert_close(rough.float(), exact, atol=0.05, rtol=0.05)


def test_more_than_the_stored_positions_is_refused():
    encoder = build()
    ids = torch.cat([torch.full((1, 9), 4), torch.tensor([[49]])], 1)
    assert encoder(ids, torch.zeros(10, 16)).shape == (1, 8)
    with pytest.raises(ValueError, match='10 tokens and 11 contexts need 21 positions, and the '
                                         'text encoder has context_length=20: give the tokenizer '
                                         'context_length=9'):
        encoder(ids, torch.zeros(11, 16))


def test_a_state_dict_survives_a_round_trip_without_the_mask():
    one, other = build(), build()
    assert not [name for name in one.state_dict() if 'mask' in name]
    for parameter in other.parameters():
        nn.init.constant_(parameter, 0.5)
    other.load_state_dict(one.state_dict())
    assert torch.equal(one(IDS), other(IDS))


@torch.no_grad()
def test_pretrained_weights_are_clips_and_the_first_positions_are_taken(tmp_path):
    trained = build()
    path = tmp_path / 'clip.pt'
    torch.save(trained.state_dict() | {'visual.proj': torch.zeros(4, 8)}, path)
    torch.manual_seed(9)
    encoder = MODELS.build(TINY | dict(pretrained=str(path))).eval()
    assert torch.equal(encoder(IDS), trained(IDS))
    assert len(build(pretrained=str(path), context_length=12).positional_embedding) == 12
    with pytest.raises(ValueError, match='do not fit'):
        build(pretrained=str(path), embed_dim=4)
