"""RSICCformer's fusion: shapes, order of the dates, and as many weights as the published one."""
import pytest
import torch
from mmengine.config import Config
from testers import FusionTester, frame_features

from rscc.registry import MODELS

DIMS, WORDS = 512, 468


class TestRSICCformerFusion(FusionTester):
    cfg = dict(type='RSICCformerFusion', channels=16, dims=8, num_layers=2, num_heads=2,
               grid=(4, 6))
    tokens = 24

    @torch.no_grad()
    def test_the_memory_is_twice_as_wide_as_the_stages(self):
        fused = MODELS.build(self.cfg | dict(dims=12)).eval()(frame_features())
        assert fused.tokens.shape == (2, 24, 24) and fused.token_grid == (1, 4, 6)
        assert fused.pooled.shape == (2, 36)

    @torch.no_grad()
    def test_equal_dates_stay_equal_and_are_told_apart_from_others(self):
        features = frame_features()
        features.tokens[:, 1] = features.tokens[:, 0]
        fused = self.build().eval()(features)
        before, after, strongest = fused.pooled.chunk(3, -1)
        assert torch.equal(before, after) and not strongest.any()

    @torch.no_grad()
    def test_another_grid_is_welcome(self):
        fused = self.build().eval()(frame_features(grid=(3, 5)))
        assert fused.tokens.shape == (2, 15, 16)


def decoder_layer(head):
    """The layer of the word decoder; what stands around it is BLIP's."""
    (layer, ) = head.decoder.bert.encoder.layer
    return layer


def published_weights():
    """Weights of the published model behind its CNN that its own training never reaches."""
    wide = 2 * DIMS
    attention = 4 * (wide * wide + wide)
    gates = 2 * wide * wide + wide
    return (3 * attention + 3 * gates  # of the decoder layer: three attentions, three gates
            + sum(width * DIMS + DIMS for width in (768, 512, 256))  # for other encoders
            + 196 * DIMS + 52 * wide)  # tables of positions in one dimension


def test_it_has_as_many_weights_as_the_published_one(repo):
    cfg = Config.fromfile(repo / 'configs/rsiccformer_levircc.py')
    assert cfg.model.fusion.dims == DIMS
    head = cfg.model.caption_head
    head.tokenizer = dict(type='WordTokenizer', words=[str(number) for number in range(WORDS - 4)])
    with torch.device('meta'):
        fusion, layer = MODELS.build(cfg.model.fusion), decoder_layer(MODELS.build(head))
    words = 2 * WORDS * 2 * DIMS + WORDS  # embeddings, and scores with a bias
    used = sum(weight.numel() for part in (fusion, layer) for weight in part.parameters()) + words
    assert used == 37_992_916
    assert (used + published_weights()) / 1e6 == pytest.approx(57.8, abs=0.1)  # as measured
