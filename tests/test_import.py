"""``import rscc`` is quick, silent and loads nothing heavy."""
import json
import subprocess
import sys
import time

import pytest

LIGHT_MODULES = ['rscc', 'rscc.utils', 'rscc.version']

# Sockets that refuse to be made show any attempt to reach a network.
BLOCKED = """
import socket, sys, json
def refuse(*args, **kwargs):
    raise RuntimeError('a socket was opened during import')
socket.socket = refuse
socket.create_connection = refuse
import {module}
sys.stderr.write(json.dumps(sorted(sys.modules)))
"""


def run(code, repo):
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, '-c', code], cwd=repo, capture_output=True, text=True,
                          check=False, timeout=60)
    return done, time.perf_counter() - begin


@pytest.mark.parametrize('module', LIGHT_MODULES)
def test_import_prints_nothing_and_opens_no_socket(repo, module):
    done, _ = run(BLOCKED.format(module=module), repo)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ''
    loaded = {name.split('.')[0] for name in json.loads(done.stderr)}
    heavy = {'torch', 'torchvision', 'transformers', 'mmcv', 'mmseg', 'cv2', 'timm', 'peft',
             'jinja2'}
    assert not loaded & heavy


@pytest.mark.parametrize('module', ['rscc', 'rscc.registry', 'rscc.utils'])
def test_import_writes_nothing_to_either_stream(repo, module):
    done, _ = run(f'import {module}', repo)
    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')


def test_a_command_does_without_transformers_where_no_model_needs_it(repo):
    """MMEngine imports it, two seconds long, to list one optimizer."""
    code = ("import rscc.apis.launch, sys; print([name for name in ('transformers', "
            "'peft') if name in sys.modules]); import transformers")
    done, _ = run(code, repo)
    assert (done.returncode, done.stdout) == (0, '[]\n'), done.stderr


def test_import_takes_less_than_half_a_second(repo):
    bare = min(run('pass', repo)[1] for _ in range(3))
    whole = min(run('import rscc', repo)[1] for _ in range(5))
    assert whole - bare < 0.5, f'import rscc took {whole - bare:.2f} s'


def test_a_socket_opened_during_an_import_would_be_noticed(repo):
    done, _ = run(BLOCKED.format(module='json; socket.create_connection(("localhost", 9))'), repo)
    assert done.returncode != 0
    assert 'a socket was opened' in done.stderr
