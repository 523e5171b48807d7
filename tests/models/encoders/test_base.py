import pytest
import torch
from testers import build_interpreter, data_samples
from torch import nn

from rscc.models.data_preprocessor import ChangeDataPreprocessor
from rscc.models.encoders.base import FrameEncoder, build_encoder
from rscc.models.fusion.base import join_dates
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


CFG = dict(type='StoredFeatures', channels=16)


def test_the_pooled_feature_comes_first_and_the_patches_after_it():
    inputs = torch.randn(2, 2, 1 + 9, 16)
    features = build_encoder(CFG)(inputs)
    assert torch.equal(features.pooled, inputs[:, :, 0])
    assert torch.equal(features.tokens, inputs[:, :, 1:]) and features.token_grid == (3, 3)
    assert features.maps == []


def test_without_patches_there_are_no_tokens():
    features = build_encoder(CFG)(torch.randn(2, 1, 1, 16))
    assert features.tokens is None and features.token_grid is None
    assert features.pooled.shape == (2, 1, 16)


def test_it_holds_no_weights():
    assert not build_encoder(CFG).state_dict()


def test_images_and_other_widths_are_refused():
    encoder = build_encoder(CFG)
    with pytest.raises(ValueError, match=r'takes features \(N, T, L, D\), found \(1, 1, 3, 8, 8\)'):
        encoder(torch.randn(1, 1, 3, 8, 8))
    with pytest.raises(ValueError, match='the features are 24 wide and the encoder is set to '
                       'channels=16: the file is of another encoder'):
        encoder(torch.randn(1, 1, 1, 24))


def test_an_image_encoder_refuses_features():
    model = build_interpreter()
    with pytest.raises(ValueError, match=r'BackboneEncoder encodes frames .*found \(2, 1, 5, 16\)'
                       r".*encoder=dict\(type='StoredFeatures'\)"):
        model.encoder(torch.randn(2, 1, 5, 16))


def test_the_preprocessor_stacks_features_and_refuses_a_mixture():
    rows = [torch.randn(1, 5, 16).half() for _ in range(2)]
    batch = ChangeDataPreprocessor()(dict(inputs=rows, data_samples=data_samples(2)))
    assert batch['inputs'].dtype == torch.float32 and len(batch['data_samples']) == 2
    assert torch.equal(batch['inputs'][1], rows[1].float())
    with pytest.raises(ValueError, match=r'one batch mixes stored features of the shapes '
                       r'\[\(1, 1, 16\), \(1, 5, 16\)\]'):
        ChangeDataPreprocessor()(dict(inputs=[rows[0], rows[0][:, :1]]))


@pytest.mark.parametrize(('fusion', 'dates', 'patches'), [
    (dict(type='SingleFrame'), 1, 9), (dict(type='DifferenceFusion', channels=16), 2, 9)])
def test_a_captioner_learns_and_answers_without_images(fusion, dates, patches):
    model = build_interpreter(encoder=CFG, fusion=fusion, change_head=None, flag_head=None)
    rows = [torch.randn(dates, 1 + patches, 16) for _ in range(2)]
    data = dict(inputs=rows, data_samples=data_samples(2))
    losses = model(**model.data_preprocessor(data, True), mode='loss')
    assert all(value.isfinite() for value in losses.values())
    answers = model.eval().test_step(data)
    assert [isinstance(answer.pred_caption, str) for answer in answers] == [True, True]
    assert answers[0].ori_shape == (32, 32)


def test_a_fusion_of_tokens_says_how_to_get_some():
    model = build_interpreter(encoder=CFG, fusion=dict(type='ConcatFusion', channels=16),
                              change_head=None, flag_head=None)
    with pytest.raises(ValueError, match=r'needs tokens.*features\.tokens=True'):
        model.extract(torch.randn(1, 2, 1, 16))


def test_a_grid_that_is_no_square_is_said():
    inputs = torch.randn(2, 2, 1 + 15, 16)
    assert build_encoder(CFG)(inputs).token_grid is None
    features = build_encoder(CFG | dict(token_grid=[3, 5]))(inputs)
    assert features.token_grid == (3, 5) and features.tokens.shape == (2, 2, 15, 16)
    with pytest.raises(ValueError, match=r'15 tokens do not lie on the grid \(h, w\) of \(4, 4\)'):
        build_encoder(CFG | dict(token_grid=(4, 4)))(inputs)


def test_a_class_token_is_not_of_the_grid():
    inputs = torch.randn(2, 1, 1 + 17, 16)
    assert build_encoder(CFG)(inputs).token_grid == (4, 4)
    assert build_encoder(CFG | dict(token_grid=(2, 8)))(inputs).token_grid == (2, 8)


ANY_FORMAT = {
    'UNetEncoder': dict(type='UNetEncoder', widths=(4, 8), convs=(1, 1)),
    'CLIPResNet': dict(type='CLIPResNet', layers=(1, 1, 1, 1), width=8, heads=4, output_dim=16,
                       input_resolution=64),
    'ResNet': dict(type='mmseg.ResNet', depth=18, base_channels=8, stem_channels=8)}


@torch.no_grad()
@pytest.mark.parametrize('kind', ANY_FORMAT)
@pytest.mark.parametrize('reduced', [True, False])
def test_convolutions_run_channels_last_in_bfloat16_alone(kind, reduced):
    torch.manual_seed(0)
    encoder = build_encoder(dict(ANY_FORMAT[kind])).eval()
    assert encoder.any_format
    formats, inputs = [], torch.randn(1, 2, 3, 64, 96)
    first = next(layer for layer in encoder.modules() if isinstance(layer, nn.Conv2d))
    first.register_forward_pre_hook(lambda _, given: formats.append(
        given[0].is_contiguous(memory_format=torch.channels_last)))
    with torch.autocast('cpu', torch.bfloat16, enabled=reduced):
        found = encoder(inputs)
        encoder.any_format = False
        expected = encoder(inputs)
    assert formats == [reduced, False]
    # Heads of others may reshape maps by view: they get them as ever.
    assert all(level.is_contiguous() for level in found.maps)
    for one, other in zip(found.maps, expected.maps, strict=True):
        torch.testing.assert_close(one, other, rtol=5e-2, atol=5e-2)


@torch.no_grad()
@pytest.mark.parametrize('dates_apart', [True, False])
def test_maps_of_images_that_came_channels_last_stay_so(dates_apart):
    encoder = build_encoder(dict(ANY_FORMAT['UNetEncoder'], dates_apart=dates_apart))
    images = torch.randn(4, 3, 16, 16).contiguous(memory_format=torch.channels_last)
    with torch.autocast('cpu', torch.bfloat16):
        level = encoder.train()(images.unflatten(0, (2, 2))).maps[0]
    assert join_dates(level).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize('backbone', [
    dict(type='mmseg.ResNeSt', depth=50, base_channels=8, stem_channels=8),
    dict(type='mmseg.ResNet', depth=50, base_channels=8, stem_channels=8, plugins=[dict(
        cfg=dict(type='ContextBlock', ratio=1 / 4), position='after_conv3')])])
def test_networks_that_may_reshape_maps_keep_their_format(backbone):
    assert not build_encoder(backbone).any_format


def test_kernels_that_are_channels_last_are_not_given_plain_maps_back():
    cfg = dict(type='BackboneEncoder', backbone=dict(ANY_FORMAT['ResNet']), channels_last=True)
    assert not build_encoder(cfg).any_format
