"""BIT: semantic tokens of both dates and back to the places, as many weights as published."""
import copy

import pytest
import torch
from mmengine.config import Config
from testers import (
    TINY_CAPTION_HEAD,
    FusionTester,
    assert_gradient_reaches_everything,
    batch,
    frame_features,
    losses,
    total,
)

from rscc.models.fusion.bit_fusion import SemanticTokenizer
from rscc.registry import MODELS
from rscc.structures import FrameFeatures


class TestBITFusion(FusionTester):
    cfg = dict(type='BITFusion', channels=16, dims=16, num_tokens=3, decoder_layers=2, num_heads=2,
               head_dims=4, decoder_head_dims=2, hidden_dims=8)
    tokens = 6

    @torch.no_grad()
    def test_the_map_is_finer_and_knows_no_order_of_alike_dates(self):
        fused = self.build().eval()(frame_features())
        assert [level.shape for level in fused.maps] == [(2, 16, 8, 12)]
        assert fused.token_grid is None
        assert (fused.maps[0] >= 0).all()

    @torch.no_grad()
    def test_tokens_of_the_earlier_date_come_first(self):
        # Without layers the semantic tokens are those of the tokenizer and their codes.
        fusion = MODELS.build(self.cfg | dict(encoder_layers=0)).eval()
        features = frame_features()
        plain = fusion(features).tokens - fusion.positions
        turned = FrameFeatures(tokens=features.tokens.flip(1), token_grid=features.token_grid)
        swapped = fusion(turned).tokens - fusion.positions
        torch.testing.assert_close(plain[:, :3], swapped[:, 3:])
        assert not torch.allclose(plain[:, :3], plain[:, 3:])

    @torch.no_grad()
    def test_without_layers_equal_dates_leave_an_empty_map(self):
        fusion = MODELS.build(self.cfg | dict(decoder_layers=0)).eval()
        features = frame_features()
        features.tokens[:, 1] = features.tokens[:, 0]
        assert not fusion(features).maps[0].any()


@torch.no_grad()
def test_a_semantic_token_is_a_mean_over_places():
    tokenizer, places = SemanticTokenizer(8, 4), torch.randn(2, 15, 8)
    tokens = tokenizer(places)
    assert tokens.shape == (2, 4, 8)
    assert (tokens <= places.amax(1, keepdim=True)).all()
    tokenizer.attend.weight.zero_()
    torch.testing.assert_close(tokenizer(places)[:, 0], places.mean(1))


@pytest.mark.parametrize(('head_dims', 'millions', 'exact'), [(64, 3.50, 3_495_778),
                                                              (8, 3.04, 3_037_026)])
def test_bit_has_as_many_weights_as_the_published_one(repo, head_dims, millions, exact):
    cfg = Config.fromfile(repo / 'configs/bit_levircd.py')
    cfg.model.fusion.decoder_head_dims = head_dims
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    count = sum(weight.numel() for weight in model.parameters())
    assert count == exact and round(count / 1e6, 2) == millions


def bit(**heads):
    torch.manual_seed(0)
    return MODELS.build(copy.deepcopy(dict(
        type='ChangeInterpreter', encoder=dict(
            type='BackboneEncoder', backbone=dict(
                type='mmseg.ResNet', depth=18, num_stages=3, strides=(1, 2, 1), base_channels=4,
                dilations=(1, 1, 1), stem_channels=4, out_indices=(2, ), norm_eval=False)),
        fusion=TestBITFusion.cfg, change_head=dict(
            type='EnlargedConvHead', in_channels='auto', num_classes=3, in_index=0), **heads)))


def test_the_detector_learns_and_draws_at_the_size_of_the_image():
    model = bit()
    assert_gradient_reaches_everything(model, total(losses(model, batch())))
    (answer, _) = model.eval().test_step(batch())
    assert answer.pred_sem_seg.data.shape == (1, 64, 64)
    assert model.map_logits(model.extract(torch.randn(1, 2, 3, 64, 64))).shape == (1, 3, 64, 64)


def test_a_caption_head_beside_it_reads_the_semantic_tokens():
    model = bit(caption_head=TINY_CAPTION_HEAD, flag_head=dict(
        type='ChangeFlagHead', in_channels='auto'))
    assert_gradient_reaches_everything(model, total(losses(model, batch())))
    (answer, _) = model.eval().test_step(batch())
    assert isinstance(answer.pred_caption, str) and 0 <= answer.pred_change_score <= 1
