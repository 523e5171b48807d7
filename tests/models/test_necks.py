import pytest
import torch
from testers import ModuleTester, assert_gradient_reaches_everything


class TestSimpleFeaturePyramid(ModuleTester):
    cfg = dict(type='SimpleFeaturePyramid', in_channels=12, out_channels=8)

    def test_strides_double(self):
        maps = self.build()([torch.randn(2, 12, 4, 6)] * 4)
        assert [tuple(feature.shape) for feature in maps] == [
            (2, 8, 16, 24), (2, 8, 8, 12), (2, 8, 4, 6), (2, 8, 2, 3)]

    def test_gradient_reaches_every_parameter(self):
        neck = self.build()
        loss = sum(feature.square().sum() for feature in neck([torch.randn(2, 12, 4, 4)] * 4))
        assert_gradient_reaches_everything(neck, loss)

    def test_another_number_of_maps_is_refused(self):
        with pytest.raises(ValueError, match='takes 4 maps, found 2'):
            self.build()([torch.randn(1, 12, 4, 4)] * 2)
