"""Sentences of a table of transitions, in both languages, with and without a ground resolution."""
import pytest

from rscc.text.transitions import transition_sentences

ROWS = [('building', 'building', 600), ('farmland', 'building', 48_000), ('tree', 'water', 2_000),
        ('water', 'tree', 10), ('ground', 'road', 4_000)]


def test_the_largest_transitions_are_told_in_hectares():
    assert transition_sentences(ROWS, pixel_area=0.25) == [
        'farmland became buildings, 1.2 ha', 'bare ground became roads, 1,000 m²',
        'trees became water, 500 m²']
    assert transition_sentences(ROWS, 'zh', pixel_area=0.25) == [
        '农田变为建筑物，1.2 公顷', '地表变为道路，1,000 平方米', '树木变为水体，500 平方米']


def test_without_a_ground_resolution_pixels_are_told():
    assert transition_sentences(ROWS, most=1) == ['farmland became buildings, 48,000 pixels']
    assert transition_sentences(ROWS, 'zh', most=1) == ['农田变为建筑物，48,000 像素']
    assert transition_sentences([('water', 'tree', 1)]) == ['water became trees, 1 pixel']


def test_a_change_within_a_class_is_told_as_such():
    rows = [('building', 'building', 5)]
    assert transition_sentences(rows) == ['buildings changed but stayed buildings, 5 pixels']
    assert transition_sentences(rows, 'zh') == ['建筑物有变化但类别未变，5 像素']


def test_small_transitions_go_without_saying():
    assert len(transition_sentences(ROWS, most=9)) == 3  # 600 of 54,610 pixels are below 2 %
    assert len(transition_sentences(ROWS, most=9, least=0.005)) == 4
    assert len(transition_sentences(ROWS, most=9, least=0)) == 5
    assert transition_sentences([]) == [] == transition_sentences([('tree', 'road', 0)])


def test_unknown_classes_keep_their_names_unless_told():
    rows = [('solar farm', 'quarry', 9)]
    assert transition_sentences(rows) == ['solar farm became quarry, 9 pixels']
    assert transition_sentences(rows, 'zh') == ['solar farm变为quarry，9 像素']
    words = {'solar farm': '光伏电站', 'quarry': '采石场'}
    assert transition_sentences(rows, 'zh', words=words) == ['光伏电站变为采石场，9 像素']
    with pytest.raises(ValueError, match='fr'):
        transition_sentences(rows, 'fr')
