import sys
import types

import pytest
from mmengine.config import Config

from rscc.apis.launch import read_config
from rscc.utils import logging, progress
from rscc.utils.logging import renamed_keyword, renamed_names, warn_once
from rscc.utils.signatures import keywords_of, refuse_unknown


def test_a_message_is_logged_once(monkeypatch):
    said = []
    monkeypatch.setattr('mmengine.logging.print_log', lambda *words: said.append(words))
    warn_once.cache_clear()
    for message in ('one', 'two', 'one'):
        warn_once(message)
    warn_once('three', 20)
    assert said == [('one', 'current', 30), ('two', 'current', 30), ('three', 'current', 20)]


def test_a_message_is_logged_where_mmengine_cannot_be_imported(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, 'mmengine.logging', None)
    warn_once.cache_clear()
    warn_once('no font was found')
    assert [(record.name, record.levelno, record.message) for record in caplog.records] == [
        ('rscc', 30, 'no font was found')]


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


@pytest.fixture
def said(monkeypatch):
    """Collect the notices of a test, each of which is new to the process."""
    lines = []
    logging.warn_once.cache_clear()
    monkeypatch.setattr('mmengine.logging.print_log', lambda text, *_: lines.append(text))
    return lines


@pytest.fixture
def module(monkeypatch):
    """Make a module with a class and a function that had other names before."""
    made = types.ModuleType('drawing')
    made.Pen = type('Pen', (), {})
    made.draw = lambda: 'drawn'
    made.__getattr__ = renamed_names('drawing', removal='0.3', Pencil='Pen', sketch='draw',
                                     root='os.path:dirname')
    monkeypatch.setitem(sys.modules, 'drawing', made)
    return made


def test_old_names_of_classes_and_functions_are_the_new_objects(module, said):
    from drawing import Pencil, root, sketch
    assert Pencil is module.Pen and sketch() == 'drawn' and root('a/b') == 'a'
    assert said[0] == ("'drawing.Pencil' is now called 'drawing.Pen'; the old name will be removed "
                       'in rscc 0.3')
    assert "'os.path.dirname'" in said[1]


def test_a_notice_is_given_once(module, said):
    assert module.sketch() == module.sketch() == 'drawn'
    assert len(said) == 1


def test_unknown_names_stay_unknown(module):
    with pytest.raises(AttributeError, match="module 'drawing' has no attribute 'brush'"):
        module.brush  # noqa: B018


class Writer:
    @renamed_keyword('max_len', 'max_tokens', removal='0.3')
    @renamed_keyword('width', 'beams', removal='0.4')
    def __init__(self, max_tokens=40, beams=1):
        self.options = (max_tokens, beams)


def test_old_keywords_are_handed_on_under_their_new_name(said):
    assert Writer(max_len=7, width=2).options == (7, 2)
    assert Writer(max_tokens=5).options == Writer(5).options == (5, 1)
    assert said == ["keyword 'max_len' of Writer is now called 'max_tokens'; the old name will be "
                    'removed in rscc 0.3',
                    "keyword 'width' of Writer is now called 'beams'; the old name will be removed "
                    'in rscc 0.4']


def test_old_and_new_keyword_together_are_refused():
    with pytest.raises(TypeError, match="Writer: 'max_len' is the old name of 'max_tokens', and"):
        Writer(max_len=7, max_tokens=8)


def test_the_config_check_knows_old_keywords():
    assert keywords_of(Writer).names == {'max_tokens', 'beams', 'max_len', 'width'}
    assert keywords_of(Writer).defaults == {'max_tokens': 40, 'beams': 1}
    refuse_unknown(['max_len'], Writer, 'Writer')


def test_a_config_under_its_old_name_is_read_with_a_notice(tmp_path, said):
    (tmp_path / 'new.py').write_text('model = dict(depth=3)\n')
    old = tmp_path / 'old.py'
    old.write_text("_base_ = './new.py'\n_deprecation_ = dict(expected='new.py', removal='0.3')\n")
    assert read_config(str(old)).to_dict() == Config.fromfile(tmp_path / 'new.py').to_dict()
    assert said == ["config 'old.py' is now called 'new.py'; the old name will be removed in rscc "
                    '0.3']
