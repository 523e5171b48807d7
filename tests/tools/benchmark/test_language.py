"""Sentences written alone and in a batch, steps beside frozen weights: with a tiny GPT-2."""
import pytest

from rscc.registry import TOKENIZERS
from tools.benchmark import fakes
from tools.benchmark.benchmarked_model import load_model
from tools.benchmark.language import (
    _Search,
    benchmark_frozen,
    benchmark_language,
    encodes_an_image,
)
from tools.benchmark.tables import say

TINY = {'encoder.width': 32, 'encoder.layers': 1, 'encoder.heads': 2, 'encoder.output_dim': 16,
        'encoder.input_resolution': 32, 'encoder.patch_size': 16,
        'caption_head.memory_channels': 16, 'caption_head.prefix_length': 3}


@pytest.fixture
def options(monkeypatch):
    monkeypatch.setattr(fakes, 'BERT_PIECES', 300)
    monkeypatch.setattr(fakes, 'FAKES', dict(language_model=dict(
        n_layer=1, n_embd=16, n_head=2, n_positions=80, initializer_range=0.4)))
    return dict(batch_size=3, rounds=2, random_weights=True, size=32,
                cfg_options={f'model.{key}': value for key, value in TINY.items()})


@pytest.fixture
def clipgpt(repo):
    return str(repo / 'configs/clipgpt_mlp_ucm.py')


def test_images_alone_write_what_the_batch_writes(clipgpt, options):
    section = benchmark_language(clipgpt, tokens=4, images=2, **options)
    assert [say(row[0], 'en') for row in section.rows][-1] == 'one batch, cache'
    assert section.rows[0][4] == '1.0' and 'target ≥ 8' in say(section.rows[2][4], 'en')
    assert 'ids of all 3 images' in say(section.notes[2], 'en')
    assert 'prefix 3' in say(section.notes[1], 'en')


def test_ids_that_differ_end_the_benchmark(clipgpt, options):
    options.pop('rounds')
    found = load_model(clipgpt, **{k: v for k, v in options.items() if k != 'batch_size'})
    found.fix_sentence_length(4)
    search = _Search(found, 3)
    search.write('batched', range(3))
    search.write('cached', [0])
    search.write('plain', [1], use_cache=False)
    assert search.compare() == 1 and len(search.ids['batched'][2]) >= 4
    search.ids['plain'][1] = [7, *search.ids['plain'][1][1:]]
    with pytest.raises(ValueError, match=r'no cache.* writes other ids than the batch for image 1'):
        search.compare()


def test_a_frozen_step_trains_less_and_encodes_an_image_once(clipgpt, options):
    section = benchmark_frozen(clipgpt, **options)
    trained, frozen = (float(row[1]) for row in section.rows)
    assert frozen <= trained and 'target ≤ 0.55' in say(section.rows[1][3], 'en')
    assert all(say(row[5], 'en') == '1 (target ≤ 1: met)' for row in section.rows)


def test_the_count_would_show_an_encode_for_every_caption(clipgpt, options):
    found = load_model(clipgpt, **{k: v for k, v in options.items()
                                   if k not in ('batch_size', 'rounds')})
    network, once = found.network, found.network.encode
    network.encode = lambda *given: [once(*given) for _ in range(5)][-1]
    assert encodes_an_image(found) == 5


def test_bad_requests_are_refused(clipgpt, light, options):
    with pytest.raises(ValueError, match='--images 4 is the part of a batch of 3'):
        benchmark_language(clipgpt, images=4, **options)
    with pytest.raises(ValueError, match=r"'blip_synth' has no language model after a prefix .*its "
                                         r'caption head is BlipCaptionHead.*with PrefixGPTHead'):
        benchmark_language(light, random_weights=True, size=32)


def test_todays_language_models_have_fakes_of_their_own_shape():
    head = fakes.replace_pretrained(dict(
        type='PrefixGPTHead',
        language_model=dict(pretrained='Qwen/Qwen2.5-0.5B', tune='lora'),
        tokenizer=dict(type='PretrainedTokenizer', pretrained='Qwen/Qwen2.5-0.5B', prompt='what')),
        'vocab.txt')
    shape = head['language_model']['config']
    assert (shape['model_type'], shape['vocab_size']) == ('qwen2', 151936)
    tokenizer = TOKENIZERS.build(head['tokenizer'])
    assert tokenizer.vocab_size == fakes.QWEN_TOKENS and len(tokenizer.prompt_ids) > 0
    own = fakes.replace_pretrained(dict(type='PretrainedTokenizer', tokenizer_file='x'), 'v.txt')
    assert TOKENIZERS.build(own).vocab_size <= fakes.OWN_TOKENS


def test_a_tiny_language_model_after_resampled_tokens_is_measured(repo):
    section = benchmark_language(str(repo / 'configs/llm_synth.py'), tokens=3, images=1, rounds=1,
                                 batch_size=2, random_weights=True, size=64)
    assert 'prefix 16' in say(section.notes[1], 'en')
