"""tools/setup_env.sh makes, reuses and refuses environments, each with a plain message."""
import os
import subprocess
import sys

import pytest

# Stands in for an interpreter: `-c` succeeds, `-m venv DIR` copies itself there, pip as told.
FAKE = """#!/bin/bash
case "$1 $2" in
  '-m venv') mkdir -p "$3/bin"; cp "$0" "$3/bin/python" ;;
  '-m pip') echo "pip $*" >>"$FAKE_LOG"
            [ -z "$FAKE_PIP_FAILS" ] || { echo 'ERROR: no route'; exit 1; } ;;
  '-m '*) exit 1 ;;
  '--version '*) echo 'Python 3.11.0' ;;
  '-c '*) [ -z "$FAKE_TOO_OLD" ] ;;
esac
"""


@pytest.fixture
def shell(repo, tmp_path):
    """Return a function that calls the script with a fake Python first in the path."""
    tools = tmp_path / 'bin'
    tools.mkdir()
    for name in ('python3', 'python3.11', 'python3.12', 'python3.13', 'python'):
        (tools / name).write_text(FAKE)
        (tools / name).chmod(0o755)

    def call(*arguments, **environment):
        clean = {key: value for key, value in os.environ.items()
                 if key not in ('RSCC_PYTHON', 'RSCC_VENV', 'CDPATH')}
        return subprocess.run(
            ['bash', str(repo / 'tools' / 'setup_env.sh'), *arguments], text=True, cwd=tmp_path,
            capture_output=True, check=False, timeout=60,
            env={**clean, 'PATH': f'{tools}:{clean["PATH"]}', 'RSCC_VENV': str(tmp_path / 'venv'),
                 'FAKE_LOG': str(tmp_path / 'log'), 'FAKE_PIP_FAILS': '', 'FAKE_TOO_OLD': '',
                 **environment})

    return call


def test_it_prints_only_the_path_of_the_interpreter(shell, tmp_path):
    done = shell('runtime')
    assert done.returncode == 0, done.stderr
    assert done.stdout == f'{tmp_path}/venv/bin/python\n'
    assert 'ready in' in done.stderr


def test_torch_comes_before_torchvision_and_both_before_the_rest(shell, tmp_path):
    shell('tests')
    lines = (tmp_path / 'log').read_text().splitlines()
    order = [next(number for number, line in enumerate(lines) if word in line)
             for word in ('torch==', 'torchvision==', '-r requirements/runtime.txt', '--editable')]
    assert order == sorted(order)
    assert any('-r requirements/tests.txt' in line for line in lines)


def test_a_second_call_installs_nothing(shell, tmp_path):
    first = shell('tests')
    (tmp_path / 'log').unlink()
    for group in ('tests', 'runtime'):
        again = shell(group)
        assert (again.returncode, again.stdout) == (0, first.stdout)
        assert again.stderr == ''
    assert not (tmp_path / 'log').exists()


def test_an_environment_for_running_is_completed_for_the_tests(shell, tmp_path):
    shell('runtime')
    assert 'requirements/tests.txt' not in (tmp_path / 'log').read_text()
    assert shell('tests').returncode == 0
    assert 'requirements/tests.txt' in (tmp_path / 'log').read_text()


def test_an_interrupted_installation_is_finished_by_the_next_call(shell):
    assert shell('runtime', FAKE_PIP_FAILS='yes').returncode != 0
    assert shell('runtime').returncode == 0


def test_no_network_names_the_log_and_three_ways_out(shell):
    done = shell('runtime', FAKE_PIP_FAILS='yes')
    assert done.returncode == 1
    assert done.stdout == ''
    for words in ('could not install torch', 'ERROR: no route', 'pip.log', 'PIP_INDEX_URL',
                  'RSCC_PYTHON'):
        assert words in done.stderr


def test_an_unsuitable_python_is_refused_with_its_version(shell):
    done = shell('runtime', FAKE_TOO_OLD='yes')
    assert done.returncode == 1
    assert 'no Python 3.11 to 3.13 found' in done.stderr
    assert 'RSCC_PYTHON' in done.stderr


def test_an_unknown_group_is_refused(shell):
    done = shell('everything')
    assert done.returncode == 1
    assert "unknown group 'everything'" in done.stderr
    assert 'runtime or tests' in done.stderr


def test_a_given_interpreter_is_used_as_it_is(shell, tmp_path):
    done = shell('runtime', RSCC_PYTHON=sys.executable)
    assert done.stdout.strip() == sys.executable
    assert not (tmp_path / 'venv').exists()


def test_a_given_interpreter_that_does_not_exist_is_an_error(shell):
    done = shell('runtime', RSCC_PYTHON='/nowhere/python')
    assert done.returncode == 1
    assert "RSCC_PYTHON='/nowhere/python' is not a Python 3.11 to 3.13" in done.stderr


def test_a_given_interpreter_without_the_packages_is_an_error(shell, tmp_path):
    bare = tmp_path / 'bare'
    bare.write_text('#!/bin/bash\ncase "$2" in *torch*) exit 1 ;; esac\n')
    bare.chmod(0o755)
    done = shell('runtime', RSCC_PYTHON=str(bare))
    assert done.returncode == 1
    assert 'lacks packages' in done.stderr
    assert 'pip install -r requirements.txt' in done.stderr


def test_cdpath_of_the_user_does_not_lead_astray(shell, tmp_path):
    assert shell('runtime', CDPATH=str(tmp_path)).returncode == 0
