import pytest
import torch
from mmengine.runner.checkpoint import get_state_dict, load_state_dict
from testers import WORDS

from rscc import compat
from rscc.engine.checkpoint import load_weights
from rscc.models.language_models import LanguageModel
from rscc.text import WordTokenizer

SIZES = dict(n_embd=16, n_layer=2, n_head=2, n_positions=32)
LORA = dict(target_modules=['c_attn'], r=2)
OPT = dict(model_type='opt', hidden_size=16, word_embed_proj_dim=16, ffn_dim=32,
           num_hidden_layers=1, num_attention_heads=2, max_position_embeddings=32)
BERT = dict(model_type='bert', hidden_size=16, intermediate_size=16, num_hidden_layers=1,
            num_attention_heads=2)


@pytest.fixture(scope='module')
def tokenizer():
    return WordTokenizer(words=WORDS)


@pytest.fixture(scope='module')
def published(tokenizer, tmp_path_factory):
    """A folder as the hub has it: a tiny GPT-2."""
    folder = tmp_path_factory.mktemp('gpt2')
    torch.manual_seed(0)
    LanguageModel(tokenizer, config=SIZES).model.save_pretrained(folder)
    return folder


def inputs():
    return torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(0))


class Holder(torch.nn.Module):
    """A language model with a trained layer beside it, as in a head."""

    def __init__(self, *args, **options):
        super().__init__()
        self.layer = torch.nn.Linear(2, 2)
        self.language_model = LanguageModel(*args, **options)


def test_a_published_model_is_loaded_with_its_sizes(tokenizer, published):
    model = LanguageModel(tokenizer, pretrained=str(published))
    assert (model.width, model.vocab_size, model.positions) == (16, tokenizer.vocab_size, 32)
    gpt = compat.import_transformers().GPT2LMHeadModel.from_pretrained(published).eval()
    with torch.no_grad():
        expected = gpt(inputs_embeds=inputs()).logits
        torch.testing.assert_close(model.eval()(inputs(), keep=5), expected)
        torch.testing.assert_close(model(inputs(), keep=2), expected[:, -2:])
        ids = torch.tensor([[1, 4]])
        assert torch.equal(model.embed(ids), gpt.transformer.wte(ids))


def test_a_body_without_its_classifier_is_published_too(tokenizer, published, tmp_path):
    gpt = compat.import_transformers().GPT2Model.from_pretrained(published)
    gpt.save_pretrained(tmp_path)
    one, other = (LanguageModel(tokenizer, pretrained=str(folder)).eval()
                  for folder in (published, tmp_path))
    assert torch.equal(one(inputs(), keep=1), other(inputs(), keep=1))


def test_another_architecture_by_its_model_type(tokenizer):
    model = LanguageModel(tokenizer, tune='full', config=OPT)
    assert model(inputs(), keep=3).shape == (2, 3, tokenizer.vocab_size)


@pytest.mark.parametrize('config, adapted', [(SIZES, 'c_attn'), (OPT, 'q_proj')])
def test_adapters_go_where_peft_puts_them_in_such_a_model(tokenizer, config, adapted):
    pytest.importorskip('peft')
    model = LanguageModel(tokenizer, config=config, tune='lora', lora=dict(r=2))
    assert any(f'{adapted}.lora_A' in name for name, _ in model.named_parameters())


def test_a_masked_model_may_be_told_to_look_back_only(tokenizer):
    LanguageModel(tokenizer, config=BERT | dict(is_decoder=True))


@pytest.mark.parametrize('tune', ['frozen', 'full', 'lora'])
def test_only_what_is_tuned_gets_gradients(tokenizer, published, tune):
    model = LanguageModel(tokenizer, pretrained=str(published), tune=tune).train()
    read = inputs().requires_grad_()
    model(read, keep=2).sum().backward()
    assert read.grad.abs().sum() > 0
    with_gradient = {name for name, value in model.named_parameters() if value.grad is not None}
    everything = {name for name, _ in model.named_parameters()}
    assert with_gradient == {'frozen': set(), 'full': everything,
                             'lora': {name for name in everything if 'lora_' in name}}[tune]
    assert bool(with_gradient) == (tune != 'frozen')


def test_a_frozen_model_has_no_dropout_even_in_training(tokenizer, published):
    frozen, full = (LanguageModel(tokenizer, pretrained=str(published), tune=tune).train()
                    for tune in ('frozen', 'full'))
    assert not frozen.model.training and full.model.training
    assert torch.equal(frozen(inputs(), keep=1), frozen(inputs(), keep=1))
    assert not torch.equal(full(inputs(), keep=1), full(inputs(), keep=1))


@pytest.mark.parametrize('read', [torch.nn.Module.state_dict, get_state_dict])
def test_checkpoints_hold_the_trained_part_only(tokenizer, published, read):
    def names(**options):
        kept = read(Holder(tokenizer, **options))
        return {name.removeprefix('language_model.') for name in kept if not name.startswith('lay')}
    whole = names(config=SIZES, tune='frozen')
    assert 'model.transformer.wte.weight' in whole
    assert names(pretrained=str(published)) == set()
    assert names(pretrained=str(published), tune='full') == whole
    adapters = names(pretrained=str(published), tune='lora')
    assert adapters and all('lora_' in name for name in adapters)


@pytest.mark.parametrize('tune', ['frozen', 'lora'])
def test_what_checkpoints_leave_out_is_not_missed(tokenizer, published, tune):
    one, other = (Holder(tokenizer, pretrained=str(published), tune=tune) for _ in range(2))
    for value in one.parameters():
        if value.requires_grad:
            torch.nn.init.normal_(value)
    state = one.state_dict()
    assert load_weights(other, dict(state_dict=state)).exact
    load_state_dict(other, state, strict=True)
    other.load_state_dict(state)
    for (name, left), right in zip(one.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(left, right), name


def test_what_is_trained_is_still_missed(tokenizer, published):
    state = Holder(tokenizer, pretrained=str(published), tune='lora').state_dict()
    gone = next(name for name in state if 'lora_A' in name)
    del state[gone]
    report = load_weights(Holder(tokenizer, pretrained=str(published), tune='lora'), state)
    assert report.missing == [gone]
    full = Holder(tokenizer, pretrained=str(published), tune='full')
    assert len(load_weights(full, dict(state_dict={})).missing) == len(full.state_dict())


def test_other_weights_from_a_file_are_kept_in_checkpoints(tokenizer, published):
    tuned = Holder(tokenizer, pretrained=str(published), tune='full')
    same = Holder(tokenizer, pretrained=str(published))
    same.load_state_dict(tuned.state_dict())
    assert len(same.state_dict()) == 2  # nothing new: the published weights
    torch.nn.init.normal_(tuned.language_model.model.transformer.wpe.weight)
    frozen = Holder(tokenizer, pretrained=str(published))
    frozen.load_state_dict(tuned.state_dict())
    assert set(frozen.state_dict()) == set(tuned.state_dict())
    again = Holder(tokenizer, pretrained=str(published))
    assert load_weights(again, frozen.state_dict()).exact
    assert torch.equal(again.language_model.model.transformer.wpe.weight,
                       tuned.language_model.model.transformer.wpe.weight)


def test_a_file_with_a_part_of_the_language_model_is_told(tokenizer, published):
    state = Holder(tokenizer, config=SIZES, tune='full').state_dict()
    gone = 'language_model.model.transformer.wpe.weight'
    del state[gone]
    assert load_weights(Holder(tokenizer, pretrained=str(published)), state).missing == [gone]


def test_weights_that_a_hook_thaws_are_saved(tokenizer, published):
    model = Holder(tokenizer, pretrained=str(published))
    model.language_model.model.transformer.wpe.requires_grad_(True)
    assert 'language_model.model.transformer.wpe.weight' in model.state_dict()


def test_merging_keeps_the_answers_and_saves_everything(tokenizer, published):
    pytest.importorskip('peft')
    model = LanguageModel(tokenizer, pretrained=str(published), tune='lora', lora=LORA).eval()
    for name, value in model.named_parameters():
        if 'lora_' in name:
            torch.nn.init.normal_(value, std=0.3)
    with torch.no_grad():
        before = model(inputs(), keep=3)
    settings = model.merge()
    assert settings['tune'] == 'frozen' and settings['config']['n_layer'] == 2
    plain = LanguageModel(tokenizer, **settings).eval()
    assert set(plain.state_dict()) == set(model.state_dict())
    plain.load_state_dict(model.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(plain(inputs(), keep=3), before, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('options, message', [
    ({}, 'either pretrained or config, found pretrained=None, config=None'),
    (dict(pretrained='gpt2', config=SIZES), 'either pretrained or config'),
    (dict(config=SIZES, tune='frosen'), "no tune='frosen'.*Did you mean 'frozen'"),
    (dict(config=SIZES, lora=LORA), "lora={.*} and tune='frozen': set tune='lora'"),
    (dict(config=SIZES | dict(vocab_size=5)), 'knows 5 tokens and the tokenizer 11'),
    (dict(config=BERT), 'is not causal: .* as BERT does; .* set is_decoder=True'),
    (dict(config=dict(model_type='blip')), "no causal language model .* model_type='blip'"),
])
def test_contradictions_are_refused(tokenizer, options, message):
    with pytest.raises(ValueError, match=message):
        LanguageModel(tokenizer, **options)


@pytest.mark.parametrize('options, message', [
    (dict(config=SIZES | dict(n_layers=3)), "GPT2Config has no 'n_layers'.* mean 'n_layer'"),
    (dict(config=SIZES, tune='lora', lora=dict(lora_alfa=3)), "lora has no option 'lora_alfa'.* "
     "mean 'lora_alpha'"),
])
def test_misspelt_fields_name_the_nearest(tokenizer, options, message):
    with pytest.raises(TypeError, match=message):
        LanguageModel(tokenizer, **options)


def test_other_names_of_a_field_are_known(tokenizer):
    model = LanguageModel(tokenizer, config=SIZES | dict(num_hidden_layers=3))
    assert len(model.model.transformer.h) == 3


def test_what_is_no_causal_language_model_is_told(tokenizer, tmp_path):
    with pytest.raises(OSError, match=r'no folder .*: download the model there'):
        LanguageModel(tokenizer, pretrained=str(tmp_path / 'none'))
    with pytest.raises(ValueError, match='is not a causal language model: Unrecognized model'):
        LanguageModel(tokenizer, pretrained=str(tmp_path))
    vit = compat.import_transformers()
    vit.ViTModel(vit.ViTConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1,
                               intermediate_size=8, image_size=8, patch_size=4)
                 ).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match='is not a causal language model: Unrecognized config'):
        LanguageModel(tokenizer, pretrained=str(tmp_path))


def test_weights_that_would_stay_random_are_told(tokenizer, published, tmp_path):
    gpt = compat.import_transformers().GPT2LMHeadModel.from_pretrained(published)
    state = {name: value for name, value in gpt.state_dict().items() if '.ln_f.' not in name}
    gpt.save_pretrained(tmp_path, state_dict=state)
    with pytest.raises(ValueError, match='not a causal language model: 2 weights are missing'):
        LanguageModel(tokenizer, pretrained=str(tmp_path))


#: Today's families: grouped keys, windows, tied embeddings, fused layers, dropout in the layer.
GROUPED = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
               num_key_value_heads=2, max_position_embeddings=64)
FAMILIES = {
    'qwen2': dict(GROUPED, model_type='qwen2', tie_word_embeddings=True),
    'qwen2, windows': dict(GROUPED, model_type='qwen2', use_sliding_window=True, sliding_window=5,
                           max_window_layers=0),
    'llama': dict(GROUPED, model_type='llama'),
    'phi3': dict(GROUPED, model_type='phi3'),
    'gpt_neox': dict(model_type='gpt_neox', hidden_size=32, intermediate_size=48,
                     num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=64),
    'opt': dict(OPT, dropout=0.0),
    'gpt2': SIZES,
}


def gradients(model):
    """Return the gradients of inputs and weights, and how often a layer of the model ran."""
    torch.manual_seed(0)
    read = torch.randn(2, 5, model.width).requires_grad_()
    runs, layer = [], next(part for part in model.model.modules()
                           if type(part).__name__.endswith(('Layer', 'Block')))
    norm = next(part for part in layer.modules() if 'orm' in type(part).__name__)
    handle = norm.register_forward_hook(lambda *_: runs.append(1))
    model.train()(read, keep=3).pow(2).sum().backward()
    handle.remove()
    return [read.grad] + [value.grad for value in model.parameters() if value.grad is not None], (
        len(runs))


@pytest.mark.parametrize('tune', ['frozen', 'lora'])
@pytest.mark.parametrize('family', FAMILIES)
def test_layers_computed_again_give_the_same_gradients(tokenizer, family, tune):
    pytest.importorskip('peft')
    found = {}
    for checkpointing in (False, True):
        torch.manual_seed(0)
        model = LanguageModel(tokenizer, config=FAMILIES[family], tune=tune,
                              checkpointing=checkpointing)
        for part in model.modules():
            part.p = 0.0 if isinstance(part, torch.nn.Dropout) else getattr(part, 'p', None)
        found[checkpointing] = gradients(model)
    (plain, once), (again, twice) = found[False], found[True]
    assert (once, twice) == (1, 2) and len(plain) == len(again) > 0
    for one, other in zip(plain, again, strict=True):
        torch.testing.assert_close(one, other)


def test_a_frozen_model_that_is_computed_again_drops_nothing(tokenizer):
    model = LanguageModel(tokenizer, config=dict(OPT, dropout=0.5), checkpointing=True).train()
    assert torch.equal(model(inputs(), keep=2), model(inputs(), keep=2))
    assert not any(part.training for part in model.eval().modules())


def test_half_precision_halves_the_fixed_weights_alone(tokenizer, tmp_path):
    pytest.importorskip('peft')
    config = FAMILIES['qwen2']
    whole = LanguageModel(tokenizer, config=config).eval()
    whole.model.save_pretrained(tmp_path)
    half = LanguageModel(tokenizer, pretrained=str(tmp_path), tune='lora', dtype='bfloat16').eval()
    kinds = {value.requires_grad: value.dtype for value in half.parameters()}
    assert kinds == {False: torch.bfloat16, True: torch.float32}
    read = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(0))
    logits = half(read, keep=2)
    torch.testing.assert_close(logits.float(), whole(read, keep=2), atol=0.02, rtol=0.1)
    logits.float().sum().backward()
    assert all(value.grad.dtype is torch.float32 for value in half.parameters()
               if value.requires_grad)


def test_merged_adapters_are_not_rounded_away(tokenizer):
    pytest.importorskip('peft')
    model = LanguageModel(tokenizer, config=FAMILIES['qwen2'], tune='lora',
                          dtype='bfloat16').eval()
    for name, value in model.named_parameters():
        if 'lora_B' in name:
            torch.nn.init.normal_(value, std=1e-3)
    read = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(0))
    settings = model.merge()
    assert model.dtype is torch.float32 and 'dtype' not in settings
    plain = LanguageModel(tokenizer, **settings).eval()
    plain.load_state_dict(model.state_dict())
    torch.testing.assert_close(plain(read, keep=3), model(read, keep=3))
    frozen = LanguageModel(tokenizer, config=FAMILIES['qwen2'], dtype='bfloat16')
    assert frozen.merge()['dtype'] == 'bfloat16'


def test_logits_are_computed_of_the_scored_positions_alone(tokenizer):
    model = LanguageModel(tokenizer, config=FAMILIES['qwen2'], tune='full').eval()
    read = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(0))
    scored = torch.tensor([[True, False, True], [False, False, True]])
    sizes = []
    model.model.lm_head.register_forward_hook(lambda _, __, out: sizes.append(tuple(out.shape)))
    torch.testing.assert_close(model(read, 3, scored), model(read, 3)[scored])
    assert sizes[0] == (1, 3, tokenizer.vocab_size)
    assert model(read, 3, torch.zeros(2, 3, dtype=torch.bool)).shape == (0, tokenizer.vocab_size)


def test_a_published_model_needs_its_own_tokenizer(tokenizer, tmp_path):
    config = dict(FAMILIES['qwen2'], vocab_size=1500)
    LanguageModel(tokenizer, config=config).model.save_pretrained(tmp_path)  # a random one may
    with pytest.raises(ValueError, match='knows 1500 tokens and the tokenizer only 11, so its ids'):
        LanguageModel(tokenizer, pretrained=str(tmp_path))
    few = dict(FAMILIES['qwen2'], vocab_size=1000)  # filled up, as Qwen2.5 has 271 rows more
    LanguageModel(tokenizer, config=few).model.save_pretrained(tmp_path / 'few')
    assert LanguageModel(tokenizer, pretrained=str(tmp_path / 'few')).vocab_size == 1000


@pytest.mark.parametrize('options, message', [
    (dict(config=SIZES, dtype='bfloat61'), "no dtype='bfloat61'.*Did you mean 'bfloat16'"),
    (dict(config=SIZES, tune='full', dtype='bfloat16'), 'small updates of weights are lost'),
    (dict(config=dict(model_type='mamba', hidden_size=16, num_hidden_layers=1, state_size=4)),
     'keeps no keys and values .*Mamba'),
])
def test_what_cannot_be_tuned_or_searched_is_refused(tokenizer, options, message):
    with pytest.raises(ValueError, match=message):
        LanguageModel(tokenizer, **options)


def test_layers_to_adapt_must_be_named_where_nobody_knows_them(tokenizer, monkeypatch):
    pytest.importorskip('peft')
    from rscc.models import language_models
    monkeypatch.setattr(language_models, 'ATTENTION_LAYERS', ())
    with pytest.raises(ValueError, match=r"layers of a 'phi3' model to adapt: .*'qkv_proj'"):
        LanguageModel(tokenizer, config=FAMILIES['phi3'], tune='lora')
