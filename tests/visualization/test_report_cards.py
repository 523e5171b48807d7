import re
import shutil

import numpy as np
import pytest
from PIL import Image

from rscc.visualization.attention import Evidence
from rscc.visualization.picture_files import Pictures, save_mask
from rscc.visualization.report import interface_words, write_report
from rscc.visualization.report_cards import Judgement, card_of, judge, pieces_of

WORDS = interface_words('en', {})
STOCK = {'no_change_captions': ['the scene is the same']}


@pytest.mark.parametrize(('sample', 'claim', 'wrong'), [
    ({'prediction': 'The scene is the same.', 'gt_change_flag': True}, False, True),
    ({'prediction': 'a house is built', 'gt_change_flag': True}, True, False),
    ({'prediction': 'a house', 'pred_change_flag': False, 'gt_change_flag': False}, False, False),
    ({'prediction': 'a house'}, True, False), ({}, None, False)])
def test_a_claim_is_the_flag_or_the_sentence(sample, claim, wrong):
    judgement = judge(sample, STOCK)
    assert (judgement.claim, judgement.wrong) == (claim, wrong)
    assert judge(sample, {}).claim in (None, sample.get('pred_change_flag'))


@pytest.mark.parametrize(('sentence', 'words', 'pieces'), [
    ('a house', ['a', 'house'], [('a', 0), (' ', None), ('house', 1)]),
    ('新建房屋', ['新建', '房屋'], [('新建', 0), ('房屋', 1)]),
    ('a house.', ['a', 'house'], [('a', 0), (' ', None), ('house', 1), ('.', None)]),
    ('a house', ['a', 'villa'], [('a house', None)]), ('a', [], [('a', None)])])
def test_words_are_found_in_the_sentence(sentence, words, pieces):
    assert pieces_of(sentence, words) == pieces


def card(sample, pictures=None, evidence=None, judgement=None, words=WORDS):
    return card_of(sample, judgement or Judgement(None, None, None),
                   pictures or Pictures((), (), {}), evidence, words)


def test_without_labels_a_card_is_filtered_by_what_is_predicted():
    assert card({}, judgement=Judgement(None, False, None))['marks'] == ['said_unchanged']
    assert card({}, Pictures((), (), {}, None, 0.2))['marks'] == ['said_changed']
    assert card({}, Pictures((), (), {}, None, 0.0))['marks'] == ['said_unchanged']
    assert card({})['marks'] == []


def test_failures_doubt_and_the_way_back_are_marks():
    sample = {'prediction': 'a house', 'truncated': 40, 'swapped': {'reversible': False},
              'doubt': {'value': 0.7, 'sure': False, 'reasons': [
                  {'name': 'novelty', 'score': 1.0, 'text': 'unlike the training'}]}}
    found = card(sample, judgement=Judgement(True, True, ['wrong_count']))
    assert set(found['marks']) == {'changed', 'said_changed', 'risk_high', 'irreversible', 'cut',
                                   'faults', 'wrong_count'}
    assert found['reasons'] == ['unlike the training'] and found['orders'] == {'doubt': 0.7}
    assert found['risk'] == 'risk of error 70 %: too high, not sure' and found['mark'] == 'not sure'


def test_doubt_is_told_in_the_language_of_the_page_and_never_left_out():
    doubt = {'value': 0.3, 'sure': True, 'reasons': [
        {'name': 'novelty', 'score': 1.0, 'text': 'unlike', 'texts': {'zh': '差异较大'}}]}
    found = card({'doubt': doubt}, words=interface_words('zh', {}))
    assert (found['risk'], found['reasons']) == ('出错风险 30%：中等，使用前请核对', ['差异较大'])
    without = card({'doubt': {**doubt, 'reasons': []}})
    assert without['reasons'][0].startswith('no single reason')
    unknown = card({'doubt': {'value': None, 'sure': None, 'grade': 'uncalibrated'}})
    assert unknown['risk'] == 'risk of error unknown: not calibrated'
    assert unknown['marks'] == ['risk_uncalibrated']
    assert card({})['risk'] is None


def test_area_and_doubt_sort_beside_the_scores():
    sample = {'score': -0.5, 'scores': {'CIDEr': 12.0, 'Bleu_4': None}, 'doubt': {'value': 0.25}}
    assert card(sample, Pictures((), (), {}, None, 0.125))['orders'] == {
        'CIDEr': 12.0, 'model score': -0.5, 'area': 0.125, 'doubt': 0.25}


def test_words_bring_the_sheet_of_their_maps():
    evidence = Evidence(['a', 'house'], (2, 3, 4), np.zeros((6, 8), np.uint8))
    found = card({'prediction': 'a house'}, evidence=evidence)
    assert found['evidence']['grid'] == [2, 2, 3, 4] and len(found['pieces']) == 3
    assert found['evidence']['sheet'].startswith('data:image/')
    assert card({'prediction': ''}, evidence=evidence)['evidence'] is None


@pytest.fixture
def semantic(tmp_path):
    """A pair whose answer has class maps, and the folder of its masks."""
    Image.new('RGB', (40, 40)).save(tmp_path / 'A.png')
    colours = [[0, 0, 0], [90, 160, 60], [200, 30, 40]]
    for folder, value in (('masks', 1), ('classes_from', 1), ('classes_to', 2),
                          ('reference_classes_to', 2)):
        save_mask(tmp_path / folder / 'a.png', np.full((40, 40), value), colours)
    sample = {'sample_id': 'a', 'img_path_from': str(tmp_path / 'A.png'),
              'img_path_to': str(tmp_path / 'A.png'), 'transitions': [['field', 'building', 225]]}
    return {'samples': [sample], 'dataset': {
        'classes': ['unchanged', 'changed'], 'semantic_classes': ['none', 'field', 'building'],
        'semantic_palette': colours}}, tmp_path / 'masks'


def test_class_maps_of_both_dates_stand_on_the_card_with_what_became_what(semantic, tmp_path):
    run, masks = semantic
    html = write_report(run, tmp_path / 'r.html', mask_dir=masks).read_text(encoding='utf-8')
    titles = re.findall(r'<img class="classes" alt="([^"]+)"', html)
    assert titles == ['Predicted, before', 'Predicted, after', 'Reference, after']
    assert 'field became buildings, 225 pixels' in html
    assert '#5aa03c"></i>field' in html and '#c81e28"></i>building' in html
    html = write_report(run, tmp_path / 'r.html', mask_dir=masks, language='zh').read_text(
        encoding='utf-8')
    assert '由什么变为什么' in html


def test_without_class_maps_there_is_no_legend_of_them(semantic, tmp_path):
    run, masks = semantic
    for folder in tmp_path.glob('*classes_*'):
        shutil.rmtree(folder)
    html = write_report(run, tmp_path / 'r.html', mask_dir=masks).read_text(encoding='utf-8')
    assert 'class="classes"' not in html and 'legend fixed' not in html
