"""Mappers and whole captioners against numbers recorded from ClipCap and CLIP-GPT.

Every size comes from the fixture folder, so another folder of the same layout is tested as it is.
The attention baseline has its own file, ``test_clip_gpt_attention.py``.
"""
import functools
import json
from types import SimpleNamespace

import pytest
import torch
from recordings import RECORDINGS, skip_without, tensors
from torch.nn import functional

from rscc.importers.clipcap import HEAD, read_shape, rename, rename_clipcap
from rscc.models.caption_heads.mappers import AMHTMapper
from rscc.models.generation.beam_search import search
from rscc.models.generation.decoders import CausalLMStep
from rscc.models.generation.options import Decoding
from rscc.registry import MODELS, TOKENIZERS
from rscc.structures import ChangeDataSample, ChangeFeatures
from rscc.text import CaptionTokenizer
from rscc.text.tokenizer import pad_sentences

FOLDER = RECORDINGS / 'clip_gpt'
pytestmark = skip_without('clip_gpt')
MAPPERS = ['mlp_mapper', 'transformer_mapper', 'amht_mapper']
WHOLE = ['clipcap_mlp', 'clipcap_transformer', 'clipcap_amht']
CLOSE = dict(atol=1e-5, rtol=1e-5)


@TOKENIZERS.register_module(force=True)
class NumberTokenizer(CaptionTokenizer):
    """Sentences of numbers, which are the ids: what the recorded ids need to pass as sentences."""
    start_ids = ()

    def __init__(self, vocab_size, eos_id):
        super().__init__()
        self.vocab_size = vocab_size
        # The originals write any id, 0 too, with which they pad.
        self.pad_id = self.unk_id = self.bos_id = self.eos_id = eos_id

    def _text_to_ids(self, text):
        return [int(word) for word in text.split()]

    def _ids_to_text(self, ids):
        return ' '.join(map(str, ids))

    def decode(self, ids):
        return self._ids_to_text(ids)


@functools.cache
def recorded(name):
    """Return the arrays of a file: ``state``, ``inputs``, ``out``, ``cfg``, ``norms``."""
    groups = {'state': {}, 'in': {}, 'out': {}, 'cfg': {}, 'gradnorm': {}}
    for key, value in tensors(FOLDER / f'{name}.npz').items():
        group, _, rest = key.partition('/')
        groups[group][rest] = value
    return SimpleNamespace(state=groups['state'], inputs=groups['in'], out=groups['out'],
                           cfg={key: int(value) for key, value in groups['cfg'].items()},
                           norms=groups['gradnorm'])


def meta():
    return json.loads((FOLDER / 'meta.json').read_text())['config']


def num_heads(name):
    """Return the heads of a transformer mapper, which its weights do not tell."""
    kind = 'amht' if 'amht' in name else 'transformer'
    return recorded(f'{kind}_mapper').out['attn0'].shape[-1]


def read(name, **heads):
    """Return shape and renamed weights of a recording, below the head."""
    record = recorded(name)
    weights = {key.removeprefix(HEAD): value for key, value in
               rename_clipcap(record.state).items()}
    return read_shape(record.state, num_heads(name), **heads), weights


def build_mapper(name):
    """Build a mapper that was recorded alone: its sizes are those of the model around it."""
    record = recorded(name)
    state = {f'clip_project.{key}': value for key, value in record.state.items()}
    state |= {'gpt.transformer.wte.weight': record.out['prefix'][0],
              'gpt.transformer.wpe.weight': torch.zeros(1, 1)}
    shape = read_shape(state, num_heads(name))
    mapper = MODELS.build(dict(shape.mapper, in_channels=shape.clip_channels,
                               out_channels=record.out['prefix'].shape[2],
                               prefix_length=shape.prefix_length))
    mapper.load_state_dict({rename(key).removeprefix(f'{HEAD}mapper.'): value
                            for key, value in state.items() if key.startswith('clip_project.')})
    return mapper.eval(), record


def build_head(name, **changes):
    shape, weights = read(name, lm_heads=meta()['gpt']['n_head'])
    record = recorded(name)
    settings = dict(
        shape.head(), max_tokens=record.inputs['tokens'].shape[1], tokenizer=dict(
            type='NumberTokenizer', vocab_size=shape.language_model['vocab_size'],
            eos_id=record.cfg['stop_id']))
    head = MODELS.build(dict(settings, type='PrefixGPTHead', learn_end=False, ignore_zero=True,
                             pad_to_max=True) | changes)
    head.load_state_dict(weights)
    return head.eval(), record


def samples(record):
    """Return the recorded ids, padding left out, as target captions."""
    mask = record.inputs['mask'][:, -record.inputs['tokens'].shape[1]:].bool()
    made = []
    for ids, real in zip(record.inputs['tokens'], mask, strict=True):
        sample = ChangeDataSample()
        sample.gt_captions = [' '.join(map(str, ids[real].tolist()))]
        made.append(sample)
    return made


def without_padding(ids):
    return [row[row >= 0].tolist() for row in ids]


@pytest.mark.parametrize('name', MAPPERS)
@torch.no_grad()
def test_prefixes_of_a_mapper(name):
    mapper, record = build_mapper(name)
    prefix = mapper(record.inputs['x'])
    torch.testing.assert_close(prefix, record.out['prefix'], **CLOSE)
    if 'flat' in record.out:
        torch.testing.assert_close(mapper.layers(record.inputs['x']), record.out['flat'], **CLOSE)


@pytest.mark.parametrize('name', MAPPERS[1:])
@torch.no_grad()
def test_tokens_and_attention_inside_a_mapper(name):
    mapper, record = build_mapper(name)
    tokens = mapper.tokens(record.inputs['x'])
    torch.testing.assert_close(tokens, record.out['tokens_in'], **CLOSE)
    torch.testing.assert_close(mapper.blocks(tokens), record.out['tokens_full'], **CLOSE)
    for number, block in enumerate(mapper.blocks):
        maps = block.attn.maps(block.norm1(tokens)).permute(0, 2, 3, 1)
        torch.testing.assert_close(maps, record.out[f'attn{number}'], **CLOSE)
        tokens = block(tokens)
    assert f'attn{len(mapper.blocks)}' not in record.out


@torch.no_grad()
def test_the_adaptive_matrices_fold_into_a_plain_query_projection():
    mapper, record = build_mapper('amht_mapper')
    assert isinstance(mapper, AMHTMapper)
    plain = mapper.fold()
    query = plain.blocks[0].attn.query
    torch.testing.assert_close(query.weight, record.out['folded_query_weight_layer0'], **CLOSE)
    torch.testing.assert_close(query.bias, record.out['folded_query_bias_layer0'], **CLOSE)
    torch.testing.assert_close(plain(record.inputs['x']), record.out['prefix'], **CLOSE)


@pytest.mark.parametrize('name', WHOLE)
@torch.no_grad()
def test_logits_of_the_whole_model(name):
    head, record = build_head(name)
    prefix = head.prefix(ChangeFeatures(pooled=record.inputs['clip']))
    torch.testing.assert_close(prefix, record.out['prefix_embed'], **CLOSE)
    read_ids = torch.cat([prefix, head.language_model.embed(record.inputs['tokens'])], 1)
    logits = head.language_model(read_ids, keep=read_ids.shape[1])
    torch.testing.assert_close(logits, record.out['logits_nomask'], **CLOSE)
    real = record.inputs['mask'].bool()
    torch.testing.assert_close(logits[real], record.out['logits'][real], **CLOSE)


@pytest.mark.parametrize('name', WHOLE)
def test_loss_and_gradients_of_the_whole_model(name):
    head, record = build_head(name)
    clip = record.inputs['clip'].clone().requires_grad_()
    loss = head.loss(ChangeFeatures(pooled=clip), samples(record))['loss_caption']
    torch.testing.assert_close(loss, record.out['loss'], **CLOSE)
    loss.backward()
    torch.testing.assert_close(clip.grad, record.out['grad_clip'], **CLOSE)
    parameters = dict(head.named_parameters())
    for key, norm in record.norms.items():
        gradient = parameters[rename(key).removeprefix(HEAD)].grad
        torch.testing.assert_close(gradient.norm(), norm, **CLOSE)
    trained = {key for key, value in parameters.items() if value.requires_grad}
    assert trained == {rename(key).removeprefix(HEAD) for key in record.norms}


@pytest.mark.parametrize('name', WHOLE)
@torch.no_grad()
def test_loss_of_every_token(name):
    head, record = build_head(name)
    logits = head(head.prefix(ChangeFeatures(pooled=record.inputs['clip'])),
                  record.inputs['tokens'])
    each = functional.cross_entropy(logits.transpose(1, 2), record.inputs['tokens'],
                                    ignore_index=0, reduction='none')
    torch.testing.assert_close(each, record.out['token_nll'], **CLOSE)


@pytest.mark.parametrize('name', WHOLE)
def test_padding_to_the_longest_of_the_batch_gives_the_same_loss(name):
    head, record = build_head(name, pad_to_max=False)
    head.max_tokens += 3
    loss = head.loss(ChangeFeatures(pooled=record.inputs['clip']), samples(record))
    torch.testing.assert_close(loss['loss_caption'], record.out['loss'], **CLOSE)


@pytest.mark.parametrize('name', WHOLE)
def test_greedy_ids(name):
    head, record = build_head(name)
    decoder = CausalLMStep(head.language_model.model)
    for stops, expected in (([record.cfg['stop_id']], 'greedy'), ([], 'greedy_nostop')):
        written = search(decoder, decoder.start(record.out['prefix_embed']),
                         Decoding(max_tokens=record.cfg['entry_length']), stops, pad_id=0)
        assert [captions[0].ids for captions in written] == without_padding(record.out[expected])


@pytest.mark.parametrize('name', WHOLE)
@pytest.mark.parametrize('beams', [3, 5])
def test_beams_through_the_head(name, beams):
    head, record = build_head(name)
    written = head.generate(
        ChangeFeatures(pooled=record.inputs['clip']), num_beams=beams, num_captions=beams,
        beam_rule='clipcap', max_tokens=record.cfg['entry_length'])
    for captions, expected in zip(written, record.out[f'beam{beams}'], strict=True):
        ids = [[int(word) for word in caption.text.split()] for caption in captions]
        assert ids == without_padding(expected)


def test_padding_rule():
    record = recorded('caption_padding')
    lengths, length = record.inputs['lengths'].tolist(), int(record.out['max_seq_len'])
    rows = [row.tolist() for row in record.inputs['flat_tokens'].split(lengths)]
    ids, mask = pad_sentences(rows, pad_id=0, length=length)
    assert torch.equal(ids, record.out['tokens'])
    prefix = torch.ones(len(ids), record.cfg['prefix'])
    assert torch.equal(torch.cat([prefix, mask.float()], 1), record.out['mask'])


@pytest.mark.parametrize('normalised', [False, True])
def test_the_prefix_vector_raw_and_of_length_one(normalised):
    padding = recorded('caption_padding')
    index = padding.inputs['emb_index'][:len(padding.out['prefix_raw'])]
    head, _ = build_head('clipcap_mlp', normalize_prefix=normalised)
    seen = []
    head.mapper.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    head.prefix(ChangeFeatures(pooled=padding.inputs['emb'][index]))
    expected = padding.out['prefix_norm' if normalised else 'prefix_raw']
    torch.testing.assert_close(seen[0], expected, **CLOSE)
