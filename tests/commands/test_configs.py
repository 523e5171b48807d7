"""``rscc configs`` and ``rscc print-config``."""
import os
import subprocess
import sys

import pytest
from mmengine.config import Config

from rscc.apis.launch import read_config
from rscc.commands.configs import main, print_config
from rscc.config.files import packaged_configs


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_config_is_listed_with_its_title_but_old_names_are_not(folder, capsys):
    main([])
    head, *lines = capsys.readouterr().out.splitlines()
    assert head == f'{packaged_configs()}:'
    titles = dict(line.split(maxsplit=1) for line in lines)
    assert titles['blip_levircc'].startswith('BLIP change captioning on LEVIR-CC')
    assert 'sat_synth' in titles and not any(name.startswith('attend_') for name in titles)
    assert all(len(title) > 10 for title in titles.values())


def test_configs_of_the_working_folder_come_first_a_broken_one_included(folder, capsys):
    (folder / 'configs').mkdir()
    (folder / 'configs/mine.py').write_text('"""My own."""\n')
    (folder / 'configs/torn.py').write_text('model = dict(\n')
    main([])
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ['configs:', '  mine  My own.']
    assert lines[2].startswith('  torn  (not valid Python: ')
    assert lines[3] == f'{packaged_configs()}:'


def test_the_path_of_a_config_is_printed_alone(folder, capsys):
    main(['attend_synth'])
    assert capsys.readouterr().out == f'{packaged_configs() / "attend_synth.py"}\n'
    with pytest.raises(SystemExit, match=r"^error: no config at 'blip_sinth'\. Did you mean"):
        main(['blip_sinth'])


def test_a_copy_stands_on_its_own_and_is_what_commands_take(folder, capsys):
    main(['blip_levirmci', '--copy', 'configs'])
    printed = capsys.readouterr().out.split()
    assert printed[0] == 'configs/blip_levirmci.py' and 'configs/_base_/runtime.py' in printed
    packaged = Config.fromfile(packaged_configs() / 'blip_levirmci.py')
    assert read_config('blip_levirmci').to_dict() == packaged.to_dict()
    copy = folder / 'configs/blip_levirmci.py'
    copy.write_text(copy.read_text() + '\nrandomness = dict(seed=77)\n')
    assert read_config('blip_levirmci').randomness.seed == 77


def test_a_copy_replaces_nothing_of_another_text(folder, capsys):
    main(['blip_synth', '--copy', 'c'])
    main(['blip_synth_zh', '--copy', 'c'])  # shares the files that it inherits from
    (folder / 'c/_base_/runtime.py').write_text('changed = True\n')
    with pytest.raises(SystemExit, match=r'^error: .* exist and differ: c/_base_/runtime\.py\.'):
        main(['blip_levircc', '--copy', 'c'])
    assert not (folder / 'c/blip_levircc.py').exists()


def test_a_base_outside_the_folder_of_the_config_is_not_copied(folder):
    (folder / 'a').mkdir()
    (folder / 'base.py').write_text('')
    (folder / 'a/leaf.py').write_text("_base_ = '../base.py'\n")
    with pytest.raises(SystemExit, match=r'^error: .*inherits from files outside its folder'):
        main(['a/leaf.py', '--copy', 'b'])
    assert not (folder / 'b').exists()


def test_a_copy_of_nothing_is_refused(folder, capsys):
    with pytest.raises(SystemExit, match='2'):
        main(['--copy', 'b'])
    assert '--copy copies one config: name it too' in capsys.readouterr().err


def test_a_config_is_printed_whole_with_overrides_and_nothing_else(folder):
    done = subprocess.run(
        [sys.executable, '-m', 'rscc', 'print-config', 'attend_synth', '--cfg-options',
         'train_cfg.max_epochs=2'], cwd=folder, text=True, capture_output=True, check=True,
        env={**os.environ, 'PYTHONPATH': str(packaged_configs().parent)})
    printed = Config.fromstring(done.stdout, '.py')
    assert printed.train_cfg.max_epochs == 2 and printed.model.type
    assert 'comes with rscc' in done.stderr and "now called 'sat_synth.py'" in done.stderr


def test_a_check_of_a_printed_config_names_its_mistakes(folder):
    with pytest.raises(SystemExit, match=r'^error: (.|\n)*max_epoks'):
        print_config(['blip_synth', '--check', '--cfg-options', 'train_cfg.max_epoks=2'])
