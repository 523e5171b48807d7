import json

import pytest
import torch
from testers import WORDS, AutoregressiveHeadTester, change_features, data_samples

from rscc.models.caption_heads.mappers import TransformerMapper
from rscc.registry import MODELS
from rscc.structures import ChangeFeatures, FrameFeatures

GPT = dict(n_embd=32, n_layer=2, n_head=4, n_positions=32, resid_pdrop=0.0, embd_pdrop=0.0,
           attn_pdrop=0.0)
SMALL = dict(num_layers=1, num_heads=4)


class Captioner(AutoregressiveHeadTester):
    cfg = dict(type='PrefixGPTHead', memory_channels=16, prefix_length=4, max_tokens=8,
               mapper=dict(type='MLPMapper'), language_model=dict(config=GPT, tune='full'),
               tokenizer=dict(type='WordTokenizer', words=WORDS))


class TestMLP(Captioner):
    pass


class TestTransformer(Captioner):
    cfg = Captioner.cfg | dict(mapper=dict(type='TransformerMapper', **SMALL))


class TestAMHT(Captioner):
    cfg = Captioner.cfg | dict(mapper=dict(type='AMHTMapper', init='identity', **SMALL))


class TestTokens(Captioner):
    cfg = Captioner.cfg | dict(mapper=dict(type='AMHTMapper', **SMALL), source='tokens')


class TestFrozen(Captioner):
    cfg = Captioner.cfg | dict(language_model=dict(config=GPT | dict(initializer_range=0.4)))


def build(**changes):
    torch.manual_seed(0)
    return MODELS.build(Captioner.cfg | changes)


def with_captions(*captions):
    samples = data_samples(len(captions))
    for sample, own in zip(samples, captions, strict=True):
        sample.gt_captions = list(own)
    return samples


def loss_of(head, samples, features=None):
    features = change_features(len(samples)) if features is None else features
    return head.loss(features, samples)['loss_caption']


def test_sentences_of_one_sample_share_its_prefix_and_cost_the_same_loss():
    head, features = build().eval(), change_features(2)
    together = with_captions(['a house', 'a road is built'], ['no change'])
    apart = with_captions(['a house'], ['a road is built'], ['no change'])
    rows = [0, 0, 1]
    repeated = ChangeFeatures(pooled=features.pooled[rows])
    calls = []
    head.mapper.register_forward_hook(lambda *_: calls.append(len(_[1][0])))
    torch.testing.assert_close(loss_of(head, together, features),
                               loss_of(head, apart, repeated))
    assert calls == [2, 3]


def test_loss_by_hand():
    head, features = build().eval(), change_features(1)
    ids = torch.tensor([head.tokenizer.encode('a house')[1:]])
    words = torch.cat([head.prefix(features), head.language_model.embed(ids)], 1)
    logits = head.language_model.model(inputs_embeds=words).logits
    expected = torch.nn.functional.cross_entropy(logits[0, 3:-1], ids[0])
    samples = with_captions(['a house'], ['no change is a road'])
    torch.testing.assert_close(loss_of(head, samples[:1], features), expected)
    # Padding changes nothing for those that are padded.
    pair = ChangeFeatures(pooled=features.pooled[[0, 0]])
    longer = head._sentences(samples[1:])[0][0]
    single = loss_of(head, samples[1:], features)
    total = (expected * ids.numel() + single * len(longer)) / (ids.numel() + len(longer))
    torch.testing.assert_close(loss_of(head, samples, pair), total)


def test_accuracy_counts_learned_tokens_only():
    head, samples = build().eval(), with_captions(['a house'], ['no change is a road'])
    head.language_model.model.lm_head = torch.nn.Linear(32, head.tokenizer.vocab_size)
    torch.nn.init.zeros_(head.language_model.model.lm_head.weight)
    with torch.no_grad():
        head.language_model.model.lm_head.bias.zero_()[head.tokenizer.eos_id] = 1
    assert head.loss(change_features(2), samples)['accuracy'] == pytest.approx(2 / 9)


def test_samples_without_captions_train_nothing_but_stay_finite():
    head = build()
    loss = loss_of(head, with_captions([], []))
    loss.backward()
    assert loss == 0 and all(value.grad is not None for value in head.parameters())


def test_a_sentence_without_a_word_is_counted_and_not_learned():
    head = build().eval()
    both = loss_of(head, with_captions(['a house', ' .']))
    assert head.tokenizer.empty == 1
    assert torch.equal(both, loss_of(head, with_captions(['a house'])))


def test_long_sentences_are_cut_and_counted():
    head = build()
    assert loss_of(head, with_captions(['house ' * 20])).isfinite()
    assert head.tokenizer.cut == 1


def test_the_end_may_be_left_to_the_full_stop():
    head = build(learn_end=False)
    assert head._sentences(with_captions(['a house']))[0][0] == head.tokenizer.encode(
        'a house')[1:-1]


def test_a_stop_text_ends_a_sentence():
    head = build(stop_text=('built', 'road')).eval()
    built, road = (head.tokenizer.plain_ids(word)[0] for word in ('built', 'road'))
    assert head.stop_ids == [head.tokenizer.eos_id, built, road]
    with torch.no_grad():
        head.language_model.model.lm_head.weight.zero_()
    head.language_model.model.lm_head.register_forward_hook(
        lambda _, __, logits: torch.nn.functional.one_hot(
            torch.full(logits.shape[:2], road), logits.shape[2]).float())
    assert head.generate(change_features(1))[0][0].text == 'road'
    with pytest.raises(ValueError, match="stop_text 'a house' is 2 tokens"):
        build(stop_text='a house')


def test_ids_that_the_tokenizer_lacks_are_never_written():
    size = build().tokenizer.vocab_size
    head = build(language_model=dict(tune='full', config=GPT | dict(
        vocab_size=size + 40, initializer_range=1.0))).eval()
    for options in ({}, dict(num_beams=3), dict(sample=True, seed=0)):
        for captions in head.generate(change_features(6), **options):
            assert captions[0].score > -float('inf')


def test_unknown_words_and_padding_are_never_written(monkeypatch):
    head, seen = build().eval(), []
    decode = head.tokenizer.decode
    monkeypatch.setattr(head.tokenizer, 'decode', lambda ids: seen.extend(ids) or decode(ids))
    head.generate(change_features(6), sample=True, num_captions=20, seed=0)
    tokenizer = head.tokenizer
    assert len(seen) > 200
    assert not {tokenizer.pad_id, tokenizer.unk_id, tokenizer.bos_id} & set(seen)


def test_a_prompt_is_given_after_the_prefix_and_not_learned():
    head = build()
    head.given_ids = [4, 5]
    sentences = head._sentences(with_captions(['a house']))[0]
    ids, labels = head._labelled(sentences, None, torch.device('cpu'))
    assert ids[0, :2].tolist() == [4, 5] and labels[0, :2].tolist() == [-100] * 2
    assert labels[0, 2:].tolist() == head.tokenizer.encode('a house')[1:]
    one = head.eval().generate(change_features(1))[0][0]
    head.given_ids = []
    assert head.generate(change_features(1))[0][0].score != one.score


@pytest.mark.parametrize('options', [{}, dict(num_beams=3, num_captions=3),
                                     dict(sample=True, seed=3)])
def test_the_cache_changes_nothing(options):
    head = build(language_model=dict(config=GPT | dict(initializer_range=0.5))).eval()
    features = change_features(3)
    cached = head.generate(features, **options)
    plain = head.generate(features, **options, use_cache=False)
    assert [[c.text for c in row] for row in cached] == [[c.text for c in row] for row in plain]


def test_normalised_prefixes_do_not_know_the_length_of_the_vector():
    head, features = build(normalize_prefix=True), change_features(2)
    longer = ChangeFeatures(pooled=features.pooled * 3)
    torch.testing.assert_close(head.prefix(longer), head.prefix(features))


@pytest.mark.parametrize('fusion', [dict(type='ConcatFusion', channels=16),
                                    dict(type='DifferenceFusion', channels=16)])
def test_tokens_of_two_dates_make_a_prefix(fusion):
    head = build(source='tokens', mapper=dict(type='TransformerMapper', **SMALL)).eval()
    torch.manual_seed(1)
    tokens = torch.randn(2, 2, 6, 16)
    frames = FrameFeatures(maps=[torch.randn(2, 2, 16, 2, 3)], tokens=tokens, token_grid=(2, 3),
                           pooled=tokens.mean(2))
    fused = MODELS.build(fusion)(frames)
    assert head.prefix(fused).shape == (2, 4, 32)
    assert len(head.generate(fused)) == 2 and loss_of(head, data_samples(2), fused).isfinite()


def test_a_merged_head_is_one_of_plain_weights_with_the_same_answers():
    pytest.importorskip('peft')
    cfg = Captioner.cfg | dict(
        mapper=dict(type='AMHTMapper', init='he', **SMALL),
        language_model=dict(config=GPT | dict(initializer_range=0.4), tune='lora', lora=dict(r=2)))
    torch.manual_seed(0)
    head, features = MODELS.build(cfg).eval(), change_features(3)
    for name, value in head.named_parameters():
        if 'lora_B' in name or 'adaptation' in name:
            torch.nn.init.normal_(value, std=0.1)
    before = head.generate(features, num_beams=2)
    merged = MODELS.build(head.merge(cfg)).eval()
    merged.load_state_dict(head.state_dict())
    assert type(merged.mapper) is TransformerMapper and cfg['mapper']['type'] == 'AMHTMapper'
    for one, other in zip(before, merged.generate(features, num_beams=2), strict=True):
        assert one[0].text == other[0].text
        assert one[0].score == pytest.approx(other[0].score, abs=1e-4)


@pytest.mark.parametrize('changes, message', [
    (dict(source='patches'), r"no source='patches', only \['pooled', 'tokens'\]"),
    (dict(source='tokens'), "MLPMapper maps one vector an image, not source='tokens'"),
    (dict(max_tokens=29), 'max_tokens=29 is too long: .* 28 tokens after a prefix of 4'),
    (dict(decoding=dict(max_tokens=29)), 'decoding max_tokens=29 is too long'),
])
def test_what_does_not_fit_is_refused_when_built(changes, message):
    with pytest.raises(ValueError, match=message):
        build(**changes)


@pytest.mark.parametrize('changes, message', [
    (dict(language_model=dict(confg=GPT)), "language_model has no option 'confg'.* 'config'"),
    (dict(mapper=dict(type='MLPMapper', hiden_channels=3)), "has no option 'hiden_channels'.* "
     "mean 'hidden_channels'"),
    (dict(decoding=dict(num_beam=3)), "decoding has no option 'num_beam'.* mean 'num_beams'"),
])
def test_misspelt_options_of_a_part_name_the_nearest(changes, message):
    with pytest.raises(TypeError, match=message):
        build(**changes)


def test_the_longest_sentence_fits_the_positions():
    head = build(max_tokens=28)
    assert loss_of(head, with_captions(['house ' * 40])).isfinite()
    head.eval().generate(change_features(1), min_tokens=28)
    with pytest.raises(ValueError, match='decoding max_tokens=29 is too long'):
        head.generate(change_features(1), max_tokens=29)


def test_features_that_do_not_fit_are_told():
    head = build()
    with pytest.raises(ValueError, match="reads source='pooled' and the fusion gives no such"):
        head.prefix(ChangeFeatures(tokens=torch.zeros(1, 3, 16)))
    with pytest.raises(ValueError, match='memory_channels=16 and the pooled features are 8 wide'):
        head.prefix(ChangeFeatures(pooled=torch.zeros(1, 8)))


QWEN = dict(model_type='qwen2', hidden_size=32, intermediate_size=48, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
            initializer_range=0.4)
FAMILIES = {
    'qwen2': QWEN,
    'qwen2, windows': QWEN | dict(use_sliding_window=True, sliding_window=5, max_window_layers=0),
    'llama': QWEN | dict(model_type='llama'),
    'gemma3': QWEN | dict(model_type='gemma3_text', num_hidden_layers=6, head_dim=8,
                          sliding_window=5),
    'gpt_neox': dict(model_type='gpt_neox', hidden_size=32, intermediate_size=48,
                     num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=64,
                     initializer_range=0.4),
    'opt': dict(model_type='opt', hidden_size=32, word_embed_proj_dim=32, ffn_dim=48,
                num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=64),
}


class TestQwenAfterResampledTokens(Captioner):
    cfg = Captioner.cfg | dict(mapper=dict(type='ProjectionMapper'), source='tokens',
                               prefix_length=12, language_model=dict(config=QWEN, tune='full'))


@pytest.mark.parametrize('options', [{}, dict(num_beams=3, num_captions=3)])
@pytest.mark.parametrize('family', FAMILIES)
def test_any_family_writes_the_same_with_a_cache_and_alone(family, options):
    head, features = build(language_model=dict(config=FAMILIES[family])).eval(), change_features(4)
    together = head.generate(features, **options)
    plain = head.generate(features, **options, use_cache=False)
    alone = [head.generate(ChangeFeatures(pooled=row[None]), **options)[0]
             for row in features.pooled]
    texts = [[[c.text for c in row] for row in way] for way in (together, plain, alone)]
    assert texts[0] == texts[1] == texts[2]
    for row, single in zip(together, alone, strict=True):
        assert row[0].score == pytest.approx(single[0].score, abs=1e-4)


@pytest.fixture
def chatty(tmp_path):
    """Config of a tokenizer that puts ids before the image and behind it."""
    from rscc.text.pretrained_tokenizer import train_byte_pairs
    template = ('{% for m in messages %}[USER]{{ m.content }}[END]{% endfor %}'
                '{% if add_generation_prompt %}[BOT]{% endif %}')
    lines = json.loads(train_byte_pairs(['a house', 'a road is built'], 280))
    next_id = len(lines['model']['vocab'])
    lines['added_tokens'] += [dict(lines['added_tokens'][0], content=name, id=next_id + place)
                              for place, name in enumerate(['[USER]', '[END]', '[BOT]'])]
    (tmp_path / 'tokenizer.json').write_text(json.dumps(lines))
    (tmp_path / 'tokenizer_config.json').write_text(json.dumps(dict(
        eos_token='<|endoftext|>', chat_template=template,
        tokenizer_class='PreTrainedTokenizerFast')))
    return dict(type='PretrainedTokenizer', pretrained=str(tmp_path), prompt='what?',
                chat_template=True)


def test_a_chat_stands_around_the_prefix(chatty):
    head = build(tokenizer=chatty, language_model=dict(config=QWEN, tune='full')).eval()
    features, tokenizer = change_features(1), head.tokenizer
    assert tokenizer.lead_ids and head.given_ids == list(tokenizer.prompt_ids)
    # The loss by hand: user's mark, image, question and marks, then the learned words.
    words = tokenizer.encode('a house')[len(tokenizer.start_ids):]
    embed = head.language_model.embed
    read = torch.cat([embed(torch.tensor([tokenizer.lead_ids])), head.prefix(features),
                      embed(torch.tensor([[*head.given_ids, *words]]))], 1)
    logits = head.language_model.model(inputs_embeds=read).logits[0, -len(words) - 1:-1]
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor(words))
    torch.testing.assert_close(loss_of(head, with_captions(['a house']), features), expected)
    # What is written continues the same ids.
    decoder, state = head.start(features, head.decoding)
    torch.testing.assert_close(state.inputs, read[:, :-len(words)])
    first = head.generate(features, max_tokens=1)[0][0].score
    scores = decoder.step(None, state)[0][0].detach().log_softmax(-1)
    scores[head.banned_ids] = -torch.inf
    assert first == pytest.approx(float(scores.max()), abs=1e-4)
    assert head.room()[0] == 64 - 4 - len(tokenizer.lead_ids) - len(head.given_ids)


def test_no_special_token_is_written(chatty):
    head = build(tokenizer=chatty, max_tokens=20, language_model=dict(
        config=QWEN | dict(max_position_embeddings=128))).eval()
    marks = head.tokenizer.special_ids - {head.tokenizer.eos_id}
    assert len(marks) == 3 and marks <= set(head.banned_ids)


def test_only_learned_tokens_become_logits():
    head, seen = build(language_model=dict(config=QWEN, tune='full')), []
    head.language_model.model.lm_head.register_forward_hook(
        lambda _, __, out: seen.append(tuple(out.shape)))
    head.given_ids = [4, 5]
    loss_of(head, with_captions(['a house'], ['no change is a road']))
    assert seen == [(1, 9, head.tokenizer.vocab_size)]  # 3 and 6 ids, neither fill-up nor prompt


def test_half_precision_and_adapters_learn():
    pytest.importorskip('peft')
    head = build(language_model=dict(config=QWEN, tune='lora', dtype='bfloat16',
                                     checkpointing=True)).train()
    optimizer = torch.optim.Adam([value for value in head.parameters() if value.requires_grad],
                                 lr=1e-2)
    samples, losses = with_captions(['a house'], ['no change']), []
    for _ in range(30):
        optimizer.zero_grad()
        losses.append(loss_of(head, samples))
        losses[-1].backward()
        optimizer.step()
    assert losses[-1].dtype is torch.float32 and losses[-1] < 0.5 * losses[0]
    cached, plain = (head.eval().generate(change_features(2), use_cache=cache)
                     for cache in (True, False))
    assert [row[0].text for row in cached] == [row[0].text for row in plain]


def test_a_lone_tokenizer_travels_in_the_checkpoint(tmp_path):
    from rscc.models.caption_heads.base import restore_vocabulary
    from rscc.text.pretrained_tokenizer import train_byte_pairs
    file = tmp_path / 'made.json'
    file.write_text(train_byte_pairs(['a house', 'a road is built'], 280))
    cfg = Captioner.cfg | dict(
        tokenizer=dict(type='PretrainedTokenizer', tokenizer_file=str(file)),
        language_model=dict(config=QWEN, tune='full'))
    state = {f'caption_head.{name}': value
             for name, value in MODELS.build(cfg).state_dict().items()}
    file.unlink()
    whole = dict(model=dict(caption_head=dict(cfg, tokenizer=dict(cfg['tokenizer']))))
    restore_vocabulary(whole, state)
    head = MODELS.build(whole['model']['caption_head'])
    head.load_state_dict({name.removeprefix('caption_head.'): value
                          for name, value in state.items()})
    assert head.tokenizer.decode(head.tokenizer.encode('a road is built')) == 'a road is built'
