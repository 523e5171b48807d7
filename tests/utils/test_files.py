import errno
import gzip
import hashlib
import json
import os
import stat
import sys

import pytest

from rscc.utils import atomic_write, read_json, write_json
from rscc.utils.files import atomic_folder, atomic_path, check_path, file_hash, locked, reserve


def test_text_and_bytes_are_written_whole(tmp_path):
    with atomic_write(tmp_path / 'new' / 'a.txt') as file:
        file.write('变化')
    with atomic_write(tmp_path / 'a.bin', 'wb') as file:
        file.write(b'\0\1')
    assert (tmp_path / 'new' / 'a.txt').read_text(encoding='utf-8') == '变化'
    assert (tmp_path / 'a.bin').read_bytes() == b'\0\1'


def test_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / 'a.txt'
    path.write_text('old')
    with pytest.raises(KeyboardInterrupt, match='now'), atomic_write(path) as file:
        file.write('half')
        raise KeyboardInterrupt('now')
    assert path.read_text() == 'old' and os.listdir(tmp_path) == ['a.txt']


def test_others_may_read_the_file_as_the_umask_says(tmp_path):
    before = os.umask(0o027)
    try:
        write_json(tmp_path / 'a.json', {})
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / 'a.json').stat().st_mode) == 0o640


def test_json_round_trip_keeps_chinese_readable(tmp_path):
    write_json(tmp_path / 'a.json', {'句': [1, None]})
    assert '句' in (tmp_path / 'a.json').read_text(encoding='utf-8')
    assert read_json(tmp_path / 'a.json') == {'句': [1, None]}


def test_what_cannot_be_json_leaves_no_file(tmp_path):
    with pytest.raises(TypeError, match='not JSON serializable'):
        write_json(tmp_path / 'a.json', {'a': object()})
    assert os.listdir(tmp_path) == []


def test_absent_and_broken_json_name_the_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such JSON file: '.*a\.json'"):
        read_json(tmp_path / 'a.json')
    (tmp_path / 'b.json').write_text('{"a": 1,\n oops}')
    with pytest.raises(ValueError, match=r"b\.json' is not valid JSON: .*line 2 column 2"):
        read_json(tmp_path / 'b.json')
    (tmp_path / 'c.json').write_bytes(b'\xff\xfe')
    with pytest.raises(ValueError, match=r"c\.json' is not UTF-8: .* at byte 0 \(line 1\)"):
        read_json(tmp_path / 'c.json')


def test_gzipped_json_is_read_and_a_damaged_one_named(tmp_path):
    path = tmp_path / 'a.json.gz'
    path.write_bytes(gzip.compress(b'{"a": 1}'))
    assert read_json(path) == {'a': 1}
    path.write_bytes(path.read_bytes()[:-6])
    with pytest.raises(ValueError, match=r"a\.json\.gz' is not a whole gzipped file"):
        read_json(path)


def test_a_full_disk_names_the_file(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, 'No space left on device')
    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(OSError, match=r"No space left on device: '.*words\.json'"):
        write_json(tmp_path / 'words.json', ['a'])
    assert not list(tmp_path.iterdir())


def test_a_library_writes_a_file_that_appears_whole(tmp_path):
    with atomic_path(tmp_path / 'new' / 'map.tif') as temporary:
        temporary.write_text('half')
        assert not (tmp_path / 'new' / 'map.tif').exists()
    assert (tmp_path / 'new' / 'map.tif').read_text() == 'half'


def test_an_error_names_the_file_and_not_its_temporary_sibling(tmp_path):
    with pytest.raises(OSError, match=r"No space left on device: '.*/map\.tif'"), \
            atomic_path(tmp_path / 'map.tif') as temporary:
        raise OSError(errno.ENOSPC, 'No space left on device', str(temporary))
    assert not list(tmp_path.iterdir())


def test_a_file_of_a_library_lands_whole_and_its_side_files_go(tmp_path):
    path = tmp_path / 'new' / 'map.tif'
    with atomic_folder(path) as temporary:
        assert temporary.name == 'map.tif' and not temporary.exists()
        temporary.write_text('whole')
        temporary.with_name('map.tif.ovr').write_text('beside')
        assert not path.exists()
    assert path.read_text() == 'whole' and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize('error', [KeyboardInterrupt('now'), ValueError('now'), None])
def test_a_library_that_fails_or_writes_nothing_leaves_the_old_file(tmp_path, error):
    path = tmp_path / 'map.tif'
    path.write_text('old')
    with pytest.raises(type(error) if error else FileNotFoundError,
                       match='now' if error else r"'.*/map\.tif'$") as caught, \
            atomic_folder(path) as temporary:
        if error:
            temporary.write_text('half')
            raise error
    assert '.tmp' not in str(caught.value)
    assert path.read_text() == 'old' and list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == 'win32', reason='Windows has no such locks')
def test_folders_of_killed_processes_are_cleared_and_those_in_use_stay(tmp_path):
    killed = tmp_path / '.map.tif.killed.tmp'
    killed.mkdir()
    (killed / 'in_use.lock').touch()
    with atomic_folder(tmp_path / 'map.tif') as one:
        assert not killed.exists()
        with atomic_folder(tmp_path / 'map.tif') as other:
            assert one.parent.is_dir()
            other.write_text('other')
        one.write_text('one')
    assert (tmp_path / 'map.tif').read_text() == 'one'


def test_repeated_keys_are_refused_on_request(tmp_path):
    path = tmp_path / 'a.json'
    path.write_text('[{"a": 1, "b": 2, "a": 3}]')
    assert read_json(path) == [{'a': 3, 'b': 2}]
    with pytest.raises(ValueError, match=r"has the key 'a' more than once .*\(1 such keys\)"):
        read_json(path, unique_keys=True)


def test_a_mark_of_utf8_is_no_fault_and_an_empty_file_is(tmp_path):
    path = tmp_path / 'a.json'
    path.write_text('{"a": 1}', encoding='utf-8-sig')
    assert read_json(path, unique_keys=True) == {'a': 1}
    path.write_text(' \n')
    with pytest.raises(ValueError, match='is empty: JSON was expected'):
        read_json(path)


@pytest.mark.parametrize('call', ['there', 'lacking'])
def test_reserved_room_is_as_long_as_asked_and_keeps_what_was_there(tmp_path, monkeypatch, call):
    if call == 'lacking':
        def refused(*arguments):
            raise OSError(errno.EOPNOTSUPP, 'Operation not supported')

        monkeypatch.setattr(os, 'posix_fallocate', refused, raising=False)
    path = tmp_path / 'a'
    path.write_bytes(b'head')
    reserve(path, 3_000_000)
    assert path.read_bytes() == b'head' + bytes(2_999_996)
    assert os.stat(path).st_blocks * 512 >= 3_000_000


def test_room_that_is_not_there_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    def full(descriptor, start, size):
        os.truncate(descriptor, size)
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(os, 'posix_fallocate', full, raising=False)
    (tmp_path / 'a').write_bytes(b'head')
    with pytest.raises(OSError, match=r"No space left on device: '.*a'"):
        reserve(tmp_path / 'a', 1000)
    assert (tmp_path / 'a').read_bytes() == b'head'


def test_a_lock_is_held_by_one_at_a_time(tmp_path):
    with locked(tmp_path / 'lock') as first, locked(tmp_path / 'lock', wait=False) as second:
        assert first and not second
    with locked(tmp_path / 'lock', wait=False) as free:
        assert free


@pytest.mark.parametrize(('text', 'message'), [
    ('{"images": [{"raw": "a"}, {"raw": "a road \\ud83d near"}]}',
     r"a\.json': images: 1: raw holds half a character, U\+D83D after 'a road ', which cannot be"),
    ('[{"\\udce9t\\u00e9": 1}]', r"a key of '.*a\.json': 0 holds half a character, U\+DCE9"),
    ('[' * 20000 + ']' * 20000, r"a\.json' is nested too deeply"),
    ('[1, ' + '9' * 5000 + ']', r"a\.json' holds a number that is too long: .*limit")])
def test_what_no_reader_expects_is_refused_with_its_place(tmp_path, text, message):
    (tmp_path / 'a.json').write_text(text)
    with pytest.raises(ValueError, match=message):
        read_json(tmp_path / 'a.json')


def test_whole_characters_in_two_escapes_are_text(tmp_path):
    (tmp_path / 'a.json').write_text('["\\ud83d\\ude00", "\\\\ud83d"]')
    assert read_json(tmp_path / 'a.json') == ['😀', '\\ud83d']


def test_half_a_character_is_written_as_json_escapes_it(tmp_path):
    write_json(tmp_path / 'a.json', ['caf\udce9'])
    assert json.loads((tmp_path / 'a.json').read_text(encoding='utf-8')) == ['caf\udce9']


@pytest.mark.parametrize('path', ['', '.', 'A/', 'A/..', 'a\0.png', 'A/' + 'x' * 256, '桥' * 86,
                                  'A\\', 'a/' * 2000 + 'b'])
def test_what_no_file_can_be_called_is_no_path(path):
    with pytest.raises(ValueError, match=r'c.json is no path of a file: '):
        check_path(path, 'c.json')


@pytest.mark.parametrize('path', ['a.png', 'A/1.png', r'C:\A\1.png', '/x/桥.tif', '...'])
def test_usual_paths_pass(path):
    assert check_path(path, 'c.json') == path


def test_a_file_is_hashed_once_and_again_when_it_changes(tmp_path, monkeypatch):
    read, digest = [], hashlib.file_digest
    monkeypatch.setattr(hashlib, 'file_digest',
                        lambda file, kind: (read.append(file.name), digest(file, kind))[1])
    (tmp_path / 'a').write_bytes(b'first')
    expected = hashlib.sha256(b'first').hexdigest()
    monkeypatch.chdir(tmp_path)
    assert file_hash(tmp_path / 'a') == file_hash('a') == file_hash(tmp_path / 'a') == expected
    assert len(read) == 1
    (tmp_path / 'a').write_bytes(b'second')
    assert file_hash('a') == hashlib.sha256(b'second').hexdigest()
    state = os.stat('a')
    (tmp_path / 'a').write_bytes(b'dnoces')  # of the same size, and another second
    os.utime('a', ns=(state.st_atime_ns, state.st_mtime_ns + 10**9))
    assert file_hash('a') == hashlib.sha256(b'dnoces').hexdigest()
    assert file_hash('none') == ''
