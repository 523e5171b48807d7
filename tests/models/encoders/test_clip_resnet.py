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
