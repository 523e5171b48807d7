"""BLIP's config with parts so narrow that a step takes milliseconds."""
import pytest

from rscc.apis.benchmark import subject

NARROW = {'model.fusion.channels': 48, 'model.caption_head.memory_channels': 48,
          'model.flag_head.in_channels': 144}


@pytest.fixture
def narrow(monkeypatch):
    """Shrink the stand-ins for BLIP-base; return the overrides that the config then needs."""
    small = dict(hidden_size=48, intermediate_size=64, num_hidden_layers=2, num_attention_heads=12)
    monkeypatch.setattr(subject, 'STAND_INS', {
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
