import subprocess
import sys

import pytest
import torch

from rscc.engine import precision


@pytest.mark.parametrize('line,expected', [
    ('flags\t\t: fpu avx512_bf16 sse', True), ('flags : fpu amx_bf16', True),
    ('Features\t: fp asimd bf16', True), ('flags\t\t: fpu avx512f avx2', False)])
def test_bfloat16_is_read_from_the_flags(tmp_path, line, expected, monkeypatch):
    monkeypatch.setattr('platform.system', lambda: 'Linux')
    (tmp_path / 'cpuinfo').write_text(f'processor : 0\n{line}\n')
    assert precision.cpu_has_bf16(str(tmp_path / 'cpuinfo')) is expected


def test_unknown_cpu_counts_as_without(tmp_path):
    assert not precision.cpu_has_bf16(str(tmp_path / 'absent'))


@pytest.mark.parametrize('capability,expected', [((9, 0), torch.bfloat16),
                                                 ((7, 5), torch.float16)])
def test_old_gpus_get_float16(monkeypatch, capability, expected):
    monkeypatch.setattr('torch.cuda.get_device_capability', lambda: capability)
    assert precision.reduced_dtype('cuda') is expected


def test_explicit_wish_is_followed_on_any_cpu(monkeypatch):
    monkeypatch.setattr(precision, 'cpu_has_bf16', lambda: False)
    with precision.reduced_precision('cpu', torch.bfloat16):
        assert torch.mm(torch.ones(2, 2), torch.ones(2, 2)).dtype is torch.bfloat16
    with precision.reduced_precision('cpu'):
        assert torch.mm(torch.ones(2, 2), torch.ones(2, 2)).dtype is torch.float32


FAULTS = """
import resource, sys
sys.path.insert(0, sys.argv[1])
from rscc.engine.precision import keep_freed_memory
import torch
if sys.argv[2] == 'keep':
    assert keep_freed_memory()
def use():
    torch.ones(16 << 20)  # 64 MiB
for _ in range(3):
    use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != 'linux', reason='glibc only')
def test_large_blocks_are_used_again_without_page_faults(repo, monkeypatch):
    monkeypatch.delenv('MALLOC_ARENA_MAX', raising=False)
    faults = {}
    for mode in ('keep', 'default'):
        done = subprocess.run([sys.executable, '-c', FAULTS, str(repo), mode], check=True,
                              capture_output=True, text=True)
        faults[mode] = int(done.stdout)
    assert faults['keep'] * 2 < faults['default']


def test_settings_of_the_user_stand(monkeypatch):
    monkeypatch.setenv('MALLOC_TRIM_THRESHOLD_', '1')
    assert precision.keep_freed_memory.__wrapped__() is False


def test_another_platform_is_left_alone(monkeypatch):
    monkeypatch.setattr('sys.platform', 'darwin')
    assert precision.keep_freed_memory.__wrapped__() is False


def test_another_c_library_is_left_alone(monkeypatch):
    def absent(name):
        raise OSError(name)
    monkeypatch.setattr('ctypes.CDLL', absent)
    assert precision.keep_freed_memory.__wrapped__() is False
