"""The encoder of timm models is timed against the bare models."""
import pytest

from tools.benchmark.tables import say
from tools.benchmark.timing import Timing
from tools.benchmark.timm_models import _ratio, benchmark_timm


def test_every_way_of_a_hierarchical_and_a_plain_model_has_a_row():
    section = benchmark_timm(['test_efficientnet', 'test_vit'], size=32, batch_size=1, rounds=1)
    rows = [[say(cell, 'en') for cell in row] for row in section.rows]
    assert [row[:2] for row in rows] == [
        ['`test_efficientnet`', 'timm alone'], ['`test_efficientnet`', 'TimmEncoder'],
        ['`test_efficientnet`', 'without channels-last'], ['`test_vit`', 'timm alone'],
        ['`test_vit`', 'TimmEncoder'], ['`test_vit`', 'with the pyramid']]
    assert 'target ≤ 1.03' in rows[1][3] and rows[0][3] == '1'
    assert '32 x 32 pixels' in say(section.notes[0], 'en')


def test_ratios_are_medians_over_rounds_that_ran_side_by_side():
    bare, encoder = Timing((1.0, 10.0, 1.0)), Timing((1.02, 10.2, 5.0))
    assert say(_ratio('encoder', encoder, bare), 'en') == '1.02 (target ≤ 1.03: met)'


def test_an_unknown_model_is_refused():
    with pytest.raises(ValueError, match="no model 'test_vti'"):
        benchmark_timm(['test_vti'], rounds=1)
