import pytest
import torch

from rscc import compat
from rscc.models.generation.beam_search import search
from rscc.models.generation.decoders import CausalLMStep, CrossAttentionStep
from rscc.models.generation.options import Decoding

STOP, GIVEN = 3, [1, 4]


def decoder(seed=0):
    blip = compat.import_transformers('models.blip')
    torch.manual_seed(seed)
    config = blip.BlipTextConfig(
        vocab_size=13, hidden_size=16, encoder_hidden_size=8, intermediate_size=32,
        num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=32, bos_token_id=1,
        sep_token_id=STOP, eos_token_id=STOP, pad_token_id=0, initializer_range=0.6)
    return compat.import_transformers('models.blip.modeling_blip_text').BlipTextLMHeadModel(
        config).eval()


def memory(n=4):
    return torch.randn(n, 6, 8, generator=torch.Generator().manual_seed(1))


def written(model, tokens, options):
    decoder = CrossAttentionStep(model, options.use_cache)
    found = search(decoder, decoder.start(GIVEN, tokens), options, [STOP], 0, given=GIVEN)
    return [[sentence.ids for sentence in sentences] for sentences in found]


def generated(model, tokens, options):
    prompts = torch.tensor([GIVEN]).expand(len(tokens), -1)
    more = dict(length_penalty=options.length_penalty) if options.num_beams > 1 else {}
    rows = model.generate(
        input_ids=prompts, attention_mask=torch.ones_like(prompts), encoder_hidden_states=tokens,
        encoder_attention_mask=torch.ones(tokens.shape[:2]), eos_token_id=STOP, pad_token_id=0,
        num_beams=options.num_beams, num_return_sequences=options.num_captions,
        max_new_tokens=options.max_tokens, repetition_penalty=options.repetition_penalty,
        no_repeat_ngram_size=options.no_repeat_ngram, do_sample=False, **more)
    rows = [row[:row.index(STOP) + 1] if STOP in row else row
            for row in rows[:, len(GIVEN):].tolist()]
    count = options.num_captions
    return [rows[start:start + count] for start in range(0, len(rows), count)]


@pytest.mark.parametrize('options', [
    {}, dict(num_beams=3, num_captions=3), dict(num_beams=4, length_penalty=2.0),
    dict(num_beams=3, no_repeat_ngram=2), dict(repetition_penalty=1.4)], ids=str)
def test_a_cross_attending_decoder_writes_what_transformers_writes(options):
    options = Decoding(max_tokens=8, **options)
    for seed in range(4):
        model = decoder(seed)
        expected = generated(model, memory(), options)
        assert written(model, memory(), options) == expected
        assert written(model, memory(), options.updated(dict(use_cache=False))) == expected


def test_the_cache_goes_by_the_name_that_transformers_wants(recwarn):
    written(decoder(), memory(), Decoding(num_beams=2, max_tokens=3))
    assert not [str(one.message) for one in recwarn if 'past_key_values' in str(one.message)]


def test_the_memory_is_projected_once_a_sample():
    model, rows = decoder(), []
    for layer in model.bert.encoder.layer:
        layer.crossattention.self.key.register_forward_hook(
            lambda module, given, output: rows.append(len(given[0])))
    written(model, memory(5), Decoding(num_beams=3, max_tokens=8))
    assert rows == [5, 5]


def test_the_beams_of_a_sample_are_positions_of_one_row():
    model, read = decoder(), []
    model.bert.encoder.layer[0].crossattention.self.query.register_forward_hook(
        lambda module, given, output: read.append(tuple(output.shape[:2])))
    scores = []
    for use_cache in (True, False):
        step = CrossAttentionStep(model, use_cache)
        _, state = step.step(None, step.start(GIVEN, memory(3)))
        state = step.select(state, torch.tensor([0, 0, 1, 1, 2, 2]))
        _, state = step.step(torch.tensor([2, 5, 6, 7, 8, 9]), state)
        # Beams change places, and the second sample leaves.
        state = step.select(state, torch.tensor([1, 0, 5, 5]))
        scores.append(step.step(torch.tensor([10, 11, 12, 2]), state)[0])
    assert read == [(3, 2), (3, 2), (2, 2), (3, 2), (6, 3), (4, 4)]
    torch.testing.assert_close(*scores)


@pytest.mark.parametrize('options', [
    dict(sample=True, num_captions=3, seed=0), dict(sample=True, seed=0),
    dict(sample=True, num_beams=3, num_captions=2, seed=0)], ids=str)
def test_drawn_sentences_are_the_same_with_a_cache_and_without(options):
    options = Decoding(max_tokens=8, **options)
    for seed in range(4):
        model = decoder(seed)
        assert written(model, memory(), options) == written(
            model, memory(), options.updated(dict(use_cache=False)))


def test_only_the_last_position_is_scored():
    gpt2 = compat.import_transformers('models.gpt2')
    model = gpt2.GPT2LMHeadModel(gpt2.GPT2Config(
        vocab_size=9, n_positions=16, n_embd=8, n_layer=1, n_head=1, bos_token_id=0,
        eos_token_id=0)).eval()
    seen = []
    model.lm_head.register_forward_hook(lambda module, given, output: seen.append(output.shape))
    decoder = CausalLMStep(model)
    decoder.step(None, decoder.start(torch.randn(2, 5, 8)))
    assert seen == [(2, 1, 9)]


def test_a_model_wrapped_by_peft_is_stepped_like_its_base():
    peft = pytest.importorskip('peft')
    gpt2 = compat.import_transformers('models.gpt2')
    torch.manual_seed(0)
    model = gpt2.GPT2LMHeadModel(gpt2.GPT2Config(
        vocab_size=9, n_positions=16, n_embd=8, n_layer=1, n_head=1, bos_token_id=0,
        eos_token_id=0)).eval()
    prefix = torch.randn(2, 5, 8)

    def run(language_model):
        decoder = CausalLMStep(language_model)
        return search(decoder, decoder.start(prefix), Decoding(max_tokens=6), [STOP], 0)

    plain = run(model)
    wrapped = peft.get_peft_model(model, peft.LoraConfig(target_modules=['c_attn'],
                                                         fan_in_fan_out=True)).eval()
    assert run(wrapped) == plain  # an adapter starts at zero
