"""tools/quickstart.sh: its steps, their order, what an interruption costs, what it leaves."""
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from PIL import Image

# Stands in for the interpreter of the three long steps; the summary runs for real.
FAKE = """#!/bin/bash
[ "$1" != -c ] || exit 0
echo "$*" >>"$FAKE_LOG"
case "$1" in
  tools/dataset_converters/synth.py) mkdir -p "$3" ;;
  tools/train.py)
    [ -z "$FAKE_SLEEP" ] || exec sleep "$FAKE_SLEEP"
    [ -z "$FAKE_TRAIN_FAILS" ] || exit 7
    mkdir -p "$4/20260101/vis_data"
    echo '{"loss": 1.0, "pairs_per_s": 123.456}' >"$4/20260101/vis_data/scalars.json"
    touch "$4/best_score_epoch_2.pth" ;;
  tools/test.py)
    while [ $# -gt 0 ]; do case "$1" in --out) out=$2 ;; --show-dir) show=$2 ;; esac; shift; done
    mkdir -p "$show"; echo '<html>' >"$show/report.html"
    echo '{"metrics": {"caption/changed/CIDEr": 80.0, "baseline/changed/CIDEr": 20.0}}' >"$out" ;;
  tools/infer.py) [ -z "$FAKE_INFER_FAILS" ] || exit 9 ;;
  *) exec "$REAL_PYTHON" "$@" ;;
esac
"""


@pytest.fixture
def checkout(repo, tmp_path):
    """A copy of what the script reads, where it may make folders; no model's weights."""
    for name in ('tools', 'configs', 'rscc'):
        shutil.copytree(repo / name, tmp_path / name,
                        ignore=shutil.ignore_patterns('__pycache__', 'weights'))
    (tmp_path / 'configs' / 'blip_synth.py').touch()
    return tmp_path


@pytest.fixture
def command(checkout):
    """Return (arguments for subprocess, environment) with a fake interpreter."""
    fake = checkout / 'fake-python'
    fake.write_text(FAKE)
    fake.chmod(0o755)

    def prepare(*arguments, **environment):
        clean = {key: value for key, value in os.environ.items()
                 if key not in ('RSCC_DATA', 'CDPATH', 'RSCC_VENV')}
        return (['bash', str(checkout / 'tools' / 'quickstart.sh'), *arguments],
                {**clean, 'RSCC_PYTHON': str(fake), 'REAL_PYTHON': sys.executable,
                 'FAKE_LOG': str(checkout / 'log'), 'FAKE_SLEEP': '', 'FAKE_TRAIN_FAILS': '',
                 'FAKE_INFER_FAILS': '',
                 **environment})

    return prepare


@pytest.fixture
def start(command, checkout):
    """Return a function that runs the script and gives its result."""
    def call(*arguments, **environment):
        words, variables = command(*arguments, **environment)
        return subprocess.run(words, cwd=checkout, env=variables, text=True, capture_output=True,
                              check=False, timeout=120)
    return call


def steps(checkout):
    return [line.split()[0] for line in (checkout / 'log').read_text().splitlines()
            if 'quickstart_metrics' not in line]


SYNTH, TRAIN, TEST = 'tools/dataset_converters/synth.py', 'tools/train.py', 'tools/test.py'
INFER = 'tools/infer.py'


def test_it_leaves_metrics_and_report_and_says_where(start, checkout):
    done = start()
    assert done.returncode == 0, done.stderr
    assert steps(checkout) == [SYNTH, TRAIN, TEST]
    folder = checkout / 'work_dirs' / 'quickstart'
    metrics = json.loads((folder / 'metrics.json').read_text())
    assert metrics['caption/changed/CIDEr'] == 80.0
    assert metrics['train/pairs_per_s'] == 123.46
    assert metrics['wall_s'] >= 0
    assert (folder / 'report.html').is_file()
    assert 'work_dirs/quickstart/report.html' in done.stdout
    row = next(line for line in done.stdout.splitlines() if line.startswith('CIDEr, changed'))
    assert row.split()[-2:] == ['80.0', '20.0']


def test_the_best_checkpoint_is_tested(start, checkout):
    start()
    line = next(line for line in (checkout / 'log').read_text().splitlines() if TEST in line)
    assert 'work_dirs/quickstart/best_score_epoch_2.pth' in line


def test_a_second_call_neither_trains_nor_tests_and_keeps_the_figures(start, checkout):
    start()
    before = (checkout / 'work_dirs/quickstart/metrics.json').read_text()
    (checkout / 'log').unlink()
    assert start().returncode == 0
    assert steps(checkout) == [SYNTH]
    assert (checkout / 'work_dirs/quickstart/metrics.json').read_text() == before


def test_a_failed_training_fails_the_script_and_is_resumed_by_the_next_call(start, checkout):
    assert start(FAKE_TRAIN_FAILS='yes').returncode == 7
    assert steps(checkout) == [SYNTH, TRAIN]
    assert start().returncode == 0
    assert steps(checkout)[2:] == [SYNTH, TRAIN, TEST]
    assert '--resume' in (checkout / 'log').read_text()


def test_time_spent_before_an_interruption_is_counted(start, checkout):
    folder = checkout / 'work_dirs' / 'quickstart'
    start(FAKE_TRAIN_FAILS='yes')
    (folder / '.seconds').write_text('100\n')
    start()
    assert json.loads((folder / 'metrics.json').read_text())['wall_s'] >= 100


def test_another_configuration_keeps_the_old_run_aside(start, checkout):
    start()
    (checkout / 'configs' / 'blip_synth.py').write_text('# changed\n')
    done = start()
    assert 'the configuration has changed' in done.stdout
    assert len(list((checkout / 'work_dirs').glob('quickstart.2*'))) == 1
    assert steps(checkout).count(TRAIN) == 2


def test_quick_uses_folders_of_its_own(start, checkout):
    assert start('--quick').returncode == 0
    text = (checkout / 'log').read_text()
    assert 'synth_quick' in text
    assert 'train_cfg.max_epochs=1' in text
    assert (checkout / 'work_dirs' / 'quickstart_quick' / 'metrics.json').is_file()
    assert not (checkout / 'work_dirs' / 'quickstart').exists()


@pytest.fixture
def shipped(checkout):
    """A copy that has the weights of rscc-small."""
    weights = checkout / 'rscc/weights/rscc_small/model.safetensors'
    weights.parent.mkdir(parents=True)
    weights.touch()


def test_it_ends_with_a_real_pair_in_both_languages(start, checkout, repo, shipped):
    done = start()
    assert done.returncode == 0, done.stderr
    assert steps(checkout) == [SYNTH, TRAIN, TEST, INFER]
    last = (checkout / 'log').read_text().splitlines()[-1]
    for words in ('--language both', '--out work_dirs/quickstart/real_pair'):
        assert words in last
    words = last.split()
    for flag in ('--img-from', '--img-to'):  # what is named is there, and small
        with Image.open(repo / words[words.index(flag) + 1]) as image:
            assert image.size == (256, 256) and image.mode == 'RGB'
    assert 'CIDEr, changed' in done.stdout.split('4/4')[0]


def test_without_the_weights_it_says_so_and_succeeds(start, checkout):
    done = start()
    assert done.returncode == 0
    assert 'left out: the weights of rscc-small are not in this copy' in done.stdout
    assert INFER not in steps(checkout)


def test_a_failed_answer_fails_the_script_and_keeps_the_scores(start, checkout, shipped):
    assert start(FAKE_INFER_FAILS='yes').returncode == 9
    assert (checkout / 'work_dirs/quickstart/metrics.json').is_file()


@pytest.mark.parametrize('variable', ['RSCC_DATA', 'CDPATH'])
def test_data_go_where_the_user_keeps_them(start, checkout, variable):
    assert start(**{variable: str(checkout / 'elsewhere')}).returncode == 0
    assert f'--out {checkout}/elsewhere/synth' in (checkout / 'log').read_text()


def test_an_unknown_option_is_refused(start):
    done = start('--fast')
    assert done.returncode == 2
    assert "unknown option '--fast'; expected --quick" in done.stderr


def test_help_shows_what_it_makes(start):
    done = start('--help')
    assert done.returncode == 0
    assert 'metrics.json' in done.stdout
    assert 'set -euo' not in done.stdout


def test_two_calls_at_once_do_not_meet_in_one_folder(command, start, checkout):
    words, variables = command(FAKE_SLEEP='30')
    first = subprocess.Popen(words, cwd=checkout, env=variables, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
    try:
        wait_for(checkout / 'log', TRAIN)
        second = start()
        assert second.returncode == 1
        assert 'another call' in second.stderr
    finally:
        first.send_signal(signal.SIGTERM)
    # The signal reaches the training, too: nothing is left behind and the next call may start.
    assert first.wait(timeout=20) == 143
    assert start().returncode == 0


def wait_for(path, words, seconds=20):
    deadline = time.monotonic() + seconds
    while not (path.is_file() and words in path.read_text()):
        assert time.monotonic() < deadline, f"'{words}' never appeared in {path}"
        time.sleep(0.05)


def test_the_table_goes_into_the_pages_with_machine_command_and_day(run_tool, repo, tmp_path):
    (tmp_path / 'metrics.json').write_text(json.dumps(
        {'caption/changed/CIDEr': 81.26, 'baseline/changed/CIDEr': 20.0, 'wall_s': 600.4}))
    shutil.copytree(repo / 'docs', tmp_path / 'docs')
    done = run_tool('misc/quickstart_metrics.py', tmp_path, '--write-docs', tmp_path / 'docs')
    assert done.returncode == 0, done.stderr
    for language, words in (('en', 'CIDEr, changed pairs'), ('zh_cn', 'CIDEr，有变化')):
        page = (tmp_path / 'docs' / language / 'benchmarks.md').read_text()
        block = page.split('<!-- benchmark:quickstart -->')[1].split('<!-- /benchmark')[0]
        assert f'| {words} | 81.3 | 20.0 |' in block
        assert 'bash tools/quickstart.sh' in block
        assert time.strftime('%Y-%m-%d') in block


def test_a_run_without_a_log_or_checkpoint_is_named(run_tool, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no best_\*\.pth and no last_checkpoint'):
        run_tool('misc/quickstart_metrics.py', tmp_path, '--find-checkpoint')
    (tmp_path / 'predictions.json').write_text('{"metrics": {}}')
    with pytest.raises(FileNotFoundError, match='no pairs_per_s in'):
        run_tool('misc/quickstart_metrics.py', tmp_path)


@pytest.mark.slow
def test_the_smoke_run_goes_from_nothing_to_a_report(repo, tmp_path):
    for name in ('tools', 'configs', 'rscc', 'docs/real_pair'):
        shutil.copytree(repo / name, tmp_path / name,
                        ignore=shutil.ignore_patterns('__pycache__'))
    done = subprocess.run(['bash', 'tools/quickstart.sh', '--quick'], cwd=tmp_path, text=True,
                          capture_output=True, check=False, timeout=600,
                          env={**os.environ, 'RSCC_PYTHON': sys.executable,
                               'RSCC_DATA': str(tmp_path / 'data')})
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    folder = tmp_path / 'work_dirs' / 'quickstart_quick'
    metrics = json.loads((folder / 'metrics.json').read_text())
    for key in ('caption/all/CIDEr', 'caption/changed/CIDEr', 'caption/changed/Bleu_4',
                'caption/flag_accuracy', 'baseline/changed/CIDEr', 'change/F1_changed',
                'train/pairs_per_s', 'wall_s'):
        assert isinstance(metrics[key], float | int), key
    assert '<html' in (folder / 'report.html').read_text()[:2000]
    if (repo / 'rscc/weights/rscc_small/model.safetensors').is_file():
        assert list((folder / 'real_pair').glob('*panel*'))
