"""One version against another: the same work in two processes, in turn."""
import dataclasses

import pytest

from tools.benchmark import earlier
from tools.benchmark.earlier import Work, benchmark_earlier

ANSWER = Work(('a pair', '一对'), 'configs/blip_synth.py', 1,
              {'fp32': (0.9, 1e-6), 'bf16': (0.8, 1e6)}, tokens=3)
TRAINING = dataclasses.replace(ANSWER, title=('a step', '一步'), ratios={'fp32': (0.9, 1e6)},
                               training=True)
MAP = Work(('a map', '一图'), 'configs/changeclip_rn50_synth.py', 1, {'fp32': (0.9, 0.9)},
           new_names=True)


@pytest.mark.slow
def test_a_version_is_as_fast_as_itself_and_answers_the_same(cells, repo, monkeypatch):
    monkeypatch.setattr(earlier, 'WORKS', {
        'pair': ANSWER, 'step': TRAINING, 'map': MAP,
        'scores': Work(('sentences', '句子'), None, 8, {'fp32': (0.6, 0.5)})})
    section = benchmark_earlier(repo, ['pair', 'step', 'scores', 'map'], rounds=1,
                                precisions=['fp32', 'bf16'])
    assert cells(section, 'work') == ['a pair', 'a pair', 'a step', 'sentences', 'a map']
    assert cells(section, 'precision') == ['fp32', 'bf16', 'fp32', 'fp32', 'fp32']
    assert cells(section, 'answers') == ['the same', 'the same', '-', 'the same', 'the same']
    assert cells(section, 'needed')[:3] == ['900000.00: missed', '0.00: met', '0.00: met']
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
        benchmark_earlier(version, ['rn50'], precisions=['fp32'])


def test_answers_that_differ_and_times_are_told(version, cells, monkeypatch):
    worker = version / 'worker.py'
    worker.write_text(f"""import os, sys
before = os.path.samefile(os.getcwd(), {str(version)!r})
print('["f0"]' if before else '["f3"]', flush=True)
for _ in sys.stdin:
    print(3.0 if before else 1.5, flush=True)
""")
    monkeypatch.setattr(earlier, 'WORKER', worker)
    section = benchmark_earlier(version, ['blip', 'rn50_training', 'rn50'], rounds=3,
                                precisions=['fp32'])
    assert cells(section, 'answers') == ['1 of 1 differ', '-', '25.00% of pixels differ']
    assert cells(section, 'CPU ms') == ['3000 → 1500'] * 3
    assert cells(section, 'times as fast') == ['2.00 (2.00–2.00)'] * 3
    assert cells(section, 'needed') == ['1.84: met', '1.18: met', '1.20: met']
    assert cells(section, 'of the original') == ['0.92 → 0.46', '0.71 → 0.35', '0.6 → 0.3']
    assert cells(section, 'goal') == ['0.5', '0.6', '0.5']


def test_without_float32_there_is_no_estimate(version, cells, monkeypatch):
    worker = version / 'worker.py'
    worker.write_text("import sys\nprint('[1]', flush=True)\n"
                      "for _ in sys.stdin:\n    print(1.0, flush=True)\n")
    monkeypatch.setattr(earlier, 'WORKER', worker)
    section = benchmark_earlier(version, ['blip', 'scores'], precisions=['bf16'])
    assert cells(section, 'precision') == ['bf16']  # no sentence is scored in reduced precision
    assert cells(section, 'of the original') == ['0.95']


def test_folders_and_names_are_checked(version, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no rscc in .*git worktree add .* 3528c9e'):
        benchmark_earlier(tmp_path / 'nowhere')
    with pytest.raises(ValueError, match=r"work='rn5' is unknown.*Did you mean 'rn50'"):
        benchmark_earlier(version, ['rn5'])
    with pytest.raises(ValueError, match=r"unknown precision 'bf61'.*Did you mean 'bf16'"):
        benchmark_earlier(version, ['rn50'], precisions=['bf61'])
    with pytest.raises(ValueError, match='rounds=0; expected 1 or more'):
        benchmark_earlier(version, rounds=0)


def test_a_version_that_dies_between_calls_is_named(version, monkeypatch):
    worker = version / 'worker.py'
    worker.write_text("import sys\nprint('[1]', flush=True)\nsys.stdin.readline()\n"
                      "sys.exit('out of memory')\n")
    monkeypatch.setattr(earlier, 'WORKER', worker)
    with pytest.raises(ValueError, match=r'failed: out of memory$'):
        benchmark_earlier(version, ['rn50'], precisions=['fp32'])


def test_another_commit_than_the_recorded_one_is_warned_of(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(earlier, 'warn_once', said.append)
    assert earlier._commit(tmp_path) == '?'
    assert 'holds commit ?' in said[0] and earlier.COMMIT in said[0]
