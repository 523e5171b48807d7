import json

import numpy as np
import pytest
import torch

from rscc.models.novelty import FeatureDistance, pooled_vectors, restore_novelty
from rscc.structures import FrameFeatures


def vectors(count=400, width=24, seed=0):
    """Vectors with a few wide directions, as features have."""
    rng = torch.Generator().manual_seed(seed)
    mixing = torch.randn(4, width, generator=torch.Generator().manual_seed(9))
    return torch.randn(count, 4, generator=rng) @ mixing + 0.3 * torch.randn(
        count, width, generator=rng) + 5


def features(values):
    """Features of one date whose map has the values as means."""
    maps = [values[:, None, :, None, None].expand(-1, -1, -1, 2, 3)]
    return FrameFeatures(maps=maps)


def test_usual_images_are_near_and_others_far():
    fitted = FeatureDistance.fit(vectors())
    same, other = fitted(features(vectors(seed=1))), fitted(features(vectors(seed=1) + 3))
    assert same.shape == (400,)
    assert 0.005 <= float((same > 1).float().mean()) < 0.06  # 99 % of the training are nearer
    assert float(other.min()) > 1.5
    # Along directions in which training images differ, a step counts less than across them.
    mixing = torch.randn(4, 24, generator=torch.Generator().manual_seed(9))
    along = mixing[0] / mixing[0].norm()
    across = torch.linalg.svd(mixing)[2][-1]
    middle = vectors().mean(0, keepdim=True)
    near, far = (float(fitted(features(middle + 2 * step))) for step in (along, across))
    assert near < far / 3


def test_the_farthest_date_counts():
    fitted = FeatureDistance.fit(vectors())
    one, two = vectors(1), vectors(1, seed=5) + 4
    pair = FrameFeatures(maps=[torch.stack([one, two], 1)[..., None, None]])
    assert float(fitted(pair)) == pytest.approx(float(fitted(features(two))), rel=1e-5)


def test_it_survives_json_to_the_last_answer():
    fitted = FeatureDistance.fit(vectors())
    stored = json.loads(json.dumps(fitted.to_dict()))
    read = FeatureDistance.from_dict(stored)
    torch.testing.assert_close(read(features(vectors(seed=2))),
                               fitted(features(vectors(seed=2))), rtol=1e-4, atol=1e-5)
    assert read.samples == 400 and not read.state_dict()
    assert len(json.dumps(stored)) < 3000


@pytest.mark.parametrize(('change', 'message'), [
    (dict(mean='@@'), 'damaged'), (dict(width=25), 'damaged'), (dict(far='x'), 'far'),
    (dict(variances=[1.0]), 'variances'), (dict(basis=None), 'basis')])
def test_a_damaged_statistic_is_refused(change, message):
    stored = FeatureDistance.fit(vectors()).to_dict() | change
    with pytest.raises(ValueError, match=f'(?s){message}.*calibrate.py'):
        FeatureDistance.from_dict(stored)


@pytest.mark.parametrize('bad', [vectors(10), torch.full((30, 4), float('nan'))])
def test_too_few_or_broken_vectors_are_refused(bad):
    with pytest.raises(ValueError, match='at least 20 finite'):
        FeatureDistance.fit(bad)


def test_constant_and_repeated_features_do_no_harm():
    same = vectors(40)
    same[:, 3] = 7.0
    fitted = FeatureDistance.fit(torch.cat([same] * 2))
    assert bool(torch.isfinite(fitted(features(vectors(5)))).all())


def test_features_of_another_width_have_no_distance():
    fitted = FeatureDistance.fit(vectors())
    assert fitted(features(vectors(width=9))) is None and fitted(FrameFeatures()) is None


def test_what_is_pooled_depends_on_what_there_is():
    maps = [torch.ones(2, 1, 3, 4, 4), torch.zeros(2, 1, 5, 2, 2)]
    assert pooled_vectors(FrameFeatures(maps=maps)).shape == (2, 1, 8)
    pooled, tokens = torch.rand(2, 1, 6), torch.rand(2, 1, 9, 4)
    assert pooled_vectors(FrameFeatures(pooled=pooled, tokens=tokens)) is not None
    torch.testing.assert_close(pooled_vectors(FrameFeatures(tokens=tokens)), tokens.mean(2))


def test_a_model_gets_the_statistic_of_its_checkpoint_and_loses_another():
    class Model(torch.nn.Linear):
        novelty = None

        def __init__(self):
            super().__init__(2, 2)
            self.novelty = None

    model, stored = Model(), FeatureDistance.fit(vectors()).to_dict()
    del Model.novelty
    restore_novelty(model, dict(meta=dict(novelty=stored)))
    assert isinstance(model.novelty, FeatureDistance) and len(model.state_dict()) == 2
    restore_novelty(model, dict(meta=dict(epoch=3)))
    assert model.novelty is None
    restore_novelty(torch.nn.Linear(2, 2), dict(meta=dict(novelty=stored)))  # has no place for it
    np.testing.assert_array_equal(FeatureDistance.from_dict(stored).samples, 400)
