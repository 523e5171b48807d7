import csv

import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.structures import PixelData

from rscc.evaluation import metrics as module
from rscc.evaluation.metrics import SampleMetric
from rscc.evaluation.table import format_metadata
from rscc.registry import METRICS
from rscc.structures import ChangeDataSample, ScoredCaption


class CountMetric(SampleMetric):

    def record(self, sample):
        return None if sample.get('skip') else dict(value=sample['value'])

    def compute_metrics(self, results):
        return {'n': len(results), 'sum': sum(result['value'] for result in results)}


def sample(i, **more):
    return dict(sample_id=f's{i}', value=i, **more)


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(module, 'warn', lines.append)
    return lines


def test_samples_padded_on_two_ranks_count_once(monkeypatch, said):
    metric = CountMetric()
    metric.process(None, [sample(0), sample(2), sample(4)])
    # Rank 1 was padded with sample 0 again, and its part is longer than its share.
    other = [dict(sample_id=f's{i}', value=i) for i in (1, 3, 0, 1)]
    monkeypatch.setattr(module, 'all_gather_object', lambda own: [own, other])
    assert metric.evaluate(size=5) == {'n': 5, 'sum': 10}
    assert said == []


def test_the_result_does_not_depend_on_arrival_order():
    seen = []
    for order in ((0, 1, 2), (2, 0, 1)):
        metric = CountMetric()
        metric.compute_metrics = lambda results: seen.append(results) or {}
        metric.process(None, [sample(i) for i in order])
        metric.evaluate(3)
    assert seen[0] == seen[1]


def test_a_wrong_number_of_samples_is_told(said):
    metric = CountMetric()
    metric.process(None, [sample(0), sample(0), sample(1)])
    assert metric.evaluate(size=3) == {'n': 2, 'sum': 1}
    assert said == ['CountMetric: the dataset has 3 samples, and 2 different sample_ids arrived '
                    '(3 with repetitions). The scores are of these 2.']


def test_nothing_to_score_is_told_once_and_is_no_crash(said):
    metric = CountMetric()
    metric.process(None, [sample(0, skip=True), sample(1, skip=True)])
    assert metric.evaluate(size=2)['n'] == 0
    assert said == ['CountMetric: 2 of 2 samples have nothing to score; nothing is scored']


def test_scores_that_are_no_numbers_are_told_and_left_out(said):
    class Undefined(CountMetric):
        def compute_metrics(self, results):
            return {'F1': float('nan'), 'n': len(results)}

    metric = Undefined(prefix='edge')
    metric.process(None, [sample(0)])
    assert metric.evaluate(1) == {'edge/n': 1}
    assert said == ['Undefined: F1 left out, being infinite or not a number: leave out a score '
                    'that is not defined, 0 / 0 for instance']


def test_records_and_scores_of_another_form_are_refused_by_name():
    class Number(CountMetric):
        def record(self, sample):
            return 3 if sample['value'] else {}

        def compute_metrics(self, results):
            return None

    with pytest.raises(TypeError, match=r'record returned int: a dict .* expected, or None'):
        Number().process(None, [sample(1)])
    metric = Number()
    metric.process(None, [sample(0)])
    with pytest.raises(TypeError, match=r'compute_metrics returned NoneType: a dict of sc'):
        metric.evaluate(1)


def test_results_start_afresh_after_each_evaluation():
    metric = CountMetric(prefix='val')
    for _ in range(2):
        metric.process(None, [sample(3)])
        assert metric.evaluate(1) == {'val/n': 1, 'val/sum': 3}


def test_a_sample_without_name_is_refused():
    with pytest.raises(KeyError, match=r"CountMetric needs 'sample_id' in the metainfo"):
        CountMetric().process(None, [dict(value=1)])


TWO_RANKS = """
import pathlib, sys
import torch.distributed as dist
from rscc.evaluation.metrics import CaptionMetric
dist.init_process_group("gloo")
rank = dist.get_rank()
same = ["there is no difference", "the scene is the same as before"]
def sample(i):
    changed = i % 2 == 0
    return dict(sample_id=f"s{i}", pred_caption="a house is built" if changed else same[1],
                gt_captions=["a house is built", "a road"] if changed else same,
                gt_change_flag=changed)
metric = CaptionMetric(meteor=False)
mine = [(0, 2, 4), (1, 3, 0)][rank]  # 5 samples on 2 ranks: sample 0 is the padding
metric.process(None, [sample(i) for i in mine])
scores = metric.evaluate(5)
from rscc.evaluation.protocols import CaptionOptions, CaptionRecord, score_captions
from rscc.evaluation.metrics import caption_record
records = [CaptionRecord(f"s{i}", **caption_record(sample(i))) for i in range(5)]
assert scores == score_captions(records, CaptionOptions(meteor=False))[0], (rank, scores)
dist.destroy_process_group()
# A file each: what two processes print to one pipe may interleave.
pathlib.Path(sys.argv[1], f"equal_on_rank_{rank}").touch()
"""


@pytest.mark.slow
def test_two_gloo_processes_give_the_scores_of_one(tmp_path, python):
    (tmp_path / 'run.py').write_text(TWO_RANKS)
    done = python('tests/two_ranks.py', tmp_path / 'run.py', tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert sorted(file.name for file in tmp_path.glob('equal_on_rank_*')) == [
        'equal_on_rank_0', 'equal_on_rank_1']


pytest.importorskip('pycocoevalcap')
SAME = ['there is no difference', 'the scene is the same as before']
BUILT = ['a house is built on the bareland', 'some houses are built']


def captioned(name, prediction, references, changed):
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
    return [captioned('a', 'some houses are built', BUILT, True),
            captioned('b', SAME[1], SAME, False),
            captioned('c', SAME[0], BUILT, True)]


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


def test_equal_references_of_changed_pairs_are_told(monkeypatch):
    told = []
    monkeypatch.setattr(module, 'warn_once', told.append)
    for houses in (['a house is built'], ['a house is built', 'a road is built']):
        metric = METRICS.build(dict(type='CaptionMetric', meteor=False))
        metric.dataset_meta = dict(language='en')
        metric.process(None, [
            dict(sample_id=f's{row}', pred_caption='a house', gt_change_flag=row < 2,
                 gt_captions=houses if row < 2 else ['nothing has changed']) for row in range(4)])
        metric.evaluate(4)
    assert told == ["CIDEr is 0 whatever a model writes, because all references of changed pairs "
                    "are alike ('a house is built'). Choose checkpoints by another score: "
                    "save_best='caption/changed/Bleu_4'"]


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
    made = [captioned(name, 'some houses are built', BUILT, None) for name in 'ab']
    scores = evaluate(metric, made, task='single', split='test', frequent_caption='a boat')
    assert scores['baseline/frequent/Bleu_1'] < scores['caption/all/Bleu_1'] / 2
    assert not any('changed' in key or 'flag' in key for key in scores)
    metadata = dict(metric.metadata)
    assert 'not calibrated' in metadata.pop('doubt')
    assert metadata == {
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
    assert evaluate(metric, [captioned('a', None, BUILT, True)]) == {}


def test_sentences_cut_at_the_limit_are_counted(monkeypatch):
    said = []
    monkeypatch.setattr('rscc.evaluation.protocols.warn_once', said.append)
    metric, made = METRICS.build(dict(type='CaptionMetric', meteor=False)), batch()
    assert 'caption/truncated' not in evaluate(metric, made) and 'truncated' not in metric.metadata
    made[1].pred_captions = [ScoredCaption(SAME[1], -0.5, 12)]
    assert evaluate(metric, made)['caption/truncated'] == pytest.approx(1 / 3)
    assert metric.metadata['truncated'] == 'captions cut at the limit of 12 tokens: 1 of 3'
    assert said == [metric.metadata['truncated']]


def test_weights_without_calibration_are_said_beside_the_scores():
    metric = METRICS.build(dict(type='CaptionMetric', meteor=False))
    told = metric.metadata['doubt']
    assert 'not calibrated' in told and 'tools/analysis_tools/calibrate.py' in told
    assert format_metadata(metric.metadata).splitlines()[-1] == told
    metric.weights = {'doubt': {'en': {}}}
    assert 'doubt' not in metric.metadata


def test_wrong_settings_are_told_at_once():
    with pytest.raises(ValueError, match="protocol='coc0' is unknown"):
        METRICS.build(dict(type='CaptionMetric', protocol='coc0'))


def mapped(name, prediction, target):
    made = ChangeDataSample(metainfo=dict(sample_id=name))
    if prediction is not None:
        made.pred_sem_seg = PixelData(data=torch.tensor([prediction]))
    if target is not None:
        made.gt_sem_seg = PixelData(data=torch.tensor([target]))
    return made


def evaluate_maps(samples, classes=('unchanged', 'building'), **settings):
    metric = METRICS.build(dict(type='ChangeMetric', **settings))
    evaluator = Evaluator([metric])
    evaluator.dataset_meta = dict(classes=classes)
    evaluator.process(samples)
    assert all(set(kept) <= {'sample_id', 'matrix', 'empty'} for kept in metric.results)
    return evaluator.evaluate(len(samples))


def test_counts_are_summed_over_samples_of_any_size():
    scores = evaluate_maps([mapped('a', [[0, 1], [1, 1]], [[0, 1], [1, 255]]),
                       mapped('b', [[0, 0, 1]], [[1, 0, 0]])])
    # Changed: 2 hits, 1 wrong, 1 missed.
    assert scores['change/F1_changed'] == pytest.approx(2 / 3)
    assert scores['change/IoU_building'] == pytest.approx(0.5)
    assert next(iter(scores)) == 'change/F1_changed'


def test_without_class_names_classes_are_numbered():
    scores = evaluate_maps([mapped('a', [[0, 2]], [[0, 1]]), mapped('b', [[0, 1]], [[0, 1]])], None)
    assert {'change/IoU_0', 'change/IoU_1', 'change/IoU_2'} <= set(scores)


def test_without_any_mask_there_are_no_scores_and_no_crash():
    assert evaluate_maps([mapped('a', [[0, 1]], None), mapped('b', None, [[0, 1]])]) == {}


def test_a_split_without_changed_pixels_works():
    scores = evaluate_maps([mapped('a', [[0, 0]], [[0, 0]])])
    assert 'change/F1_changed' not in scores and scores['change/OA'] == 1


def test_bad_maps_name_their_sample():
    with pytest.raises(ValueError, match=r"sample 'a': change map and mask differ in size"):
        evaluate_maps([mapped('a', [[0, 1]], [[0], [1]])])
    with pytest.raises(ValueError, match=r"sample 'a': mask holds \[7\]"):
        evaluate_maps([mapped('a', [[0, 1]], [[0, 7]])])
