import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from fake_scenes import SMALL, Difference, block_files, damage, write_pair

from rscc.scenes.run import run_scenes

pytest.importorskip('rasterio')
pytest.importorskip('geopandas')
# Runs the script that it is given on standard input once a task of the array, one after the other.
SBATCH = """#!/usr/bin/env bash
folder="$(dirname "$0")"
count=$(($(cat "$folder/count" 2> /dev/null || echo 100) + 1))
echo "$count" > "$folder/count"
echo "$@" >> "$folder/calls"
cat > "$folder/script_$count"
last=0
for word in "$@"; do
  case "$word" in
    --array=1-*) last="${word#--array=1-}" ;;
    --output=*) output="${word#--output=}" ;;
  esac
done
export SLURM_CPUS_PER_TASK=7
if [[ $last == 0 ]]; then
  bash "$folder/script_$count" > "$output" 2>&1
else
  for ((task = 1; task <= last; task++)); do
    SLURM_ARRAY_TASK_ID=$task bash "$folder/script_$count" > "${output/\\%a/$task}" 2>&1 || exit 1
  done
fi
echo "$count;cluster"
"""


@pytest.fixture
def pair(tmp_path):
    return write_pair(tmp_path / 'my data')


@pytest.fixture
def whole(pair, tmp_path):
    run_scenes([pair], Difference(), tmp_path / 'whole', SMALL)
    return tmp_path / 'whole'


@pytest.fixture
def call(repo, tmp_path):
    """Run a script of tools/ in a folder of its own."""
    def run(script, *arguments, **variables):
        environment = {name: value for name, value in os.environ.items()
                       if name not in ('OMP_NUM_THREADS', 'CDPATH')}
        environment |= dict(PYTHONPATH=str(repo)) | variables
        return subprocess.run(['bash', repo / 'tools' / script, *map(str, arguments)], text=True,
                              cwd=tmp_path, env=environment, capture_output=True, timeout=120)
    return run


def command(repo, pair, out):
    return [sys.executable, repo / 'tests/fake_scenes.py', pair.img_from, pair.img_to, '--out', out]


@pytest.fixture
def slurm(tmp_path):
    """Folder of a stand-in for sbatch, and the PATH that has it."""
    folder = tmp_path / 'bin'
    folder.mkdir()
    (folder / 'sbatch').write_text(SBATCH)
    (folder / 'sbatch').chmod(0o755)
    return folder, dict(PATH=f'{folder}{os.pathsep}{os.environ["PATH"]}')


@pytest.mark.parametrize('name', ['parallel_scene.sh', 'slurm_scene.sh', 'scene_parts.sh'])
def test_scripts_are_shell(repo, name):
    subprocess.run(['bash', '-n', repo / 'tools' / name], check=True)
    if shutil.which('shellcheck'):
        subprocess.run(['shellcheck', '-x', '-P', repo / 'tools', repo / 'tools' / name],
                       check=True)


def test_processes_of_one_machine_give_the_files_of_one(repo, call, pair, whole, tmp_path):
    done = call('parallel_scene.sh', 3, *command(repo, pair, 'my out'))
    assert done.returncode == 0, done.stderr
    assert block_files(tmp_path / 'my out') == block_files(whole)
    assert (tmp_path / 'my out/change.tif').read_bytes() == (whole / 'change.tif').read_bytes()
    logs = sorted((tmp_path / 'my out/logs').iterdir())
    assert [log.name for log in logs] == ['part_1.log', 'part_2.log', 'part_3.log']
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    for log in logs:
        assert f'OMP_NUM_THREADS={max(cores // 3, 1)}\n' in log.read_text()
    assert f'OMP_NUM_THREADS={cores}\n' in done.stdout, 'the combination has all cores'


def test_a_failing_part_is_named_and_nothing_is_combined(repo, call, pair, whole, tmp_path):
    wrapper = tmp_path / 'wrapper.sh'
    wrapper.write_text('#!/usr/bin/env bash\nif [[ "$*" == *"--part 2/3"* ]]; then\n'
                       '  echo "CUDA out of memory"; exit 9\nfi\nexec "$@"\n')
    done = call('parallel_scene.sh', 3, 'bash', wrapper, *command(repo, pair, 'out'))
    assert done.returncode == 1 and not (tmp_path / 'out/change.tif').exists()
    assert 'error: part 2/3 ended with code 9; the end of out/logs/part_2.log' in done.stderr
    assert 'CUDA out of memory' in done.stderr and '1 of 3 parts failed' in done.stderr
    assert len(block_files(tmp_path / 'out')) == 6
    assert call('parallel_scene.sh', 3, *command(repo, pair, 'out')).returncode == 0
    assert block_files(tmp_path / 'out') == block_files(whole)


def test_gaps_do_not_stop_the_combination(repo, call, pair, slurm, tmp_path):
    damage(pair.img_to, 1, 2)
    done = call('parallel_scene.sh', 2, *command(repo, pair, 'out'))
    assert done.returncode == 3 and (tmp_path / 'out/change.tif').exists()
    shutil.rmtree(tmp_path / 'out')
    call('slurm_scene.sh', 'cpu', 'town', 2, *command(repo, pair, 'out'), **slurm[1])
    assert (tmp_path / 'out/change.tif').exists()


def test_an_interrupted_script_ends_its_parts(repo, pair, tmp_path):
    line = [*command(repo, pair, tmp_path / 'out'), '--pause', '2']
    process = subprocess.Popen(
        ['bash', repo / 'tools/parallel_scene.sh', '2', *map(str, line)], cwd=tmp_path,
        env=os.environ | {'PYTHONPATH': str(repo)}, stderr=subprocess.DEVNULL,
        start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / 'out/blocks/run.json').exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 130
        with pytest.raises(ProcessLookupError):  # nobody of its group is left
            os.killpg(process.pid, 0)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def test_an_array_of_jobs_gives_the_files_of_one_run(repo, call, pair, whole, slurm, tmp_path):
    folder, path = slurm
    done = call('slurm_scene.sh', 'gpu', 'town', 3, *command(repo, pair, 'my out'),
                SBATCH_ARGS='--mem=4G --time=60', **path)
    assert done.returncode == 0, done.stderr
    assert '3 parts as job 101, their combination as job 102' in done.stdout
    array, combined = (folder / 'calls').read_text().splitlines()
    for flag in ('--parsable -p gpu --cpus-per-task=4', '--mem=4G --time=60', '--gres=gpu:1',
                 '--job-name=town', '--array=1-3', '--output=my out/logs/part_%a.log'):
        assert flag in array
    assert '--dependency=afterok:101 --kill-on-invalid-dep=yes' in combined
    assert '--gres' not in combined
    assert block_files(tmp_path / 'my out') == block_files(whole)
    assert (tmp_path / 'my out/change.tif').read_bytes() == (whole / 'change.tif').read_bytes()
    assert 'OMP_NUM_THREADS=7\n' in (tmp_path / 'my out/logs/part_2.log').read_text()


def test_an_array_without_gpus_asks_for_none(repo, call, pair, slurm):
    folder, path = slurm
    call('slurm_scene.sh', 'cpu', 'town', 1, *command(repo, pair, 'out'), GPUS='0',
         CPUS_PER_TASK='9', **path)
    assert '--gres' not in (folder / 'calls').read_text()
    assert '--cpus-per-task=9' in (folder / 'calls').read_text()


def test_a_failing_part_of_an_array_fails_its_job(repo, call, pair, slurm, tmp_path):
    done = call('slurm_scene.sh', 'cpu', 'town', 2, 'false', '--out', 'out', **slurm[1])
    assert done.returncode != 0 and not (tmp_path / 'out/change.tif').exists()


@pytest.mark.parametrize(('script', 'arguments', 'said'), [
    ('parallel_scene.sh', [], 'usage: bash tools/parallel_scene.sh PARTS COMMAND'),
    ('parallel_scene.sh', ['0', 'rscc', '--out', 'x'], 'usage:'),
    ('parallel_scene.sh', ['rscc', 'infer', '--out', 'x'], 'usage:'),
    ('parallel_scene.sh', ['2', 'rscc', 'infer'], 'names no folder for its results: --out DIR'),
    ('parallel_scene.sh', ['2', 'rscc', '--out', 'x', '--part', '1/2'], '--part: the script gives'),
    ('parallel_scene.sh', ['2', 'rscc', '--out=x', '--combine'], '--combine: the script gives'),
    ('slurm_scene.sh', ['gpu', 'town', 'many', 'rscc'], 'usage: bash tools/slurm_scene.sh'),
    ('slurm_scene.sh', ['gpu', 'town', '4', 'rscc', 'infer'], 'names no folder')])
def test_wrong_calls_are_told(call, slurm, tmp_path, script, arguments, said):
    done = call(script, *arguments, **slurm[1])
    assert done.returncode == 2 and said in done.stderr
    assert not (tmp_path / 'x').exists()


def test_without_slurm_the_other_script_is_named(call, tmp_path):
    done = call('slurm_scene.sh', 'gpu', 'town', 2, 'rscc', '--out', 'x')
    assert done.returncode == 2 and 'no sbatch here; without Slurm use' in done.stderr
