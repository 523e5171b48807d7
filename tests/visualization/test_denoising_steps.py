import pytest

from rscc.visualization.denoising_steps import Run, denoising_rows

STRIP = [(100.0, 'tree tree is'), (10.0, 'a tree is built'), (1.0, 'a house is built'),
         (0.5, 'a house is built'), (0.1, 'a house is built')]
FINAL = 'a house is built'


def test_a_row_is_a_sentence_that_differs_from_the_one_before():
    rows = denoising_rows(STRIP, FINAL)
    assert [(row.label, row.steps) for row in rows] == [('100', 1), ('10', 1), ('1 – 0.1', 3)]
    assert [' '.join(run.text for run in row.runs) for row in rows] == [
        'tree tree is', 'a tree is built', 'a house is built']


def test_words_know_whether_they_are_new_and_whether_they_stay():
    first, second, third = [row.runs for row in denoising_rows(STRIP, FINAL)]
    assert first == [Run('tree tree', False, False), Run('is', True, False)]
    assert second == [Run('a', True, True), Run('tree', False, False), Run('is', True, False),
                      Run('built', True, True)]
    assert third == [Run('a', True, False), Run('house', True, True), Run('is built', True, False)]


def test_a_sentence_that_comes_back_has_a_row_each_time():
    rows = denoising_rows([(3.0, 'a'), (2.0, 'b'), (1.0, 'a')], 'a')
    assert [row.label for row in rows] == ['3', '2', '1']
    assert rows[2].runs == [Run('a', True, True)]


def test_noise_is_a_place_on_a_logarithmic_scale():
    rows = denoising_rows([(100.0, 'a'), (1.0, 'b'), (0.01, 'c'), (0.0, 'd')], 'd')
    assert [row.noise for row in rows] == pytest.approx([1, 0.5, 0, 0])
    assert [row.noise for row in denoising_rows([(5.0, 'a')], 'a')] == [1.0]


def test_chinese_is_compared_by_characters():
    rows = denoising_rows([(2.0, '新建树木'), (1.0, '新建房屋')], '新建房屋')
    assert rows[1].runs == [Run('新建', True, False), Run('房屋', True, True)]


def test_empty_sentences_have_rows_without_words():
    (row,) = denoising_rows([(2.0, ''), (1.0, '')], '')
    assert row.runs == [] and row.label == '2 – 1'
    assert denoising_rows([], 'a house') == []
