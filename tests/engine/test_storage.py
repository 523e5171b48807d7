import errno
import os
import subprocess
import sys

import pytest
from mmengine.fileio import get_file_backend

from rscc.engine.storage import remove_leftovers


@pytest.fixture
def backend():
    return get_file_backend(backend_args={'backend': 'atomic'})


def test_full_disk_leaves_the_old_file_and_says_what_was_needed(tmp_path, backend, monkeypatch):
    path = tmp_path / 'epoch_1.pth'
    path.write_bytes(b'old')

    def full(_descriptor):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', full)
    said = (r"epoch_1.pth' \(3\.0 MiB\) cannot be written: No space left on device\. "
            r'[\d.]+ MiB are free there\. Nothing was overwritten')
    with pytest.raises(OSError, match=said) as raised:
        backend.put(b'x' * 3 * 2**20, str(path))
    assert raised.value.errno == errno.ENOSPC
    assert path.read_bytes() == b'old'
    assert os.listdir(tmp_path) == ['epoch_1.pth']


def test_kill_in_the_middle_of_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / 'epoch_1.pth'
    path.write_bytes(b'old')
    script = ('import os, signal\n'
              'from rscc.engine.storage import AtomicBackend\n'
              'os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)\n'
              f'AtomicBackend().put(b"new" * 1000, {str(path)!r})\n')
    assert subprocess.run([sys.executable, '-c', script]).returncode == -9
    assert path.read_bytes() == b'old'
    assert remove_leftovers(tmp_path) == 1
    assert os.listdir(tmp_path) == ['epoch_1.pth']


def test_removal_waits_for_the_successor(tmp_path, backend):
    old, new = tmp_path / 'old.pth', tmp_path / 'new.pth'
    old.write_bytes(b'old')
    with backend.removing_last():
        backend.remove(str(old))
        assert old.exists()
        backend.put(b'new', str(new))
    assert not old.exists() and new.exists()


def test_failed_save_keeps_what_was_to_be_removed(tmp_path, backend):
    old = tmp_path / 'old.pth'
    old.write_bytes(b'old')
    with pytest.raises(RuntimeError, match='no save'), backend.removing_last():
        backend.remove(str(old))
        raise RuntimeError('no save')
    assert old.exists()
    backend.remove(str(old))
    assert not old.exists()


def test_file_written_again_under_its_name_is_not_removed(tmp_path, backend):
    path = tmp_path / 'best.pth'
    path.write_bytes(b'old')
    with backend.removing_last():
        backend.remove(str(path))
        backend.put(b'new', str(path))
    assert path.read_bytes() == b'new'
