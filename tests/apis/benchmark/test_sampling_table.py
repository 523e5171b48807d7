"""What a way of asking becomes: cells and marks."""
from rscc.apis.benchmark.report import say
from rscc.apis.benchmark.sampling_table import FEW_STEPS, Point, columns, panels, row
from rscc.visualization.curves import draw_curves


def point(model='kd', way='dpmpp_2m', steps=10, **values):
    return Point(**dict(model=model, way=way, steps=steps, calls=steps or 0, changed_cider=20.,
                        cider=90., flag_accuracy=0.9, equal=0.5, similarity=0.981, agreement=None,
                        ms=2., image_ms=3.) | values)


def test_ten_steps_of_the_solver_are_judged_against_fifty():
    assert say(row(point(), 50, 1)[8], 'en') == '0.981 (target ≥ 0.98: met)'
    assert say(row(point(similarity=0.97), 50, 1)[8], 'en').endswith('missed)')
    for other, most in ((point(steps=8), 50), (point(), 32), (point(way='heun'), 50)):
        assert row(other, most, 1)[8] == '0.981'
    assert not FEW_STEPS.met(0.979)


def test_the_picture_names_samplers_where_there_are_several_and_the_other_model():
    points = [point(steps=1), point(), point(way='heun'),
              point('blip', 'greedy', None, similarity=None, changed_cider=50.)]
    quality, likeness, time = panels(points, floor=40.)
    assert [curve.label for curve in quality.curves] == ['dpmpp_2m', 'heun']
    assert quality.levels == [('one constant sentence', 40.), ('blip, greedy', 50.)]
    assert quality.ticks == [1, 10] and len(likeness.curves) == 4
    assert [list(curve.x) for curve in time.curves] == [[5., 5.], [5.], [5.]]
    assert draw_curves([quality, likeness, time]).shape == (380, 1200, 3)
    lone = panels([point(changed_cider=None)], None)
    assert [curve.label for curve in lone[0].curves] == [''] and not lone[0].levels


def test_a_row_has_a_cell_for_every_column_and_blanks_for_what_is_not_known():
    for samples in (1, 4):
        assert len(row(point(), 50, samples)) == len(columns(50, samples))
    blank = row(point('blip', 'greedy', None, equal=None, similarity=None, calls=0), 50, 4)
    assert [blank[place] for place in (2, 3, 7, 8, 9)] == [''] * 5
    assert row(point(agreement=0.5), 50, 4)[9] == '0.500'
    assert row(point('blip', 'greedy', None, calls=9.5), 50, 1)[3] == '9.5'
