from rscc.utils import progress
from rscc.utils.logging import warn_once


def test_a_message_is_logged_once(monkeypatch):
    said = []
    monkeypatch.setattr('mmengine.logging.print_log', lambda *words: said.append(words))
    warn_once.cache_clear()
    for message in ('one', 'two', 'one'):
        warn_once(message)
    warn_once('three', 20)
    assert said == [('one', 'current', 30), ('two', 'current', 30), ('three', 'current', 20)]


def test_items_pass_through_and_the_bar_says_what_is_done(capsys):
    assert list(progress(range(3), 'reading', unit='pair')) == [0, 1, 2]
    shown = capsys.readouterr().err
    assert 'reading' in shown and '3/3' in shown and 'pair/s' in shown


def test_only_the_first_process_shows_a_bar(capsys, monkeypatch):
    monkeypatch.setenv('RANK', '1')
    assert list(progress(range(3), 'reading')) == [0, 1, 2]
    assert capsys.readouterr().err == ''


def test_bar_can_be_moved_by_hand(capsys):
    with progress(None, 'copying', total=10, unit='byte') as bar:
        bar.update(10)
    assert '10/10' in capsys.readouterr().err
