"""FromToMetric: one confusion over the set, both countings, baselines, and the predictions file."""
import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from testers import semantic_sample

from rscc.evaluation.functional.from_to import ClassMaps, both_countings, from_to_confusion
from rscc.evaluation.semantic_metric import class_maps
from rscc.registry import METRICS
from rscc.structures import ChangeDataSample
from rscc.utils import read_json

META = dict(classes=('unchanged', 'changed'), language='en',
            semantic_classes=('none', 'field', 'low vegetation', 'building'))


def evaluated(samples, kind='FromToMetric', meta=META, **options):
    metric = METRICS.build(dict(type=kind, **options))
    metric.dataset_meta = dict(meta)
    metric.process(None, samples)
    return metric.evaluate(len(samples))


def samples(n=5):
    return [semantic_sample(f's{row}', row, (6, 7), 3) for row in range(n)]


def test_the_whole_set_is_one_confusion_matrix():
    both = [class_maps(sample, side) for side in ('pred', 'gt') for sample in samples()]
    joined = [ClassMaps(*map(np.concatenate, zip(*part, strict=True)))
              for part in (both[:5], both[5:])]
    expected = both_countings(from_to_confusion(*joined, 3))
    scores = evaluated(samples())
    assert {name: scores[f'semantic/{name}'] for name in expected} == pytest.approx(expected)
    # A mean over samples is another number.
    alone = [evaluated([sample])['semantic/SeK_pooled'] for sample in samples()]
    assert abs(np.mean(alone) - expected['SeK_pooled']) > 1e-4


def test_a_perfect_answer_scores_one_and_its_copy_of_the_first_date_less():
    perfect = samples()
    for sample in perfect:
        for date in ('', '_from', '_to'):
            setattr(sample, f'pred_sem_seg{date}', getattr(sample, f'gt_sem_seg{date}').clone())
    scores = evaluated(perfect)
    assert scores['semantic/SeK_pooled'] == scores['semantic/SeK_from_to'] == pytest.approx(1)
    assert scores['semantic/F_scd_from_to'] == scores['semantic/Score_pooled'] == pytest.approx(1)
    for name in ('SeK_pooled', 'SeK_from_to', 'F_scd_pooled', 'F_scd_from_to'):
        copied = scores[f'semantic/repeated_first/{name}']
        assert copied < 0.8 and copied == pytest.approx(scores[f'semantic/true_first/{name}'])


def test_every_transition_has_its_score_and_its_line(tmp_path):
    scores = evaluated(samples(), out_file=tmp_path / 't.csv')
    keys = {key for key in scores if key.startswith('transition/')}
    assert 'transition/field_to_low_vegetation' in keys
    lines = (tmp_path / 't.csv').read_text().splitlines()
    assert lines[0] == 'from,to,predicted,true,right,F1'
    assert sum(int(line.split(',')[3]) > 0 for line in lines[1:]) == len(keys)
    row = next(line.split(',') for line in lines if line.startswith('field,low vegetation,'))
    predicted, true, right = map(int, row[2:5])
    f1 = scores['transition/field_to_low_vegetation']
    assert f1 == pytest.approx(2 * right / (predicted + true)) == pytest.approx(float(row[5]),
                                                                                abs=1e-4)
    assert not [key for key in evaluated(samples(), transitions=False) if 'transition' in key]


def test_keys_are_declared():
    from fnmatch import fnmatch
    patterns = METRICS.build(dict(type='FromToMetric')).known_keys()
    for key in evaluated([reversed_sample()]):
        assert any(fnmatch(key, pattern) for pattern in patterns), key


def reversed_sample(wrong=0):
    sample = semantic_sample(size=(4, 5))
    other = ChangeDataSample()
    other.pred_sem_seg = sample.pred_sem_seg.clone()
    other.pred_sem_seg_to = sample.pred_sem_seg_from.clone()
    later = sample.pred_sem_seg_to.data.clone()
    later.view(-1)[:wrong] += 1
    other.pred_sem_seg_from = PixelData(data=later)
    sample.pred_swapped = other
    return sample


@pytest.mark.parametrize(('wrong', 'share'), [(0, 1.0), (5, 0.75)])
def test_the_answer_to_the_exchanged_pair_is_compared(wrong, share):
    assert evaluated([reversed_sample(wrong)])['reversal/classes'] == pytest.approx(share)


def test_a_set_without_names_or_with_unknown_classes_is_refused():
    with pytest.raises(ValueError, match="no 'semantic_classes' in its metainfo"):
        evaluated(samples(), meta=dict(classes=('unchanged', 'changed')))
    strange = semantic_sample('strange', classes=5)
    with pytest.raises(ValueError, match=r"sample 'strange': a class map of the .* holds \[4, 5\]"):
        evaluated([strange])
    assert evaluated([strange], classes=('none', *'abcde'))['semantic/mIoU'] > 0


def test_the_predictions_file_has_transitions_and_scores_of_each_sample(tmp_path):
    evaluated(samples(2), 'PredictionDump', out_file=str(tmp_path / 'p.json'))
    first, _ = read_json(tmp_path / 'p.json')['samples']
    alone = evaluated(samples(1))
    assert first['scores']['SeK_from_to'] == pytest.approx(alone['semantic/SeK_from_to'], abs=1e-4)
    maps = class_maps(samples(1)[0], 'pred')
    pixels = [count for *_, count in first['transitions']]
    assert sum(pixels) == int((maps.changed != 0).sum()) and pixels == sorted(pixels)[::-1]
    earlier, later, count = first['transitions'][0]
    names = META['semantic_classes']
    assert count == int(((maps.changed != 0) & (maps.earlier == names.index(earlier))
                         & (maps.later == names.index(later))).sum())


def test_a_pair_without_change_that_is_said_to_have_none_has_no_semantic_scores(tmp_path):
    still, alarm = samples(2)
    for sample in (still, alarm):
        sample.gt_sem_seg.data.zero_()
    still.pred_sem_seg.data.zero_()
    alarm.pred_sem_seg.data.fill_(1)
    evaluated([still, alarm], 'PredictionDump', out_file=str(tmp_path / 'p.json'))
    right, wrong = (sample['scores'] for sample in read_json(tmp_path / 'p.json')['samples'])
    assert not [name for name in right if 'SeK' in name or 'F_scd' in name]
    assert wrong['F_scd_from_to'] == 0


def test_samples_without_class_maps_are_left_out():
    bare = semantic_sample('bare', answered=False)
    assert evaluated([*samples(2), bare]) == evaluated(samples(2))
    bare.pred_sem_seg = PixelData(data=torch.zeros(1, 8, 8, dtype=torch.long))
    assert class_maps(bare, 'pred') is None
