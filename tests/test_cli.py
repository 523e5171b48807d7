"""The console command: one table of commands, quick help, the nearest name."""
import json
import re
import subprocess
import sys

import pytest

from rscc import cli
from rscc.commands.convert import KINDS
from rscc.version import __version__

# Prints the help of commands in one process, and which heavy packages each has left imported.
CODE = """
import json, sys
from rscc.cli import main
heavy = {}
for arguments in json.load(sys.stdin):
    try:
        main(arguments)
    except SystemExit as ended:
        print('exit code', ended.code)
    heavy[' '.join(arguments)] = [name for name in ('torch', 'mmengine') if name in sys.modules]
print(json.dumps(heavy))
"""
# Their choices and defaults come from modules that import torch.
SLOW = 'scores', 'browse-dataset'


@pytest.fixture(scope='module')
def asked(repo):
    """What all commands print when they are asked for help, and what they import for it."""
    calls = [[], ['--version'], ['--help'], *([name, '--help'] for name in cli.COMMANDS
                                              if name not in SLOW),
             *(['convert', kind, '--help'] for kind in KINDS), *([name, '--help'] for name in SLOW)]
    done = subprocess.run([sys.executable, '-c', CODE], input=json.dumps(calls), cwd=repo,
                          capture_output=True, text=True, check=True, timeout=100)
    *_, heavy = done.stdout.splitlines()
    return done.stdout, json.loads(heavy)


def test_help_imports_no_heavy_package(asked):
    _, heavy = asked
    assert [call for call, found in heavy.items() if found] == [f'{name} --help' for name in SLOW]


def test_every_command_has_help_and_calls_itself_as_it_was_called(asked):
    text, _ = asked
    names = [*(name for name in cli.COMMANDS if name != 'convert'),
             *(f'convert {kind}' for kind in KINDS)]
    missing = [name for name in names if not re.search(rf'^usage: rscc {name} ', text, re.M)]
    assert not missing
    assert text.count('-h, --help') == text.count('exit code 0') == len(names)


def test_the_command_alone_lists_all_of_them_in_one_line_each(asked):
    text, _ = asked
    page = text[:text.index(f'rscc {__version__}\n')]
    assert page.startswith('usage: rscc COMMAND [arguments]\n')
    for name, (_, line) in cli.COMMANDS.items():
        assert re.search(rf'^  {name} +{re.escape(line)}$', page, re.M)
        assert len(f'  {name:14}  {line}') <= 80
    assert text.count(page) == 2, '--help shows the same'


@pytest.mark.parametrize(('arguments', 'message'), [
    (['infr'], "rscc: error: no command 'infr'. Did you mean 'infer'? There are infer, demo,"),
    (['convert', 'clipkap'], "rscc convert: error: no kind 'clipkap'. Did you mean 'clipcap'?"),
    (['--varsion'], "rscc: error: no command '--varsion'. There are infer, demo, check, train,"),
    (['train'], 'rscc train: error: the following arguments are required: config'),
    (['infer'], 'rscc infer: error: give either --img-from and --img-to, or --img, --list or')])
def test_mistakes_are_told_with_status_2(arguments, message, capsys):
    with pytest.raises(SystemExit, match='2'):
        cli.main(arguments)
    assert message in capsys.readouterr().err


def test_the_module_is_the_command(repo, tmp_path):
    for arguments in (['--version'], ['configs', 'blip_synth']):
        done = subprocess.run([sys.executable, '-m', 'rscc', *arguments], cwd=tmp_path, text=True,
                              capture_output=True, check=True, env={'PYTHONPATH': str(repo)})
        assert done.stdout.strip() in (f'rscc {__version__}', str(repo / 'configs/blip_synth.py'))


def test_a_command_ends_with_its_own_message(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=r"^error: no config at 'blip_sinth'\. Did you mean 'bli"):
        cli.main(['train', 'blip_sinth', '--check'])
