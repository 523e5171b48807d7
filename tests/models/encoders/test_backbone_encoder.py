import pytest
import torch
from testers import EncoderTester

from rscc.models.encoders.backbone_encoder import BackboneEncoder, sine_positions
from rscc.models.encoders.build import build_encoder
from rscc.registry import MODELS

RESNET = dict(type='mmseg.ResNet', depth=18, base_channels=4, stem_channels=4)


class TestBackboneEncoder(EncoderTester):
    cfg = dict(type='BackboneEncoder', backbone=RESNET, out_channels=32, embed_dims=16,
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


def test_projection_without_the_width_is_refused():
    with pytest.raises(ValueError, match='needs out_channels'):
        MODELS.build(dict(type='BackboneEncoder', backbone=RESNET, embed_dims=16))


def test_position_codes_differ_everywhere_and_scale_with_the_grid():
    codes = sine_positions((4, 6), 16, torch.zeros(1))[0]
    distances = torch.cdist(codes, codes) + torch.eye(24) * 9
    assert distances.min() > 0.1
    coarse = sine_positions((1, 1), 16, torch.zeros(1))[0, 0]
    fine = sine_positions((3, 3), 16, torch.zeros(1))[0, 4]
    torch.testing.assert_close(coarse, fine)


def test_position_codes_need_a_multiple_of_four():
    with pytest.raises(ValueError, match='divisible by 4, found 18'):
        sine_positions((2, 2), 18, torch.zeros(1))
