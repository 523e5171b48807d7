"""Curves reach the pixels."""
import numpy as np
import pytest

from rscc.visualization.curves import Curve, Panel, draw_curves


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
