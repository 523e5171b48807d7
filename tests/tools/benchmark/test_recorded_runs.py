import math

import pytest

from tools.benchmark.recorded_runs import RecordedRuns


def runs_in(path, figures=('F1', 'minutes'), **shared):
    return RecordedRuns(path, figures, shared or dict(steps=7))


def test_runs_are_kept_with_their_figures(tmp_path):
    path = tmp_path / 'folder' / 'runs.csv'
    runs = runs_in(path)
    assert runs.missing([('whole', 0), ('whole', 1)]) == [('whole', 0), ('whole', 1)]
    runs.add('whole', 1, dict(F1=0.25, minutes=3))
    runs.add('whole', 0, dict(F1=float('nan'), minutes=2))
    again = runs_in(path)
    assert again.missing([('whole', 0), ('whole', 2), ('whole', 1)]) == [('whole', 2)]
    assert again.figures('whole', 1) == dict(F1=0.25, minutes=3)
    assert math.isnan(again.figures('whole', 0)['F1'])
    assert path.read_text().splitlines() == [
        'run,seed,steps,F1,minutes', 'whole,0,7,nan,2', 'whole,1,7,0.25,3']


def test_what_others_add_meanwhile_stays(tmp_path):
    one, other = runs_in(tmp_path / 'runs.csv'), runs_in(tmp_path / 'runs.csv')
    one.add('whole', 0, dict(F1=0.5, minutes=1))
    other.add('random', 0, dict(F1=0.25, minutes=1))
    assert not runs_in(tmp_path / 'runs.csv').missing([('whole', 0), ('random', 0)])


def test_files_of_other_studies_are_refused(tmp_path):
    path = tmp_path / 'runs.csv'
    runs_in(path).add('whole', 0, dict(F1=0.5, minutes=1))
    with pytest.raises(ValueError, match='runs with steps 7, and these would have 9: name'):
        runs_in(path, steps=9)
    with pytest.raises(ValueError, match="Did you mean 'minutes'"):
        runs_in(path, figures=('F1', 'minute'))
    path.write_text(path.read_text().replace('0.5', 'half'))
    with pytest.raises(ValueError, match='line 2: expected a number in every column'):
        runs_in(path)
