import re
from dataclasses import replace
from pathlib import Path

import pytest

from rscc.demo import markup
from rscc.demo.answers import Answer
from rscc.demo.jobs import Progress
from rscc.demo.limits import Limits
from rscc.demo.words import Problem, Words

ANSWER = Answer(
    model='tiny', sources=('a.png', 'b.png'), frames=(Path('a'), Path('b')), layer=Path('l'),
    size=(64, 32), sentences=(('a house <b>was</b> built', -0.5), ('no change', -1.25)),
    changed=0.42, share=0.125, classes=(('building', '#ff0000', 0.1), ('road', '#00ff00', 0.025)),
    check=(dict(name='shift', status='warn', value=None, text='unsure. --align moves it',
                texts=dict(en='unsure. --align moves it', zh='不确定，--align 会移回')),
           dict(name='crs', status='ok', value=['no place on the map'] * 2, text='none'),
           dict(name='overlap', status='ok', value=0.75, text='75 %', texts=dict(zh='75%'))),
    verdict='warn', how='64 x 32 pixels, whole', rendered=True, command='rscc infer x')
HOSTILE = '"><script>alert(1)</script>'


def view(language='en', **changes):
    single = changes.pop('single', False)
    answer = replace(ANSWER, **changes)
    return markup.answer_view(Words(language), answer, ['rscc/file/a/a.png', 'rscc/file/b/b.png'],
                              None if answer.layer is None else 'rscc/file/l/l.png',
                              dict(json='rscc/file/j/x.json'), single)


@pytest.mark.parametrize(('language', 'expected'), [
    ('en', ['Sentences', 'score -0.500', 'score -1.250', '42 %', '12.5 %', 'building 10.0 %',
            'look at this first', 'Further checks that found nothing: 2', 'Can it be trusted?',
            'rendered images only', '>JSON</a>']),
    ('zh', ['描述', '得分 -0.500', '42 %', '建筑', '请先留意', '结果可信吗？', '只见过渲染影像',
            '不确定，“按估计的位移移动后时相” 会移回', '<span>none<', '75%'])])
def test_an_answer_is_told_in_both_languages(language, expected):
    html = view(language)
    for text in expected:
        assert text in html, text
    assert 'a house &lt;b&gt;was&lt;/b&gt; built' in html


def test_a_doubt_stands_beside_the_sentence():
    doubt = dict(value=0.31, sure=True, reasons=[
        dict(name='sentence_map', score=1.0, text='says no change over a changed map',
             texts=dict(zh='句子说没有变化')),
        dict(name='novelty', score=0.6, text='unlike the training')])
    html = view(doubt=doubt)
    assert 'risk of error 31 %: medium, check before use' in html
    assert 'rscc-verdict warn' in html and 'says no change over a changed map' in html
    assert '句子说没有变化' in view('zh', doubt=doubt)
    assert '出错风险 31%：中等' in view('zh', doubt=doubt)
    assert 'unlike the training' in view('zh', doubt=doubt)  # a record without Chinese
    html = view(doubt=dict(doubt, sure=False, value=0.9))
    assert 'rscc-verdict refuse' in html and 'too high, not sure' in html
    assert 'carry nothing to compare it with' in view(doubt=None)


@pytest.mark.parametrize(('value', 'sure', 'look', 'nothing'), [
    (0.1, True, 'ok', 'nothing was found that speaks against it'),
    (0.5, True, 'refuse', 'no single reason stands out')])
def test_colour_and_words_follow_the_number(value, sure, look, nothing):
    html = view(doubt=dict(value=value, sure=sure, reasons=[]))
    assert f'rscc-verdict {look}"' in html and nothing in html
    assert ('✓' in html.partition('rscc-doubt')[2].partition('rscc-check')[0]) == (look == 'ok')


def test_a_model_without_calibration_does_not_look_trusted():
    html = view(doubt=dict(value=None, sure=None, reasons=[], inputs=dict(change_told=1.0)))
    assert 'not calibrated' in html and 'tools/analysis_tools/calibrate.py' in html
    assert 'rscc-verdict soft"' in html
    assert '✓' not in html.partition('rscc-doubt')[2].partition('rscc-check')[0]


def test_the_doubts_of_a_scene_are_summed_up():
    found = dict(mean=0.4, highest=0.9, grades=dict(low=38, medium=0, high=2, uncalibrated=0),
                 reasons=[dict(input='novelty', reason='', windows=2)], text='')
    html = view(scene_doubt=found)
    assert 'mean risk of error of 40 %; 2 of them are not sure' in html
    assert 'unlike the training images</b><span>windows: 2<' in html
    assert 'GeoPackage say which' in html and '与训练影像差异较大' in view('zh', scene_doubt=found)
    assert '40 个窗口的描述平均出错风险为 40%' in view('zh', scene_doubt=found)
    html = view(scene_doubt=dict(found, mean=None, reasons=[], grades=dict(
        low=0, medium=0, high=0, uncalibrated=1)))
    assert 'not calibrated' in html and '0 of 1' not in html


def test_findings_name_the_fields_of_the_page_in_place_of_flags():
    html = view()
    assert '--align' not in re.sub('title="[^"]*"', '', html)
    assert 'Move the later date by the estimated shift' in html


def test_models_with_fewer_heads_have_fewer_parts():
    html = view(layer=None, share=None, classes=(), sentences=(), changed=None, check=(),
                verdict=None)
    assert 'draws no map' in html
    assert 'writes no sentences' in html
    assert 'rscc-check' not in html
    assert 'draws no map' not in view(layer=None, single=True)


@pytest.mark.parametrize(('language', 'pair', 'single'), [
    ('en', 'fit each other', 'Can the image be used'), ('zh', '匹配', '可以直接使用')])
def test_a_single_image_fits_no_other_one(language, pair, single):
    assert pair in view(language) and single not in view(language)
    html = view(language, single=True, sources=('a.png', ))
    assert single in html and pair not in html


def test_a_page_for_single_images_too_says_so():
    assert 'second tab' in markup.head(Words('en'), both=True)
    assert 'second tab' not in markup.head(Words('en'))


def test_a_scene_leads_with_its_result():
    html = view(lead=dict(en=('A tenth has changed.', 'Mostly houses.'), zh=('变化占一成。', )))
    assert html.index('A tenth has changed.') < html.index('Sentences of its windows')


@pytest.mark.parametrize('language', ['en', 'zh'])
def test_zones_state_limits_and_escape_names(language):
    images = {'from': dict(name=HOSTILE, width=3, height=2, picture=None)}
    html = markup.zones(Words(language), ('from', 'to'), images, ('parking', 'naip'), Limits())
    assert '<script' not in html
    for limit in ('200 MB', '100', '30000'):
        assert limit in html
    assert html.count('type="file"') == 2
    assert 'data-example="naip"' in html


@pytest.mark.parametrize(('language', 'told'), [
    ('en', 'saved here as “_b_.png”: give it that name'), ('zh', '保存为“_b_.png”')])
def test_commands_say_which_names_were_changed(language, told):
    html = view(language, renamed=(('<b>.png', '_b_.png'), ))
    assert told in html and '“&lt;b&gt;.png”' in html
    images = {'from': dict(name='_b_.png', width=3, height=2, picture=None, sent='<b>.png')}
    assert '“&lt;b&gt;.png”' in markup.zones(Words(language), ('from', 'to'), images, (), Limits())
    for text in ('saved here', '保存'):
        assert text not in view(language)


def test_commands_on_files_of_one_name_ask_for_their_folders():
    assert 'Both files are called “a.png”' in view(sources=('a.png', 'a.png'))
    assert '两个文件都叫“a.png”' in view('zh', sources=('a.png', 'a.png'))
    assert 'Both files' not in view() and 'Both files' not in view(sources=('a.png', ))


def test_a_score_of_nothing_has_no_sign():
    html = view(sentences=(('no change', -0.0001), ('a house', -0.0)))
    assert html.count('score 0.000') == 2 and '-0.000' not in html


def test_nothing_that_a_stranger_wrote_becomes_markup():
    words = Words('en')
    assert '<script' not in view(renamed=((HOSTILE, HOSTILE), ))
    assert '<script' not in view(sources=(HOSTILE,), how=HOSTILE, command=HOSTILE, model=HOSTILE,
                                 lead=dict(en=(HOSTILE,)))
    assert '<script' not in markup.problem(words, Problem('file_empty', name=HOSTILE))
    assert '<script' not in markup.problem(words, ValueError(HOSTILE))
    assert '<script' not in markup.problem(words, RuntimeError(HOSTILE))


def test_errors_are_sentences():
    assert 'The run was stopped' in markup.problem(Words('en'), Problem('too_slow', minutes='3'))
    assert '“Values” 0 3000' in markup.problem(Words('en'), ValueError('say --scale 0 3000'))
    assert '请按下面的说明' in markup.problem(Words('zh'), ValueError('sizes differ'))
    told = markup.problem(Words('en'), RuntimeError('line one\nline two'))
    assert 'The model cannot answer this: line one' in told
    assert 'line two' not in told


def test_progress_tells_the_stage_the_windows_and_the_time():
    words = Words('en')
    html = markup.progress(words, Progress('stage_answering', 30, 120, 60.0))
    assert 'Looking at the images · 30 of 120 windows · about 3 min left' in html
    assert 'aria-valuenow="25"' in html
    assert 'valuenow' not in markup.progress(words, Progress('stage_checking'))
    assert 'Waiting: 2 before you' in markup.progress(words, Progress('stage_reading'), ahead=2)
    assert 'Starting' in markup.progress(words, Progress('stage_reading'), ahead=0)
    assert '约剩 30 秒' in markup.progress(Words('zh'), Progress('stage_answering', 1, 2, 30.0))


def test_before_an_answer_the_dates_can_be_compared():
    html = markup.waiting_view(Words('en'), ('a.png', 'b.png'), (200, 100))
    assert 'class="cut"' in html
    assert '--ratio: 2.0000' in html
    assert 'drag the line' in markup.waiting_view(Words('en'), (), None)
