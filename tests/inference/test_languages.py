"""Answers in two languages: sentences, stock sentences, files, pictures, scenes."""
import json

import numpy as np
import pytest
import tiny_models as tiny

from rscc.apis import ChangeInferencer
from rscc.inference.model_pass import ModelPass
from rscc.inference.result import describe
from rscc.inference.windows import WindowAnswer
from rscc.scenes.torch_predictor import TorchPredictor
from rscc.structures import ScoredCaption
from rscc.text.normalisation import NO_CHANGE_CAPTIONS


def chinese(text):
    return '\u4e00' <= text[0] <= '\u9fff'


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp('bilingual') / 'both.pth'
    return tiny.save(path, dict(tiny.JOINT, caption_head=dict(
        tiny.BILINGUAL, decoding=dict(min_tokens=2))), classes=('unchanged', 'a', 'b'))


@pytest.fixture(scope='module')
def inferencer(checkpoint):
    return ChangeInferencer(str(checkpoint), device='cpu')


@pytest.fixture(scope='module')
def english(tmp_path_factory):
    path = tmp_path_factory.mktemp('english') / 'en.pth'
    return ChangeInferencer(str(tiny.save(path, tiny.JOINT)), device='cpu')


@pytest.fixture
def pair():
    return tiny.windows(1, 64, 64)[0]


def test_one_language_is_chosen_and_the_result_says_it(inferencer, pair):
    first, other = inferencer(*pair), inferencer(*pair, language='zh')
    assert (first.language, other.language) == ('en', 'zh')
    assert not chinese(first.caption) and chinese(other.caption)
    assert other.sentences == {'zh': other.captions}
    assert inferencer(*pair, language='en').caption == first.caption
    assert 'sentences' not in other.to_dict() and (other.mask == first.mask).all()


def test_both_come_from_one_pass_and_the_first_counts(inferencer, pair, monkeypatch):
    calls, encode = [], inferencer.model.encode
    monkeypatch.setattr(inferencer.model, 'encode',
                        lambda *given: calls.append(1) or encode(*given))
    both = inferencer(*pair, language='both')
    assert len(calls) == 1
    assert list(both.sentences) == ['en', 'zh'] and both.language == 'en'
    assert both.captions == both.sentences['en']
    for language, captions in both.sentences.items():
        assert captions[0].text == inferencer(*pair, language=language).caption
    turned = inferencer(*pair, language=('zh', 'en'))
    assert list(turned.sentences) == ['zh', 'en'] and turned.language == 'zh'


def test_both_are_printed_written_and_drawn(inferencer, pair, tmp_path):
    both = inferencer(*pair, language='both', num_beams=2, num_captions=2)
    lines = describe(both).splitlines()
    labels = [line[:12].strip() for line in lines if line.startswith(('sentence', '      '))]
    assert [label for label in labels if label] == ['sentence en', '2.', 'sentence zh', '2.']
    files = both.save(tmp_path, 'x')
    stored = json.loads(files[-1].read_text())
    assert {name: [text for text, _ in said] for name, said in stored['sentences'].items()} == {
        name: [caption.text for caption in said] for name, said in both.sentences.items()}
    assert list(both.doubts) == list(stored['doubts']) == ['en', 'zh']
    assert stored['doubt'] == stored['doubts']['en']
    told = '\n'.join(line for line in lines if 'risk of error' in line)
    assert told.count('(en)') == told.count('(zh)') == 1
    one = inferencer(*pair)
    assert one.doubt is one.doubts['en'] and 'doubts' not in one.to_dict()
    assert both.panel().shape[0] > one.panel().shape[0] > 0
    assert 'sentence     ' in describe(one)


def test_windows_are_merged_in_each_language_by_its_own_stock_sentences(inferencer, monkeypatch):
    image = tiny.windows(1, 64, 160)[0]
    both = inferencer(*image, language='both')
    assert len(both.windows) > 1
    assert chinese(both.sentences['zh'][0].text) and not chinese(both.caption)
    assert [chinese(window.sentences['zh'][0].text) for window in both.windows] == [
        True] * len(both.windows)
    assert len(both.to_dict()['windows'][0]['sentences']) == 2
    text = describe(both, per_window=True)
    assert text.count('x 0-') == 2 and text.count('\nsentence') == 2

    class Image:
        answers = [WindowAnswer((0, 0, 1, 1), [ScoredCaption('no change', -1)], sentences={
            'en': [ScoredCaption('no change', -1)], 'zh': [ScoredCaption(own, -1)]})
            for own in (NO_CHANGE_CAPTIONS['zh'][1], '新建了房屋')]

        def __len__(self):
            return 2

    sentences, told = inferencer._sentences(Image(), ('zh', 'en'))
    assert [said[0].text for said in sentences.values()] == ['新建了房屋', 'no change']
    assert told == 1  # the window that the first language's sentence is of


def test_a_config_may_fix_the_language(checkpoint, pair):
    fixed = ChangeInferencer(str(checkpoint), device='cpu', cfg_options={
        'model.caption_head.decoding.language': 'zh'})
    assert fixed(*pair).language == 'zh' and chinese(fixed(*pair).caption)
    assert list(fixed(*pair, language='both').sentences) == ['zh', 'en']
    assert not chinese(fixed(*pair, language='en').caption)


@pytest.mark.parametrize('language', ['zh', 'both', ('en', 'zh')])
def test_a_model_of_one_language_refuses_another_before_it_reads_images(english, language):
    with pytest.raises(ValueError, match="language='zh': this caption head writes 'en' only"):
        english('absent.png', 'absent.png', language=language)


def test_a_model_of_one_language_answers_in_it(english, pair):
    assert english(*pair, language='en').sentences == {'en': english(*pair).captions}
    with pytest.raises(ValueError, match="unknown language 'cn'"):
        english(*pair, language='cn')


def test_scenes_are_described_in_the_language_asked_for(checkpoint):
    model_pass = ModelPass.of(str(checkpoint), device='cpu')
    windows = tiny.windows(2, 64, 64)
    for language in ('en', 'zh'):
        predictor = TorchPredictor(model_pass, dict(language=language))
        assert predictor.facts.language == language
        found = predictor.predict(windows, ['always'] * 2)
        assert [chinese(one.sentences[0].text) for one in found] == [language == 'zh'] * 2
    assert predictor.facts.no_change_captions == tuple(NO_CHANGE_CAPTIONS['zh'])
    assert not predictor.tells_of_change('没有发生变化')
    assert TorchPredictor(model_pass).facts.no_change_captions == ('no change', )
    with pytest.raises(ValueError, match=r"written in one language, and \['en', 'zh'\]"):
        TorchPredictor(model_pass, dict(language='both'))


def test_masks_do_not_depend_on_the_language(inferencer, pair):
    assert np.array_equal(inferencer(*pair, language='both').mask, inferencer(*pair).mask)
