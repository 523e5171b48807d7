import pytest
import torch
from testers import ChangeHeadTester, change_features

from rscc.registry import MODELS


class TestEnlargedConvHead(ChangeHeadTester):
    cfg = dict(type='EnlargedConvHead', in_channels=16, num_classes=3)

    @torch.no_grad()
    def test_it_convolves_at_the_enlarged_size(self):
        assert self.build().eval()(change_features()).shape == (2, 3, 32, 32)

    @torch.no_grad()
    def test_it_reads_the_map_that_it_is_told(self):
        head = MODELS.build(self.cfg | dict(in_index=1, scale=2)).eval()
        assert head(change_features()).shape == (2, 3, 8, 8)
        features = change_features()
        features.maps[0] += 1
        assert torch.equal(head(features), head(change_features()))

    def test_one_class_is_no_change_map(self):
        with pytest.raises(ValueError, match='so num_classes=2 for plain change detection'):
            MODELS.build(self.cfg | dict(num_classes=1))
