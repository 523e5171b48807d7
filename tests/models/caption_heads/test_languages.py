"""One caption head that writes two languages, and heads that refuse another than theirs."""
import pytest
import torch
from testers import (
    WORDS,
    AutoregressiveHeadTester,
    build_interpreter,
    change_features,
    data_samples,
)

from rscc.models.caption_heads.base import languages_asked, pack_words, restore_vocabulary
from rscc.registry import MODELS
from rscc.structures import ChangeDataSample

CHINESE = ['新建', '了', '一栋', '房屋', '没有', '变化']
TOKENIZER = dict(type='BilingualWordTokenizer', words=[
    '<pad>', '<unk>', '<start>', '<end>', '<en>', *WORDS, '<zh>', *CHINESE])
BLIP = dict(type='BlipCaptionHead', memory_channels=16, max_tokens=8, tokenizer=TOKENIZER,
            config=dict(hidden_size=32, num_hidden_layers=2, intermediate_size=64,
                        num_attention_heads=4, max_position_embeddings=32))
GPT = dict(type='PrefixGPTHead', memory_channels=16, source='tokens', prefix_length=3,
           max_tokens=8, mapper=dict(type='TransformerMapper', num_layers=1, num_heads=2),
           language_model=dict(tune='full', config=dict(n_embd=32, n_layer=2, n_head=2,
                                                        n_positions=32)), tokenizer=TOKENIZER)
LSTM = dict(type='AttentionLSTMHead', memory_channels=16, embed_dims=8, hidden_dims=8,
            attention_dims=8, max_tokens=8, tokenizer=TOKENIZER)
KARRAS = dict(type='KarrasCaptionHead', memory_channels=16, max_tokens=8, tokenizer=TOKENIZER,
              denoiser=dict(num_layers=1, hidden_dims=16, num_heads=2))
ENGLISH_ONLY = dict(type='WordTokenizer', words=WORDS)
SENTENCES = ['a house is built', '新建了一栋房屋']


class TestBilingualBlip(AutoregressiveHeadTester):
    cfg = BLIP


class TestBilingualGPT(AutoregressiveHeadTester):
    cfg = GPT


def is_chinese(text):
    return any(word in text for word in CHINESE)


def learnt(cfg, steps=60):
    """A head that has learnt both sentences by heart."""
    torch.manual_seed(0)
    head, features = MODELS.build(cfg), change_features(1)
    samples = data_samples(1)
    samples[0].target_captions = SENTENCES
    optimizer = torch.optim.Adam(head.parameters(), 1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        head.loss(features, samples)['loss_caption'].backward()
        optimizer.step()
    return head.eval(), features


@pytest.mark.parametrize('cfg', [BLIP, GPT])
@pytest.mark.parametrize('options', [{}, dict(num_beams=3)])
def test_the_marker_decides_which_sentence_is_written(cfg, options):
    head, features = learnt(cfg)
    for language, sentence in zip(('en', 'zh'), SENTENCES, strict=True):
        (caption, *_), = head.generate(features, language=language, **options)
        assert caption.text == sentence
    assert head.generate(features, **options)[0][0].text == SENTENCES[0]


@pytest.mark.parametrize('cfg', [BLIP, GPT])
def test_untrained_heads_never_mix_languages(cfg):
    torch.manual_seed(0)
    head, features = MODELS.build(cfg).eval(), change_features(8)
    options = dict(sample=True, num_captions=4, seed=0, min_tokens=3)
    texts = {language: [caption.text for captions in head.generate(
        features, language=language, **options) for caption in captions]
        for language in ('en', 'zh')}
    assert all(map(is_chinese, filter(None, texts['zh']))) and any(texts['zh'])
    assert not any(map(is_chinese, texts['en'])) and any(texts['en'])


def test_the_default_language_may_be_an_option_of_the_config():
    head, features = learnt(BLIP | dict(decoding=dict(language='zh')), steps=40)
    assert is_chinese(head.generate(features)[0][0].text)
    with pytest.raises(ValueError, match="unknown language 'fr'"):
        MODELS.build(BLIP | dict(decoding=dict(language='fr')))


def test_sentences_of_both_languages_share_one_row_and_their_markers_are_not_learned():
    head, samples = MODELS.build(BLIP), data_samples(1)
    samples[0].target_captions = SENTENCES
    packed = head._pack(samples, torch.device('cpu'))
    tokenizer = head.tokenizer
    assert packed.ids[0].tolist() == [number for text in SENTENCES
                                      for number in tokenizer.encode(text)]
    markers = [tokenizer.prompt_in(language)[0] for language in ('en', 'zh')]
    places = [packed.ids[0].tolist().index(marker) for marker in markers]
    assert packed.labels[0, places].tolist() == [-100, -100]
    assert packed.num_learned == sum(len(tokenizer.encode(text)) - 2 for text in SENTENCES)


def test_the_loss_of_both_is_the_mean_over_the_words_of_each():
    torch.manual_seed(0)
    head, features, sample = MODELS.build(BLIP).eval(), change_features(1), data_samples(1)
    losses, counts = [], []
    for targets in (SENTENCES[:1], SENTENCES[1:], SENTENCES):
        sample[0].target_captions = targets
        losses.append(head.loss(features, sample)['loss_caption'].item())
        counts.append(head._pack(sample, torch.device('cpu')).num_learned)
    assert losses[2] == pytest.approx((losses[0] * counts[0] + losses[1] * counts[1]) / counts[2],
                                      rel=1e-5)


@pytest.mark.parametrize('cfg', [BLIP, GPT, LSTM, KARRAS], ids=lambda cfg: cfg['type'])
def test_heads_of_one_language_refuse_another_in_the_same_words(cfg):
    head = MODELS.build(cfg | dict(tokenizer=ENGLISH_ONLY)).eval()
    assert head.languages == ('en', )
    head.generate(change_features(1), language='en')
    with pytest.raises(ValueError, match=r"^language='zh': this caption head writes 'en' only, "
                       'for its WordTokenizer has no other words'):
        head.generate(change_features(1), language='zh')


@pytest.mark.parametrize(('cfg', 'message'), [
    (LSTM, 'that of several languages is the language'),
    (KARRAS, r"can be given no language: found a tokenizer of \['en', 'zh'\]")])
def test_heads_without_a_prompt_refuse_tokenizers_of_several_languages(cfg, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build(cfg)


def test_words_of_both_come_out_of_a_checkpoint_whatever_language_it_was_scored_in():
    head = dict(tokenizer=dict(type='BilingualWordTokenizer', vocab_files=dict(en='x', zh='y')))
    for language in ('en', 'zh'):
        stored = dict(state_dict={'caption_head.vocabulary': pack_words(TOKENIZER['words'])},
                      meta=dict(dataset_meta=dict(language=language)))
        words = restore_vocabulary(dict(model=dict(caption_head=head)), stored)
        assert head['tokenizer'] == TOKENIZER and words == TOKENIZER['words']


def sample_in(language):
    return ChangeDataSample(metainfo=dict(sample_id='s', language=language))


def test_who_decides_the_language():
    head, one = MODELS.build(BLIP), MODELS.build(BLIP | dict(tokenizer=ENGLISH_ONLY))
    fixed = MODELS.build(BLIP | dict(decoding=dict(language='en')))
    assert languages_asked(head, sample_in('zh'), {}) == ('zh', )
    assert languages_asked(head, sample_in('zh'), dict(language='en')) == ('en', )
    assert languages_asked(head, sample_in('zh'), dict(language=('zh', 'en'))) == ('zh', 'en')
    for other in (one, fixed, torch.nn.Identity()):
        assert languages_asked(other, sample_in('zh'), {}) == (None, )
    assert languages_asked(head, ChangeDataSample(), {}) == (None, )


class TestInterpreter:

    def build(self):
        return build_interpreter(caption_head=BLIP).eval()

    def samples(self, *languages):
        made = data_samples(len(languages), size=(64, 64))
        for sample, language in zip(made, languages, strict=True):
            sample.set_metainfo(dict(language=language))
        return made

    def test_samples_of_two_languages_are_answered_in_their_own(self):
        model, draw = self.build(), torch.Generator().manual_seed(0)
        inputs = torch.rand(4, 2, 3, 64, 64, generator=draw)
        answers = model.predict(inputs, self.samples('en', 'zh', 'zh', 'en'), min_tokens=3)
        assert [is_chinese(answer.pred_caption) for answer in answers] == [
            False, True, True, False]
        alone = model.predict(inputs[1:2], self.samples('zh'), min_tokens=3)[0]
        assert alone.pred_caption == answers[1].pred_caption and 'pred_sentences' not in alone

    def test_both_come_from_one_pass_of_encoder_and_fusion(self, monkeypatch):
        model, calls = self.build(), []
        encode = model.encode
        monkeypatch.setattr(model, 'encode', lambda *given: calls.append(1) or encode(*given))
        inputs = torch.rand(2, 2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        answers = model.predict(inputs, self.samples('en', 'en'), language=('zh', 'en'),
                                min_tokens=3)
        assert len(calls) == 1
        for answer in answers:
            assert list(answer.pred_sentences) == ['zh', 'en']
            assert answer.pred_captions == answer.pred_sentences['zh']
            assert is_chinese(answer.pred_caption)
            assert not is_chinese(answer.pred_sentences['en'][0].text)
