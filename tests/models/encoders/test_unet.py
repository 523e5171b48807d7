import pytest
import torch
from testers import EncoderTester

from rscc.registry import MODELS


class TestUNetEncoder(EncoderTester):
    cfg = dict(type='UNetEncoder', widths=(4, 8, 8), convs=(2, 1, 2))
    size = (32, 48)

    @torch.no_grad()
    def test_the_last_map_is_the_pooled_one_of_the_deepest_stage(self):
        *_, deepest, last = self.build()(self.inputs()).maps
        pooled = torch.nn.functional.max_pool2d(deepest.flatten(0, 1), 2)
        assert torch.equal(last.flatten(0, 1), pooled)

    @torch.no_grad()
    def test_tokens_are_the_last_map_row_by_row(self):
        features = self.build()(self.inputs())
        assert torch.equal(features.tokens, features.maps[-1].flatten(3).transpose(2, 3))


class TestMoreBands(EncoderTester):
    cfg = TestUNetEncoder.cfg | dict(bands=5, dates_apart=True)

    def inputs(self, n=2, t=2):
        return torch.cat([super().inputs(n, t), super().inputs(n, t)[:, :, :2]], 2)


def test_dropout_draws_whole_channels_in_training_alone():
    encoder = MODELS.build(dict(type='UNetEncoder', widths=(16, ), convs=(1, ), dropout=0.5))
    images = torch.randn(1, 1, 3, 8, 8)
    trained = encoder.train()(images).maps[0][0, 0].flatten(1)
    assert 0 < (trained == 0).all(1).sum() < 16
    assert not (encoder.eval()(images).maps[0][0, 0].flatten(1) == 0).all(1).any()


@pytest.mark.parametrize(('options', 'told'), [
    (dict(widths=(4, 8)), r'widths=\(4, 8\) and convs=\(2, 2, 3, 3\) of UNetEncoder .* as many'),
    (dict(convs=(2, 2, 0, 3)), 'one or more')])
def test_stages_that_do_not_fit_are_refused(options, told):
    with pytest.raises(ValueError, match=told):
        MODELS.build(dict(type='UNetEncoder', **options))


def test_images_too_small_to_be_halved_are_refused():
    encoder = MODELS.build(TestUNetEncoder.cfg)
    with pytest.raises(ValueError, match=r'halves images 3 times: they need 8 x 8 pixels or more, '
                       r'found \(7, 20\)'):
        encoder(torch.zeros(1, 2, 3, 7, 20))
