import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.fileio import get_file_backend

from rscc.engine.hooks.checkpoint_hook import SafeCheckpointHook, remove_leftovers


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
              'from rscc.engine.hooks.checkpoint_hook import AtomicBackend\n'
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


def names(folder):
    return sorted(path.name for path in Path(folder).glob('*.pth'))


def test_outdated_files_go_only_after_the_new_one_is_there(build, tmp_path, monkeypatch):
    runner = build(train_cfg={'max_epochs': 3},
                   default_hooks={'checkpoint': {'max_keep_ckpts': 1}})
    seen, save = [], runner.save_checkpoint

    def spy(*args, **kwargs):
        save(*args, **kwargs)
        seen.append(names(tmp_path / 'run'))

    monkeypatch.setattr(runner, 'save_checkpoint', spy)
    runner.train()
    assert seen == [['epoch_1.pth'], ['epoch_1.pth', 'epoch_2.pth'], ['epoch_2.pth', 'epoch_3.pth']]
    assert names(tmp_path / 'run') == ['epoch_3.pth']
    assert (tmp_path / 'run' / 'last_checkpoint').read_text().endswith('epoch_3.pth')


def test_best_checkpoint_needs_no_rule_for_our_scores(build, tmp_path):
    build(train_cfg={'max_epochs': 2},
          default_hooks={'checkpoint': {'save_best': 'change/OA'}}).train()
    assert len([n for n in names(tmp_path / 'run') if n.startswith('best_change_OA')]) == 1


def test_score_that_the_validation_does_not_give_is_a_warning(build, tmp_path, log_of):
    runner = build(default_hooks={'checkpoint': {'save_best': 'change/AO', 'rule': 'greater'}})
    runner.train()
    assert "save_best names 'change/AO', and the validation gave change/OA" in log_of(runner)
    assert "Did you mean 'change/OA'?" in log_of(runner)
    assert names(tmp_path / 'run') == ['epoch_1.pth']


def test_leftovers_of_a_killed_save_are_cleared(build, tmp_path):
    leftover = tmp_path / 'run' / '.epoch_1.pth.abc.tmp'
    leftover.parent.mkdir()
    leftover.write_bytes(b'half')
    build().train()
    assert not leftover.exists()


def test_mistyped_option_is_an_error():
    with pytest.raises(TypeError, match='intervals'):
        SafeCheckpointHook(intervals=2)
