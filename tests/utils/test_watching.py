import threading

import pytest

from rscc.utils import progress
from rscc.utils.watching import is_watched, step, watched


class Ended(Exception):
    pass


def test_steps_are_told_to_who_watches_and_else_to_nobody():
    seen = []
    step()
    with watched(lambda: seen.append('outer')):
        step()
        with watched(lambda: seen.append('inner')):
            step()
        step()
        assert is_watched()
    step()
    assert seen == ['outer', 'inner', 'outer']
    assert not is_watched()


def test_what_the_watcher_raises_ends_the_work():
    def end():
        raise Ended
    with pytest.raises(Ended), watched(end):
        step()
    step()


def test_each_thread_is_watched_by_itself():
    seen = []
    with watched(lambda: seen.append(threading.get_ident())):
        other = threading.Thread(target=step)
        other.start()
        other.join()
        step()
    assert seen == [threading.get_ident()]


def test_loops_with_a_bar_are_steps_and_draw_none(capsys):
    seen = []
    with watched(lambda: seen.append(1)):
        assert list(progress([1, 2, 3], 'looking')) == [1, 2, 3]
        with progress(None, 'writing', 2) as bar:
            bar.update()
    assert seen == [1, 1, 1]
    assert capsys.readouterr().err == ''
    list(progress([1, 2, 3], 'looking'))
    assert 'looking' in capsys.readouterr().err
