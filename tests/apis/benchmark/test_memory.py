"""Peaks are seen, also those of memory that is free again, and do not add up over calls."""
import sys

import numpy as np
import pytest

from rscc.apis.benchmark import memory

MIB = 2**20
linux = pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')


def touch(mib):
    return np.ones(mib * MIB, np.uint8).sum()


@linux
@pytest.mark.parametrize('mib', [200, 60])
def test_a_passing_peak_is_seen(mib):
    assert memory.peak_growth(lambda: touch(mib)) == pytest.approx(mib * MIB, abs=20 * MIB)


@linux
def test_a_small_call_after_a_large_one_is_small():
    memory.peak_growth(lambda: touch(300))
    assert memory.peak_growth(lambda: touch(5)) < 30 * MIB


def test_a_system_that_tells_nothing_gives_none(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, '_STATUS', tmp_path / 'none')
    monkeypatch.setattr(memory, '_CLEAR', tmp_path / 'no/where')
    monkeypatch.setitem(sys.modules, 'resource', None)
    assert memory.peak_growth(lambda: None) is None


def test_without_proc_the_mark_of_the_process_is_read(monkeypatch, tmp_path):
    pytest.importorskip('resource')
    monkeypatch.setattr(memory, '_STATUS', tmp_path / 'none')
    monkeypatch.setattr(memory, '_CLEAR', tmp_path / 'no/where')
    assert memory.peak_growth(lambda: None) >= 0
