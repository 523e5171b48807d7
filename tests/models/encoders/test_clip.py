import pytest
import torch
from changeclip_records import (
    as_encoder,
    assert_backbone_is_reproduced,
    full_size,
    recorded_model,
    shapes,
)
from testers import EncoderTester
from torch import nn

from rscc import compat
from rscc.registry import MODELS

TINY = dict(type='CLIPResNet', layers=(1, 1, 1, 1), width=8, heads=4, output_dim=16,
            input_resolution=64)


class TestCLIPResNet(EncoderTester):
    cfg = TINY
    size = (64, 96)

    @torch.no_grad()
    def test_maps_have_strides_4_to_32_and_tokens_lie_on_the_coarsest(self):
        features = self.build()(self.inputs())
        assert [tuple(feature.shape) for feature in features.maps] == [
            (2, 2, 32, 16, 24), (2, 2, 64, 8, 12), (2, 2, 128, 4, 6), (2, 2, 256, 2, 3)]
        assert features.token_grid == (2, 3)
        assert features.tokens.shape == (2, 2, 6, 16) and features.pooled.shape == (2, 2, 16)

    @torch.no_grad()
    def test_pooled_is_what_open_clip_pools(self):
        encoder = self.build()
        images = torch.randn(2, 3, 64, 64)
        torch.testing.assert_close(encoder.encode(images).pooled, encoder.visual(images),
                                   atol=1e-5, rtol=1e-5)


def test_the_original_is_reproduced():
    record = recorded_model('rn50_tiny')
    config = record.config['backbone']
    encoder = MODELS.build(dict(
        type='CLIPResNet', layers=config['layers'], width=config['width'], heads=32,
        output_dim=config['output_dim'], input_resolution=config['input_resolution']))
    encoder.load_state_dict(as_encoder(record.weights))
    assert_backbone_is_reproduced(encoder, record)


def test_weights_have_the_names_and_shapes_of_the_full_original():
    with torch.device('meta'):
        encoder = MODELS.build(dict(type='CLIPResNet'))
    assert shapes(encoder) == as_encoder(full_size('state_dict_rn50.json'))


def trained_statistics(inputs, **options):
    torch.manual_seed(0)
    encoder = MODELS.build(TINY | options).train()
    features = encoder(inputs)
    return encoder.visual.bn1.running_mean.clone(), features


def test_dates_apart_updates_the_statistics_date_after_date():
    inputs = torch.randn(2, 2, 3, 64, 64) + torch.tensor([0.0, 3.0]).reshape(1, 2, 1, 1, 1)
    torch.manual_seed(0)
    in_turn = MODELS.build(TINY).train()
    first, second = in_turn(inputs[:, :1]), in_turn(inputs[:, 1:])
    apart, features = trained_statistics(inputs, dates_apart=True)
    together, _ = trained_statistics(inputs)
    torch.testing.assert_close(apart, in_turn.visual.bn1.running_mean)
    assert not torch.allclose(apart, together, rtol=1e-2)
    assert features.tokens.shape[:2] == features.pooled.shape[:2] == (2, 2)
    torch.testing.assert_close(features.maps[3], torch.cat([first.maps[3], second.maps[3]], 1))
    torch.testing.assert_close(features.pooled, torch.cat([first.pooled, second.pooled], 1))
    torch.testing.assert_close(features.tokens, torch.cat([first.tokens, second.tokens], 1))


@torch.no_grad()
def test_dates_apart_is_one_call_in_evaluation():
    encoder = MODELS.build(TINY | dict(dates_apart=True)).eval()
    calls = []
    encoder.visual.layer4.register_forward_hook(lambda *_: calls.append(1))
    encoder(torch.randn(1, 2, 3, 32, 32))
    assert len(calls) == 1


def test_bfloat16_autocast_is_finite_and_close():
    torch.manual_seed(0)
    encoder, inputs = MODELS.build(TINY).eval(), torch.randn(1, 2, 3, 64, 96)
    with torch.no_grad():
        exact = encoder(inputs).tokens
        with torch.autocast('cpu', torch.bfloat16):
            rough = encoder(inputs).tokens.float()
    assert rough.isfinite().all()
    torch.testing.assert_close(rough, exact, atol=0.05, rtol=0.05)


def test_a_size_that_does_not_divide_says_how_to_pad():
    with pytest.raises(ValueError, match=r'multiples of 32, found 64x80: set size_divisor=32 in '
                                         r'data_preprocessor'):
        MODELS.build(TINY)(torch.zeros(1, 2, 3, 64, 80))


def test_heads_that_do_not_divide_the_pool_are_refused():
    with pytest.raises(ValueError, match='256 wide, which 7 heads do not divide'):
        MODELS.build(TINY | dict(heads=7))


@torch.no_grad()
def test_pretrained_weights_are_clips_and_the_table_is_resized(tmp_path):
    resnet = compat.import_open_clip('modified_resnet')
    tower = resnet.ModifiedResNet((1, 1, 1, 1), 16, 4, image_size=32, width=8).eval()
    path = tmp_path / 'clip.pt'
    torch.save({f'visual.{name}': value for name, value in tower.state_dict().items()}, path)
    encoder = MODELS.build(TINY | dict(pretrained=str(path)))
    assert encoder.visual.attnpool.positional_embedding.shape == (5, 256)
    own = MODELS.build(TINY | dict(pretrained=str(path), input_resolution=32)).eval()
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(own.encode(images).pooled, tower(images), atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match='do not fit'):
        MODELS.build(TINY | dict(pretrained=str(path), width=16))


TINY_VIT = dict(type='CLIPViT', width=16, layers=4, heads=2, output_dim=8, input_resolution=64,
            out_indices=(0, 1, 2, 3))
PLAIN = TINY_VIT | dict(out_indices=(), pyramid=False)


def build(**options):
    torch.manual_seed(0)
    return MODELS.build(TINY_VIT | options)


class TestCLIPViT(EncoderTester):
    cfg = TINY_VIT
    size = (64, 96)

    @torch.no_grad()
    def test_maps_have_strides_4_to_32_and_tokens_stride_16(self):
        features = self.build()(self.inputs())
        assert [tuple(feature.shape) for feature in features.maps] == [
            (2, 2, 16, 16, 24), (2, 2, 16, 8, 12), (2, 2, 16, 4, 6), (2, 2, 16, 2, 3)]
        assert features.token_grid == (4, 6)
        assert features.tokens.shape == (2, 2, 24, 8) and features.pooled.shape == (2, 2, 8)

    @torch.no_grad()
    def test_pooled_is_what_open_clip_returns(self):
        encoder, images = self.build(), torch.randn(2, 3, 64, 64)
        torch.testing.assert_close(encoder.encode(images).pooled, encoder.visual(images),
                                   atol=1e-5, rtol=1e-5)


class TestCLIPViTForCaptions(EncoderTester):
    cfg = PLAIN | dict(patch_size=8)
    size = (24, 40)

    @torch.no_grad()
    def test_there_are_tokens_but_no_maps(self):
        encoder = self.build()
        features = encoder(self.inputs())
        assert features.maps == [] and features.tokens.shape == (2, 2, 15, 8)
        assert not [name for name in encoder.state_dict() if not name.startswith('visual.')]


@torch.no_grad()
def test_plain_maps_are_the_taps_in_the_order_asked_for():
    encoder, images = build(pyramid=False, out_indices=(3, 1)).eval(), torch.randn(2, 3, 64, 32)
    taken = []
    for index in (3, 1):
        encoder.visual.transformer.resblocks[index].register_forward_hook(
            lambda _module, _inputs, output: taken.append(output))
    last, first = encoder.encode(images).maps
    for feature, tokens in ((first, taken[0]), (last, taken[1])):
        assert feature.shape == (2, 16, 4, 2)
        torch.testing.assert_close(feature, tokens[:, 1:].mT.reshape(2, 16, 4, 2))


def test_the_original_is_reproduced_vit():
    record = recorded_model('vit_tiny')
    names = ('width', 'layers', 'heads', 'patch_size', 'output_dim', 'input_resolution',
             'out_indices', 'drop_path_rate')
    encoder = MODELS.build(dict(type='CLIPViT', double_class_embedding=True,
                                **{name: record.config['backbone'][name] for name in names}))
    encoder.load_state_dict(as_encoder(record.weights))
    assert_backbone_is_reproduced(encoder, record)


def test_weights_have_the_names_and_shapes_of_the_full_original_vit():
    with torch.device('meta'):
        encoder = MODELS.build(dict(type='CLIPViT'))
    assert shapes(encoder) == as_encoder(full_size('state_dict_vit_b16.json'))


@torch.no_grad()
def test_the_class_embedding_can_be_added_twice():
    once, twice, images = build(), build(double_class_embedding=True), torch.randn(1, 3, 64, 64)
    once.visual.class_embedding *= 2
    torch.testing.assert_close(once.eval().encode(images).pooled,
                               twice.eval().encode(images).pooled)


def test_the_activation_is_a_choice():
    kinds = [type(build(quick_gelu=quick).visual.transformer.resblocks[0].mlp.gelu)
             for quick in (True, False)]
    assert kinds[0].__name__ == 'QuickGELU' and kinds[1] is nn.GELU


def test_stochastic_depth_grows_with_the_blocks_and_rests_in_evaluation():
    encoder, images = build(drop_path_rate=0.9), torch.randn(4, 3, 64, 64)
    rates = [getattr(block.ls_2, 'drop_prob', 0) for block in encoder.visual.transformer.resblocks]
    assert rates == pytest.approx([0, 0.3, 0.6, 0.9])
    with torch.no_grad():
        encoder.eval()
        assert torch.equal(encoder.encode(images).pooled, encoder.encode(images).pooled)
        encoder.train()
        assert not torch.equal(encoder.encode(images).pooled, encoder.encode(images).pooled)


def test_checkpointing_changes_no_gradient():
    gradients = []
    for checkpointing in (False, True):
        encoder = build(checkpointing=checkpointing, drop_path_rate=0.5).train()
        images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
        torch.manual_seed(2)  # the same paths are dropped, also when they are computed again
        encoder.encode(images).tokens.square().sum().backward()
        gradients.append(encoder.visual.conv1.weight.grad)
    torch.testing.assert_close(*gradients)


def test_checkpointing_keeps_fewer_activations():
    kept = []
    for checkpointing in (False, True):
        sizes = []
        encoder = build(checkpointing=checkpointing).train()
        with torch.autograd.graph.saved_tensors_hooks(
                lambda value, sizes=sizes: sizes.append(value.numel()) or value, lambda v: v):
            encoder.encode(torch.randn(2, 3, 64, 64))
        kept.append(sum(sizes))
    assert kept[1] < 0.7 * kept[0]


def test_dates_apart_gives_each_date_its_own_statistics():
    inputs = torch.randn(2, 2, 3, 64, 64) + torch.tensor([0.0, 3.0]).reshape(1, 2, 1, 1, 1)
    in_turn, apart = build(drop_path_rate=0).train(), build(drop_path_rate=0,
                                                            dates_apart=True).train()
    expected = [in_turn(inputs[:, date:date + 1]).maps[0] for date in (0, 1)]
    torch.testing.assert_close(apart(inputs).maps[0], torch.cat(expected, 1))
    torch.testing.assert_close(apart.pyramid[0][2].running_mean,
                               in_turn.pyramid[0][2].running_mean)


def test_bfloat16_autocast_is_finite_and_close_vit():
    encoder, inputs = build().eval(), torch.randn(1, 2, 3, 64, 96)
    with torch.no_grad():
        exact = encoder(inputs)
        with torch.autocast('cpu', torch.bfloat16):
            rough = encoder(inputs)
    for feature, close in ((rough.tokens, exact.tokens), (rough.maps[0], exact.maps[0])):
        assert feature.isfinite().all()
        torch.testing.assert_close(feature.float(), close, atol=0.05, rtol=0.05)


@pytest.mark.parametrize(('options', 'size', 'divisor'), [
    ({}, (64, 80), 32), (dict(out_indices=(), pyramid=False), (64, 72), 16)])
def test_a_size_that_does_not_divide_says_how_to_pad_vit(options, size, divisor):
    with pytest.raises(ValueError, match=f'multiples of {divisor}, found {size[0]}x{size[1]}: set '
                                         f'size_divisor={divisor} in data_preprocessor'):
        build(**options)(torch.zeros(1, 2, 3, *size))


def test_a_block_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match=r'blocks 0 to 3: \[-1, 4\] do not exist'):
        build(out_indices=(-1, 0, 1, 4))


def test_a_pyramid_needs_four_taps():
    with pytest.raises(ValueError, match=r'4 out_indices, found out_indices=\(\): set '
                       'pyramid=False'):
        build(out_indices=())


@torch.no_grad()
@pytest.mark.parametrize(('patch', 'strides', 'divisor'), [
    (8, (4, 8, 16, 32), 32), (14, (3.5, 7, 14, 28), 28), (32, (4, 8, 16, 32), 32)])
def test_a_pyramid_over_other_patches_comes_as_near_to_strides_4_to_32_as_doubling_can(
        patch, strides, divisor):
    encoder = build(patch_size=patch, input_resolution=4 * patch).eval()
    given, side = encoder.gives(), 2 * divisor
    assert given.strides == strides and encoder.divisor == divisor
    maps = encoder.encode(torch.randn(1, 3, side, side)).maps
    assert [level.shape[-1] for level in maps] == [side / stride for stride in strides]
    with pytest.raises(ValueError, match=f'set size_divisor={divisor}'):
        encoder.encode(torch.randn(1, 3, side + patch // 2, side))


@torch.no_grad()
def test_pretrained_weights_are_clips_and_the_table_is_resized_vit(tmp_path):
    clip = compat.import_open_clip('transformer')
    tower = clip.VisionTransformer(image_size=32, patch_size=16, width=16, layers=4, heads=2,
                                   mlp_ratio=4.0, output_dim=8, act_layer=clip.QuickGELU).eval()
    path = tmp_path / 'clip.pt'
    torch.save({f'visual.{name}': value for name, value in tower.state_dict().items()}, path)
    encoder, images = build(pretrained=str(path)).eval(), torch.randn(2, 3, 32, 32)
    assert encoder.visual.positional_embedding.shape == (17, 16)
    own = build(pretrained=str(path), input_resolution=32).eval()
    torch.testing.assert_close(own.encode(images).pooled, tower(images), atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match='do not fit'):
        build(pretrained=str(path), width=24)
