"""The comparison of models as users call it: a real training in miniature, a failing row."""
import csv
import json
import os

import pytest
from fake_data import write_fake_dataset
from mmengine.config import Config

TOOL = 'analysis_tools/compare_models.py'
MARKS = '<!-- benchmark:speed -->\n<!-- /benchmark:speed -->\n'


@pytest.fixture
def detector(repo, tmp_path, monkeypatch):
    """The narrow U-Net on images of 32 pixels, as a config of its own, with data."""
    monkeypatch.setenv('RSCC_DATA', str(tmp_path))
    cfg = Config.fromfile(repo / 'configs/fcsiam_diff_synth.py')
    cfg.model.encoder.update(widths=(4, 8), convs=(1, 1))
    cfg.model.change_head.update(in_channels=(4, 8, 8), in_index=(0, 1, 2), channels=(4, 8),
                                 convs=(2, 2))
    for stage in ('train', 'val', 'test'):
        cfg[f'{stage}_dataloader'].dataset.cache.size = (32, 32)
    cfg.dump(tmp_path / 'narrow.py')
    write_fake_dataset(tmp_path, cfg.test_dataloader.dataset)
    return tmp_path / 'narrow.py'


@pytest.fixture
def forked(python, monkeypatch):
    """Run the steps of a comparison in forks; ``Processes`` has tests of its own."""
    from tools.benchmark import compared_runs

    def run(_, command, log, environment):
        done = python(*command, env={**os.environ, **environment})
        log.write_text(done.stdout + done.stderr)
        if done.returncode:
            raise compared_runs.StepFailed(compared_runs.cause_in(log, done.returncode), log)
        return None

    monkeypatch.setattr(compared_runs.Processes, 'run', run)


@pytest.mark.usefixtures('forked')
def test_rows_are_trained_reported_with_failures_and_not_trained_again(run_tool, detector,
                                                                       tmp_path):
    for language in ('en', 'zh_cn'):
        (tmp_path / 'docs' / language).mkdir(parents=True)
        (tmp_path / 'docs' / language / 'benchmarks.md').write_text(MARKS)
    misfit = Config.fromfile(detector)  # passes every check, and fails in the training
    misfit.model.change_head.in_channels = (4, 8, 9)
    misfit.dump(tmp_path / 'misfit.py')
    words = [detector, tmp_path / 'misfit.py', '--steps', 8, '--seeds', 1, '--batch-size', 2,
             '--threads', 1, '--work-dir', tmp_path / 'work']
    done = run_tool(TOOL, *words)
    run = tmp_path / 'work/narrow_seed0'
    log = tmp_path / 'work/misfit_seed0/train.log'
    assert done.returncode == 1 and 'misfit: 0/1; seed 0 failed: ' in done.stderr
    assert 'set in_channels=' in done.stderr and f'(log: {log})' in done.stderr
    result = json.loads((run / 'result.json').read_text())
    assert 0 <= result['scores']['change/F1_changed'] <= 1 and result['steps'] == 8
    assert result['parameters'] < 2e4 and result['gflop'] > 0
    assert result['trained_per_s'] > 0 and result['answered_per_s'] > 0
    stamps = {path: path.stat().st_mtime for path in run.rglob('*') if path.is_file()}
    again = run_tool(TOOL, *words)
    assert 'narrow_seed0: 8 steps' not in again.stdout and 'misfit_seed0: failed' in again.stdout
    assert stamps == {path: path.stat().st_mtime for path in run.rglob('*') if path.is_file()}
    report = run_tool(TOOL, '--report-only', '--work-dir', tmp_path / 'work', '--write', '--docs',
                      tmp_path / 'docs')
    assert report.returncode == 1
    for language in ('en', 'zh_cn'):
        page = (tmp_path / 'docs' / language / 'benchmarks.md').read_text()
        assert '| narrow |' in page and '| misfit |' in page and 'images/compare.png' in page
    lines = list(csv.DictReader((tmp_path / 'docs/en/compare.csv').open()))
    assert [line['state'] for line in lines] == ['done', 'failed', 'baseline']
    assert 0 < float(lines[-1]['F1_changed']) < 1
    assert (tmp_path / 'docs/en/images/compare.png').is_file()
    assert (tmp_path / 'work/results.md').read_text().startswith('### Models on the same data')


def test_the_default_rows_are_configs_of_the_built_in_dataset(load_tool, repo):
    rows = load_tool(TOOL).STUDIES['compare']
    known = [row for row in rows if (repo / f'configs/{row}.py').is_file()]
    assert len(known) >= 12 and set(rows) == set(known)
    for row in known:
        cfg = Config.fromfile(repo / f'configs/{row}.py')
        assert cfg.test_dataloader.dataset.data_root == 'synth'
        assert cfg.test_dataloader.dataset.type == 'SynthChangeDataset'


def test_a_study_has_its_rows_its_folder_and_its_table(load_tool, repo, tmp_path, run_tool,
                                                       detector):
    tool = load_tool(TOOL)
    args = tool.parse_args(['--study', 'diffusion'])
    assert args.work_dir == 'work_dirs/diffusion'
    assert all((repo / f'configs/{row}.py').is_file() for row in tool.STUDIES['diffusion'])
    from tools.benchmark.compared_tables import TITLES
    assert TITLES.keys() == tool.STUDIES.keys()
    work = tmp_path / 'work'
    work.mkdir()
    (work / 'plan.json').write_text(json.dumps(dict(name='diffusion', budget=dict(
        steps=None, minutes=4.0, batch_size=None, amp=False))))
    done = run_tool(TOOL, detector, '--work-dir', work)
    assert f"'{work}' holds the comparison 'diffusion', not 'compare'" in done.stderr


def test_a_misspelt_config_is_refused_before_the_first_training(run_tool, detector, tmp_path):
    done = run_tool(TOOL, detector, 'bit_sinth', '--steps', 8, '--work-dir', tmp_path / 'work')
    assert done.returncode == 2 and not (tmp_path / 'work').exists()
    assert "bit_sinth: no config at 'bit_sinth'. Did you mean 'bit_synth'?" in done.stderr


def test_errors_are_one_line(run_tool, tmp_path):
    done = run_tool(TOOL, '--report-only', '--work-dir', tmp_path)
    assert done.returncode == 1 and done.stderr.startswith("error: '") and (
        'holds no comparison' in done.stderr)
    done = run_tool(TOOL, 'bit_synth', '--seeds', 0, '--work-dir', tmp_path)
    assert done.stderr == 'error: seeds=0: expected more than 0\n'
