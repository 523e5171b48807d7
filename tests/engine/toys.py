"""A dataset, a model and a config so small that whole runs fit into a test.

Everything that could spoil a resumed run is there: dropout, batch statistics, augmentation that
depends on the epoch, a momentum optimizer, a schedule.
"""
import os
import signal
import time
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from torch import nn

from rscc.registry import DATASETS, HOOKS, METRICS, MODELS
from rscc.structures import ChangeDataSample


@DATASETS.register_module(force=True)
class ToyPairs(BaseDataset):

    def __init__(self, length=16, poison=None, kill_worker_at=None, **kwargs):
        self.length, self.poison, self.epoch = length, poison, torch.zeros(()).share_memory_()
        self.kill_worker_at = kill_worker_at
        super().__init__(**kwargs)

    def load_data_list(self):
        return [{'index': index} for index in range(self.length)]

    def set_epoch(self, epoch):
        self.epoch.fill_(epoch)

    def get_cat_ids(self, idx):
        return [idx % 2]

    def prepare_data(self, index):
        if index == self.kill_worker_at and torch.utils.data.get_worker_info() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        rng = np.random.default_rng((int(getattr(index, 'epoch', self.epoch)), index))
        inputs = torch.from_numpy(rng.integers(0, 256, (2, 3, 8, 8), dtype=np.uint8))
        sample = ChangeDataSample(metainfo={
            'sample_id': f'toy_{index:03d}', 'img_path_from': 'a.png', 'img_path_to': 'b.png'})
        sample.gt_change_flag = bool(index % 2)
        return {'inputs': inputs, 'data_samples': sample, 'poison': index == self.poison}


@MODELS.register_module(force=True)
class ToyModel(BaseModel):

    def __init__(self, width=6, seconds=0.0):
        super().__init__()
        self.seconds = seconds
        self.encoder = nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.ReLU())
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(2 * width, 1))

    def forward(self, inputs, data_samples, mode='tensor', poison=()):
        frames = torch.stack(inputs).float() / 255
        maps = self.encoder(frames.flatten(0, 1)).mean((2, 3))
        logits = self.head(maps.unflatten(0, frames.shape[:2]).flatten(1))[:, 0]
        if mode == 'loss':
            time.sleep(self.seconds)
            flags = torch.tensor([float(s.gt_change_flag) for s in data_samples]).to(logits)
            loss = nn.functional.binary_cross_entropy_with_logits(logits, flags)
            return {'flag.loss_ce': loss * float('nan') if any(poison) else loss}
        self.seen_dtype = logits.dtype
        for sample, logit in zip(data_samples, logits, strict=True):
            sample.pred_change_score = float(logit.float().sigmoid())
            sample.raw = logit
        return data_samples


@METRICS.register_module(force=True)
class ToyMetric(BaseMetric):
    default_prefix = 'change'

    def process(self, data_batch, data_samples):
        assert all(sample['raw'].dtype == torch.float32 for sample in data_samples)
        self.results += [(s['pred_change_score'] >= 0.5) == s['gt_change_flag']
                         for s in data_samples]

    def compute_metrics(self, results):
        return {'OA': float(np.mean(results))}


@HOOKS.register_module(force=True)
class KillHook(Hook):
    """Die without a word at one iteration, as by the system's out-of-memory killer."""

    def __init__(self, at_iter):
        self.at_iter = at_iter

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter == self.at_iter:
            os.kill(os.getpid(), signal.SIGKILL)


def toy_config(work_dir, **changes) -> Config:
    """A complete config over this project's runtime and schedule blocks."""
    base = Path(__file__).resolve().parents[2] / 'configs' / '_base_'
    cfg = Config.fromfile(base / 'runtime.py')
    cfg.merge_from_dict(Config.fromfile(base / 'schedules' / 'adamw_synth.py').to_dict())

    def loader(**kwargs):
        return {'batch_size': 4, 'num_workers': 0,
                'sampler': {'type': 'DefaultSampler', 'shuffle': True},
                'dataset': {'type': 'ToyPairs', **kwargs}}

    cfg.merge_from_dict({
        'custom_imports': {'imports': ['engine.toys']},
        'model': {'type': 'ToyModel'},
        'train_dataloader': loader(), 'val_dataloader': loader(), 'test_dataloader': loader(),
        'val_evaluator': {'type': 'ToyMetric'}, 'test_evaluator': {'type': 'ToyMetric'},
        'train_cfg': {'max_epochs': 3}, 'work_dir': str(work_dir),
        'optim_wrapper': {'optimizer': {'lr': 1e-3}},
        'default_hooks': {'logger': {'interval': 1}, 'throughput': {'warm_up': 1},
                          'checkpoint': {'save_best': None, 'rule': None},
                          'panels': {'num_val': 0}},
        'visualizer': {'name': Path(work_dir).name},
    })
    cfg.merge_from_dict(changes)
    return cfg
