import json
import shutil

import pytest
import tiny_models
import torch
from mmengine.config import Config
from testers import EncoderTester, build_interpreter, data_samples

from rscc import compat
from rscc.apis.launch import expect_checkpoint
from rscc.inference.loading import load_model
from rscc.models.contracts import Normalisation
from rscc.models.encoders.backbone import BackboneEncoder
from rscc.models.encoders.base import build_encoder
from rscc.registry import MODELS

RESNET = dict(type='mmseg.ResNet', depth=18, base_channels=8, stem_channels=8)


class TestBackboneEncoder(EncoderTester):
    cfg = dict(type='BackboneEncoder', backbone=RESNET, out_channels=64, embed_dims=16,
               position=True, channels_last=True)
    size = (64, 96)

    @torch.no_grad()
    def test_all_stages_are_returned(self):
        features = self.build()(self.inputs())
        strides = [64 // feature.shape[-2] for feature in features.maps]
        assert strides == [4, 8, 16, 32]
        assert features.tokens.shape == (2, 2, 2 * 3, 16)


class TestPlainBackbone(EncoderTester):
    cfg = RESNET
    size = (64, 64)


def test_a_backbone_by_scope_is_wrapped():
    assert isinstance(build_encoder(dict(RESNET)), BackboneEncoder)


def test_a_timm_model_by_scope_is_wrapped():
    pytest.importorskip('timm')
    encoder = build_encoder(dict(type='mmseg.TIMMBackbone', model_name='resnet10t',
                                 features_only=True, pretrained=False))
    assert encoder(torch.zeros(1, 2, 3, 32, 32)).tokens.shape[:2] == (1, 2)


def timm_backbone(name, **options):
    return dict(type='mmseg.TIMMBackbone', model_name=name, features_only=True, pretrained=False,
                **options)


VIT = dict(depth=4, embed_dim=64, num_heads=2)


def test_an_unknown_name_of_timm_gets_the_nearest_and_the_encoder_to_use():
    with pytest.raises(ValueError, match=r"mmseg\.TIMMBackbone: timm knows no model 'resnet81'\. "
                       r"Did you mean 'resnet\w+'\? Use encoder=dict\(type='TimmEncoder', "):
        build_encoder(timm_backbone('resnet81'))


def test_channels_of_a_timm_transformer_are_compared_before_training():
    """It runs on images of its own size alone, so that is what shows its widths."""
    backbone = timm_backbone('vit_tiny_patch16_224', **VIT)
    with pytest.raises(ValueError, match=r'BackboneEncoder projects a map of width 32 '
                       r'\(out_channels\) and map -1 .* is 64 wide'):
        build_interpreter(encoder=dict(type='BackboneEncoder', backbone=backbone, out_channels=32,
                                       embed_dims=16), change_head=None)
    with pytest.raises(ValueError, match=r'DifferenceFusion reads tokens of width 16 \(channels\) '
                       r'and BackboneEncoder of TIMMBackbone gives 64: set channels=64'):
        build_interpreter(encoder=backbone, change_head=None)


def test_another_image_size_for_a_timm_transformer_names_the_encoder_to_use():
    encoder = build_encoder(timm_backbone('vit_tiny_patch16_224', **VIT))
    with pytest.raises(ValueError, match=r'mmseg\.TIMMBackbone does not take images of 64 x 64 px '
                       r"\(Input height.*Use encoder=dict\(type='TimmEncoder', model=NAME\)"):
        encoder(torch.zeros(1, 2, 3, 64, 64))


def test_a_timm_model_that_runs_on_no_image_names_the_encoder_to_use(monkeypatch):
    encoder = build_encoder(timm_backbone('vit_tiny_patch16_224', **VIT))
    monkeypatch.setattr('rscc.models.encoders.backbone._own_side', lambda model: 96)
    with pytest.raises(ValueError, match=r'cannot run this model of timm on images of 64 or 96 '
                       r"px\. Use encoder=dict\(type='TimmEncoder'"):
        encoder.gives()


@pytest.mark.parametrize('cfg', [
    dict(type='BackboneEncoder', backbone=dict(type='mmseg.ResNet', depth=18, base_channels=4)),
    dict(type='CLIPResNet', layers=(1, 1, 1, 1), width=8, heads=4, output_dim=16),
    dict(type='CLIPViT', width=32, layers=4, heads=2, output_dim=16, out_indices=(0, 1, 2, 3)),
    dict(type='BlipViT', config=dict(hidden_size=32, num_hidden_layers=3, num_attention_heads=2,
                                     intermediate_size=32, image_size=32)),
])
def test_encoders_tell_how_deep_their_parameters_lie(cfg):
    encoder = build_encoder(cfg)
    depths = encoder.parameter_depths()
    names = {name for name, _ in encoder.named_parameters()}
    assert {name.split('.')[0] for name in names - set(depths)} <= {'pyramid', 'project'}
    assert set(depths.values()) == set(range(max(depths.values()) + 1))
    first = next(name for name in depths if 'conv1' in name or 'embedding' in name)
    last = {'BackboneEncoder': 'layer4.1', 'CLIPResNet': 'attnpool', 'CLIPViT': 'ln_post',
            'BlipViT': 'post_layernorm'}[cfg['type']]
    assert depths[first] == 0
    assert {depth for name, depth in depths.items() if last in name} == {max(depths.values())}


def test_a_backbone_of_unknown_layers_tells_nothing():
    assert build_encoder(timm_backbone('test_efficientnet')).parameter_depths() == {}


def test_projection_without_the_width_is_refused():
    with pytest.raises(ValueError, match='needs out_channels'):
        MODELS.build(dict(type='BackboneEncoder', backbone=RESNET, embed_dims=16))


class TestPooledTokens(EncoderTester):
    cfg = dict(type='BackboneEncoder', backbone=RESNET, pool_tokens=3)
    size = (64, 96)


@torch.no_grad()
def test_pooled_tokens_are_the_means_of_their_places():
    cfg = dict(type='BackboneEncoder', backbone=RESNET, token_level=0)
    torch.manual_seed(0)
    whole = MODELS.build(cfg).eval()
    pooled = MODELS.build(cfg | dict(pool_tokens=(4, 2))).eval()
    pooled.load_state_dict(whole.state_dict())
    images = torch.randn(1, 1, 3, 32, 32)
    features = pooled(images)
    assert features.token_grid == (4, 2)
    expected = whole(images).maps[0][0, 0].unflatten(1, (4, 2)).unflatten(3, (2, 4)).mean((2, 4))
    torch.testing.assert_close(features.tokens[0, 0].T, expected.flatten(1))
    assert features.maps[0].shape[-2:] == (8, 8), 'the maps stay as they are'


class TestTransformersBackbone(EncoderTester):
    cfg = dict(type='BackboneEncoder', backbone=dict(
        type='TransformersBackbone', drop_path_rate=0.0, config=dict(
            model_type='swin', embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 2])))
    size = (64, 96)

    def test_one_of_name_and_config_is_given(self):
        for options in ({}, dict(pretrained='x', config=dict(model_type='swin'))):
            with pytest.raises(ValueError, match=r'TransformersBackbone takes .* give one of the'):
                MODELS.build(dict(type='TransformersBackbone', **options))


@torch.no_grad()
def test_a_swin_takes_images_of_any_size_and_the_map_is_theirs():
    head = dict(type='mmseg.UPerHead', in_channels='auto', in_index=[0, 1, 2, 3], channels=8,
                num_classes=2, out_channels=1, threshold=0.5, norm_cfg=dict(type='BN'),
                loss_decode=dict(type='rscc.DiceLoss'))
    model = MODELS.build(dict(type='ChangeInterpreter', encoder=TestTransformersBackbone.cfg,
                              fusion=dict(type='MapFusion', kind='signed'), change_head=head))
    frames = torch.randint(0, 256, (2, 3, 75, 53), dtype=torch.uint8)
    (answer, ) = model.eval().test_step(dict(inputs=[frames], data_samples=data_samples(
        1, size=(75, 53))))
    assert model.data_preprocessor.size_divisor == 1
    assert answer.pred_sem_seg.data.shape == (1, 75, 53)


@pytest.fixture
def swin(tmp_path):
    """A folder with a Swin classifier in miniature."""
    kind = compat.import_transformers('models.swin')
    torch.manual_seed(0)
    kind.SwinForImageClassification(kind.SwinConfig(
        embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 2], window_size=4,
        drop_path_rate=0.3)).save_pretrained(tmp_path / 'swin')
    return tmp_path / 'swin'


def detector(swin, **options):
    return dict(type='ChangeInterpreter', fusion=dict(type='MapFusion', kind='signed'),
                encoder=dict(type='BackboneEncoder', backbone=dict(
                    type='TransformersBackbone', pretrained=str(swin), **options)),
                change_head=tiny_models.FPN | dict(in_channels=[8, 16, 32, 64]))


def test_a_checkpoint_answers_without_the_weights_that_it_started_from(swin, tmp_path):
    file = tiny_models.save(tmp_path / 'trained.pth', detector(swin, drop_path_rate=0.1))
    frames = torch.randint(0, 256, (2, 3, 70, 64), dtype=torch.uint8)
    with_source = load_model(None, file, torch.device('cpu')).model
    shutil.rmtree(swin)
    answers = [model.test_step(dict(inputs=[frames], data_samples=data_samples(1)))[0]
               for model in (with_source, load_model(None, file, torch.device('cpu')).model)]
    assert torch.equal(*(answer.pred_sem_seg.data for answer in answers))
    with pytest.raises(OSError, match='swin'):
        MODELS.build(detector(swin))


def test_tests_of_a_config_need_no_weights_beside_the_checkpoint(swin, tmp_path):
    file = tiny_models.save(tmp_path / 'trained.pth', detector(swin))
    cfg = Config(dict(model=detector('no/such-model')))
    expect_checkpoint(cfg, str(file))
    assert cfg.model.encoder.backbone.pretrained is None
    assert cfg.model.encoder.backbone.config.window_size == 4
    MODELS.build(cfg.model).load_state_dict(torch.load(file)['state_dict'])


def test_weights_without_the_architecture_load_all_the_same(swin):
    encoder = build_encoder(detector(swin)['encoder'])
    state = {name: value for name, value in encoder.state_dict().items()
             if name != 'backbone.architecture'}
    assert len(state) == len(encoder.state_dict()) - 1
    encoder.load_state_dict(state)


IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 'torchvision://resnet18')


@pytest.mark.parametrize(('origin', 'expected'), [
    (dict(init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet18')), IMAGENET),
    (dict(pretrained='torchvision://resnet18'), IMAGENET),
    (dict(pretrained='open-mmlab://resnet18_v1c'), None),
    (dict(init_cfg=dict(type='Pretrained', checkpoint='ours.pth')), None), ({}, None)])
def test_weights_of_torchvision_tell_their_statistics(origin, expected):
    encoder = build_encoder(RESNET | origin)
    assert encoder.normalisation() == expected
    model = MODELS.build(dict(
        type='ChangeInterpreter', encoder=RESNET | origin, fusion=dict(type='MapFusion'),
        change_head=tiny_models.FPN | dict(in_channels=[8, 16, 32, 64])))
    assert model.data_preprocessor.normalisation.source == (
        'torchvision://resnet18' if expected else 'the default')


@pytest.mark.parametrize(('told', 'known'), [
    (dict(image_mean=[0.4, 0.5, 0.6], image_std=[0.2, 0.3, 0.4]), True),
    (dict(image_mean=[0.4, 0.5, 0.6], image_std=[0.2, 0.3, 0.4], do_normalize=False), False),
    (dict(image_mean=[124, 116, 104], image_std=[58, 57, 57]), False),  # not from 0 to 1
    (dict(image_mean=None), False), ({}, False), (None, False)])
def test_statistics_are_read_beside_the_weights(swin, told, known):
    if told is not None:
        (swin / 'preprocessor_config.json').write_text(json.dumps(told), encoding='utf-8')
    encoder = build_encoder(detector(swin)['encoder'])
    assert encoder.normalisation() == (Normalisation(
        (0.4, 0.5, 0.6), (0.2, 0.3, 0.4), 'swin') if known else None)


def test_damaged_statistics_are_an_error(swin):
    (swin / 'preprocessor_config.json').write_text('{"image_mean": "grey"}', encoding='utf-8')
    with pytest.raises(ValueError, match=r"preprocessor_config\.json of '.*swin': image_mean is a "
                       'string'):
        build_encoder(detector(swin)['encoder'])
