"""Curves reach the pixels."""
import numpy as np
import pytest

from rscc.visualization import curves
from rscc.visualization.curves import Curve, Panel, draw_curves, lay_out


def near(image, colour):
    return int((np.abs(image.astype(int) - colour).max(-1) < 12).sum())


def test_every_curve_has_its_colour_and_every_panel_its_place():
    blue, red = Curve('a', [1, 2, 4], [1., 3., 2.]), Curve('b', [3], [2.], ['mark'], colour=1)
    image = draw_curves([Panel('one', 'steps', [blue], [('floor', 1.5)], [1, 2, 4]),
                         Panel('two', 'ms', [red])], 800, 300)
    assert image.shape == (300, 800, 3) and image.dtype == np.uint8
    left, right = image[:, :400], image[:, 400:]
    assert near(left, (12, 98, 168)) > 100 and near(left, (179, 54, 27)) == 0
    assert near(right, (179, 54, 27)) > 20 and near(right, (12, 98, 168)) == 0


def test_values_that_are_not_known_leave_a_gap():
    def curve(value):
        return draw_curves([Panel('', '', [Curve('', [1, 2, 4], [1., value, 2.])])], 400, 300)

    assert near(curve(float('nan')), (12, 98, 168)) < near(curve(1.5), (12, 98, 168))


def test_nothing_to_draw_is_refused():
    with pytest.raises(ValueError, match='draw_curves got no panel; expected at least one'):
        draw_curves([])


def test_a_chart_has_round_marks_and_every_point_in_its_place():
    chart = lay_out(Panel('Loss', 'step', [Curve('a', [0, 50, 100], [0., 1., 4.], colour=2)]))
    assert [text for _, text in chart.x_ticks] == ['0', '50', '100']
    assert [text for _, text in chart.y_ticks] == ['0', '1', '2', '3', '4']
    (label, colour, points), = chart.lines
    assert (label, colour) == ('a', 2) and points[1][2] == '50: 1'
    assert [x for x, *_ in points] == [place for place, _ in chart.x_ticks]
    assert [y for _, y, _ in points] == [chart.y_ticks[mark][0] for mark in (0, 1, 4)]
    assert points[0][:2] == (chart.left, chart.bottom)


@pytest.mark.parametrize(('values', 'marks'), [
    ([0.81, 0.93], ['0.8', '0.85', '0.9']), ([5.0, 5.0], ['4', '6']), ([0.0, 0.0], ['0', '0.5']),
    ([-3.0, 20000.0], ['-5000', '0', '5000', '10k', '15k', '20k'])])
def test_marks_enclose_the_least_value(values, marks):
    chart = lay_out(Panel('', '', [Curve('', [1, 2], values)]))
    assert [text for _, text in chart.y_ticks] == marks


def test_gaps_are_left_out_and_nothing_known_is_no_chart():
    chart = lay_out(Panel('', '', [Curve('a', [1, 2, 3], [1., float('nan'), 2.]),
                                   Curve('b', [1], [float('nan')])]))
    assert [len(points) for *_, points in chart.lines] == [2]
    assert lay_out(Panel('', '', [Curve('b', [1], [float('inf')])])) is None


def test_notes_of_points_side_by_side_cover_neither_each_other_nor_a_point(monkeypatch):
    boxes = []
    spread = curves._spread_notes

    def watched(axes, renderer):
        spread(axes, renderer)
        boxes.extend(text.get_window_extent(renderer) for text in axes.texts)

    monkeypatch.setattr(curves, '_spread_notes', watched)
    draw_curves([Panel('F1', 'ms', [Curve('', [x], [y], [name]) for name, x, y in (
        ('changeclip', 10, 0.70), ('resampled', 10.4, 0.69), ('detector', 11, 0.695),
        ('far', 90, 0.2))], linear=True)])
    assert len(boxes) == 4
    assert not any(one.overlaps(other) for row, one in enumerate(boxes) for other in boxes[:row])
