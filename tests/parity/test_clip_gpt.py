"""Mappers and whole captioners against numbers recorded from ClipCap and CLIP-GPT.

Every size comes from the fixture folder, so another folder of the same layout is tested as it is.
The attention baseline has its own file, ``test_clip_gpt_attention.py``.
"""
import functools
import json
from types import SimpleNamespace

import pytest
import torch
from recordings import doubles, recording, skip_without
from rounding import FORMULA, assert_within, gradients_and_errors, products_of, rounding
from torch.nn import functional

from rscc.importers.clip_gpt import HEAD, read_shape, rename, rename_clipcap
from rscc.models.caption_heads.mappers import AMHTMapper
from rscc.models.generation.beam_search import search
from rscc.models.generation.decoders import CausalLMStep
from rscc.models.generation.options import Decoding
from rscc.registry import MODELS, TOKENIZERS
from rscc.structures import ChangeDataSample, ChangeFeatures
from rscc.text import CaptionTokenizer
from rscc.text.tokenizer import pad_sentences

pytestmark = skip_without('clip_gpt')
MAPPERS = ['mlp_mapper', 'transformer_mapper', 'amht_mapper']
WHOLE = ['clipcap_mlp', 'clipcap_transformer', 'clipcap_amht']


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
    """Return a file's arrays: ``state``, ``inputs``, ``out``, ``cfg``, ``norms``, and ``share``.

    That is the share of its largest value by which each array may be off, as float32 rounds.
    """
    groups = {'state': {}, 'in': {}, 'out': {}, 'cfg': {}, 'gradnorm': {}}
    for key, value in doubles(recording(f'clip_gpt/{name}.npz')).items():
        group, _, rest = key.partition('/')
        groups[group][rest] = value
    return SimpleNamespace(state=groups['state'], inputs=groups['in'], out=groups['out'],
                           cfg={key: int(value) for key, value in groups['cfg'].items()},
                           norms=groups['gradnorm'], share=rounding(products_of(groups['state'])))


def meta():
    return json.loads(recording('clip_gpt/meta.json').read_text())['config']


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
    assert_within(prefix, record.out['prefix'], record.share)
    if 'flat' in record.out:
        assert_within(mapper.layers(record.inputs['x']), record.out['flat'], record.share)


@pytest.mark.parametrize('name', MAPPERS[1:])
@torch.no_grad()
def test_tokens_and_attention_inside_a_mapper(name):
    mapper, record = build_mapper(name)
    tokens = mapper.tokens(record.inputs['x'])
    assert_within(tokens, record.out['tokens_in'], record.share)
    assert_within(mapper.blocks(tokens), record.out['tokens_full'], record.share)
    for number, block in enumerate(mapper.blocks):
        maps = block.attn.maps(block.norm1(tokens)).permute(0, 2, 3, 1)
        assert_within(maps, record.out[f'attn{number}'], record.share)
        tokens = block(tokens)
    assert f'attn{len(mapper.blocks)}' not in record.out


@torch.no_grad()
def test_the_adaptive_matrices_fold_into_a_plain_query_projection():
    mapper, record = build_mapper('amht_mapper')
    assert isinstance(mapper, AMHTMapper)
    plain = mapper.fold()
    query = plain.blocks[0].attn.query
    assert_within(query.weight, record.out['folded_query_weight_layer0'], record.share)
    assert_within(query.bias, record.out['folded_query_bias_layer0'], record.share)
    assert_within(plain(record.inputs['x']), record.out['prefix'], record.share)


def logits_of(head, record):
    """Return the logits of a prefix and every word after it."""
    prefix = head.prefix(ChangeFeatures(pooled=record.inputs['clip']))
    read = torch.cat([prefix, head.language_model.embed(record.inputs['tokens'])], 1)
    return prefix, head.language_model(read, keep=read.shape[1])


@pytest.mark.parametrize('name', WHOLE)
@torch.no_grad()
def test_logits_of_the_whole_model(name):
    head, record = build_head(name)
    prefix, logits = logits_of(head, record)
    assert_within(prefix, record.out['prefix_embed'], record.share)
    assert_within(logits, record.out['logits_nomask'], record.share)
    real = record.inputs['mask'].bool()
    assert_within(logits[real], record.out['logits'][real], record.share)


def drop_a_bias(head):
    biases = [value for name, value in head.named_parameters() if name.endswith('bias')]
    torch.nn.init.zeros_(biases[-1])


def enlarge_eps(head):
    for module in head.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps *= 100


@pytest.mark.parametrize('fault', [drop_a_bias, enlarge_eps])
@pytest.mark.parametrize('name', WHOLE)
@torch.no_grad()
def test_a_fault_is_seen(name, fault):
    head, record = build_head(name)
    fault(head)
    with pytest.raises(AssertionError, match='not close'):
        assert_within(logits_of(head, record)[1], record.out['logits_nomask'], record.share)


@pytest.mark.parametrize('name', WHOLE)
def test_loss_and_gradients_of_the_whole_model(name):
    head, record = build_head(name)
    clip = record.inputs['clip'].clone().requires_grad_()

    def loss():
        return head.loss(ChangeFeatures(pooled=clip), samples(record))['loss_caption']

    assert_within(loss(), record.out['loss'], record.share)
    gradients, errors = gradients_and_errors(head, loss, {'': clip})
    off = float((gradients.pop('') - record.out['grad_clip']).norm())
    assert off < errors['']
    for key, norm in record.norms.items():
        name = rename(key).removeprefix(HEAD)
        assert float(gradients[name].norm()) == pytest.approx(float(norm), rel=0, abs=errors[name])
    assert set(gradients) == {rename(key).removeprefix(HEAD) for key in record.norms}


@pytest.mark.parametrize('name', WHOLE)
@torch.no_grad()
def test_loss_of_every_token(name):
    head, record = build_head(name)
    logits = head(head.prefix(ChangeFeatures(pooled=record.inputs['clip'])),
                  record.inputs['tokens'])
    each = functional.cross_entropy(logits.transpose(1, 2), record.inputs['tokens'],
                                    ignore_index=0, reduction='none')
    assert_within(each, record.out['token_nll'], record.share)


@pytest.mark.parametrize('name', WHOLE)
def test_padding_to_the_longest_of_the_batch_gives_the_same_loss(name):
    head, record = build_head(name, pad_to_max=False)
    head.max_tokens += 3
    loss = head.loss(ChangeFeatures(pooled=record.inputs['clip']), samples(record))
    assert_within(loss['loss_caption'], record.out['loss'], record.share)


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
    assert_within(seen[0], expected, FORMULA)
