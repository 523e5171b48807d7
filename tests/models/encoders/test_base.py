import pytest
import torch

from rscc.models.encoders.base import FrameEncoder
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
