import pytest

from rscc.visualization.metric_tables import metric_tables, show_number


def test_subsets_are_rows_and_baselines_follow_them():
    html = metric_tables({'baseline/changed/CIDEr': 20.04, 'caption/all/CIDEr': 126.64,
                          'caption/all/Bleu_4': 59.8, 'human/all/CIDEr': 90.0})
    assert html.index('<th>all pairs</th><td>126.6</td><td>59.8</td>') < html.index(
        '<tr class=floor><th>baseline: changed pairs</th><td>20.0</td><td></td>')
    assert '<th>human: all pairs</th>' in html and 'look at no image' in html


def test_fractions_keep_three_digits_and_scores_one():
    html = metric_tables({'caption/flag_accuracy': 0.9312, 'caption/all/Sm': 7.25})
    assert '<td>0.931</td>' in html and '<td>7.2</td>' in html


def test_groups_are_named_for_readers_and_escaped():
    html = metric_tables({'change/IoU_<b>': 0.5, 'time': 3})
    assert '<h2>Change map</h2>' in html and 'IoU_&lt;b&gt;' in html and '<b>' not in html


def test_text_among_the_metrics_is_left_out():
    assert 'No metrics' in metric_tables({'protocol': 'coco', 'done': True})


@pytest.mark.parametrize(('value', 'shown'), [(126.64, '126.6'), (0.5, '0.500'), (-0.04, '-0.040'),
                                              (-12.34, '-12.3')])
def test_numbers_have_digits_worth_reading(value, shown):
    assert show_number(value) == shown
