import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from rscc import compat
from rscc.models.pretrained import (
    fingerprint,
    load_backbone,
    make_config,
    pack_architecture,
    random_backbone,
    unpack_architecture,
    without_pretrained,
)

SWIN = dict(model_type='swin', embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 2],
            image_size=64)


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
    without_pretrained(cfg, dict(state_dict={}))
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


def rename(folder, change):
    """Rewrite the weights of a folder: ``change`` returns the new name, or None to drop it."""
    file = folder / 'model.safetensors'
    renamed = {change(name): value for name, value in load_file(file).items()}
    save_file({name: value for name, value in renamed.items() if name}, file,
              metadata=dict(format='pt'))


@pytest.fixture
def segmenter(tmp_path):
    """A folder with a Mask2Former in miniature, and the backbone in it."""
    mask2former = compat.import_transformers('models.mask2former')
    torch.manual_seed(0)
    swin = make_config(compat.import_transformers('models.swin').SwinConfig, dict(
        embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 2], image_size=64,
        out_features=['stage1', 'stage2', 'stage3', 'stage4']), 'test')
    model = mask2former.Mask2FormerForUniversalSegmentation(mask2former.Mask2FormerConfig(
        backbone_config=swin, hidden_dim=32, feature_size=32, mask_feature_size=32,
        decoder_layers=2, encoder_layers=1, encoder_feedforward_dim=16, dim_feedforward=16,
        num_attention_heads=2))
    model.save_pretrained(tmp_path)
    return tmp_path, model.model.pixel_level_module.encoder


@torch.no_grad()
@pytest.mark.parametrize('published_swin_b', [False, True])
def test_the_backbone_of_a_segmenter_is_the_one_in_it(segmenter, published_swin_b):
    folder, original = segmenter
    if published_swin_b:  # facebook/mask2former-swin-base-IN21k-cityscapes-semantic
        rename(folder, lambda name: name.replace('level_module.encoder.',
                                                 'level_module.encoder.model.'))
    images = torch.randn(2, 3, 64, 64)
    loaded = load_backbone(str(folder)).eval()(images).feature_maps
    expected = original.eval()(images).feature_maps
    assert len(loaded) == 4
    assert all(torch.equal(one, other) for one, other in zip(loaded, expected, strict=True))


def test_weights_of_the_backbone_that_are_missing_are_an_error(segmenter):
    rename(segmenter[0], lambda name: None if 'hidden_states_norms.stage2' in name else name)
    with pytest.raises(ValueError, match=r'is not a model with an image backbone: 2 weights are '
                       r'missing .*hidden_states_norms\.stage2'):
        load_backbone(str(segmenter[0]))


def test_a_classifier_gives_its_stages_and_lacks_nothing_but_their_norms(tmp_path):
    swin = compat.import_transformers('models.swin')
    fields = {key: value for key, value in SWIN.items() if key != 'model_type'}
    model = swin.SwinForImageClassification(swin.SwinConfig(**fields))
    model.save_pretrained(tmp_path)
    backbone = load_backbone(str(tmp_path), drop_path_rate=0.4)
    assert list(backbone.channels) == [8, 16, 32, 64]
    assert backbone.config.drop_path_rate == 0.4
    theirs, ours = (module.state_dict() for module in (model.swin, backbone.swin))
    assert all(torch.equal(ours[name], value) for name, value in theirs.items())


def test_a_model_without_stages_is_refused(tmp_path):
    gpt2 = compat.import_transformers('models.gpt2')
    gpt2.GPT2Config(n_embd=8, n_layer=1, n_head=1).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match='is a gpt2 model, which has no stages that give maps'):
        load_backbone(str(tmp_path))


def test_random_backbones_check_their_fields():
    assert list(random_backbone(SWIN, 0.3).channels) == [8, 16, 32, 64]
    with pytest.raises(ValueError, match=r"model_type='swim' is unknown.* Did you mean 'swin'"):
        random_backbone(SWIN | dict(model_type='swim'))
    with pytest.raises(TypeError, match=r"no 'embed_dims'\. Did you mean 'embed_dim'"):
        random_backbone(SWIN | dict(embed_dims=8))


def test_an_architecture_packed_builds_the_same_backbone():
    backbone = random_backbone(SWIN | dict(window_size=5, qkv_bias=False), 0.3)
    packed = pack_architecture(backbone)
    assert packed.numel() == 4096  # of any release's fields
    fields = unpack_architecture(packed)
    assert fields['window_size'] == 5 and fields['qkv_bias'] is False
    assert 'drop_path_rate' not in fields  # an option of its own
    twin = random_backbone(fields)
    assert twin.config.window_size == 5 and torch.equal(pack_architecture(twin), packed)
    twin.load_state_dict(backbone.state_dict())


@pytest.mark.parametrize(('text', 'message'), [
    ('{"model_type": ', 'the architecture in the checkpoint is damaged: '),
    ('{"embed_dim": 8}', "the architecture in the checkpoint lacks 'model_type'"),
    ('{"model_type": "swin", "depths": [{}]}', r'depths.* was expected'),
    ('{"model_type": "swin", "hidden_act": "https://x.y/z"}',
     r"holds 'https://x\.y/z' \(hidden_act\), which may name a file or an address"),
])
def test_an_architecture_holds_plain_fields_only(text, message):
    with pytest.raises(ValueError, match=message):
        unpack_architecture(torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8))


def test_backbones_lose_the_name_where_the_checkpoint_tells_their_architecture():
    packed = pack_architecture(random_backbone(SWIN))
    def config():
        return dict(encoder=dict(type='BackboneEncoder', backbone=dict(
            type='TransformersBackbone', pretrained='some/swin')))
    cfg = config()
    without_pretrained(cfg, {'state_dict': {'encoder.backbone.architecture': packed}})
    assert cfg['encoder']['backbone'] == dict(
        type='TransformersBackbone', pretrained=None, config=unpack_architecture(packed))
    # An encoder's config alone, against the names of the whole model.
    alone = config()['encoder']
    without_pretrained(alone, {'module.encoder.backbone.architecture': packed})
    assert alone == cfg['encoder']
    for other in ({}, {'teacher.architecture': packed}, None):
        kept = config()
        without_pretrained(kept, other)
        assert kept == config()
