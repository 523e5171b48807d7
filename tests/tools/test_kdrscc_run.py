"""KD-RSCC from training to answers: averages, batch norms, vocabulary and spoilt batches."""
import json

import cv2
import pytest
import torch
from fake_data import write_fake_dataset
from mmengine.config import Config
from mmengine.logging import MMLogger

from rscc.apis.inferencer import ChangeInferencer
from rscc.engine.checkpoint import read_checkpoint
from rscc.engine.runner import Runner

WORDS = ['a', 'house', 'has', 'been', 'built', 'the', 'scene', 'is', 'same', 'as', 'before']
SMALL = {
    'model.encoder.backbone.base_channels': 8, 'model.encoder.backbone.stem_channels': 8,
    'model.encoder.out_channels': 32, 'model.encoder.embed_dims': 32,
    'model.caption_head.memory_channels': 32, 'model.caption_head.decoding.steps': 3,
    'model.caption_head.rows_per_sample': 2, 'train_cfg.max_epochs': 1, 'train_cfg.val_interval': 1,
    'train_dataloader.batch_size': 2, 'default_hooks.panels.num_val': 0,
    'default_hooks.checkpoint.save_best': None, 'default_hooks.checkpoint.rule': None}


@pytest.fixture
def runner(repo, tmp_path, monkeypatch):
    """Return a function that builds a run of one of the small configs, smaller still."""
    monkeypatch.setenv('RSCC_DATA', str(tmp_path))
    names = []

    def build(config='kdrscc_synth.py', **changes):
        cfg = Config.fromfile(repo / 'configs' / config)
        cfg.merge_from_dict(SMALL | changes)
        channels = 32
        if cfg.model.fusion.type == 'DifferenceFusion':
            cfg.model.fusion.channels = channels
        if cfg.model.get('flag_head'):
            cfg.model.flag_head.in_channels = 3 * channels
        if cfg.model.get('change_head'):
            cfg.model.change_head.in_channels = [24, 48, 96, 192]
        cfg.test_evaluator[0].meteor = False  # Java takes longer than all the rest
        names.append(f'{tmp_path.name}_{len(names)}')
        cfg.experiment_name, cfg.work_dir = names[-1], str(tmp_path / 'run')
        root = write_fake_dataset(tmp_path, cfg.train_dataloader.dataset)
        (root / 'vocab_en.json').write_text(json.dumps(WORDS))
        return Runner.from_cfg(cfg)

    yield build
    for name in [n for n in MMLogger._instance_dict if n.startswith(tmp_path.name)]:
        MMLogger._instance_dict.pop(name)


def copy_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize('config', ['kdrscc_synth.py', 'kdrscc_faithful_synth.py'])
def test_a_run_averages_all_that_answers_and_needs_no_vocabulary_after(runner, tmp_path, config):
    run = runner(config)
    run.train()
    path = tmp_path / 'run' / 'epoch_1.pth'
    stored = read_checkpoint(path)
    averaged, trained = stored['state_dict'], stored['ema_state_dict']
    for part in ('encoder.backbone.conv1.weight', 'caption_head.space.table',
                 'caption_head.denoiser.words_out.2.weight'):
        assert not torch.equal(averaged[part], trained[f'module.{part}']), part
    assert averaged['caption_head.caption_length'] == 22
    (tmp_path / 'synth' / 'vocab_en.json').unlink()
    inferencer = ChangeInferencer(None, path, device='cpu')
    for name, value in inferencer.model.caption_head.state_dict().items():
        assert torch.equal(value, averaged[f'caption_head.{name}']), name
    folder = tmp_path / 'synth' / 'images' / 'test'
    frames = [cv2.imread(str(folder / date / 'test_000000.png')) for date in 'AB']
    (result,) = inferencer([frames[0]], [frames[1]])
    caption = result.captions[0]
    assert set(caption.text.split()) <= set(WORDS) and caption.agreement == 1


def test_testing_moves_no_statistics_of_the_batch_norms(runner):
    run = runner()
    before = copy_of(run.model)
    metrics = run.test()
    assert 'caption/all/CIDEr' in metrics
    assert all(torch.equal(value, before[name]) for name, value in run.model.state_dict().items())
    norms = [module for module in run.model.modules() if 'BatchNorm' in type(module).__name__]
    assert norms and not any(module.training for module in norms)


def test_a_spoilt_batch_names_its_samples_and_their_noise(runner):
    run = runner()
    with torch.no_grad():
        run.model.caption_head.space.table[2] = float('nan')  # the start of every caption
    with pytest.raises(FloatingPointError, match=r'Samples of the batch: train_\d+.*, train_\d+.*'
                       r'\. sigma: train_\d+\S* \d[^;]*; train_\d+\S* \d[\d.e, -]*\. Last check'):
        run.train()
