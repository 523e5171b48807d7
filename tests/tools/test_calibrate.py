import itertools
import json

import pytest
import torch
from fake_data import write_fake_dataset
from mmengine.config import Config
from mmengine.registry import DefaultScope

from rscc.apis import ChangeInferencer
from rscc.engine.checkpoint import read_checkpoint
from rscc.inference import calibrating
from rscc.registry import MODELS
from rscc.utils import read_json

TOOL = 'analysis_tools/calibrate.py'


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A config with map, sentences and flag on fake pairs, and a checkpoint of random weights."""
    home = tmp_path_factory.mktemp('data')
    cfg = Config.fromfile('configs/timm_synth.py')
    root = write_fake_dataset(home, cfg.train_dataloader.dataset, pairs=12, size=64)
    cfg.model.encoder.update(model='test_efficientnet', token_level=2, pretrained=None)
    for stage in ('train', 'val', 'test'):
        cfg[f'{stage}_dataloader'].dataset.update(data_root=str(root), cache=None)
        cfg[f'{stage}_dataloader'].batch_size = 4
    cfg.model.caption_head.tokenizer = dict(type='WordTokenizer', words=[
        '<pad>', '<unk>', '<start>', '<end>', 'a', 'house', 'is', 'built'])
    cfg.test_evaluator = [dict(type='CaptionMetric', meteor=False, baselines=False)]
    config = home / 'config.py'
    cfg.dump(str(config))
    torch.manual_seed(0)
    DefaultScope.get_instance('calibrate', scope_name='rscc')
    checkpoint = home / 'weights.pth'
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict(), meta=dict(
        cfg=cfg.pretty_text, dataset_meta=dict(language='en', task='pair',
                                               ground_resolution=0.5))), checkpoint)
    return config, checkpoint, root


@pytest.fixture
def every_second_wrong(monkeypatch):
    """Random weights say nothing right: every second answer is called so."""
    turn = itertools.cycle([{'object'}, set()])
    monkeypatch.setattr(calibrating, 'errors_of', lambda *_: next(turn))


def test_the_copy_doubts_and_the_test_command_tells_it(trained, every_second_wrong, run_tool,
                                                       tmp_path):
    config, checkpoint, _ = trained
    out, shown = tmp_path / 'made.pth', tmp_path / 'shown'
    done = run_tool(TOOL, config, checkpoint, '--out', out, '--show-dir', shown,
                    '--train-samples', 12, '--device', 'cpu')
    assert done.returncode == 0, done.stderr
    for words in ('validation', 'AURC doubt - score', 'not sure from', 'most doubtful tenth'):
        assert words in done.stdout, words
    assert {path.name for path in shown.iterdir()} == {
        'val.json', 'test.json', 'doubt_val.png', 'doubt_test.png', 'calibration.json'}
    meta = read_checkpoint(out)['meta']
    assert set(meta['doubt']) == {'en'} and meta['novelty']['samples'] == 24
    record = json.loads((shown / 'calibration.json').read_text())
    assert record['calibration'] == meta['doubt']['en']
    # The answers that it was fitted to have no number yet; those of the copy do.
    assert read_json(shown / 'val.json')['samples'][0]['doubt']['value'] is None
    tested = run_tool('test.py', config, out, '--out', tmp_path / 'p.json', '--work-dir',
                      tmp_path / 'work')
    assert tested.returncode == 0, tested.stderr
    assert 'doubt (0 to 1' in tested.stdout and 'AURC by score' in tested.stdout
    data = read_json(tmp_path / 'p.json')
    doubts = [sample['doubt'] for sample in data['samples']]
    assert all(0 < doubt['value'] < 1 and isinstance(doubt['sure'], bool) for doubt in doubts)
    assert all('novelty' in doubt['inputs'] for doubt in doubts)
    assert data['metrics']['doubt/mean'] == pytest.approx(
        sum(doubt['value'] for doubt in doubts) / len(doubts), abs=1e-3)
    # The same pair by the other route.
    first = data['samples'][0]
    again = ChangeInferencer(str(out), device='cpu')(first['img_path_from'], first['img_path_to'])
    assert again.doubt.value == pytest.approx(first['doubt']['value'], abs=5e-3)


def test_a_dry_run_without_test_writes_nothing(trained, every_second_wrong, run_tool):
    config, checkpoint, _ = trained
    files = set(checkpoint.parent.iterdir())
    done = run_tool(TOOL, config, checkpoint, '--dry-run', '--no-test', '--train-samples', 0)
    assert done.returncode == 0, done.stderr
    assert 'written' not in done.stdout and '\ntest' not in done.stdout
    assert set(checkpoint.parent.iterdir()) == files


def test_answers_that_are_all_wrong_calibrate_nothing(trained, run_tool, tmp_path):
    config, checkpoint, _ = trained
    done = run_tool(TOOL, config, checkpoint, '--out', tmp_path / 'x.pth', '--train-samples', 0)
    assert done.returncode == 1 and 'at least 5 wrong and 5 right' in done.stderr
    assert not (tmp_path / 'x.pth').exists()


@pytest.mark.parametrize(('arguments', 'message'), [
    ((), '--out CKPT for the copy, or --dry-run'),
    (('--dry-run', '--out', 'x.pth'), 'or --dry-run'),
    (('--out', 'x.bin'), '.pth or .safetensors'), (('--dry-run', '--abstain', '1'), 'a share'),
    (('--dry-run', '--batch-size', '0'), '--batch-size')])
def test_contradictions_on_the_command_line_are_refused(trained, run_tool, arguments, message):
    config, checkpoint, _ = trained
    done = run_tool(TOOL, config, checkpoint, *arguments)
    assert done.returncode == 2 and message in done.stderr
