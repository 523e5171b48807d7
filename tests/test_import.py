"""``import rscc`` is quick, silent and loads nothing heavy."""
import json
import subprocess
import sys
import time
from importlib import metadata

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


def test_a_training_without_their_models_does_without_timm_and_torchvision(repo, tmp_path):
    """MMSegmentation imports timm for one backbone, MMEngine torchvision for its version."""
    code = f"""
import sys
from mmengine.config import Config
from rscc.apis.launch import build_runner
cfg = Config.fromfile('configs/bit_synth.py')
cfg.work_dir, cfg.launcher = {str(tmp_path)!r}, 'none'
build_runner(cfg)
print('late', [name for name in ('timm', 'torchvision', 'torch._dynamo') if name in sys.modules])
from rscc.registry import MODELS
MODELS.build(dict(type='mmseg.TIMMBackbone', model_name='test_resnet', pretrained=False,
                  features_only=True))
print('then', 'timm' in sys.modules, sys.modules['torchvision'].ops.nms is not None)
"""
    done, _ = run(code, repo)
    assert done.returncode == 0, done.stderr
    assert 'late []' in done.stdout and 'then True True' in done.stdout
    assert 'TorchVision: ' in done.stdout + done.stderr


def test_within_a_block_the_version_of_a_library_alone_is_found(monkeypatch):
    from rscc.late_imports import version_alone
    monkeypatch.delitem(sys.modules, 'jieba', raising=False)
    with version_alone('jieba'), version_alone('no-such-library'):
        import jieba
        assert jieba.__version__ == metadata.version('jieba') and not hasattr(jieba, 'cut')
        assert 'no-such-library' not in sys.modules
    assert 'jieba' not in sys.modules
    with version_alone('pytest'):  # imported already: found whole
        assert sys.modules['pytest'] is pytest


def test_import_takes_less_than_half_a_second(repo):
    bare = min(run('pass', repo)[1] for _ in range(3))
    whole = min(run('import rscc', repo)[1] for _ in range(5))
    assert whole - bare < 0.5, f'import rscc took {whole - bare:.2f} s'


def test_a_socket_opened_during_an_import_would_be_noticed(repo):
    done, _ = run(BLOCKED.format(module='json; socket.create_connection(("localhost", 9))'), repo)
    assert done.returncode != 0
    assert 'a socket was opened' in done.stderr
