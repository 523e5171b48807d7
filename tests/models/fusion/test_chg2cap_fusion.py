"""Chg2Cap's fusion: shapes, order of the dates, and as many weights as the published one."""
import pytest
import torch
from mmengine.config import Config
from testers import FusionTester, frame_features

from rscc.registry import MODELS

DIMS, WORDS = 2048, 501


class TestChg2CapFusion(FusionTester):
    cfg = dict(type='Chg2CapFusion', channels=16, dims=16, attention_dims=8, hidden_dims=8,
               num_layers=2, num_heads=2, grid=(4, 6))
    tokens = 24

    @torch.no_grad()
    def test_the_memory_has_a_width_of_its_own(self):
        fused = MODELS.build(self.cfg | dict(dims=12)).eval()(frame_features())
        assert fused.tokens.shape == (2, 24, 12) and fused.token_grid == (1, 4, 6)
        assert fused.pooled.shape == (2, 48)

    def test_values_may_be_keys_as_in_the_published_training(self):
        tied = MODELS.build(self.cfg | dict(tied_values=True))
        assert not [name for name in tied.state_dict() if '.value.' in name]
        lost = sum(weight.numel() for weight in self.build().parameters()) - sum(
            weight.numel() for weight in tied.parameters())
        assert lost == 2 * (16 + 32) * 8  # two layers of either kind
        assert tied.eval()(frame_features()).tokens.isfinite().all()

    @torch.no_grad()
    def test_another_grid_is_welcome(self):
        assert self.build().eval()(frame_features(grid=(3, 5))).tokens.shape == (2, 15, 16)


class TestTiedValues(FusionTester):
    cfg = TestChg2CapFusion.cfg | dict(tied_values=True)
    tokens = 24


def decoder_layer(head):
    """The layer of the word decoder; what stands around it is BLIP's."""
    (layer, ) = head.decoder.bert.encoder.layer
    return layer


def test_it_has_as_many_weights_as_the_published_one(repo):
    cfg = Config.fromfile(repo / 'configs/chg2cap_levircc.py')
    assert cfg.model.fusion.dims == DIMS
    head = cfg.model.caption_head
    head.tokenizer = dict(type='WordTokenizer', words=[str(number) for number in range(WORDS - 4)])
    with torch.device('meta'):
        fusion, layer = MODELS.build(cfg.model.fusion), decoder_layer(MODELS.build(head))
    words = 2 * WORDS * DIMS + WORDS  # embeddings, and scores with a bias
    used = sum(weight.numel() for part in (fusion, layer) for weight in part.parameters()) + words
    assert used == 261_250_549
    # Three gates of the decoder layer and a table of positions, which its training never reaches.
    spare = 3 * (2 * DIMS * DIMS + DIMS) + 52 * DIMS
    assert (used + spare) / 1e6 == pytest.approx(286.5, abs=0.1)  # as measured
