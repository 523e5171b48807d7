import numpy as np
import pytest

from rscc.evaluation.calibration import fit_calibration
from rscc.inference.calibrating import (
    Judged,
    describe_calibration,
    describe_evaluation,
    draw_evaluation,
    evaluate,
    least_doubtful,
    with_option,
)


def predictions(count=200, seed=0, **dataset):
    """A predictions file in which the flag knows of errors what the score does not."""
    rng = np.random.default_rng(seed)
    samples = []
    for number in range(count):
        changed, doubtful = number % 2 == 0, rng.uniform()
        right = rng.uniform() > doubtful**2
        said = 'a house is built' if changed == right else 'nothing has changed'
        samples.append({
            'sample_id': str(number), 'prediction': said, 'gt_change_flag': changed,
            'references': ['a house is built' if changed else 'nothing has changed'],
            'score': -float(rng.uniform()), 'scores': {'CIDEr': 100.0 * right},
            'doubt': {'value': None, 'sure': None, 'reasons': [],
                      'inputs': {'sentence_flag': doubtful, 'score': float(rng.uniform())}}})
    return {'dataset': {'language': 'en', **dataset}, 'samples': samples}


def test_doubt_sorts_out_errors_that_the_score_does_not():
    known, unseen = (Judged.of(predictions(seed=seed), 'x') for seed in (0, 1))
    calibration = fit_calibration(known.inputs, known.wrong)
    found = evaluate(unseen, calibration, 200)
    assert found['samples'] == 200 and found['errors']['flag'] == found['errors']['all']
    assert found['AURC']['doubt'][0] < found['AURC']['score'][0]
    assert found['AURC']['doubt - score'][2] < 0  # the whole interval
    everything, less = (found['quality'][name] for name in (
        'all', 'without the most doubtful tenth'))
    assert less['answers'] == 180 and less['errors'] < everything['errors']
    assert less['flag_accuracy'] > everything['flag_accuracy']
    assert less['CIDEr_changed'] > everything['CIDEr_changed']
    assert found['calibration_error'] < 0.15
    text = describe_evaluation(found, 'test')
    assert 'AURC doubt - score' in text and 'without the most doubtful tenth' in text
    picture = draw_evaluation(unseen, calibration, 'test')
    assert picture.ndim == 3 and picture.std() > 5


def test_the_share_of_errors_grows_with_the_grade():
    judged = Judged.of(predictions(400), 'x')
    found = evaluate(judged, fit_calibration(judged.inputs, judged.wrong), 200)['grades']
    assert sum(row['answers'] for row in found.values()) == 400
    shares = [found[grade]['errors'] for grade in ('low', 'medium', 'high')]
    assert shares == sorted(shares) and shares[0] < 0.2 < 0.5 < shares[2]


def test_inputs_that_carry_nothing_are_named_with_the_reason():
    judged = Judged.of(predictions(), 'x')
    rows = [row | {'distance': 1 - row['sentence_flag'], 'sentence_map/extra': 0.0}
            for row in judged.inputs]
    text = describe_calibration(fit_calibration(rows, judged.wrong), rows, 'en')
    same, opposite = (line for line in text.splitlines() if 'carry nothing' in line)
    assert 'alike' in same and same.endswith('sentence_map/extra')
    assert 'do not have more of it' in opposite and 'distance' in opposite
    assert 'sentence_flag +' in text and 'novelty +3.00' in text


def test_single_images_are_judged_by_their_objects():
    data = predictions(task='single')
    for sample in data['samples']:
        sample['references'] = ['many houses']
    judged = Judged.of(data, 'x')
    assert {kind for kinds in judged.kinds for kind in kinds} == {'object'}
    assert 'CIDEr' in judged.quality(np.ones(200, bool))


def test_pairs_without_a_flag_are_judged_by_their_references():
    data = predictions()
    expected = Judged.of(data, 'x')
    for sample in data['samples']:
        sample['gt_change_flag'] = None
    found = Judged.of(data, 'x')
    assert found.kinds == expected.kinds and (found.changed == expected.changed).all()


@pytest.mark.parametrize('lacking', ['doubt', 'prediction', 'references'])
def test_a_file_without_what_is_judged_is_refused(lacking):
    data = predictions(4)
    for sample in data['samples']:
        sample.pop(lacking)
    with pytest.raises(ValueError, match='val split: no sample has a sentence'):
        Judged.of(data, 'val split')


def test_the_least_doubtful_share_has_the_size_asked_for():
    assert least_doubtful(np.array([0.3, 0.1, 0.2, 0.9, 0.5])).sum() == 4  # 4.5, to even
    assert least_doubtful(np.array([0.3, 0.1, 0.9]), 2 / 3).tolist() == [True, True, False]


def test_the_language_reaches_datasets_inside_others():
    described = dict(type='ConcatDataset', datasets=[
        dict(type='SynthChangeDataset', split='val'),
        dict(type='RepeatDataset', times=2, dataset=dict(type='SynthChangeDataset'))])
    told = with_option(described, 'language', 'zh')
    assert told['datasets'][0]['language'] == told['datasets'][1]['dataset']['language'] == 'zh'
    assert 'language' not in told and 'language' not in described['datasets'][0]
