"""The training of the shipped model in miniature: the same twice, and the same after a stop."""
import argparse

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook

from rscc.apis.launch import build_runner, load_config
from rscc.commands.train import add_arguments
from rscc.synth.generator import Parameters, generate

SIDE = 64


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """The built-in dataset in both looks, four pairs each, and two tiles of every city."""
    folder, draw = tmp_path_factory.mktemp('data'), np.random.default_rng(0)
    cfg = Config.fromfile('configs/rscc_small.py')
    for tiles in cfg.train_tiles + cfg.held_back_tiles:
        place = folder / 'tiles' / tiles.data_root.removeprefix('$RSCC_TRAIN/')
        write_tiles(place, tiles.get('images', 'image'), tiles.get('masks', 'label') or 'none',
                    tiles.get('other_dates', ()), draw)
    for name in ('synth', 'synth_varied'):
        generate(folder / name, Parameters(train=4, val=2, test=2, seed=0), jobs=1)
    return folder


def write_tiles(folder, images, masks, others, draw):
    """Write tiles with a building each, at all their dates."""
    for kind in (images, masks, *others):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for name in ('rio_1', 'other_2', 'sn8_2', 'm_2018', 'm_2019'):
        image = cv2.resize(draw.integers(60, 200, (9, 9, 3), dtype=np.uint8), (160, 160))
        mask = np.zeros((160, 160), np.uint8)
        left, top = draw.integers(10, 90, 2)
        mask[top:top + 40, left:left + 50] = 255
        image[mask > 0] = draw.integers(0, 255, 3)
        for kind in (images, *others):
            cv2.imwrite(str(folder / kind / f'{name}.png'), image)
        cv2.imwrite(str(folder / masks / f'{name}.png'), mask)
    (folder / 'building_free.txt').write_text('other_2.png\n')


@pytest.fixture
def training(data, tmp_path, monkeypatch):
    """Return a function that trains a config in miniature and returns its weights."""
    monkeypatch.setenv('RSCC_TRAIN', str(data / 'tiles'))
    monkeypatch.setenv('RSCC_DATA', str(data))

    def train(config, work, steps, *arguments, amp=False, stop=None, **settings):
        parser = argparse.ArgumentParser()
        add_arguments(parser)
        shrunken = {
            'model.encoder.pretrained': None, 'model.data_preprocessor.train_sizes': None,
            'train_dataloader.batch_size': 3, 'train_cfg.max_iters': steps,
            'train_cfg.val_interval': steps + 1, 'default_hooks.checkpoint.interval': 2,
            'default_hooks.checkpoint.save_best': None, 'visualizer.vis_backends': [], **settings}
        if amp:
            # What is faster in float32 is found by time, which two runs may find otherwise.
            arguments, shrunken['optim_wrapper.full_precision'] = (*arguments, '--amp'), ()
        args = parser.parse_args([config, '--work-dir', str(tmp_path / work), *arguments])
        args.cfg_options = shrunken
        cfg = load_config(args, stages=('train', ))
        cfg.experiment_name, cfg.resume = f'{work}_{arguments}', bool(args.resume)
        cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
        pseudo, *rendered = cfg.train_dataloader.dataset.datasets
        pseudo.update(size=(SIDE, SIDE), length=40)
        for part in rendered:
            part.indices = 4
            part.pipeline.insert(2, dict(type='FramesRandomCrop', size=SIDE))
        runner = build_runner(cfg)
        if stop is not None:
            runner.register_hook(Stop(stop))
            with pytest.raises(KeyboardInterrupt):
                runner.train()
            return None
        runner.train()
        return torch.load(tmp_path / work / f'iter_{steps}.pth', weights_only=False)

    return train


class Stop(Hook):
    """Interrupt a training after some steps."""

    def __init__(self, steps):
        self.steps = steps

    def after_train_iter(self, runner, *given, **_):
        if runner.iter + 1 == self.steps:
            raise KeyboardInterrupt


def differences(one, other, key='state_dict'):
    assert one[key].keys() == other[key].keys()
    return [name for name, value in one[key].items() if not torch.equal(value, other[key][name])]


def test_the_same_seed_gives_the_same_weights(training):
    first, second = (training('configs/rscc_small.py', name, 6) for name in ('first', 'second'))
    assert not differences(first, second) and not differences(first, second, 'ema_state_dict')
    other = training('configs/rscc_small.py', 'other', 6, **{'randomness.seed': 1})
    assert len(differences(first, other)) > 100


def test_the_training_for_a_gpu_goes_on_after_a_stop_as_if_there_were_none(training):
    def run(*arguments, **options):
        return training('configs/rscc_small_gpu.py', *arguments, amp=True,
                        **{'train_dataloader.num_workers': 2}, **options)
    whole = run('whole', 4)
    assert whole['meta']['iter'] == 4
    run('stopped', 4, stop=3)
    resumed = run('stopped', 4, '--resume')
    assert not differences(whole, resumed) and not differences(whole, resumed, 'ema_state_dict')
    # The rate of a large batch, after the warmup of one step.
    assert max(group['initial_lr'] for group in whole['optimizer']['param_groups']) == 2e-3
