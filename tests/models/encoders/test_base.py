import pytest
import torch
from testers import EncoderTester

from rscc.models.encoders.base import BackboneEncoder, FrameEncoder, build_encoder
from rscc.registry import MODELS
from rscc.structures import FrameFeatures


class Means(FrameEncoder):
    """Counts its calls and returns the mean of every image in the places asked for."""

    def __init__(self, *places, dates_apart=False):
        super().__init__()
        self.places, self.dates_apart, self.calls = places, dates_apart, []

    def encode(self, images):
        self.calls.append(len(images))
        mean = images.mean((1, 2, 3))
        made = dict(maps=[mean[:, None, None, None], 2 * mean[:, None, None, None]],
                    tokens=mean[:, None, None], pooled=mean[:, None])
        return FrameFeatures(token_grid=(1, 1), **{name: made[name] for name in self.places})


@pytest.fixture
def inputs():
    return torch.arange(6.0).reshape(2, 3, 1, 1, 1).expand(2, 3, 3, 4, 4)


@pytest.mark.parametrize(('training', 'dates_apart', 'calls'), [
    (True, True, [2, 2, 2]), (False, True, [6]), (True, False, [6])])
def test_dates_are_apart_in_training_alone_and_on_request(inputs, training, dates_apart, calls):
    encoder = Means('maps', 'tokens', 'pooled', dates_apart=dates_apart).train(training)
    features = encoder(inputs)
    means = torch.arange(6.0).reshape(2, 3)
    assert encoder.calls == calls
    assert torch.equal(features.maps[0][..., 0, 0, 0], means)
    assert torch.equal(features.maps[1][..., 0, 0, 0], 2 * means)
    assert torch.equal(features.tokens[..., 0, 0], means)
    assert torch.equal(features.pooled[..., 0], means) and features.token_grid == (1, 1)


@pytest.mark.parametrize('dates_apart', [True, False])
def test_what_an_encoder_leaves_out_stays_out(inputs, dates_apart):
    features = Means('maps', dates_apart=dates_apart).train()(inputs)
    assert features.tokens is None and features.pooled is None and len(features.maps) == 2
    assert Means('pooled', dates_apart=dates_apart).train()(inputs).maps == []


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
