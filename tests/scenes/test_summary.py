import json
from dataclasses import replace

import numpy as np
import pytest
from fake_findings import findings_of, scene_of

from rscc.inference.result import RENDERED
from rscc.scenes.contracts import NODATA, Gap, OutputOptions
from rscc.scenes.summary import summarise, write_summary
from rscc.scenes.wording import RENDERED_NOTE

pytest.importorskip('geopandas')
HOUSE, ROAD, SAME = 'a new house is built', 'a road is paved', 'nothing has changed'
KEYS = ['scene', 'sources', 'language', 'verdict', 'sentences', 'note', 'grid', 'pixels',
        'nodata_share', 'changed_share', 'area_of_interest', 'area_by', 'examined_area_m2',
        'regions', 'classes', 'transitions', 'land_cover', 'windows', 'doubt', 'best_sentences',
        'gaps', 'model', 'provenance']


def frames(count=2, size=(400, 400)):
    return [np.full((*size, 3), 90 + 60 * index, np.uint8) for index in range(count)]


def windows(*said):
    """Windows in a row, each (sentence, score, whether it tells of change)."""
    return [((100 * i, 0, 100 * i + 100, 100), *window) for i, window in enumerate(said)]


@pytest.fixture
def town():
    """Three buildings and a road: 10,500 and 2,500 square metres at a pixel of a square metre."""
    classes = np.zeros((400, 400), np.uint8)
    for left in (0, 100, 200):
        classes[10:80, left:left + 50] = 1
    classes[300:310, 50:300] = 2
    return classes


def summary_of(classes=None, said=(), options=None, count=2, pixel=1.0, crs='EPSG:32650',
               provenance=None, found=None, **facts):
    scene = scene_of(frames(count), pixel=pixel, crs=crs, provenance=provenance, **facts)
    findings = findings_of(scene, classes, said, **(found or {}))
    return summarise(scene, findings, options or OutputOptions())


def test_numbers_become_sentences(town):
    town[390:, :] = NODATA
    said = windows(*[(HOUSE, -0.2, True)] * 12, (ROAD, -0.1, True))
    assert summary_of(town, said)['sentences'] == [
        '4 regions changed, 1.3 ha together: 3 of building (1.1 ha), 1 of road (0.2 ha).',
        '2.5 % of the scene holds no data.', "Most said: 'a new house is built' (12 windows)."]
    assert summary_of(town, said, OutputOptions(language='zh'))['sentences'] == [
        '发现 4 处变化区域，合计 1.3 公顷：建筑物 3 处（1.1 公顷），道路 1 处（0.2 公顷）。',
        '场景中 2.5% 的像素没有数据。', '出现最多的描述：“a new house is built”（12 个窗口）。']


def test_one_region_is_singular(town):
    town[:] = 0
    town[10:80, :50] = 1
    found = summary_of(town, windows((HOUSE, -0.2, True)))
    assert found['verdict'] == '1 region changed, 3,500 m²'
    assert found['sentences'] == ['1 region changed, 3,500 m²: building.',
                             "Most said: 'a new house is built' (1 window)."]
    assert summary_of(town, language='zh')['sentences'] == [
        '发现 1 处变化区域，面积 3,500 平方米，类别为建筑物。']


def test_regions_of_one_class_are_not_counted_twice(town):
    town[town == 2] = 0
    assert summary_of(town)['sentences'] == [
        '3 regions changed, 1.1 ha together, all of them building.']


def test_map_that_only_tells_changed_names_no_class(town):
    scene = scene_of(frames(), pixel=1.0, classes=('unchanged', 'changed'))
    found = summarise(scene, findings_of(scene, np.minimum(town, 1)), OutputOptions())
    assert found['sentences'] == ['4 regions changed, 1.3 ha together.']


@pytest.mark.parametrize(('facts', 'said', 'expected'), [
    ({}, (), 'No change was found'),
    ({}, windows((HOUSE, -0.1, True)), 'The map shows no change, while 1 window tells of change'),
    ({'language': 'zh'}, windows((HOUSE, -0.1, True)),
     '变化图未显示变化，但有 1 个窗口的描述提到变化'),
    ({'language': 'zh'}, (), '未发现变化'),
    ({'found': {'left_out': 2}, 'options': OutputOptions(min_area=50)}, (),
     'No changed region of 50 m² or more was found'),
    ({'found': {'left_out': 2}, 'options': OutputOptions(min_area=50), 'language': 'zh'}, (),
     '未发现 50 平方米及以上的变化区域'),
])
def test_nothing_changed(town, facts, said, expected):
    found = summary_of(np.zeros_like(town), said, **facts)
    assert found['verdict'] == expected
    assert found['regions']['count'] == 0 and found['classes'] == []
    assert found['changed_share'] == 0.0


@pytest.mark.parametrize(('said', 'english', 'chinese'), [
    (windows((HOUSE, -0.1, True), (SAME, -0.1, False), (HOUSE, -0.3, True), (ROAD, -0.2, True)),
     ['3 of 4 described windows tell of change.',
      "Most said: 'a new house is built' (2 windows), 'a road is paved' (1 window)."],
     ['生成描述的 4 个窗口中，有 3 个提到变化。',
      '出现最多的描述：“a new house is built”（2 个窗口），“a road is paved”（1 个窗口）。']),
    (windows((HOUSE, -0.1, True), (SAME, -0.1, False)),
     ['1 of 2 described windows tells of change.', "Most said: 'a new house is built' (1 window)."],
     None),
    (windows((SAME, -0.1, False), (SAME, -0.2, False)),
     ['None of the 2 windows that were described tells of change.'],
     ['生成描述的 2 个窗口均未提到变化。']),
    (windows((SAME, -0.1, False)), ['The one window that was described tells of no change.'], None),
    ((), ['No window was described.'], ['没有生成描述的窗口。']),
])
def test_captioner_without_a_map(said, english, chinese):
    found = summary_of(said=said, heads=('caption_head',))
    assert found['sentences'] == english
    assert found['changed_share'] is None and found['pixels']['changed'] is None
    if chinese:
        assert summary_of(said=said, heads=('caption_head',), language='zh')['sentences'] == chinese


def test_detector_without_sentences(town):
    found = summary_of(town, heads=('change_head',))
    assert found['sentences'] == ['4 regions changed, 1.3 ha together: 3 of building (1.1 ha), '
                             '1 of road (0.2 ha).']
    assert found['best_sentences'] == []


def test_captioner_of_single_images_tells_what_the_scene_shows():
    said = windows(('a river runs through a town', -0.1, False), ('a port', -0.2, False),
                   ('a port', -0.3, False))
    facts = {'heads': ('caption_head',), 'task': 'single', 'count': 1}
    assert summary_of(said=said, **facts)['sentences'] == [
        '3 windows were described.',
        "Most said: 'a port' (2 windows), 'a river runs through a town' (1 window)."]
    assert summary_of(said=said[:1], language='zh', **facts)['verdict'] == '共为 1 个窗口生成了描述'


def test_scene_without_a_place_is_told_in_pixels(town):
    found = summary_of(town, crs=None)
    assert found['sentences'] == [
        '4 regions changed, 13,000 pixels together, 8.1 % of the scene: 3 of building '
        '(10,500 pixels), 1 of road (2,500 pixels).']
    assert found['area_by'] is None and found['regions']['area_m2'] is None
    assert found['classes'][0]['area_m2'] is None and found['classes'][0]['pixels'] == 10_500
    town[350:] = NODATA
    assert '9.3 % of the pixels with an answer' in summary_of(town, crs=None)['verdict']
    assert summary_of(town, crs=None, language='zh')['verdict'] == (
        '发现 4 处变化区域，合计 13,000 像素，占有结果的像素的 9.3%')


def test_gaps_small_regions_and_the_area_of_interest_are_told(town):
    town[200:] = NODATA
    found = {'gaps': [Gap((0, 0, 9, 9), 'damaged'), Gap((20, 0, 29, 9), 'damaged')], 'left_out': 1}
    options, provenance = OutputOptions(min_area=40), {'options': {'area': 'harbour.gpkg'}}
    summary = summary_of(town, found=found, options=options, provenance=provenance)
    assert summary['sentences'][1:] == [
        '50.0 % of the scene lies outside the area of interest or holds no data.',
        '2 parts of the scene could not be read and have no answer.',
        '1 region smaller than 40 m² is not counted.']
    assert summary['gaps'][0] == {'box': [0, 0, 9, 9], 'reason': 'damaged'}
    assert summary['regions']['left_out'] == 1 and summary['regions']['min_area'] == 40.0
    chinese = summary_of(town, found=found, options=replace(options, language='zh'),
                         provenance=provenance)
    assert chinese['sentences'][1:] == ['场景中 50.0% 的像素位于感兴趣区之外或没有数据。',
                                   '场景中有 2 处无法读取，这些位置没有结果。',
                                   '另有 1 处小于 40 平方米的区域未计入。']


@pytest.mark.parametrize(('aoi', 'language', 'expected'), [
    (None, 'en', 'The scene holds no data'), (None, 'zh', '场景中没有数据'),
    ('a.gpkg', 'en', 'No data lies in the area of interest'),
    ('a.gpkg', 'zh', '感兴趣区内没有数据')])
def test_scene_without_data(town, aoi, language, expected):
    found = summary_of(np.full_like(town, NODATA), provenance={'options': {'area': aoi}},
                       language=language)
    assert found['verdict'] == expected and len(found['sentences']) == 1
    assert found['nodata_share'] == 1.0 and found['changed_share'] == 0.0


def test_answers_of_a_model_of_rendered_images_are_a_demonstration(town):
    assert RENDERED_NOTE['en'] == RENDERED[0].upper() + RENDERED[1:] + '.'
    for language in ('en', 'zh'):
        found = summary_of(town, rendered=True, language=language)
        assert found['note'] == found['sentences'][-1] == RENDERED_NOTE[language]
    assert summary_of(town)['note'] is None


def test_equal_sentences_are_one_and_those_of_change_come_first():
    said = windows((SAME, -0.1, False), (SAME, -0.1, False), (SAME, -0.1, False),
                   (HOUSE, -0.2, True), (f' {HOUSE} ', -0.4, True), (HOUSE, -0.3, False),
                   (ROAD, -0.1, True), ('', -0.1, True),
                   *((f'sentence {i}', -1.0, False) for i in range(9)))
    best = summary_of(said=said, heads=('caption_head',))['best_sentences']
    assert [{key: row[key] for key in list(row)[:4]} for row in best[:3]] == [
        {'sentence': HOUSE, 'windows': 3, 'changed_windows': 2, 'mean_score': -0.3},
        {'sentence': ROAD, 'windows': 1, 'changed_windows': 1, 'mean_score': -0.1},
        {'sentence': SAME, 'windows': 3, 'changed_windows': 0, 'mean_score': -0.1}]
    assert len(best) == 10


def test_counts_of_the_map(town):
    found = summary_of(town, windows((HOUSE, -0.2, True), (SAME, -0.1, False)),
                       found={'windows': 9})
    assert found['pixels'] == {'total': 160_000, 'nodata': 0, 'examined': 160_000,
                               'changed': 13_000}
    assert found['classes'] == [
        {'class': 'building', 'value': 1, 'regions': 3, 'pixels': 10_500, 'area_m2': 10_500.0,
         'map_pixels': 10_500, 'map_area_m2': 10_500.0},
        {'class': 'road', 'value': 2, 'regions': 1, 'pixels': 2500, 'area_m2': 2500.0,
         'map_pixels': 2500, 'map_area_m2': 2500.0}]
    assert found['regions'] == {'count': 4, 'pixels': 13_000, 'area_m2': 13_000.0,
                                'share': 0.08125, 'left_out': 0, 'min_area': 0.0}
    assert found['windows'] == {'computed': 9, 'described': 2, 'changed': 1, 'unsure': None}
    assert found['examined_area_m2'] == 160_000.0 and found['changed_share'] == 0.08125


def test_file_holds_every_key_and_plain_json(town, tmp_path):
    provenance = {'pair_check': {'verdict': 'ok', 'shift': np.float32([0.5, np.nan])},
                  'versions': {'rscc': '0.2'}, 'options': {'size': np.int64(3), 'to': (1, 2)}}
    scene = scene_of(frames(), provenance=provenance)
    written = write_summary(scene, findings_of(scene, town), tmp_path / 'new', OutputOptions())
    text = (tmp_path / 'new' / 'summary.json').read_text(encoding='utf-8')
    assert json.loads(text) == written and 'NaN' not in text
    assert list(written) == KEYS
    assert written['provenance'] == {
        'pair_check': {'verdict': 'ok', 'shift': [0.5, None]}, 'versions': {'rscc': '0.2'},
        'options': {'size': 3, 'to': [1, 2]}}
    assert written['model']['weights_hash'] == 'ab' * 32
    assert written['sources'] == ['2019/town.tif', '2024/town.tif']
    assert [path.name for path in (tmp_path / 'new').iterdir()] == ['summary.json']


def test_unknown_language_is_refused(town):
    with pytest.raises(ValueError, match="language='fr' is unknown: use one of"):
        summary_of(town, options=OutputOptions(language='fr'))


def doubtful_summary(doubts, language='en', **columns):
    """The summary of windows with these doubts, a sentence each."""
    scene = scene_of(frames(), heads=('caption_head',))
    findings = findings_of(scene, None, windows(*[(HOUSE, -0.2, True)] * len(doubts)))
    findings.sentences = findings.sentences.assign(doubt=doubts, **columns)
    return summarise(scene, findings, OutputOptions(language=language))


def test_a_summary_says_how_far_its_sentences_are_to_be_trusted():
    told = dict(risk=['low', 'medium', 'high'], reasons=[None, 'a road; 2 of 3', 'far'],
                reason_inputs=[[], ['sentence_map/extra', 'sentence_map/count'],
                               ['sentence_map/count']])
    found = doubtful_summary([0.1, 0.3, 0.8], **told)
    assert found['windows']['unsure'] == 1
    assert found['doubt'] == {
        'mean': 0.4, 'highest': 0.8, 'text': found['sentences'][-1],
        'grades': {'low': 1, 'medium': 1, 'high': 1, 'uncalibrated': 0},
        'reasons': [{'input': 'sentence_map/count', 'reason': 'another number than on the map',
                     'windows': 2},
                    {'input': 'sentence_map/extra', 'reason': 'a class that the map lacks',
                     'windows': 1}]}
    assert found['sentences'][-1] == ('The sentences of 3 windows have a mean risk of error of '
                                      '40 %; 1 of them is not sure.')
    chinese = doubtful_summary([0.1, 0.3, 0.8], 'zh', **told)
    assert '40%' in chinese['sentences'][-1]
    assert chinese['doubt']['reasons'][0]['reason'] == '数量与变化图不符'
    best = found['best_sentences'][0]
    assert (best['mean_doubt'], best['unsure_windows'], best['reasons']) == (
        0.4, 1, ['a road; 2 of 3', 'far'])


def test_a_model_without_calibration_does_not_look_trusted():
    found = doubtful_summary([np.nan], risk=['uncalibrated'])
    assert found['windows']['unsure'] is None and found['doubt']['mean'] is None
    assert 'not calibrated' in found['sentences'][-1]
    assert 'tools/analysis_tools/calibrate.py' in found['sentences'][-1]
