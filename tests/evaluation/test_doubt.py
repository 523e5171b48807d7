import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from rscc.evaluation.calibration import Calibration
from rscc.evaluation.doubt import REASONS, Doubt, Evidence
from rscc.evaluation.functional.consistency import MapFacts, Said
from rscc.structures import ScoredCaption
from rscc.structures.change_data_sample import SampledCaption

CLASSES = ('unchanged', 'building', 'road')
STOCK = ('the scene is the same as before',)


def built(**parts):
    """Evidence without a reason to doubt: a house is built, and the map shows it."""
    mask = np.zeros((100, 100), np.uint8)
    mask[10:20, 10:20] = 1
    found = Evidence(Said('a house is built', 'en', STOCK), -0.1,
                     map_facts=MapFacts.of(mask, CLASSES), probability=0.98, novelty=0.6,
                     resolution=0.5, trained=0.5)
    return replace(found, **parts)


def test_evidence_is_put_together_alike_on_every_route():
    drawn = SampledCaption.of(ScoredCaption('a house is built', -0.2), agreement=0.4, drawn=5)
    evidence = Evidence.of(
        {'en': [drawn, ScoredCaption('a road is built', -0.9)],
         'zh': [ScoredCaption('新建了一座房子', -0.3), ScoredCaption('没有变化', -0.8)]},
        {'en': STOCK, 'zh': ('没有变化',)}.get, probability=0.7)
    assert (evidence.sentence.text, evidence.score, evidence.agreement) == (
        'a house is built', -0.2, 0.4)
    # The rest of the list in its own language, and the best sentence of every other one.
    assert [(said.text, said.language) for said in evidence.others] == [
        ('a road is built', 'en'), ('新建了一座房子', 'zh')]
    assert evidence.others[0].no_change_captions == STOCK
    assert evidence.pairs and not Evidence.of({}, task='single').pairs
    assert Evidence.of({'en': []}).sentence is None


def weighing(**weights):
    return Calibration(weights, dict.fromkeys(weights, 0.1), {'score': 0.5}, -2.0, 0.4)


def test_an_answer_that_everything_agrees_with_has_no_reason():
    doubt = built().doubt()
    assert (doubt.value, doubt.sure, doubt.reasons) == (None, None, ())
    assert doubt.inputs['sentence_flag'] == pytest.approx(0.02)
    assert doubt.inputs['novelty'] == 0 and doubt.inputs['resolution'] == 0
    assert doubt.grade == 'uncalibrated' and doubt.unsure is None
    for language, words in (('en', 'not calibrated'), ('zh', '未标定')):
        line, = doubt.lines(language)  # never silent: what has no number is not trusted
        assert words in line and 'tools/analysis_tools/calibrate.py' in line


@pytest.mark.parametrize(('parts', 'name', 'words'), [
    (dict(sentence=Said(STOCK[0], 'en', STOCK), probability=0.1), 'sentence_map', 'nothing chang'),
    (dict(sentence=Said('a road is built')), 'sentence_map', 'shows nothing of the kind'),
    (dict(sentence=Said('a house is built on the right')), 'sentence_map', 'lies elsewhere'),
    (dict(map_facts=MapFacts(CLASSES)), 'sentence_map', 'shows none'),
    (dict(probability=0.2), 'sentence_flag', 'probability of a change 20 %'),
    (dict(others=[Said(STOCK[0], 'en', STOCK)]), 'contradiction', 'other sentences'),
    (dict(agreement=0.3), 'contradiction', 'other sentences'),
    (dict(novelty=5.0), 'novelty', 'unlike'),
    (dict(cut_at=2), 'cut', 'cut at its limit of 2 tokens'),
    (dict(resolution=2.0), 'resolution', 'a pixel covers 2 m, 0.5 m in training')])
def test_each_reason_is_found_and_told_in_both_languages(parts, name, words):
    reason, = built(**parts).doubt().reasons
    assert reason.name == name in REASONS and words in reason.text
    assert 0.5 <= reason.score <= 1
    chinese, = built(**parts).doubt(language='zh').reasons
    assert chinese.text == reason.texts['zh'] != reason.text
    assert chinese.texts['en'] == reason.text


def test_every_reason_is_listed_the_weightiest_first():
    answer = built(sentence=Said('a road is built on the right'), probability=0.4)
    assert [reason.input for reason in answer.doubt().reasons] == [
        'sentence_map/absent', 'sentence_map/place', 'sentence_flag']
    weighed = answer.doubt(weighing(sentence_flag=5.0, **{'sentence_map/place': 0.5})).reasons
    assert [reason.input for reason in weighed] == [
        'sentence_flag', 'sentence_map/place', 'sentence_map/absent']
    assert [round(reason.weight, 2) for reason in weighed] == [2.5, 0.45, 0]
    assert weighed[1].name == 'sentence_map'


def test_a_class_that_the_map_lacks_is_a_reason_beside_one_that_it_shows():
    reason, = built(sentence=Said('a house and a road are built')).doubt().reasons
    assert (reason.input, reason.score) == ('sentence_map/extra', 0.5)
    assert 'road' in reason.texts['en'] and '道路' in reason.texts['zh']
    assert built(sentence=Said('a house is built beside the road')).doubt().reasons == ()


def test_numbers_are_told_beside_those_of_the_map():
    mask = np.zeros((100, 100), np.uint8)
    mask[10:20, 10:20] = mask[40:50, 40:50] = mask[70:80, 70:80] = 1
    answer = built(sentence=Said('four houses are built'), map_facts=MapFacts.of(mask, CLASSES))
    reason, = answer.doubt().reasons
    assert reason.score == 0.25 and '(4)' in reason.text and 'of building (3, ' in reason.text


def test_a_reason_below_one_half_is_told_where_it_raises_the_number():
    answer = built(probability=0.7)
    assert answer.doubt().reasons == ()
    reason, = answer.doubt(weighing(sentence_flag=5.0)).reasons
    assert reason.score == pytest.approx(0.3) and reason.weight == pytest.approx(1.0)
    assert 'not certain' in reason.text and '70 %' in reason.text


def test_a_calibration_gives_the_number_and_the_verdict():
    calibration = weighing(sentence_flag=5.0, score=1.0)
    sure, unsure = (built(probability=p).doubt(calibration) for p in (0.95, 0.2))
    assert sure.value < calibration.threshold < unsure.value
    assert (sure.sure, unsure.sure) == (True, False)
    logit = -2 + 5 * (0.8 - 0.1) + (1 - np.exp(-0.1) - 0.1)
    assert unsure.value == pytest.approx(1 / (1 + np.exp(-logit)))
    assert unsure.lines() == [f'risk of error {100 * unsure.value:.0f} %: too high, not sure',
                              unsure.reasons[0].text]
    assert unsure.lines('zh')[0].endswith('不确定')


def test_a_sentence_that_was_cut_is_never_of_low_risk():
    for calibration in (weighing(sentence_flag=5.0), weighing(cut=5.0)):
        assert built().doubt(calibration).grade == 'low'
        assert built(cut_at=2).doubt(calibration).grade == 'high'


def test_what_is_as_likely_wrong_as_right_is_never_sure():
    calibration = Calibration({'sentence_flag': 5.0}, {'sentence_flag': 0.1}, {}, 0.0, 0.9)
    found = [built(probability=1 - score).doubt(calibration) for score in (0.1, 0.09, 0.0)]
    assert [round(doubt.value, 2) for doubt in found] == [0.5, 0.49, 0.38]
    assert [doubt.sure for doubt in found] == [False, True, True]
    assert [doubt.grade for doubt in found] == ['high', 'medium', 'medium']


def test_a_reason_that_these_weights_do_not_count_is_told_with_its_weight():
    reason, = built(probability=0.2).doubt(weighing(sentence_flag=0.0, score=1.0)).reasons
    assert reason.name == 'sentence_flag' and reason.weight == 0


def test_a_risk_without_a_reason_is_explained():
    calibration = Calibration({'change_told': 2.0}, {'change_told': 0.0}, {}, -2.5, 0.5)
    doubt = built().doubt(calibration)
    assert doubt.grade == 'medium' and doubt.reasons == ()
    assert doubt.lines()[1].startswith('no single reason') and len(doubt.lines('zh')) == 2


def test_unlikely_words_are_a_reason_only_beside_what_is_usual():
    assert built(score=-2.0).doubt().reasons == ()
    reason, = built(score=-2.0).doubt(weighing(score=2.0)).reasons
    assert reason.name == 'score' and '-2.00' in reason.text
    weak, = built(score=-0.5).doubt(weighing(score=2.0)).reasons  # it adds to the number
    assert weak.text.startswith('the model is less certain')
    assert built(score=-0.5).doubt(weighing(score=0.1)).reasons == ()


def test_a_single_image_is_asked_nothing_about_change():
    doubt = built(pairs=False).doubt(weighing(score=1.0))
    assert set(doubt.inputs) == {'score', 'novelty', 'distance', 'resolution'}
    assert doubt.value is not None


def test_without_a_sentence_there_are_reasons_and_no_number():
    doubt = built(sentence=None, score=None, novelty=9.0).doubt(weighing(novelty=3.0))
    assert doubt.value is None and [reason.name for reason in doubt.reasons] == ['novelty']
    assert doubt.grade is None and doubt.lines() == [doubt.reasons[0].text]
    assert built(sentence=Said(' '), novelty=float('nan')).doubt().inputs == {'resolution': 0.0}


def test_a_doubt_survives_json_and_records_without_one_are_read():
    doubt = built(probability=0.2).doubt(weighing(sentence_flag=5.0))
    stored = json.loads(json.dumps(doubt.to_json()))
    assert set(stored) == {'value', 'sure', 'grade', 'texts', 'reasons', 'inputs'}
    assert stored['texts']['zh'] == doubt.lines('zh')[0]
    assert set(stored['reasons'][0]) == {'name', 'input', 'score', 'weight', 'text', 'texts'}
    read = Doubt.from_json(stored)
    assert read.value == pytest.approx(doubt.value, abs=1e-4) and read.sure is False
    assert read.lines('zh')[1] == doubt.reasons[0].texts['zh']
    assert Doubt.from_json(None) is None and Doubt.from_json({}) is None


def test_doubting_needs_neither_torch_nor_mmengine():
    code = ('import sys; sys.modules.update(torch=None, mmengine=None, mmseg=None); '
            'import rscc.evaluation.doubt, rscc.evaluation.functional.risk')
    subprocess.run([sys.executable, '-c', code], check=True)
