"""One version against another: the same work in two processes, in turn."""
import dataclasses

import pytest

from tools.benchmark import earlier
from tools.benchmark.earlier import Work, benchmark_earlier

ANSWER = Work(('a pair', '一对'), 'configs/blip_synth.py', 1, 0.9, 0.8, 1e-6, tokens=3)
TRAINING = dataclasses.replace(ANSWER, title=('a step', '一步'), goal=1e6, training=True)


@pytest.mark.slow
def test_a_version_is_as_fast_as_itself_and_answers_the_same(cells, repo, monkeypatch):
    monkeypatch.setattr(earlier, 'WORKS', {
        'pair': ANSWER, 'step': TRAINING,
        'scores': Work(('sentences', '句子'), None, 8, 0.6, None, 0.5)})
    section = benchmark_earlier(repo, ['pair', 'step', 'scores'], rounds=1)
    assert cells(section, 'work') == ['a pair', 'a step', 'sentences']
    assert cells(section, 'answers') == ['the same', '-', 'the same']
    assert cells(section, 'needed')[:2] == ['900000.00: missed', '0.00: met']
    for gain in cells(section, 'times as fast'):
        assert 0.05 < float(gain.split()[0]) < 20


@pytest.fixture
def version(tmp_path):
    """A folder whose rscc does as its worker says."""
    (tmp_path / 'rscc').mkdir()
    (tmp_path / 'rscc/__init__.py').touch()
    return tmp_path


def test_a_version_that_fails_is_named_with_its_last_words(version, monkeypatch):
    worker = version / 'worker.py'
    worker.write_text("import sys\nsys.exit('no such model')\n")
    monkeypatch.setattr(earlier, 'WORKER', worker)
    with pytest.raises(ValueError, match=rf"'{version}' failed: no such model$"):
        benchmark_earlier(version, ['rn50'])


def test_answers_that_differ_and_times_are_told(version, cells, monkeypatch):
    worker = version / 'worker.py'
    worker.write_text(f"""import os, sys
before = os.path.samefile(os.getcwd(), {str(version)!r})
print('[1]' if before else '[2]', flush=True)
for _ in sys.stdin:
    print(3.0 if before else 1.5, flush=True)
""")
    monkeypatch.setattr(earlier, 'WORKER', worker)
    section = benchmark_earlier(version, ['blip', 'rn50_training'], rounds=3)
    assert cells(section, 'answers') == ['differ', '-']
    assert cells(section, 'before, CPU ms') == ['3000', '3000']
    assert cells(section, 'now, CPU ms') == ['1500', '1500']
    assert cells(section, 'times as fast') == ['2.00 (2.00–2.00)', '2.00 (2.00–2.00)']
    assert cells(section, 'needed') == ['1.84: met', '1.18: met']


def test_folders_and_names_are_checked(version, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no rscc in .*git worktree add .* 3528c9e'):
        benchmark_earlier(tmp_path / 'nowhere')
    with pytest.raises(ValueError, match=r"work='rn5' is unknown.*Did you mean 'rn50'"):
        benchmark_earlier(version, ['rn5'])
    with pytest.raises(ValueError, match='rounds=0; expected 1 or more'):
        benchmark_earlier(version, rounds=0)


def test_a_version_that_dies_between_calls_is_named(version, monkeypatch):
    worker = version / 'worker.py'
    worker.write_text("import sys\nprint('[1]', flush=True)\nsys.stdin.readline()\n"
                      "sys.exit('out of memory')\n")
    monkeypatch.setattr(earlier, 'WORKER', worker)
    with pytest.raises(ValueError, match=r'failed: out of memory$'):
        benchmark_earlier(version, ['rn50'])


def test_another_commit_than_the_recorded_one_is_warned_of(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(earlier, 'warn_once', said.append)
    assert earlier._commit(tmp_path) == '?'
    assert 'holds commit ?' in said[0] and earlier.COMMIT in said[0]
