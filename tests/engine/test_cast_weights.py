"""Weights cast once for answers in bfloat16: every kind of model answers as autocast has it."""
import copy

import pytest
import torch
from testers import WORDS, batch, build_interpreter
from tiny_models import BILINGUAL, CHANGECLIP, GPT, JOINT, LSTM, SEMANTIC, VIT_ENCODER
from torch import nn

from rscc.engine.precision import cast_weights, to_float32
from rscc.registry import MODELS

KARRAS = dict(
    type='KarrasCaptionHead', memory_channels=16, embed_channels=8, max_tokens=6,
    decoding=dict(steps=2), tokenizer=dict(type='WordTokenizer', words=WORDS),
    denoiser=dict(hidden_dims=8, num_layers=1, num_heads=2, feedforward_dims=8, max_positions=16,
                  alignment_heads=2, alignment_dims=8, alignment_feedforward=8))
KINDS = {
    'beam search': JOINT,
    'two languages': dict(JOINT, caption_head=BILINGUAL),
    'LSTM': dict(JOINT, caption_head=LSTM),
    'GPT-2': dict(JOINT, caption_head=GPT),
    'diffusion': dict(JOINT, caption_head=KARRAS),
    'class maps': SEMANTIC,
    'language-guided': CHANGECLIP,
    'transformer encoder': dict(JOINT, encoder=VIT_ENCODER, change_head=None),
}


def build(cfg):
    torch.manual_seed(0)
    kept = {key: value for key, value in copy.deepcopy(cfg).items() if value is not None}
    return MODELS.build(kept).eval()


def answers(model):
    torch.manual_seed(0)
    with torch.no_grad(), torch.autocast('cpu', dtype=torch.bfloat16):
        return to_float32(model.test_step(batch(2)))


def told(answer):
    fields = {name: getattr(value, 'data', value) for name, value in answer.items()}
    return {name: value for name, value in fields.items() if name.startswith(('pred', 'seg_log'))}


@pytest.mark.parametrize('kind', KINDS)
def test_answers_are_those_of_autocast_bit_by_bit(kind):
    plain, model = build(KINDS[kind]), build(KINDS[kind])
    before = sum(weight.nbytes for weight in model.parameters())
    size = cast_weights(model, torch.bfloat16)
    assert sum(weight.nbytes for weight in model.parameters()) == before - size // 2
    for expected, found in zip(answers(plain), answers(model), strict=True):
        expected, found = told(expected), told(found)
        assert expected.keys() == found.keys() and expected
        for name, value in expected.items():
            same = torch.equal if isinstance(value, torch.Tensor) else (lambda a, b: a == b)
            assert same(value, found[name]), name


@pytest.mark.parametrize('kind', KINDS)
def test_most_weights_are_cast_and_twice_changes_nothing(kind):
    model = build(KINDS[kind])
    layers = [module.weight for module in model.modules()
              if isinstance(module, nn.Linear | nn.Conv2d)]
    size = cast_weights(model, torch.bfloat16)
    assert size and cast_weights(model, torch.bfloat16) == 0
    cast = sum(weight.dtype is torch.bfloat16 for weight in layers)
    # One may be tied to the table of word vectors, one cuts patches.
    assert cast >= len(layers) - 2


def test_norms_embeddings_and_what_they_share_keep_their_precision():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.norm = nn.Embedding(5, 4), nn.LayerNorm(4)
            self.score, self.map = nn.Linear(4, 5), nn.Linear(4, 4)
            self.score.weight = self.words.weight

    model = Tied()
    assert cast_weights(model, torch.float16) == 4 * (5 + 4 * 4 + 4)
    kinds = {name: weight.dtype for name, weight in model.named_parameters()}
    assert kinds == {
        'words.weight': torch.float32, 'norm.weight': torch.float32, 'norm.bias': torch.float32,
        'score.bias': torch.float16, 'map.weight': torch.float16, 'map.bias': torch.float16}


def test_nothing_is_copied_at_a_second_call():
    model = build_interpreter(caption_head=None).eval()
    cast_weights(model, torch.bfloat16)
    answers(model)
    with torch.profiler.profile() as record:
        answers(model)
    copies = {event.key: event.count for event in record.key_averages()}
    plain = build_interpreter(caption_head=None).eval()
    answers(plain)
    with torch.profiler.profile() as record:
        answers(plain)
    more = {event.key: event.count for event in record.key_averages()}
    layers = sum(isinstance(module, nn.Conv2d | nn.Linear) for module in plain.modules())
    assert more['aten::copy_'] - copies['aten::copy_'] >= layers
