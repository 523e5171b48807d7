import socket
import sys

import pytest

from rscc.commands.demo import main


def test_a_limit_that_is_no_limit_is_refused(capsys):
    with pytest.raises(SystemExit) as found:
        main(['--max-megapixels', '-1'])
    assert found.value.code == 2
    assert '--max-megapixels=-1: expected a number above 0' in capsys.readouterr().err


def test_a_port_that_cannot_be_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(['--port', '70000'])
    assert 'expected a number from 0 to 65535' in capsys.readouterr().err


def test_without_the_framework_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, 'gradio', None)
    with pytest.raises(SystemExit, match=r'needs .gradio.: pip install "rscc\[demo\]"'):
        main([])


def test_a_taken_port_is_told_before_models_are_loaded():
    pytest.importorskip('gradio', reason='the page needs the extra [demo]')
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit, match=f'port {port} of 127.0.0.1 cannot be used.*--port 0'):
            main(['no_such_model', '--port', str(port)])


def test_a_model_that_does_not_exist_is_told():
    pytest.importorskip('gradio', reason='the page needs the extra [demo]')
    with pytest.raises(SystemExit, match='no_such_model'):
        main(['no_such_model', '--port', '0'])
