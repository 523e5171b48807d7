import pytest
import torch
from testers import FusionTester, frame_features

from rscc.registry import MODELS
from rscc.structures import FrameFeatures


class TestSignedDifference(FusionTester):
    cfg = dict(type='SignedDifference')
    tokens = 24

    def test_the_memory_is_before_minus_after(self):
        features = frame_features()
        fused = self.build()(features)
        assert torch.equal(fused.tokens, features.tokens[:, 0] - features.tokens[:, 1])

    def test_swapping_the_dates_turns_the_sign(self):
        features = frame_features()
        swapped = FrameFeatures([features.maps[0].flip(1)], features.tokens.flip(1),
                                features.token_grid, features.pooled.flip(1))
        assert torch.equal(self.build()(swapped).tokens, -self.build()(features).tokens)

    def test_two_equal_images_leave_nothing(self):
        features = frame_features()
        features.tokens[:, 1] = features.tokens[:, 0]
        assert not self.build()(features).tokens.any()

    def test_maps_and_pooled_vectors_are_those_of_difference_fusion(self):
        features = frame_features()
        ours = self.build()(features)
        other = MODELS.build(dict(type='DifferenceFusion', channels=16))(features)
        assert torch.equal(ours.pooled, other.pooled) and torch.equal(ours.maps[0], other.maps[0])
        assert ours.token_grid == (1, 4, 6)

    def test_a_single_image_is_refused(self):
        with pytest.raises(ValueError, match=r'SignedDifference takes 2 date\(s\) a sample, found '
                           '1; use ConcatFusion or SingleFrame'):
            self.build()(frame_features(2, 1))

    def test_features_without_tokens_are_refused(self):
        features = frame_features()
        features.tokens = None
        with pytest.raises(ValueError, match='SignedDifference needs tokens'):
            self.build()(features)
