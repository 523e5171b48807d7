import os
import stat

import pytest

from rscc.demo.jobs import Job
from rscc.demo.limits import Limits
from rscc.demo.visitors import Visitors, address, folder_size, page_folder
from rscc.demo.words import Problem

LIMITS = Limits(visitors=3, visitor_megabytes=0.01, total_megabytes=0.02)


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def visitors(tmp_path, clock):
    return Visitors(tmp_path, LIMITS, clock)


def stored(visitor, name='a.png', data=b'pixels', when=None):
    path = visitor.make_folder() / name
    path.write_bytes(data)
    if when is not None:
        os.utime(path, (when, when))
        os.utime(path.parent, (when, when))
    return visitor.keep(path, name)


def test_a_visitor_finds_its_own_file_and_nobody_else_does(visitors):
    one, other = visitors.enter(None), visitors.enter(None)
    token = stored(one)
    assert one.file(token).path.read_bytes() == b'pixels'
    with pytest.raises(Problem) as found:
        other.file(token)
    assert found.value.name == 'file_gone'


def test_keys_and_tokens_cannot_be_guessed(visitors):
    keys = {visitors.enter(None).key for _ in range(3)}
    assert len(keys) == 3
    assert all(len(key) >= 32 for key in keys)
    visitor = visitors.enter(None)
    assert stored(visitor) != stored(visitor)
    assert visitor.key not in str(visitor.folder)


def test_folders_are_closed_to_other_users_of_the_machine(visitors):
    folder = visitors.enter(None).make_folder()
    assert stat.S_IMODE(folder.stat().st_mode) & 0o077 == 0


@pytest.mark.parametrize('key', [None, '', 'made up', '../..'])
def test_an_unknown_cookie_is_no_visitor(visitors, key):
    with pytest.raises(Problem) as found:
        visitors.find(key)
    assert found.value.name == 'unknown_visitor'
    assert visitors.enter(key).key != key


def test_a_known_cookie_is_the_same_visitor(visitors):
    visitor = visitors.enter(None)
    assert visitors.enter(visitor.key) is visitor
    assert visitors.find(visitor.key) is visitor


def test_files_go_an_hour_after_their_last_use(visitors, clock):
    visitor = visitors.enter(None)
    old, used = stored(visitor, when=1000), stored(visitor, when=1000)
    path = visitor.file(old).path
    clock.now += 3000
    visitor.file(used)
    clock.now += 700
    visitors.clean()
    assert not path.exists()
    with pytest.raises(Problem):
        visitor.file(old)
    assert visitor.file(used)
    clock.now += 4000
    visitors.clean()
    assert folder_size(visitors.root) == 0
    assert len(visitors) == 0


def test_what_nobody_remembers_is_deleted_too(visitors, clock):
    visitor = visitors.enter(None)
    stored(visitor)
    left = visitor.make_folder() / 'half an upload'
    left.write_bytes(b'x')
    os.utime(left, (1000, 1000))
    os.utime(left.parent, (1000, 1000))
    clock.now += 3700
    visitors.clean()
    assert not left.exists()


def test_files_of_one_answer_stay_together(visitors, clock):
    visitor = visitors.enter(None)
    folder = visitor.make_folder()
    (folder / 'files').mkdir()
    for name in ('map.png', 'blocks'):
        (folder / 'files' / name).write_bytes(b'x')
        os.utime(folder / 'files' / name, (1000, 1000))
    os.utime(folder / 'files', (1000, 1000))
    os.utime(folder, (1000, 1000))
    token = visitor.keep(folder / 'files' / 'map.png', 'map.png')
    clock.now += 3000
    visitor.file(token)
    clock.now += 3000
    visitors.clean()
    assert visitor.file(token)
    assert (folder / 'files' / 'blocks').exists()


def test_a_run_in_progress_keeps_its_visitor(visitors, clock):
    visitor = visitors.enter(None)
    tab = visitor.tab('page')
    tab.jobs['pair'] = Job(lambda job: None, visitor, LIMITS)
    clock.now += 4000
    visitors.clean()
    assert visitors.find(visitor.key) is visitor
    tab.jobs['pair'].cancel()
    clock.now += 4000
    visitors.clean()
    assert len(visitors) == 0


def test_a_thousand_visitors_do_not_push_out_those_with_files(visitors):
    kept = visitors.enter(None)
    token = stored(kept)
    for _ in range(1000):
        visitors.enter(None)
    assert len(visitors) == 3
    assert visitors.find(kept.key).file(token)


def test_where_everybody_has_files_newcomers_are_told_to_wait(visitors):
    for _ in range(3):
        stored(visitors.enter(None))
    with pytest.raises(Problem, match='Too many visitors'):
        visitors.enter(None)


def test_room_is_limited_for_each_and_for_all(visitors):
    one, other = visitors.enter(None), visitors.enter(None)
    with visitors.room(one, 9000):
        stored(one, data=bytes(9000))
    with pytest.raises(Problem) as found, visitors.room(one, 9000):
        pass
    assert found.value.name == 'no_room_visitor'
    with visitors.room(other, 9000):  # still on its way, and counted
        with pytest.raises(Problem) as found, visitors.room(visitors.enter(None), 9000):
            pass
        assert found.value.name == 'no_room'
    with visitors.room(other, 9000):
        pass


def test_open_pages_of_a_visitor_are_apart(visitors):
    visitor = visitors.enter(None)
    visitor.tab('one').dates['from'] = 'token'
    assert visitor.tab('two').dates == {}
    assert visitor.tab('one').dates == {'from': 'token'}
    for number in range(100):
        visitor.tab(f'page {number}')
    assert len(visitor.tabs) == 20


def test_addresses_have_no_folders_and_no_markup():
    assert address('token', 'a b".png') == 'rscc/file/token/a%20b%22.png'


def test_the_folder_of_a_page_ends_with_it_and_takes_those_of_killed_ones(tmp_path):
    killed = tmp_path / 'rscc_demo_killed'
    killed.mkdir()
    (killed / 'in_use.lock').touch()
    (killed / 'secret.png').touch()
    with page_folder(tmp_path) as first:
        assert not killed.exists()
        with page_folder(tmp_path) as second:
            assert first.is_dir()  # a page that still runs keeps its own
            assert second != first
        assert not second.exists()
    assert list(tmp_path.iterdir()) == []
