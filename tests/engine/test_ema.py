import pytest
import torch
from torch import nn

from rscc.engine.ema import InversePowerEMA, inverse_power_decay

AVERAGE = {'type': 'EMAHook', 'ema_type': 'InversePowerEMA', 'power': 0.75, 'maximum': 0.9999}


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def test_decay_grows_from_a_copy_to_the_maximum():
    decays = [inverse_power_decay(step, 0.75, 0.9999) for step in (0, 1, 10, 10**6)]
    assert decays == pytest.approx([0, 1 - 2**-0.75, 1 - 11**-0.75, 0.9999])


def test_power_one_is_the_mean_of_all_models():
    model = network()
    average, seen = InversePowerEMA(model, power=1.0, maximum=1.0), []
    for _ in range(7):
        with torch.no_grad():
            model[0].weight.normal_()
        seen.append(model[0].weight.detach().clone())
        average.update_parameters(model)
    torch.testing.assert_close(average.module[0].weight, torch.stack(seen).mean(0))


def test_average_follows_the_recurrence_and_leaves_the_model_alone():
    model = network()
    average, expected = InversePowerEMA(model, power=0.6, maximum=0.7), None
    for step in range(6):
        with torch.no_grad():
            model[2].bias.normal_()
        before = model[2].bias.detach().clone()
        average.update_parameters(model)
        decay = min(0.7, 1 - (1 + step)**-0.6)
        expected = before if step == 0 else decay * expected + (1 - decay) * before
        torch.testing.assert_close(average.module[2].bias, expected)
        assert torch.equal(model[2].bias, before)


def test_buffers_are_copied_and_the_average_takes_no_gradient():
    model = network()
    average = InversePowerEMA(model)
    for _ in range(3):
        model(torch.randn(8, 3) * 5)
        average.update_parameters(model)
    assert torch.equal(average.module[1].running_mean, model[1].running_mean)
    assert average.module[1].num_batches_tracked == 3
    assert not any(parameter.requires_grad for parameter in average.module.parameters())


@pytest.mark.parametrize(('options', 'message'), [
    ({'power': 0.0}, 'power=0.0: the decay of an average needs an exponent above 0'),
    ({'maximum': 1.5}, 'maximum=1.5: expected a decay from 0 to 1')])
def test_decay_out_of_range_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        InversePowerEMA(network(), **options)


def test_average_is_built_by_name_with_its_options(build):
    runner = build(custom_hooks=[AVERAGE])
    runner.train()
    hook = next(hook for hook in runner.hooks if hasattr(hook, 'ema_model'))
    assert type(hook.ema_model) is InversePowerEMA
    assert (hook.ema_model.power, hook.ema_model.maximum) == (0.75, 0.9999)
    assert hook.ema_model.steps == runner.iter
