"""Configs with parts so narrow that a step takes milliseconds: BLIP's and ChangeCLIP's."""
import json

import pytest
import torch
from fake_data import CHANGED, write_fake_dataset
from mmengine.config import Config

from rscc.datasets.base import NO_CHANGE_CAPTIONS
from rscc.registry import MODELS
from tools.benchmark import fakes
from tools.benchmark.tables import say

NARROW = {'model.fusion.channels': 48, 'model.caption_head.memory_channels': 48,
          'model.flag_head.in_channels': 144}


@pytest.fixture
def cells():
    """Return a function: a section and the English head of a column -> its cells in English."""
    def read(section, column):
        heads = [say(head, 'en') for head in section.columns]
        return [say(row[heads.index(column)], 'en') for row in section.rows]

    return read


@pytest.fixture
def narrow(monkeypatch):
    """Shrink the fakes of BLIP-base; return the overrides that the config then needs."""
    small = dict(hidden_size=48, intermediate_size=64, num_hidden_layers=2, num_attention_heads=12)
    monkeypatch.setattr(fakes, 'FAKES', {
        'BlipViT': dict(small, image_size=64, patch_size=16),
        'BlipCaptionHead': dict(small, max_position_embeddings=512)})
    return NARROW


@pytest.fixture
def blip(repo):
    return str(repo / 'configs/blip_levircc.py')


@pytest.fixture
def light(repo, tmp_path, monkeypatch):
    """The light config, with an empty folder of datasets."""
    monkeypatch.setenv('RSCC_DATA', str(tmp_path))
    return str(repo / 'configs/blip_synth.py')


@pytest.fixture
def narrow_clip():
    """Overrides that make ChangeCLIP's config narrow."""
    text = dict(width=16, heads=2, layers=2, embed_dim=32)
    values = {
        'encoder': dict(layers=(1, 1, 1, 1), width=8, heads=4, output_dim=32, input_resolution=64),
        'fusion': dict(in_channels=(32, 64, 128, 256), text_channels=32, channels=16, reduction=4,
                       context_decoder=dict(width=16, heads=2, layers=1)),
        'fusion.prompt_encoder.text_encoder': text,
        'change_head': dict(text_channels=32, in_channels=16, channels=8, groups=4, rank=8)}
    return {f'model.{part}.{key}': value for part, fields in values.items()
            for key, value in fields.items()}


@pytest.fixture
def changeclip(repo):
    return str(repo / 'configs/changeclip_rn50_levircd.py')


@pytest.fixture
def detector(changeclip, narrow_clip, tmp_path):
    """ChangeCLIP's config as a file of its own, narrow, on frames of 64 pixels."""
    cfg = Config.fromfile(changeclip)
    cfg.merge_from_dict(narrow_clip)
    for step in cfg.train_dataloader.dataset.pipeline:
        if step.type == 'FramesRandomCrop':
            step.size = (64, 64)
    path = tmp_path / 'detector.py'
    cfg.dump(path)
    return str(path)


@pytest.fixture
def trained(repo, tmp_path, monkeypatch):
    """Return a function: a config's name -> config and checkpoint of random weights, with data."""
    monkeypatch.setenv('RSCC_DATA', str(tmp_path))
    words = {word for text in CHANGED['en'] + NO_CHANGE_CAPTIONS['en'] for word in text.split()}

    def make(name, pairs=5):
        config = repo / f'configs/{name}.py'
        cfg = Config.fromfile(config)
        write_fake_dataset(tmp_path, cfg.test_dataloader.dataset, pairs=pairs)
        (tmp_path / 'synth/vocab_en.json').write_text(json.dumps(sorted(words)))
        torch.manual_seed(0)
        model = MODELS.build(cfg.model)
        path = tmp_path / f'{name}.pth'
        torch.save(dict(meta={}, state_dict=model.state_dict()), path)
        return str(config), str(path)

    return make


@pytest.fixture
def kdrscc(repo):
    return str(repo / 'configs/kdrscc_levircc.py')


@pytest.fixture
def narrow_kdrscc():
    """Overrides that make KD-RSCC's config narrow."""
    backbone = dict(depth=18, base_channels=8, stem_channels=8)
    head = dict(memory_channels=32, denoiser=dict(
        hidden_dims=32, num_layers=1, num_heads=2, feedforward_dims=32, alignment_heads=2,
        alignment_dims=32))
    return {'model.encoder.pool_tokens': 2,
            **{f'model.encoder.backbone.{key}': value for key, value in backbone.items()},
            **{f'model.caption_head.{key}': value for key, value in head.items()}}
