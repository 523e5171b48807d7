import pytest
import torch
from testers import batch, build_interpreter, losses, total

GUIDED = dict(type='MapGuidance', channels='auto')


def guided(**changes):
    return build_interpreter(**dict(dict(
        guidance=GUIDED, flag_head=dict(type='ChangeFlagHead', in_channels='auto')), **changes))


@pytest.mark.parametrize('pooled', ['joined', 'map'])
def test_words_and_flag_train_beside_the_map_that_they_are_told_of(pooled):
    model = guided(guidance=dict(GUIDED, pooled=pooled))
    values = losses(model, batch())
    assert {name.split('.')[0] for name in values} == {'change', 'caption', 'flag'}
    total(values).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_the_map_gets_no_gradient_from_words():
    model = guided()
    values = losses(model, batch())
    sum(value for name, value in values.items() if name.startswith('caption.loss')).backward()
    assert all(parameter.grad is None for parameter in model.change_head.parameters())


def test_a_map_of_no_change_and_one_of_change_give_the_heads_other_features():
    model = guided(guidance=dict(GUIDED, pooled='map')).eval()
    inputs = model.data_preprocessor(batch())['inputs']
    features = model.extract(inputs)
    raw = model.map_logits(features)
    quiet, loud = raw.clone(), raw.clone()
    quiet[:, 0] += 20
    loud[:, 1] += 20
    one, other = model.guided(features, quiet), model.guided(features, loud)
    assert (one.tokens - other.tokens).abs().amax() > 1e-3
    assert (one.pooled - other.pooled).abs().amax() > 1e-3
    assert one.tokens.shape == features.tokens.shape and one.maps is features.maps


def test_only_the_places_of_a_change_are_told_of_it():
    model = guided().eval()
    features = model.extract(model.data_preprocessor(batch())['inputs'])
    raw = model.map_logits(features)
    quiet = torch.zeros_like(raw)
    quiet[:, 0] = 20
    corner = quiet.clone()
    height, width = raw.shape[-2:]
    corner[:, :, :height // 2, :width // 2] = 0
    corner[:, 1, :height // 2, :width // 2] = 20
    moved = (model.guided(features, corner).tokens - model.guided(features, quiet).tokens).abs()
    groups, *grid = features.token_grid
    moved = moved.unflatten(1, (groups, -1))[:, :, -grid[0] * grid[1]:].amax(-1)
    moved = moved.unflatten(2, grid)
    assert (moved[:, :, :grid[0] // 2, :grid[1] // 2] > 1e-4).all()
    assert (moved[:, :, -(-grid[0] // 2):] < 1e-6).all()


def test_prediction_and_raw_outputs_use_the_same_guided_features():
    model = guided().eval()
    data = batch()
    outputs = model(**model.data_preprocessor(data), mode='tensor')
    predicted = model.test_step(data)
    told = [sample.pred_change_score for sample in predicted]
    assert told == pytest.approx(outputs['flag_logits'].sigmoid().tolist(), abs=1e-5)


def test_guidance_without_a_map_is_refused():
    with pytest.raises(ValueError, match='needs a change_head'):
        guided(change_head=None)


def test_words_are_told_the_true_flag_in_training_and_the_predicted_one_later():
    told = dict(type='ChangeFlagHead', in_channels='auto', token_channels='auto')
    model = build_interpreter(flag_head=told).eval()
    features = model.extract(model.data_preprocessor(batch())['inputs'])
    count = len(features.tokens)
    with torch.no_grad():
        model.flag_head.verdict.weight[0].fill_(0)
        model.flag_head.verdict.weight[1].fill_(1)
        true = model.guided(features, flags=[True] * count).tokens - features.tokens
        own = {}
        for bias in (-50.0, 50.0):  # of a head that always says one thing
            model.flag_head.classifier[-1].bias.fill_(bias)
            own[bias] = model.guided(features).tokens - features.tokens
            unknown = model.guided(features, flags=[None] * count).tokens - features.tokens
            assert torch.equal(unknown, own[bias])
            assert torch.equal(model.outputs(features)['tokens'] - features.tokens, own[bias])
    for moved, amount in ((true, 1), (own[-50.0], 0), (own[50.0], 1)):
        torch.testing.assert_close(moved, torch.full_like(moved, amount), atol=1e-5, rtol=0)


def test_a_flag_head_that_tells_words_trains_with_all_its_weights():
    model = guided(flag_head=dict(type='ChangeFlagHead', in_channels='auto', token_channels='auto'))
    total(losses(model, batch())).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    with pytest.raises(ValueError, match='token_channels'):
        guided(flag_head=dict(type='ChangeFlagHead', in_channels='auto', token_channels=7))
