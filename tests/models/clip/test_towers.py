import pytest
import torch
from fake_clip import tiny_clip
from fake_siglip import save_siglip

from rscc.models.clip.towers import VisualTower, describe_text, describe_visual, visual_tower


@pytest.mark.parametrize(('tower', 'words'), [
    (VisualTower(12, 768, 16), 'ViT-B/16 (width 768, 12 layers)'),
    (VisualTower(24, 1024, 14), 'ViT-L/14 (width 1024, 24 layers)'),
    (VisualTower(3, 96, 4), 'ViT with patch 4 (width 96, 3 layers)'),
    (VisualTower((3, 4, 6, 3), 64), 'ResNet (layers 3-4-6-3, width 64)'),
])
def test_towers_have_the_names_people_know(tower, words):
    assert str(tower) == words


def test_towers_are_recognised_by_their_tensors():
    assert visual_tower(tiny_clip('vit', layers=3).visual.state_dict()) == VisualTower(3, 64, 8)
    resnet = tiny_clip('resnet').visual.state_dict()
    assert visual_tower(resnet) == VisualTower((1, 2, 1, 1), 8)
    assert describe_visual(resnet) == 'a ResNet (layers 1-2-1-1, width 8), output 32'


def test_text_towers_say_width_depth_length_and_output():
    assert describe_text(tiny_clip().state_dict()) == (
        'a text transformer (width 64, 2 layers, 24 positions), output 32')


def test_what_is_unknown_shows_its_keys():
    other = {'trunk.stem.weight': torch.zeros(1), 'head.bias': torch.zeros(1)}
    assert visual_tower(other) is None
    for describe in (describe_visual, describe_text):
        assert "its keys begin ['head.bias', 'trunk.stem.weight']" in describe(other)


def test_siglips_towers_are_recognised_by_their_own_names(tmp_path):
    model = save_siglip(tmp_path / 'siglip', vocabulary=64)
    vision, text = model.vision_model.state_dict(), model.text_model.state_dict()
    assert visual_tower(vision) == VisualTower(4, 32, 16)
    assert describe_visual(vision) == (
        'a SigLIP ViT with patch 16 (width 32, 4 layers), 4 positions')
    assert describe_text(text) == (
        'a SigLIP text transformer (width 32, 2 layers, 64 positions, 64 tokens)')


@pytest.mark.parametrize(('tower', 'heads'), [
    (VisualTower(12, 768, 32), 12), (VisualTower(24, 1024, 14), 16), (VisualTower(32, 1280, 14), 16)
])
def test_sizes_tell_the_heads_that_no_tensor_tells(tower, heads):
    assert tower.heads == heads
