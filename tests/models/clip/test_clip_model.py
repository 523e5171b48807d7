import json

import pytest
import torch
from fake_clip import save_archive, save_state_dict, tiny_clip

from rscc.models.clip import clip_model as module
from rscc.models.clip.clip_model import CLIPEmbedder, load_clip


def test_one_set_of_weights_has_one_fingerprint_in_every_file(tmp_path):
    clip = tiny_clip().half().float()
    files = save_state_dict(clip, tmp_path / 'a.pt'), save_archive(clip, tmp_path / 'b.pt')
    one, other = (load_clip(None, file) for file in files)
    assert one.fingerprint == other.fingerprint and len(one.fingerprint) == 16
    assert one.description == other.description and 'patch 8' in one.description
    assert load_clip(None, save_state_dict(tiny_clip(seed=1), tmp_path / 'c.pt')
                     ).fingerprint != one.fingerprint


@pytest.mark.parametrize('kind', ['vit', 'resnet'])
def test_it_is_ready_for_use(tmp_path, kind):
    loaded = load_clip(None, save_state_dict(tiny_clip(kind), tmp_path / 'x.pt'))
    assert not loaded.model.training and loaded.image_size == 32 and loaded.quick_gelu is True
    assert loaded.tokenizer(['a road']).shape == (1, 24)
    assert loaded.transform.transforms[-1].mean[0] == pytest.approx(0.48145466)


@pytest.fixture(params=['vit', 'resnet'])
def kind(request):
    return request.param


@pytest.fixture
def pixels():
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_pooled_features_are_open_clips_and_not_normalised(tmp_path, kind, pixels):
    clip = tiny_clip(kind)
    embedder = CLIPEmbedder(None, save_state_dict(clip, tmp_path / 'x.pt'))
    pooled, tokens = embedder(pixels)
    with torch.no_grad():
        torch.testing.assert_close(pooled, clip.encode_image(pixels), atol=1e-5, rtol=1e-4)
    height, width = embedder.token_grid
    assert tokens.shape == (3, height * width, pooled.shape[1])
    assert (pooled.norm(dim=1) - 1).abs().min() > 1e-3


def test_the_facts_say_what_the_features_depend_on(tmp_path, kind):
    facts = CLIPEmbedder(None, save_state_dict(tiny_clip(kind), tmp_path / 'x.pt')).facts
    assert json.loads(json.dumps(facts)) == facts
    assert set(facts) == {'model', 'architecture', 'weights', 'quick_gelu', 'preprocessing',
                          'normalised'}
    assert facts['preprocessing']['size'] == 32 and facts['preprocessing']['std'][0] < 0.27
    assert facts['model'] == facts['architecture'].split(' (')[0]


def test_it_stays_frozen_and_in_evaluation_mode(tmp_path, kind, pixels):
    embedder = CLIPEmbedder(None, save_state_dict(tiny_clip(kind), tmp_path / 'x.pt')).train()
    assert not any(inner.training for inner in embedder.modules())
    assert not any(parameter.requires_grad for parameter in embedder.parameters())
    assert torch.equal(embedder(pixels)[1], embedder(pixels)[1])


def test_an_unknown_kind_of_tower_is_refused(tmp_path, monkeypatch):
    loaded = load_clip(None, save_state_dict(tiny_clip(), tmp_path / 'x.pt'))
    monkeypatch.setattr(module, 'load_clip', lambda *_: loaded)
    monkeypatch.setattr(module, 'visual_tower', lambda tensors: None)
    with pytest.raises(ValueError, match=r"cannot be stored: only those of CLIP's own ViT"):
        CLIPEmbedder(None, 'x.pt')
