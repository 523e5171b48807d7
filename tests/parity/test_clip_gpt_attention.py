"""The attention decoder and the beam searches against recorded numbers of the originals."""
import json

import pytest
import torch
from recordings import doubles, recording
from rounding import assert_within, gradients_and_errors, products_of, rounding

from rscc import compat
from rscc.importers.clip_gpt import rename_decoder, sizes_of
from rscc.models.caption_heads.attention_lstm import AttentionLSTMStep, SentenceGrid
from rscc.models.caption_heads.attention_lstm_head import unevenness
from rscc.models.generation.beam_search import search
from rscc.models.generation.decoders import CausalLMStep
from rscc.models.generation.options import Decoding
from rscc.registry import MODELS
from rscc.structures import ChangeDataSample, ChangeFeatures


def load(name):
    return doubles(recording(f'clip_gpt/{name}.npz'))


def part(arrays, prefix):
    return {key.removeprefix(prefix): value for key, value in arrays.items()
            if key.startswith(prefix)}


def rows(array):
    """Nested lists without the padding of -1."""
    if array.ndim > 1:
        return [rows(row) for row in array]
    return [int(value) for value in array if value >= 0]


# The attention decoder

@pytest.fixture(scope='module')
def recorded():
    return load('attention_decoder')


@pytest.fixture
def head(recorded):
    state = part(recorded, 'state/')
    words = [f'w{i}' for i in range(len(state['embedding.weight']))]
    for place, name in ((0, '<pad>'), (int(recorded['cfg/start']), '<start>'),
                        (int(recorded['cfg/end']), '<end>')):
        words[place] = name
    words[next(i for i, word in enumerate(words) if word[0] == 'w')] = '<unk>'
    head = MODELS.build(dict(
        type='AttentionLSTMHead', tokenizer=dict(type='WordTokenizer', words=words),
        **sizes_of(state)))
    missing, unexpected = head.load_state_dict(rename_decoder(state), strict=False)
    assert (missing, unexpected) == (['vocabulary'], [])
    return head.eval()


@pytest.fixture
def close(recorded):
    """Return how to compare: the products of every step of the longest sentence come together."""
    steps = recorded['out/predictions'].shape[1]
    share = rounding(steps * products_of(part(recorded, 'state/')))
    return lambda ours, expected: assert_within(ours, expected, share)


@pytest.fixture
def memory(recorded):
    return recorded['in/encoder_out'].flatten(1, 2)


@pytest.fixture
def grid(recorded):
    captions = [[row[:int(length)].tolist()] for row, length in
                zip(recorded['in/captions'], recorded['in/caplens'], strict=True)]
    return SentenceGrid.of(captions, pad_id=0)


def test_the_order_of_the_sentences_is_recorded(recorded, grid):
    assert grid.order.tolist() == recorded['out/sort_ind'].tolist()
    assert grid.lengths[:, 0].tolist() == recorded['out/decode_lengths'].tolist()
    length = grid.ids.shape[2]
    assert grid.ids[:, 0].tolist() == recorded['out/captions_sorted'][:, :length].tolist()


def test_the_first_glance_is_recorded(recorded, head, memory, grid, close):
    # Recorded in the order of the sentences, or of the images: the first hidden state tells.
    hidden, cell = head.decoder.start(memory)
    order = min((grid.order, torch.arange(len(memory))), key=lambda order: (
        hidden[order, 0] - recorded['out/h0']).norm().item())
    hidden, cell, memory = hidden[order], cell[order], memory[order]
    close(hidden[:, 0], recorded['out/h0'])
    close(cell[:, 0], recorded['out/c0'])
    context, weights = head.decoder.look(hidden, memory, head.decoder.attention.keys(memory))
    close(context[:, 0], recorded['out/awe0'])
    close(weights[:, 0], recorded['out/alpha0'])


def test_predictions_and_attention_are_recorded(recorded, head, memory, grid, close):
    logits, weights = head.forward(memory[grid.order], grid)
    # The original leaves what follows a sentence at zero.
    predictions = torch.zeros_like(recorded['out/predictions'])
    alphas, start = torch.zeros_like(recorded['out/alphas']), 0
    for step, (n, _) in enumerate(grid.shapes):
        predictions[:n, step] = logits[start:start + n].detach()
        alphas[:n, step] = weights[step][:, 0].detach()
        start += n
    close(predictions, recorded['out/predictions'])
    close(alphas, recorded['out/alphas'])
    close(unevenness(weights, grid), recorded['out/reg'])


@pytest.mark.parametrize('part', ['gate.bias', 'init_cell.bias', 'attention.hidden.weight',
                                  'classify.bias'])
def test_a_part_left_out_of_the_decoder_is_seen(recorded, head, memory, grid, close, part):
    torch.nn.init.zeros_(head.decoder.get_parameter(part))
    logits, _ = head.forward(memory[grid.order], grid)
    first = grid.shapes[0][0]
    second = logits[first:first + grid.shapes[1][0]]
    with pytest.raises(AssertionError, match='not close'):
        close(second, recorded['out/predictions'][:len(second), 1])


def test_losses_and_gradients_are_recorded(recorded, head, memory, monkeypatch, close):
    captions = [row[:int(length)].tolist() for row, length in
                zip(recorded['in/captions'], recorded['in/caplens'], strict=True)]
    # The recording has ids and no words: each sentence is its number here.
    monkeypatch.setattr(head.tokenizer, 'encode', lambda text, max_tokens: captions[int(text)])
    samples = [ChangeDataSample() for _ in captions]
    for number, sample in enumerate(samples):
        sample.gt_captions = [str(number)]
    losses = head.loss(ChangeFeatures(tokens=memory), samples)
    close(losses['loss_caption'], recorded['out/ce'])
    close(losses['loss_attention'], recorded['out/reg'])

    def total():
        losses = head.loss(ChangeFeatures(tokens=memory), samples)
        return losses['loss_caption'] + losses['loss_attention']

    close(total(), recorded['out/loss'])
    gradients, errors = gradients_and_errors(head, total)
    norms = part(recorded, 'gradnorm/')
    assert set(gradients) == set(rename_decoder(norms))
    for norm, (name, ours) in zip(norms.values(), ((name, gradients[name]) for name in
                                                   rename_decoder(norms)), strict=True):
        assert float(ours.norm()) == pytest.approx(float(norm), rel=0, abs=errors[name]), name


@pytest.mark.parametrize('beams', [1, 3, 5])
def test_beams_write_the_recorded_words(recorded, head, memory, beams, close):
    start, end = int(recorded['cfg/start']), int(recorded['cfg/end'])
    decoder = AttentionLSTMStep(head.decoder, start, record=True)
    written = search(decoder, decoder.start(memory),
                     Decoding(num_beams=beams, beam_rule='show_attend_tell', max_tokens=51), [end],
                     0)
    assert [[start, *best.ids] for best, *_ in written] == rows(recorded[f'out/beam{beams}'])
    if f'out/beam{beams}_alphas_img0' not in recorded:
        return
    for image, (best, *_) in enumerate(written):
        maps = torch.stack([at[row] for at, row in zip(decoder.weights, best.rows, strict=False)])
        alphas = recorded[f'out/beam{beams}_alphas_img{image}']
        # The row of the start word is all ones there.
        close(maps, alphas.flatten(1)[1:])


# The searches of ClipCap

@pytest.fixture(scope='module', params=['mlp', 'transformer', 'amht'])
def clipcap(request):
    arrays = load(f'clipcap_{request.param}')
    state = part(arrays, 'state/gpt.')
    vocabulary, width = state['transformer.wte.weight'].shape
    layers = len({key.split('.')[2] for key in state if key.startswith('transformer.h.')})
    gpt2 = compat.import_transformers('models.gpt2')
    # No tensor tells the number of heads.
    heads = json.loads(recording('clip_gpt/meta.json').read_text())['config']['gpt']['n_head']
    model = gpt2.GPT2LMHeadModel(gpt2.GPT2Config(
        vocab_size=vocabulary, n_positions=len(state['transformer.wpe.weight']), n_embd=width,
        n_layer=layers, n_head=heads, bos_token_id=0, eos_token_id=0))
    model.load_state_dict(state)
    return arrays, model.eval()


@pytest.mark.parametrize('use_cache', [True, False])
@pytest.mark.parametrize('name, beams', [('greedy', 1), ('greedy_nostop', 1), ('beam3', 3),
                                         ('beam5', 5)])
def test_the_recorded_ids_follow_the_recorded_prefix(clipcap, name, beams, use_cache):
    arrays, model = clipcap
    stops = [] if name.endswith('nostop') else [int(arrays['cfg/stop_id'])]
    options = Decoding(num_beams=beams, num_captions=beams, beam_rule='clipcap',
                       use_cache=use_cache, max_tokens=int(arrays['cfg/entry_length']))
    decoder = CausalLMStep(model, use_cache)
    written = search(decoder, decoder.start(arrays['out/prefix_embed']), options, stops, 0)
    recorded = rows(arrays[f'out/{name}'])
    ids = [[sentence.ids for sentence in sentences] for sentences in written]
    assert ids == (recorded if beams > 1 else [[row] for row in recorded])
