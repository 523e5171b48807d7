import sys

import numpy as np
import pytest
import torch

from tools.benchmark import machine


def test_this_machine_has_a_name_cores_and_a_torch():
    here = machine.describe_machine()
    assert here.cores >= 1 and here.threads >= 1 and here.gpu is None
    assert here.processor and here.torch == torch.__version__
    assert f'torch {torch.__version__}' in str(here)


def test_the_model_name_is_read_from_cpuinfo(tmp_path):
    file = tmp_path / 'cpuinfo'
    file.write_text('processor\t: 0\nmodel name\t: Fast CPU 9000\n')
    assert machine._processor(str(file)) == 'Fast CPU 9000'
    file.write_text('processor\t: 0\n')  # ARM's has no model name
    assert machine._processor(str(file))


@pytest.mark.parametrize(('flags', 'told'), [
    ('flags\t\t: fpu avx2 avx512_vnni', True), ('flags : avx2 avx_vnni', True),
    ('flags\t\t: fpu avx2', False), ('Features : fp asimd', None)])
def test_instructions_for_int8_are_read_from_cpuinfo(tmp_path, flags, told):
    (tmp_path / 'cpuinfo').write_text(f'processor : 0\n{flags}\nbugs : none\n')
    assert machine.cpu_has_vnni(str(tmp_path / 'cpuinfo')) is told
    assert machine.cpu_has_vnni(str(tmp_path / 'none')) is None


def test_a_line_names_the_gpu_first_and_leaves_out_what_is_unknown():
    there = machine.Machine('CPU', 1, 8, None, '2.6', False, 'GPU X')
    assert there.line('en') == 'GPU X, CPU, 1 core, 8 threads, torch 2.6, no bfloat16'
    assert there.line('zh_cn') == 'GPU X，CPU，1 核，8 线程，torch 2.6，无 bfloat16'


MIB = 2**20
linux = pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')


def touch(mib):
    return np.ones(mib * MIB, np.uint8).sum()


@linux
@pytest.mark.parametrize('mib', [200, 60])
def test_a_passing_peak_is_seen(mib):
    assert machine.peak_growth(lambda: touch(mib)) == pytest.approx(mib * MIB, abs=20 * MIB)


@linux
def test_a_small_call_after_a_large_one_is_small():
    machine.peak_growth(lambda: touch(300))
    assert machine.peak_growth(lambda: touch(5)) < 30 * MIB


def test_a_system_that_tells_nothing_gives_none(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, '_STATUS', tmp_path / 'none')
    monkeypatch.setattr(machine, '_CLEAR', tmp_path / 'no/where')
    monkeypatch.setitem(sys.modules, 'resource', None)
    assert machine.peak_growth(lambda: None) is None


def test_without_proc_the_mark_of_the_process_is_read(monkeypatch, tmp_path):
    pytest.importorskip('resource')
    monkeypatch.setattr(machine, '_STATUS', tmp_path / 'none')
    monkeypatch.setattr(machine, '_CLEAR', tmp_path / 'no/where')
    assert machine.peak_growth(lambda: None) >= 0
