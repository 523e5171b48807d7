import subprocess
import sys

import pytest

from rscc.engine import allocator

FAULTS = """
import resource, sys
sys.path.insert(0, sys.argv[1])
from rscc.engine.allocator import keep_freed_memory
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
    assert allocator.keep_freed_memory.__wrapped__() is False


def test_another_platform_is_left_alone(monkeypatch):
    monkeypatch.setattr('sys.platform', 'darwin')
    assert allocator.keep_freed_memory.__wrapped__() is False


def test_another_c_library_is_left_alone(monkeypatch):
    def absent(name):
        raise OSError(name)
    monkeypatch.setattr('ctypes.CDLL', absent)
    assert allocator.keep_freed_memory.__wrapped__() is False
