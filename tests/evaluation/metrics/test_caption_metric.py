"""CaptionMetric inside MMEngine's evaluator."""
import csv

import pytest
from mmengine.evaluator import Evaluator

from rscc.registry import METRICS
from rscc.structures import ChangeDataSample, ScoredCaption

pytest.importorskip('pycocoevalcap')
SAME = ['there is no difference', 'the scene is the same as before']
BUILT = ['a house is built on the bareland', 'some houses are built']


def sample(name, prediction, references, changed):
    made = ChangeDataSample(metainfo=dict(sample_id=name, split='test', img_path_from='a.png',
                                          img_path_to='b.png'))
    made.gt_captions = references
    if changed is not None:
        made.gt_change_flag = changed
    if prediction is not None:
        made.pred_caption = prediction
        made.pred_captions = [ScoredCaption(prediction, -0.5)]
        made.pred_caption_score = -0.5
    return made


def batch():
    return [sample('a', 'some houses are built', BUILT, True), sample('b', SAME[1], SAME, False),
            sample('c', SAME[0], BUILT, True)]


def evaluate(metric, samples, **meta):
    evaluator = Evaluator([metric])
    evaluator.dataset_meta = dict(language='en', no_change_captions=SAME, **meta)
    evaluator.process(samples)
    return evaluator.evaluate(len(samples))


def test_it_builds_by_name_and_scores_data_samples(capsys):
    metric = METRICS.build(dict(type='CaptionMetric', meteor=False))
    scores = evaluate(metric, batch())
    assert scores['caption/flag_accuracy'] == pytest.approx(2 / 3)
    assert scores['caption/unchanged/ROUGE_L'] == pytest.approx(100)
    assert 0 < scores['caption/changed/Bleu_4'] < scores['caption/all/Bleu_4'] < 100
    assert 'baseline/all/CIDEr' in scores
    assert 'prefix is not set' not in capsys.readouterr().err


def test_the_datasets_language_is_used_unless_given():
    metric = METRICS.build(dict(type='CaptionMetric', meteor=False))
    metric.dataset_meta = dict(language='zh')
    assert metric.options().language == 'zh'
    metric = METRICS.build(dict(type='CaptionMetric', language='en'))
    metric.dataset_meta = dict(language='zh')
    assert metric.options().language == 'en'


def test_the_table_has_a_line_per_sample(tmp_path):
    metric = METRICS.build(dict(type='CaptionMetric', meteor=False, baselines=False,
                                out_file=str(tmp_path / 'table.csv')))
    evaluate(metric, batch())
    with open(tmp_path / 'table.csv', encoding='utf-8') as file:
        rows = list(csv.DictReader(file))
    assert [row['sample_id'] for row in rows] == ['a', 'b', 'c']
    assert rows[1]['changed'] == '0' and rows[1]['ROUGE_L'] == '100.00'
    assert rows[0]['references'] == ' | '.join(BUILT)


def test_single_images_stand_beside_the_most_frequent_training_caption():
    metric = METRICS.build(dict(type='CaptionMetric', meteor=False))
    made = [sample(name, 'some houses are built', BUILT, None) for name in 'ab']
    scores = evaluate(metric, made, task='single', split='test', frequent_caption='a boat')
    assert scores['baseline/frequent/Bleu_1'] < scores['caption/all/Bleu_1'] / 2
    assert not any('changed' in key or 'flag' in key for key in scores)
    assert metric.metadata == {
        'protocol': 'coco', 'language': 'en', 'split': 'test', 'most_frequent_of': 'train',
        'tokenizer': 'words and marks, lower case, no PTB'}


def test_another_protocol_and_intervals_have_keys_of_their_own(tmp_path):
    pytest.importorskip('jieba')
    metric = METRICS.build(dict(type='CaptionMetric', protocol='clipcap_rsic', meteor=False,
                                bootstrap=100, out_file=str(tmp_path / 'table.csv')))
    scores = evaluate(metric, batch())
    assert {key.split('/')[0] for key in scores} == {'clipcap_rsic'}
    assert scores['clipcap_rsic/all/Bleu_1_low'] <= scores['clipcap_rsic/all/Bleu_1'] <= 1
    assert metric.metadata['intervals'] == '95 %, 100 resamples of the images, seed 0'
    with open(tmp_path / 'table.csv', encoding='utf-8') as file:
        assert len(next(csv.DictReader(file))['Bleu_4']) == len('0.1234')


def test_without_any_caption_there_are_no_scores_and_no_crash():
    metric = METRICS.build(dict(type='CaptionMetric', meteor=False))
    assert evaluate(metric, [sample('a', None, BUILT, True)]) == {}


def test_sentences_cut_at_the_limit_are_counted(monkeypatch):
    said = []
    monkeypatch.setattr('rscc.evaluation.protocols.warn_once', said.append)
    metric, made = METRICS.build(dict(type='CaptionMetric', meteor=False)), batch()
    assert 'caption/truncated' not in evaluate(metric, made) and 'truncated' not in metric.metadata
    made[1].pred_captions = [ScoredCaption(SAME[1], -0.5, 12)]
    assert evaluate(metric, made)['caption/truncated'] == pytest.approx(1 / 3)
    assert metric.metadata['truncated'] == 'captions cut at the limit of 12 tokens: 1 of 3'
    assert said == [metric.metadata['truncated']]


def test_wrong_settings_are_told_at_once():
    with pytest.raises(ValueError, match="unknown protocol 'coc0'"):
        METRICS.build(dict(type='CaptionMetric', protocol='coc0'))
