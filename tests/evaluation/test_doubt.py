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
    assert doubt.lines() == []


@pytest.mark.parametrize(('parts', 'name', 'words'), [
    (dict(sentence=Said(STOCK[0], 'en', STOCK), probability=0.1), 'sentence_map', 'nothing chang'),
    (dict(sentence=Said('a road is built')), 'sentence_map', 'shows nothing of the kind'),
    (dict(sentence=Said('a house is built on the right')), 'sentence_map', 'lies elsewhere'),
    (dict(map_facts=MapFacts(CLASSES)), 'sentence_map', 'shows none'),
    (dict(probability=0.2), 'sentence_flag', 'probability of a change 20%'),
    (dict(others=[Said(STOCK[0], 'en', STOCK)]), 'contradiction', 'other sentences'),
    (dict(agreement=0.3), 'contradiction', 'other sentences'),
    (dict(novelty=5.0), 'novelty', 'unlike'),
    (dict(resolution=2.0), 'resolution', 'a pixel covers 2 m, 0.5 m in training')])
def test_each_reason_is_found_and_told_in_both_languages(parts, name, words):
    reason, = built(**parts).doubt().reasons
    assert reason.name == name in REASONS and words in reason.text
    assert 0.5 <= reason.score <= 1
    chinese, = built(**parts).doubt(language='zh').reasons
    assert chinese.text == reason.texts['zh'] != reason.text
    assert chinese.texts['en'] == reason.text


def test_the_strongest_part_of_a_reason_is_told_and_the_strongest_reason_first():
    doubt = built(sentence=Said('a road is built on the right'), probability=0.4).doubt()
    assert [reason.name for reason in doubt.reasons] == ['sentence_map', 'sentence_flag']


def test_a_calibration_gives_the_number_and_the_verdict():
    calibration = weighing(sentence_flag=5.0, score=1.0)
    sure, unsure = (built(probability=p).doubt(calibration) for p in (0.95, 0.2))
    assert sure.value < calibration.threshold < unsure.value
    assert (sure.sure, unsure.sure) == (True, False)
    logit = -2 + 5 * (0.8 - 0.1) + (1 - np.exp(-0.1) - 0.1)
    assert unsure.value == pytest.approx(1 / (1 + np.exp(-logit)))
    assert unsure.lines() == [f'{unsure.value:.2f}: not sure', unsure.reasons[0].text]
    assert unsure.lines('zh')[0].endswith('不确定')


def test_a_reason_that_means_nothing_for_these_weights_is_not_told():
    silent = built(probability=0.2).doubt(weighing(sentence_flag=0.0, score=1.0))
    assert silent.reasons == () and silent.inputs['sentence_flag'] == pytest.approx(0.8)


def test_unlikely_words_are_a_reason_only_beside_what_is_usual():
    assert built(score=-2.0).doubt().reasons == ()
    reason, = built(score=-2.0).doubt(weighing(score=2.0)).reasons
    assert reason.name == 'score' and '-2.00' in reason.text
    assert built(score=-0.5).doubt(weighing(score=2.0)).reasons == ()


def test_a_single_image_is_asked_nothing_about_change():
    doubt = built(pairs=False).doubt(weighing(score=1.0))
    assert set(doubt.inputs) == {'score', 'novelty', 'distance', 'resolution'}
    assert doubt.value is not None


def test_without_a_sentence_there_are_reasons_and_no_number():
    doubt = built(sentence=None, score=None, novelty=9.0).doubt(weighing(novelty=3.0))
    assert doubt.value is None and [reason.name for reason in doubt.reasons] == ['novelty']
    assert doubt.lines()[0] == 'not calibrated'
    assert built(sentence=Said(' '), novelty=float('nan')).doubt().inputs == {'resolution': 0.0}


def test_a_doubt_survives_json_and_records_without_one_are_read():
    doubt = built(probability=0.2).doubt(weighing(sentence_flag=5.0))
    stored = json.loads(json.dumps(doubt.to_json()))
    assert set(stored) == {'value', 'sure', 'reasons', 'inputs'}
    assert {'name', 'score', 'text'} <= set(stored['reasons'][0])
    read = Doubt.from_json(stored)
    assert read.value == pytest.approx(doubt.value, abs=1e-4) and read.sure is False
    assert read.lines('zh')[1] == doubt.reasons[0].texts['zh']
    assert Doubt.from_json(None) is None and Doubt.from_json({}) is None


def test_doubting_needs_neither_torch_nor_mmengine():
    code = ('import sys; sys.modules.update(torch=None, mmengine=None, mmseg=None); '
            'import rscc.evaluation.doubt, rscc.evaluation.functional.risk')
    subprocess.run([sys.executable, '-c', code], check=True)
