"""SeK, F_scd and their kin against recorded values of public code, and the odd cases."""
import json
import os
from pathlib import Path

import numpy as np
import pytest

from rscc.evaluation.functional.from_to import (
    ClassMaps,
    both_countings,
    from_to_confusion,
    pooled_confusion,
    repeat_first_date,
    repeat_true_first_date,
    semantic_scores,
    transition_table,
    transitions_of,
)

FIXTURES = os.environ.get('RSCC_FIXTURES')
TOYS = Path(FIXTURES or '.') / 'semantic' / 'sek_toy.json'
needs_toys = pytest.mark.skipif(not (FIXTURES and TOYS.is_file()),
                                reason='the recorded values are not here: set RSCC_FIXTURES')


def toys():
    return json.loads(TOYS.read_text())['toys'] if TOYS.is_file() else []


def confusion_of(toy):
    return from_to_confusion(ClassMaps(np.array(toy['pred_t1']), np.array(toy['pred_t2'])),
                             ClassMaps(np.array(toy['label_t1']), np.array(toy['label_t2'])), 6)


@needs_toys
@pytest.mark.parametrize('number', range(3))
def test_both_countings_equal_the_recorded_values_of_public_code(number):
    toy = toys()[number]
    matrix = confusion_of(toy)
    dense = np.zeros((37, 37), int)
    for row, column, count in toy['confusion_fromto_37_nonzero']:
        dense[row, column] = count
    assert np.array_equal(matrix, dense)
    assert pooled_confusion(matrix).tolist() == toy['confusion_pooled_7']
    for counting, counts in (('pooled_7', pooled_confusion(matrix)), ('fromto_37', matrix)):
        assert semantic_scores(counts) == pytest.approx(toy['expected'][counting], abs=1e-9)
    named = both_countings(matrix)
    assert named['SeK_pooled'] == pytest.approx(toy['expected']['pooled_7']['SeK'], abs=1e-9)
    assert named['F_scd_from_to'] == pytest.approx(toy['expected']['fromto_37']['F_scd'], abs=1e-9)


@needs_toys
@pytest.mark.parametrize('number', range(3))
def test_public_code_gives_the_same(number):
    toy, named = toys()[number], both_countings(confusion_of(toys()[number]))
    for source, counting in (('scannet_pooled_7', 'pooled'), ('changemamba_pooled_7', 'pooled'),
                             ('changemamba_fromto_37', 'from_to'), ('opencd_pooled_7', 'pooled'),
                             ('torchange_fromto_37', 'from_to')):
        for name in {'SeK', 'F_scd', 'Score'} & set(toy['public'][source]):
            theirs = toy['public'][source][name]
            if theirs is not None:  # SCanNet divides 0 by 0 where nothing is predicted
                assert named[f'{name}_{counting}'] == pytest.approx(theirs, abs=1e-6)


def test_the_second_toy_stands_here_too():
    # Right places, and at the later date half of the classes wrong: values of the code of SCanNet,
    # ChangeMamba and torchange.
    label = ClassMaps(np.kron([[0, 2], [4, 0]], np.ones((2, 2), int)),
                      np.kron([[0, 5], [3, 0]], np.ones((2, 2), int)))
    said = ClassMaps(label.earlier, np.array([[0, 0, 5, 6], [0, 0, 6, 5],
                                              [2, 3, 0, 0], [3, 2, 0, 0]]))
    found = both_countings(from_to_confusion(said, label, 6))
    assert {name: found[name] for name in (
        'SeK_pooled', 'F_scd_pooled', 'Score_pooled', 'SeK_from_to', 'F_scd_from_to')} == (
        pytest.approx(dict(SeK_pooled=0.68, F_scd_pooled=0.75, Score_pooled=0.776,
                           SeK_from_to=1 / 3, F_scd_from_to=0.5)))


def maps(earlier, later, changed=None):
    return ClassMaps(np.array(earlier), np.array(later),
                     None if changed is None else np.array(changed))


# Four pixels: unchanged, 1 -> 2 found, 2 -> 1 found as 2 -> 2, 1 -> 1 missed.
LABEL = maps([[1, 1, 2, 1]], [[1, 2, 1, 1]], [[0, 1, 1, 1]])
PREDICTION = maps([[1, 1, 2, 1]], [[1, 2, 2, 1]], [[0, 1, 1, 0]])


def test_maps_are_masked_by_the_change_maps():
    matrix = from_to_confusion(PREDICTION, LABEL, 2)
    # Numbers (from - 1) * 2 + to: 1->1 is 1, 1->2 is 2, 2->1 is 3, 2->2 is 4.
    assert {(row, column): int(matrix[row, column]) for row, column in np.argwhere(matrix).tolist()
            } == {(0, 0): 1, (2, 2): 1, (4, 3): 1, (0, 1): 1}
    assert pooled_confusion(matrix).tolist() == [[2, 2, 0], [0, 1, 0], [0, 1, 2]]
    scores = both_countings(matrix)
    assert scores['recall_changed'] == pytest.approx(2 / 3)
    assert scores['precision_changed'] == 1
    assert scores['F_scd_from_to'] == pytest.approx(2 * (1 / 2) * (1 / 3) / (1 / 2 + 1 / 3))
    assert scores['mIoU'] == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_an_answer_without_a_class_counts_as_unchanged_in_both_countings():
    nameless = maps([[1, 0, 2, 1]], [[1, 2, 2, 1]], [[0, 1, 1, 0]])
    matrix = from_to_confusion(nameless, LABEL, 2)
    assert matrix[0, 2] == 1
    # (2 - 1) * 2 + 0 = 2 would be a hit: the number of class 1 that became class 2.
    later = maps([[1, 2, 2, 1]], [[1, 0, 2, 1]], [[0, 1, 1, 0]])
    found = from_to_confusion(later, LABEL, 2)
    assert found[0, 2] == 1 and found[2, 2] == 0
    assert semantic_scores(pooled_confusion(found))['mIoU'] == semantic_scores(found)['mIoU']


def test_what_is_not_known_does_not_count():
    known = from_to_confusion(PREDICTION, LABEL, 2)
    ignored = from_to_confusion(PREDICTION, LABEL._replace(changed=np.array([[255, 1, 1, 1]])), 2)
    assert known.sum() - ignored.sum() == 1 and ignored[0, 0] == 0
    # "Changed" without a class: HRSCD has such pixels.
    nameless = from_to_confusion(PREDICTION, maps([[1, 0, 2, 1]], [[1, 2, 1, 1]], [[0, 1, 1, 1]]),
                                 2)
    assert nameless.sum() == 3 and nameless[2, 2] == 0


def test_nothing_predicted_nothing_changed_and_nothing_at_all():
    nothing = maps([[1, 1]], [[1, 1]], [[0, 0]])
    missed = both_countings(from_to_confusion(nothing, maps([[1, 1]], [[2, 1]], [[1, 0]]), 2))
    assert missed['SeK_pooled'] == missed['F_scd_pooled'] == missed['F_scd_from_to'] == 0
    quiet = both_countings(from_to_confusion(nothing, nothing, 2))
    assert (quiet['SeK_pooled'], quiet['OA_pooled'], quiet['mIoU']) == (0, 1, 0.5)
    assert both_countings(np.zeros((5, 5), int)) == {}
    assert semantic_scores(np.zeros((3, 3))) == {}


def test_chance_that_always_agrees_gives_no_kappa():
    only = maps([[1, 1]], [[1, 1]], [[1, 1]])
    scores = semantic_scores(from_to_confusion(only, only, 2))
    assert scores['kappa_n0'] == scores['SeK'] == 0 and scores['F_scd'] == 1


def test_the_baselines_copy_the_first_date():
    matrix = from_to_confusion(PREDICTION, LABEL, 2)
    copied = from_to_confusion(PREDICTION._replace(later=PREDICTION.earlier), LABEL, 2)
    assert np.array_equal(repeat_first_date(matrix), copied)
    known = from_to_confusion(LABEL._replace(later=LABEL.earlier), LABEL, 2)
    assert np.array_equal(repeat_true_first_date(matrix), known)
    # Half of the classes are right, and of the transitions those within a class.
    assert semantic_scores(pooled_confusion(known))['F_scd'] == pytest.approx(4 / 6)
    assert semantic_scores(known)['F_scd'] == pytest.approx(1 / 3)


def test_the_table_counts_changed_pixels_by_their_classes():
    assert transition_table(LABEL, 2).tolist() == [[1, 1], [1, 0]]
    assert transition_table(maps([[1, 2]], [[2, 1]], [[0, 1]]), 3).tolist() == [
        [0, 0, 0], [1, 0, 0], [0, 0, 0]]


def test_transitions_are_listed_by_name_the_most_frequent_first():
    rows = transitions_of(from_to_confusion(PREDICTION, LABEL, 2), ['field', 'house'])
    assert rows == [('field', 'house', 1, 1, 1, 1.0), ('field', 'field', 0, 1, 0, 0.0),
                    ('house', 'field', 0, 1, 0, 0.0), ('house', 'house', 1, 0, 0, 0.0)]
    with pytest.raises(ValueError, match=r'1 names of classes \(field\) for a matrix of 2'):
        transitions_of(np.zeros((5, 5), int), ['field'])


@pytest.mark.parametrize(('prediction', 'label', 'told'), [
    (maps([[3]], [[1]]), maps([[1]], [[1]]), r'map of the prediction holds \[3\]: expected classes '
     '1 to 2'),
    (maps([[1]], [[1]]), maps([[1]], [[-1]]), r'map of the label holds \[-1\]'),
    (maps([[1, 1]], [[1, 1]]), maps([[1]], [[1]]), r'differ in size: \(1, 2\) and \(1, 1\)'),
    (maps([[1]], [[1]]), maps([[1]], [[1]], [[0, 0]]), 'the maps of the label differ in size')])
def test_maps_that_do_not_fit_are_refused(prediction, label, told):
    with pytest.raises(ValueError, match=told):
        from_to_confusion(prediction, label, 2)


def test_a_matrix_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r'a from-to matrix is \(K\*K\+1, K\*K\+1\), found \(4, 4'):
        pooled_confusion(np.zeros((4, 4), int))
