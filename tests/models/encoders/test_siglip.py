import pytest
import torch
from fake_siglip import save_siglip
from testers import EncoderTester

from rscc import compat
from rscc.registry import MODELS

TINY = dict(type='SiglipViT', width=32, layers=4, heads=2, input_resolution=32,
            out_indices=(0, 1, 2, 3))


@pytest.fixture(scope='module')
def published(tmp_path_factory):
    folder = tmp_path_factory.mktemp('weights') / 'siglip'
    return save_siglip(folder, vocabulary=64), str(folder)


def build(**options):
    torch.manual_seed(0)
    return MODELS.build(TINY | options)


class TestSiglipViT(EncoderTester):
    cfg = TINY
    size = (64, 96)

    @torch.no_grad()
    def test_maps_have_strides_4_to_32_and_tokens_stride_16(self):
        features = self.build()(self.inputs())
        assert [tuple(feature.shape) for feature in features.maps] == [
            (2, 2, 32, 16, 24), (2, 2, 32, 8, 12), (2, 2, 32, 4, 6), (2, 2, 32, 2, 3)]
        assert features.token_grid == (4, 6)
        assert features.tokens.shape == (2, 2, 24, 32) and features.pooled.shape == (2, 2, 32)


class TestSiglipViTForCaptions(EncoderTester):
    cfg = TINY | dict(out_indices=(), pyramid=False, patch_size=8)
    size = (24, 40)


@torch.no_grad()
def test_pooled_is_what_transformers_own_model_returns(published):
    model, folder = published
    encoder, images = build(pretrained=folder).eval(), torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(encoder.encode(images).pooled,
                               model.get_image_features(images).pooler_output)
    # Other sizes interpolate the positions, as transformers does when asked to.
    wide = torch.randn(1, 3, 64, 96)
    torch.testing.assert_close(
        encoder.encode(wide).pooled,
        model.get_image_features(wide, interpolate_pos_encoding=True).pooler_output)


@torch.no_grad()
def test_plain_maps_are_what_the_blocks_leave(published):
    model, folder = published
    encoder = build(pretrained=folder, out_indices=(3, ), pyramid=False).eval()
    images = torch.randn(2, 3, 32, 32)
    (level, ) = encoder.encode(images).maps
    model.vision_model.post_layernorm, kept = torch.nn.Identity(), model.vision_model.post_layernorm
    expected = model.vision_model(images).last_hidden_state
    model.vision_model.post_layernorm = kept
    torch.testing.assert_close(level, expected.mT.unflatten(2, (2, 2)))


@torch.no_grad()
def test_dense_features_are_what_the_pool_says_of_each_patch_alone(published):
    model, folder = published
    encoder, images = build(pretrained=folder).eval(), torch.randn(2, 3, 32, 32)
    patches = model.vision_model(images).last_hidden_state
    alone = torch.stack([model.vision_model.head(patches[:, [place]]) for place in range(4)], 1)
    torch.testing.assert_close(encoder.encode(images).tokens, alone)


def test_statistics_are_siglips(published):
    known = build(pretrained=published[1]).normalisation()
    assert known.mean == known.std == (0.5, 0.5, 0.5)


def test_a_model_with_these_weights_normalises_by_their_statistics(published):
    model = MODELS.build(dict(
        type='ChangeInterpreter', encoder=TINY | dict(pretrained=published[1]),
        fusion=dict(type='DifferenceFusion', channels=32),
        flag_head=dict(type='ChangeFlagHead', in_channels=96)))
    assert model.data_preprocessor.normalisation.source == published[1]


def test_checkpointing_changes_no_gradient():
    gradients = []
    for checkpointing in (False, True):
        encoder = build(checkpointing=checkpointing).train()
        images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
        encoder.encode(images).tokens.square().sum().backward()
        gradients.append(encoder.visual.embeddings.patch_embedding.weight.grad)
    torch.testing.assert_close(*gradients)


def test_weights_of_another_shape_list_what_differs(published):
    with pytest.raises(ValueError, match=r'do not fit: the file is a SigLIP ViT with patch 16 '
                       r'\(width 32, 4 layers\), 4 positions; this model is a SigLIP ViT with '
                       r'patch 16 \(width 64, 4 layers\)'):
        build(pretrained=published[1], width=64)


def test_another_number_of_heads_than_the_config_file_says_is_refused(published):
    with pytest.raises(ValueError, match='trained with num_attention_heads=2 in their '
                       'vision_model, and this model is set to heads=4'):
        build(pretrained=published[1], heads=4)


def test_a_size_that_does_not_divide_says_how_to_pad():
    with pytest.raises(ValueError, match=r'SiglipViT takes .* multiples of 32, found 64x80: set '
                       'size_divisor=32'):
        build()(torch.zeros(1, 2, 3, 64, 80))


@pytest.mark.parametrize(('options', 'fields'), [
    ({}, dict(hidden_size=1024, intermediate_size=4096, num_hidden_layers=24,
              num_attention_heads=16, image_size=256)),
    (dict(width=768, layers=12, heads=12, input_resolution=224, out_indices=(3, 5, 7, 11)), {})])
def test_full_git_rsclip_has_the_names_and_shapes_of_transformers(options, fields):
    library = compat.import_transformers('models.siglip')
    with torch.device('meta'):
        ours = MODELS.build(dict(type='SiglipViT', **options)).visual.state_dict()
        theirs = library.SiglipVisionModel(library.SiglipVisionConfig(**fields)).state_dict()
    assert {key: value.shape for key, value in ours.items()} == {
        key: value.shape for key, value in theirs.items()}


def test_the_inner_width_of_the_blocks_is_told_or_four_times_their_width():
    widths = [build(**options).visual.encoder.layers[0].mlp.fc1.out_features
              for options in ({}, dict(mlp_width=40))]
    assert widths == [128, 40]
