import re

import pytest
import torch
from fake_data import write_fake_dataset
from mmengine.config import Config

from rscc.engine.checkpoint import read_checkpoint

TOOL = 'analysis_tools/set_thresholds.py'
BIAS, FLAG = 'change_head.conv_seg.bias', 'flag_head.classifier.1'


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A config with map, sentences and flag on a few fake pairs, and random weights of it."""
    home = tmp_path_factory.mktemp('data')
    cfg = Config.fromfile('configs/timm_synth.py')
    root = write_fake_dataset(home, cfg.train_dataloader.dataset, size=64)
    cfg.model.encoder.update(model='test_efficientnet', token_level=2, pretrained=None)
    for stage in ('train', 'val', 'test'):
        cfg[f'{stage}_dataloader'].dataset.update(data_root=str(root), cache=None)
        cfg[f'{stage}_dataloader'].batch_size = 2
    cfg.model.caption_head.tokenizer = dict(type='WordTokenizer', words=[
        '<pad>', '<unk>', '<start>', '<end>', 'a', 'house', 'is', 'built'])
    config = home / 'config.py'
    cfg.dump(str(config))
    torch.manual_seed(0)
    model = load_model_of(cfg)
    with torch.no_grad():  # random scores lie close together
        model.change_head.conv_seg.weight *= 60
        model.flag_head.classifier[-1].weight *= 60
    checkpoint = home / 'weights.pth'
    torch.save(model.state_dict(), checkpoint)  # bare weights
    return config, checkpoint, home


def load_model_of(cfg):
    from mmengine.registry import DefaultScope

    from rscc.registry import MODELS
    DefaultScope.get_instance('set_thresholds', scope_name='rscc')
    return MODELS.build(cfg.model)


def test_the_copy_has_the_offsets_that_were_found_and_answers_by_them(trained, run_tool, tmp_path):
    config, checkpoint, _ = trained
    out = tmp_path / 'set.pth'
    done = run_tool(TOOL, config, checkpoint, '--out', out, '--work-dir', tmp_path / 'work')
    assert done.returncode == 0, done.stderr
    before, after = (read_checkpoint(path) for path in (checkpoint, out))
    point = after['meta']['operating_point']
    old, new = before, after['state_dict']
    assert 'offset of "unchanged"' in done.stdout and 'written' in done.stdout
    assert new[BIAS][0] == pytest.approx(float(old[BIAS][0]) + point['threshold'], abs=1e-5)
    torch.testing.assert_close(new[BIAS][1:], old[BIAS][1:])
    other = [name for name in old if name not in (BIAS, f'{FLAG}.weight', f'{FLAG}.bias')
             and not name.startswith('flag_head')]
    assert all(torch.equal(old[name], new[name]) for name in other)
    # Measured again, the model stands at its best threshold: zero.
    again = run_tool(TOOL, config, out, '--dry-run', '--work-dir', tmp_path / 'again')
    assert point['F1_best'] >= point['F1_trained']
    told = float(re.search(r'F1_changed ([0-9.]+) ->', again.stdout)[1])
    assert told == pytest.approx(point['F1_best'], abs=0.003)  # scores are counted in bins


def test_a_dry_run_writes_nothing(trained, run_tool, tmp_path):
    config, checkpoint, home = trained
    files = set(home.iterdir())
    done = run_tool(TOOL, config, checkpoint, '--dry-run', '--work-dir', tmp_path / 'work')
    assert done.returncode == 0 and 'change flag' in done.stdout and 'written' not in done.stdout
    assert set(home.iterdir()) == files


@pytest.mark.parametrize('arguments', [(), ('--dry-run', '--out', 'x.pth')])
def test_a_place_for_the_copy_or_a_dry_run_is_asked_for(trained, run_tool, arguments):
    config, checkpoint, _ = trained
    done = run_tool(TOOL, config, checkpoint, *arguments)
    assert done.returncode == 2 and '--out CKPT for the copy, or --dry-run' in done.stderr
