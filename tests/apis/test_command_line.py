import argparse
import errno
import tempfile

import pytest
from mmengine.logging import MMLogger
from torch.utils.data import DataLoader, Dataset

from rscc.apis.command_line import (
    LAUNCHERS,
    add_config_options,
    explained,
    explanation,
    output_file,
    output_folder,
    parse_scale,
)
from rscc.engine.distributed import check_launcher
from rscc.engine.hooks.checkpoint_hook import AtomicBackend
from rscc.text import normalise
from rscc.utils import write_json


class Readings(Dataset):
    """Fails in a worker process: by this package's own words, or by a fault of the code."""

    def __init__(self, purpose):
        self.purpose = purpose

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return normalise('a house', 'klingon') if self.purpose else {}['nothing']


def failure(call):
    with pytest.raises(Exception) as caught:
        call()
    return caught.value


def test_an_error_raised_on_purpose_becomes_its_message():
    with pytest.raises(SystemExit, match=r"^error: unknown language 'klingon': expected one of"), \
            explained():
        normalise('a house', 'klingon')


def test_other_ranks_say_which_they_are(monkeypatch):
    monkeypatch.setenv('RANK', '3')
    with pytest.raises(SystemExit, match=r'^error \(rank 3\): unknown language'), explained():
        normalise('a house', 'klingon')


@pytest.mark.parametrize('fault', [lambda: [][1], lambda: normalise(7), lambda: int('x')])
def test_faults_of_the_code_pass_with_their_traceback(fault):
    error = failure(fault)
    assert explanation(error) is None
    with pytest.raises(type(error)), explained():
        fault()


def test_an_error_in_a_data_worker_is_told_by_its_own_words():
    message = explanation(failure(lambda: list(DataLoader(Readings(True), num_workers=1))))
    assert message.startswith("unknown language 'klingon'") and '\n' not in message
    assert explanation(failure(lambda: list(DataLoader(Readings(False), num_workers=1)))) is None


def test_a_killed_data_worker_is_explained():
    error = RuntimeError('DataLoader worker (pid 14543) is killed by signal: Killed. ')
    assert explanation(error).startswith(
        'DataLoader worker (pid 14543) is killed by signal: Killed. Something ended a process')
    later = RuntimeError('DataLoader worker (pid(s) 14, 15) exited unexpectedly')
    assert 'Lower num_workers' in explanation(later)
    later.__cause__ = error
    assert 'killed by signal' in explanation(later)


def test_a_full_disk_is_told_without_its_number(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, 'No space left on device')
    monkeypatch.setattr('rscc.engine.hooks.checkpoint_hook.atomic_write', full)
    error = failure(lambda: AtomicBackend().put(b'x', tmp_path / 'epoch_1.pth'))
    assert explanation(error).startswith("checkpoint '") and 'make room' in explanation(error)


def test_a_folder_in_the_place_of_a_file_is_told(tmp_path):
    error = failure(lambda: write_json(tmp_path, []))
    assert explanation(error) == f"Is a directory: '{tmp_path}'"


def test_the_traceback_goes_to_the_log_file(tmp_path):
    # A log of its own: the current one may be that of a run in another test.
    MMLogger.get_instance(str(tmp_path), logger_name='rscc', log_file=str(tmp_path / 'run.log'))
    try:
        with pytest.raises(SystemExit, match=r' \(traceback: .*run\.log\)$'), explained():
            normalise('a house', 'klingon')
    finally:
        for handler in MMLogger._instance_dict.pop(str(tmp_path)).handlers:
            handler.close()
    assert 'in check_language' in (tmp_path / 'run.log').read_text()


def test_a_process_that_lost_its_peer_points_to_it():
    error = RuntimeError('[gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]')
    assert explanation(error).startswith('another process of this run ended')


def test_config_options_are_read_as_mmengine_reads_them():
    parser = argparse.ArgumentParser()
    add_config_options(parser)
    args = parser.parse_args(['--cfg-options', 'a.b=1', 'c=[x,y]', '--cfg-options', 'd=a=b'])
    assert args.cfg_options == {'a.b': 1, 'c': ['x', 'y'], 'd': 'a=b'}
    assert parser.parse_args([]).cfg_options is None


def test_config_options_in_braces_are_dicts(capsys):
    parser = argparse.ArgumentParser()
    add_config_options(parser)
    args = parser.parse_args(['--cfg-options', 'a.label_map={0: 254, 255: 1}', 'b=2',
                              'c={5:[1,3]}'])
    assert args.cfg_options == {'a.label_map': {0: 254, 255: 1}, 'b': 2, 'c': {5: [1, 3]}}
    for text, words in (('a={0: 1', 'a={0: 1 is no dict as Python writes it'),
                        ('a={0, 1}', 'a={0, 1} is a set: expected a dict')):
        with pytest.raises(SystemExit):
            parser.parse_args(['--cfg-options', text])
        assert words in capsys.readouterr().err


def test_the_launchers_offered_are_those_known(monkeypatch):
    with pytest.raises(ValueError, match=f"use one of {', '.join(LAUNCHERS)}$"):
        check_launcher('ray')


@pytest.mark.parametrize(('given', 'scale'), [
    (['0', '3000'], (0, 3000)), (['0', '1', '2', '3'], ((0, 1), (2, 3))),
    (['percentile'], 'percentile'), (None, None)])
def test_a_scale_is_one_pair_or_one_a_band(given, scale):
    assert parse_scale(argparse.ArgumentParser(), given) == scale


@pytest.mark.parametrize(('given', 'message'), [
    (['0'], 'two for each band'), (['0', '1', '2'], 'two for each band'),
    (['0', 'x'], 'two numbers'), (['0', 'inf'], 'finite'), (['0', '1', '3', '2'], 'lower value')])
def test_scales_that_mean_nothing_are_refused(given, message, capsys):
    with pytest.raises(SystemExit):
        parse_scale(argparse.ArgumentParser(), given)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(('kind', 'name', 'told'), [
    (output_file, 'folder', "'folder' is a folder; expected the name of a file, with its ending"),
    (output_file, 'new/', 'expected the name of a file'),
    (output_file, 'file/a.html', "/file' is a file; a folder was expected"),
    (output_file, 'link/a.html', "/link' is a broken link; a folder was expected"),
    (output_folder, 'file', "/file' is a file; a folder was expected"),
    (output_folder, 'file/deeper', "/file' is a file; a folder was expected")])
def test_outputs_without_a_place_are_refused_with_the_arguments(tmp_path, monkeypatch, capsys, kind,
                                                                name, told):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'folder').mkdir()
    (tmp_path / 'file').touch()
    (tmp_path / 'link').symlink_to('nowhere')
    parser = argparse.ArgumentParser()
    parser.add_argument('--html', type=kind)
    with pytest.raises(SystemExit, match='2'):
        parser.parse_args(['--html', name])
    assert f'argument --html: {told}'.split(': ', 1)[1] in capsys.readouterr().err


def test_outputs_with_a_place_are_taken_as_written_and_nothing_is_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'there.json').touch()
    assert [output_file('a/b/c.json'), output_file('there.json'), output_folder('new/er')] == [
        'a/b/c.json', 'there.json', 'new/er']
    assert [path.name for path in tmp_path.iterdir()] == ['there.json']


def test_outputs_that_may_not_be_written_are_refused(tmp_path, monkeypatch):
    def refuse(**_):
        raise OSError(errno.EROFS, 'Read-only file system')
    monkeypatch.setattr(tempfile, 'TemporaryFile', refuse)
    with pytest.raises(argparse.ArgumentTypeError, match=r'no permission .* \(Read-only file'):
        output_file(str(tmp_path / 'deep' / 'a.json'))
