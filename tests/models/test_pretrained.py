import pytest
import torch
from torch import nn

from rscc import compat
from rscc.models.pretrained import fingerprint, make_config, without_pretrained


@pytest.fixture
def kind():
    return compat.import_transformers().GPT2Config


def test_a_configuration_has_the_given_fields(kind):
    config = make_config(kind, dict(n_layer=3, hidden_size=8, architectures=['X']), 'decoder')
    assert (config.n_layer, config.n_embd) == (3, 8)


def test_a_misspelt_field_names_owner_kind_and_nearest(kind):
    with pytest.raises(TypeError, match=r"decoder: GPT2Config has no 'n_heads'\. Did you mean "
                       r"'n_head'\? Fields: .*n_embd"):
        make_config(kind, dict(n_heads=3), 'decoder')


@pytest.mark.parametrize('part', [
    dict(type='BlipViT', config=dict(hiden_size=8)),
    dict(type='BlipCaptionHead', memory_channels=8, config=dict(hiden_size=8),
         tokenizer=dict(type='WordTokenizer', words=['a']))])
def test_every_part_made_of_such_fields_checks_them(part):
    from rscc.registry import MODELS
    with pytest.raises(TypeError, match=f"{part['type']}: .* Did you mean 'hidden_size'"):
        MODELS.build(part)


def test_only_parts_whose_config_tells_everything_do_without_their_weights():
    cfg = dict(
        encoder=dict(type='CLIPResNet', pretrained='RN50:openai'),
        heads=[dict(text=dict(type='CLIPTextEncoder', width=8, pretrained='file.pt'))],
        caption_head=dict(type='BlipCaptionHead', pretrained='name'),
        backbone=dict(type='mmseg.ResNet', depth=18, pretrained='torchvision://resnet18'))
    without_pretrained(cfg)
    assert cfg['encoder']['pretrained'] is None
    assert cfg['heads'][0]['text'] == dict(type='CLIPTextEncoder', width=8, pretrained=None)
    assert cfg['caption_head']['pretrained'] == 'name'
    assert cfg['backbone']['pretrained'] == 'torchvision://resnet18'


def test_weights_and_statistics_count_and_files_do_not():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    twin = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    assert fingerprint(twin) != fingerprint(model)
    twin.load_state_dict(model.state_dict())
    assert fingerprint(twin) == fingerprint(model) == fingerprint(model.double())
    assert len(fingerprint(model)) == 16
    twin[1].running_mean[0] += 1
    assert fingerprint(twin) != fingerprint(model)
