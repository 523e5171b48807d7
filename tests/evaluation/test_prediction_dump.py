"""The predictions file holds what the report and a later scoring need."""
import json
import math

import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.structures import PixelData

from rscc.evaluation import prediction_dump
from rscc.evaluation.calibration import Calibration
from rscc.evaluation.predictions import add_metrics, read_predictions
from rscc.registry import METRICS
from rscc.structures import ChangeDataSample, SampledCaption, ScoredCaption
from rscc.utils import read_json

pytest.importorskip('pycocoevalcap')
BUILT = ['a house is built on the bareland', 'some houses are built']


def sample(name, caption=True, mask=True):
    made = ChangeDataSample(metainfo=dict(sample_id=name, split='test', ori_shape=(1, 2),
                                          img_path_from=f'A/{name}.png',
                                          img_path_to=f'B/{name}.png'))
    made.gt_captions = BUILT
    made.gt_change_flag = True
    if caption:
        made.pred_caption = 'a house is built'
        made.pred_captions = [ScoredCaption('a house is built', -0.25), ScoredCaption('x', -2.0)]
        made.pred_caption_score = -0.25
    if mask:
        made.pred_sem_seg = PixelData(data=torch.tensor([[[0, 1]]]))
        made.gt_sem_seg = PixelData(data=torch.tensor([[[1, 1]]]))
    return made


def dump(path, samples):
    metric = METRICS.build(dict(type='PredictionDump', out_file=str(path), config='c.py',
                                checkpoint='best.pth'))
    evaluator = Evaluator([metric])
    evaluator.dataset_meta = dict(dataset_type='X', language='en',
                                  classes=('unchanged', 'road', 'building'))
    evaluator.process(samples)
    assert evaluator.evaluate(len(samples)) == {}
    return read_json(path)


def test_the_file_has_the_documented_fields(tmp_path):
    data = dump(tmp_path / 'out.json', [sample('b'), sample('a')])
    assert data['config'] == 'c.py' and data['checkpoint'] == 'best.pth'
    assert data['split'] == 'test' and data['protocol'] == 'coco'
    assert data['dataset'] == {'dataset_type': 'X', 'language': 'en',
                               'classes': ['unchanged', 'road', 'building']}
    first = data['samples'][0]
    scores, doubt = first.pop('scores'), first.pop('doubt')
    assert first == {
        'sample_id': 'a', 'img_path_from': 'A/a.png', 'img_path_to': 'B/a.png',
        'references': BUILT, 'gt_change_flag': True, 'prediction': 'a house is built',
        'score': -0.25, 'nbest': [['a house is built', -0.25], ['x', -2.0]], 'failures': [],
        'shown': {name: {'share': 1.0, 'top': 0.0, 'left': 0.5, 'center': 0.0}
                  for name in ('any', 'road')} | {'building': None}}
    assert set(scores) == {'Bleu_4', 'ROUGE_L', 'CIDEr', 'F1_changed'}
    assert scores['F1_changed'] == pytest.approx(2 / 3)
    assert doubt['value'] is None
    assert {row['name'] for row in doubt['reasons']} == {'sentence_map'}
    assert doubt['inputs']['sentence_map/absent'] == 1  # a house over a map of roads


def test_doubts_are_those_of_the_weights(tmp_path):
    metric = METRICS.build(dict(type='PredictionDump', out_file=str(tmp_path / 'out.json')))
    metric.dataset_meta = dict(language='en', ground_resolution=2.0)
    calibration = Calibration({'score': 4.0}, {'score': 0.1}, threshold=0.2).to_dict()
    metric.weights = dict(doubt=dict(en=calibration), dataset_meta=dict(ground_resolution=0.5))
    metric.process(None, [sample('a').to_dict()])
    metric.evaluate(1)
    doubt = read_json(tmp_path / 'out.json')['samples'][0]['doubt']
    logit = 4 * (1 - math.exp(-0.25) - 0.1)
    assert doubt['value'] == pytest.approx(1 / (1 + math.exp(-logit)), abs=1e-3)
    assert doubt['sure'] is False and doubt['inputs']['resolution'] == 0.75


def test_sentences_drawn_from_noise_are_read_back_as_they_were(tmp_path):
    steps = [(80.0, 'tree the'), (0.1, 'a house is built')]
    drawn = sample('a')
    drawn.pred_captions = [SampledCaption.of(drawn.pred_captions[0], 0.25, True, steps, 8)]
    kept = dump(tmp_path / 'out.json', [drawn, sample('b')])['samples']
    assert (kept[0]['agreement'], kept[0]['abstained'], kept[0]['drawn']) == (0.25, True, 8)
    assert kept[0]['trajectory'] == [[80.0, 'tree the'], [0.1, 'a house is built']]
    assert not {'agreement', 'trajectory', 'truncated'} & set(kept[1])
    first, second = read_predictions(tmp_path / 'out.json')
    assert first.sampled == drawn.pred_captions[0] and second.sampled is None
    assert vars(first.sampled) == vars(drawn.pred_captions[0])


def test_a_sentence_cut_at_the_limit_names_it(tmp_path):
    cut = sample('a')
    cut.pred_captions = [ScoredCaption('a house is built', -0.25, 4), ScoredCaption('x', -2.0)]
    kept = dump(tmp_path / 'out.json', [cut, sample('b')])['samples']
    assert kept[0]['truncated'] == 4 and 'truncated' not in kept[1]
    assert [record.cut_at for record in read_predictions(tmp_path / 'out.json')] == [4, None]


@pytest.mark.parametrize(('caption', 'mask'), [(True, False), (False, True), (False, False)])
def test_either_answer_may_be_absent(tmp_path, caption, mask):
    data = dump(tmp_path / 'out.json', [sample('a', caption, mask)])
    kept = data['samples'][0]
    assert ('prediction' in kept) == caption
    assert ('F1_changed' in kept['scores']) == mask


def test_single_images_are_kept_with_their_number_and_scored_again(tmp_path):
    made = []
    for number in (0, 1):
        one = ChangeDataSample(metainfo=dict(sample_id=str(number + 1), imgid=number, split='test',
                                             img_path=f'imgs/{number + 1}.tif'))
        one.gt_captions, one.pred_caption = BUILT, BUILT[number]
        made.append(one)
    data = dump(tmp_path / 'out.json', made)
    assert [(s['img_path'], s['imgid']) for s in data['samples']] == [
        ('imgs/1.tif', 0), ('imgs/2.tif', 1)]
    assert 'gt_change_flag' not in data['samples'][0]
    assert data['tokenizer'].startswith('words') and data['language'] == 'en'
    assert [record.changed for record in read_predictions(tmp_path / 'out.json')] == [None, None]


def test_scores_are_added_and_the_rest_is_kept(tmp_path):
    path = tmp_path / 'out.json'
    before = dump(path, [sample('a')])
    add_metrics(path, {'caption/all/Bleu_4': 12.5})
    add_metrics(path, {'change/OA': 0.5})
    after = read_json(path)
    assert after.pop('metrics') == {'caption/all/Bleu_4': 12.5, 'change/OA': 0.5}
    assert after == {key: value for key, value in before.items() if key != 'metrics'}
    assert [record.sample_id for record in read_predictions(path)] == ['a']


def test_scores_are_not_added_to_another_file(tmp_path):
    (tmp_path / 'x.json').write_text('[]')
    with pytest.raises(ValueError, match=r"file '.*' is a list .*object with 'samples'"):
        add_metrics(tmp_path / 'x.json', {})


def test_the_file_is_written_where_its_captions_cannot_be_scored(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(prediction_dump, 'warn', said.append)

    def fails(*_):
        raise ImportError("BLEU needs 'pycocoevalcap'")

    monkeypatch.setattr(prediction_dump, 'score_captions', fails)
    data = dump(tmp_path / 'out.json', [sample('a')])
    assert data['samples'][0]['prediction'] == 'a house is built'
    assert set(data['samples'][0]['scores']) == {'F1_changed'}
    assert "without the scores of its captions: ImportError: BLEU needs 'pyco" in said[0]


def test_half_a_character_in_a_path_does_not_cost_the_file(tmp_path):
    made = sample('a')
    made.set_metainfo({'img_path_from': 'A/caf\udce9.png'})
    metric = METRICS.build(dict(type='PredictionDump', out_file=str(tmp_path / 'out.json')))
    metric.process(None, [made])
    metric.evaluate(1)
    assert json.loads((tmp_path / 'out.json').read_text())['samples'][0]['img_path_from'] == (
        'A/caf\udce9.png')
