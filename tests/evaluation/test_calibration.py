import json

import numpy as np
import pytest

from rscc.evaluation.calibration import (
    LEAST,
    Calibration,
    calibration_for,
    errors_of,
    fit_calibration,
)

STOCK = ('the scene is the same as before',)
BUILT = ['a house is built', 'a house appears beside the road', 'one house is constructed']


@pytest.mark.parametrize(('prediction', 'references', 'changed', 'kinds'), [
    ('a villa appears', BUILT, True, set()),
    ('a house is built near the road', BUILT, True, set()),
    (STOCK[0], BUILT, True, {'flag'}),
    ('', BUILT, True, {'flag'}),
    ('a pond is dug', BUILT, True, {'object'}),
    ('a house and a parking lot are built', BUILT, True, {'object'}),
    ('a house is removed', BUILT, True, {'direction'}),
    ('a road is removed', ['a house is built'], True, {'object'}),
    ('trees appear', ['trees are removed to build a house', 'a house replaces trees'], True,
     {'direction'}),
    ('three houses are built', BUILT, True, {'count'}),
    ('a house is built on the left', ['a house is built on the right'], True, {'place'}),
    (STOCK[0], [*STOCK, 'nothing has changed'], False, set()),
    ('a house is built', STOCK, False, {'flag'}),
    ('many houses and a river', ['a river between houses'], None, set()),
    ('a parking lot', ['a river between houses'], None, {'object'}),
])
def test_an_error_is_anything_that_the_references_contradict(prediction, references, changed,
                                                             kinds):
    assert errors_of(prediction, references, changed, 'en', STOCK) == kinds


def test_errors_are_found_in_chinese_too():
    references = ['新建了一栋房屋', '一座房屋出现在道路旁']
    assert errors_of('修建了一座住宅', references, True, 'zh') == set()
    assert errors_of('一条道路消失了', ['新建了一栋房屋'], True, 'zh') == {'object'}
    assert errors_of('一座住宅消失了', references, True, 'zh') == {'direction'}
    assert errors_of('没有变化', references, True, 'zh') == {'flag'}


def drawn(count=600, seed=0):
    """Answers whose chance of error grows with one input and not with another."""
    rng = np.random.default_rng(seed)
    useful, useless = rng.uniform(size=(2, count))
    wrong = rng.uniform(size=count) < 1 / (1 + np.exp(-(5 * useful - 3)))
    rows = [{'sentence_flag': float(a), 'score': float(b), 'change_told': 1.0}
            for a, b in zip(useful, useless, strict=True)]
    return rows, wrong


def test_the_fit_finds_the_chance_of_error():
    rows, wrong = drawn()
    fitted = fit_calibration(rows, wrong)
    assert fitted.weights['sentence_flag'] == pytest.approx(5, abs=1)
    assert 0 <= fitted.weights['score'] < 0.8  # reasons never lower the doubt
    assert (fitted.samples, fitted.errors) == (600, pytest.approx(wrong.mean(), abs=1e-4))
    values = np.array([fitted.probability(row) for row in rows])
    assert values.mean() == pytest.approx(wrong.mean(), abs=0.01)
    assert (values >= fitted.threshold).mean() == pytest.approx(0.1, abs=0.01)
    # On other answers of the same kind, too.
    rows, wrong = drawn(seed=1)
    told = np.array([fitted.probability(row) for row in rows])
    for low, high in ((0, 0.3), (0.3, 0.6), (0.6, 1)):
        part = (told >= low) & (told < high)
        assert wrong[part].mean() == pytest.approx(told[part].mean(), abs=0.12)


def test_a_reason_that_speaks_for_the_answer_weighs_nothing():
    rows, wrong = drawn()
    fitted = fit_calibration([row | {'sentence_flag': 1 - row['sentence_flag']} for row in rows],
                             wrong)
    assert fitted.weights['sentence_flag'] == 0
    # Farther from the training images never means less doubtful.
    farther = fit_calibration([{'distance': 1 - row['sentence_flag']} for row in rows], wrong)
    assert farther.weights['distance'] == 0
    context = fit_calibration([{'place_told': 1 - row['sentence_flag']} for row in rows], wrong)
    assert context.weights['place_told'] == pytest.approx(-5, abs=1)


def test_negative_weights_of_evidence_in_older_files_count_as_nothing():
    stored = Calibration({'distance': -0.4, 'change_told': -1.0},
                         {'distance': 0.3, 'change_told': 0.5}).to_dict()
    assert Calibration.from_dict(stored).weights == {'distance': 0.0, 'change_told': -1.0}


def test_sure_is_below_the_threshold_and_below_one_half():
    assert [Calibration({}, {}, threshold=t).limit for t in (0.3, 0.9)] == [0.3, 0.5]
    assert Calibration({}, {}, threshold=0.3).sure(np.array([0.29, 0.304, 0.4])).tolist() == [
        True, False, False]
    assert Calibration({}, {}, threshold=0.9).sure(0.494) is True
    assert Calibration({}, {}, threshold=0.9).sure(0.496) is False  # shown as 50 %


def test_what_an_answer_lacks_counts_as_the_mean():
    rows, wrong = drawn()
    fitted = fit_calibration(rows, wrong)
    mean = {name: fitted.means[name] for name in fitted.weights if name in rows[0]}
    assert fitted.probability({}) == pytest.approx(fitted.probability(mean), abs=1e-4)
    assert fitted.probability({'unknown': 1.0}) == fitted.probability({})


def test_what_validation_data_cannot_show_keeps_a_weight():
    rows, wrong = drawn()
    fitted = fit_calibration([row | {'novelty': 0.0, 'resolution': 0.1} for row in rows], wrong)
    assert {name: fitted.weights[name] for name in LEAST} == LEAST
    assert fitted.means['resolution'] == pytest.approx(0.1)
    assert fitted.probability({'novelty': 0.9}) > fitted.probability({'novelty': 0.0})
    assert fitted.weights['contradiction'] > 0  # nobody asked for other sentences


@pytest.mark.parametrize(('share', 'threshold'), [(0.0, 1.0), (0.5, None)])
def test_the_threshold_leaves_out_the_share_asked_for(share, threshold):
    rows, wrong = drawn()
    fitted = fit_calibration(rows, wrong, share)
    values = np.array([fitted.probability(row) for row in rows])
    assert threshold in (None, fitted.threshold)
    assert (values >= fitted.threshold).mean() == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize('wrong', [[False] * 30, [True] * 30, [True] * 3 + [False] * 27])
def test_too_few_errors_are_refused(wrong):
    with pytest.raises(ValueError, match='at least 5 wrong and 5 right'):
        fit_calibration([{'score': 0.1}] * 30, wrong)


def test_an_impossible_share_is_refused():
    rows, wrong = drawn(50)
    with pytest.raises(ValueError, match=r'share in \[0, 1\)'):
        fit_calibration(rows, wrong, 1.0)


def test_a_calibration_survives_json_and_a_damaged_one_is_named():
    rows, wrong = drawn()
    stored = json.loads(json.dumps(fit_calibration(rows, wrong).to_dict()))
    read = Calibration.from_dict(stored)
    assert read == fit_calibration(rows, wrong)
    with pytest.raises(ValueError, match=r"'offset'.*calibrate.py"):
        Calibration.from_dict({key: value for key, value in stored.items() if key != 'offset'})
    with pytest.raises(ValueError, match='expected the same inputs'):
        Calibration.from_dict(stored | {'means': {}})


def test_another_language_stands_in_where_one_has_no_calibration():
    stored = {name: Calibration({'score': weight}, {'score': 0.5}).to_dict()
              for name, weight in (('en', 1.0), ('zh', 2.0))}
    assert calibration_for(stored, 'zh').weights['score'] == 2
    assert calibration_for({'en': stored['en']}, 'zh').weights['score'] == 1
    assert calibration_for({}, 'en') is None and calibration_for(None, 'en') is None
