"""tools/run_tests.sh gives the verdict of what it ran."""
import os
import shutil
import subprocess
import sys

import pytest


@pytest.fixture
def verdict(repo, tmp_path):
    """Return a function that runs the script over one test file in a small tree."""
    for name in ('tools/run_tests.sh', 'tools/setup_env.sh', '.ci/run', 'pyproject.toml'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(repo / name, tmp_path / name)
    (tmp_path / 'tests').mkdir()

    def call(source, *arguments, script='tools/run_tests.sh'):
        (tmp_path / 'tests' / 'test_it.py').write_text(source)
        # A run inside a run: the inner one must not take itself for a worker of the outer one.
        clean = {key: value for key, value in os.environ.items()
                 if not key.startswith(('PYTEST', 'RSCC_VENV'))}
        return subprocess.run(['bash', str(tmp_path / script), *arguments], cwd='/', text=True,
                              capture_output=True, check=False, timeout=120,
                              env={**clean, 'RSCC_PYTHON': sys.executable})

    return call


PASSING = 'def test_it():\n    assert True\n'
SLOW = 'import pytest\n\n\n@pytest.mark.slow\ndef test_slow():\n    raise ValueError\n\n\n'


def test_success_is_zero_and_the_last_counts_are_those_of_pytest(verdict):
    # What the workers see: offline and single-threaded.
    done = verdict('import os\n\n\ndef test_it():\n'
                   "    assert os.environ['HF_HUB_OFFLINE'] == '1'\n"
                   "    assert os.environ['OMP_NUM_THREADS'] == '1'\n")
    assert done.returncode == 0, done.stdout + done.stderr
    assert '1 passed' in done.stdout.strip().splitlines()[-1]


def test_lint_alone_fails_the_run_and_the_tests_still_run(verdict):
    done = verdict('import os\n' + PASSING)
    assert done.returncode == 1
    assert '1 passed' in done.stdout
    assert 'F401' in done.stdout
    assert 'ruff found problems' in done.stderr


def test_no_test_at_all_is_a_failure(verdict):
    assert verdict(PASSING, '-k', 'nothing_of_that_name').returncode != 0


def test_fast_leaves_the_slow_ones_out(verdict):
    done = verdict(SLOW + PASSING, '--fast')
    assert done.returncode == 0
    assert '1 passed' in done.stdout


def test_continuous_integration_runs_all_of_them_and_a_failing_test_fails_the_run(verdict):
    done = verdict(SLOW + PASSING, script='.ci/run')
    assert done.returncode == 1
    counts = done.stdout.strip().splitlines()[-1]
    assert '1 failed' in counts and '1 passed' in counts
