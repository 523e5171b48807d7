import pytest
import torch
from mmengine.hooks import Hook
from torch import nn

from rscc.engine.checkpoint import read_checkpoint
from rscc.engine.hooks.ema_hook import EMAHook, InversePowerEMA, inverse_power_decay
from rscc.registry import HOOKS

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


AVERAGE_HOOK = {'type': 'EMAHook', 'ema_type': 'InversePowerEMA', 'power': 0.75, 'maximum': 0.9999}


@HOOKS.register_module(force=True)
class StateNotes(Hook):
    """Note the weights that are validated, and the trained ones at the end of every epoch."""
    priority = 'LOWEST'

    def before_run(self, runner):
        self.validated, self.trained = [], []

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if batch_idx == 0:
            self.validated.append(copy_of(runner.model))

    def after_train_epoch(self, runner):
        self.trained.append(copy_of(runner.model))


@HOOKS.register_module(force=True)
class DisturbBuffers(Hook):
    """Change running statistics after the last update of an epoch, as an average of ranks does."""

    def after_train_epoch(self, runner):
        for buffer in runner.model.buffers():
            if buffer.is_floating_point():
                buffer.add_(1)


def copy_of(model):
    return {key: value.clone() for key, value in model.state_dict().items()}


def equal(ours, theirs):
    return set(ours) == set(theirs) and all(torch.equal(ours[key], theirs[key]) for key in ours)


def notes(runner):
    return next(hook for hook in runner.hooks if isinstance(hook, StateNotes))


def averaging(*more, **changes):
    return {'custom_hooks': [AVERAGE_HOOK, {'type': 'StateNotes'}, *more], **changes}


def test_the_name_means_our_hook(build):
    assert any(isinstance(hook, EMAHook) for hook in build(custom_hooks=[AVERAGE_HOOK]).hooks)


@pytest.mark.parametrize(('changes', 'error', 'message'), [
    ({'ema_type': 'InversePowrEMA'}, KeyError, "no 'InversePowrEMA' in .*mean 'InversePowerEMA'"),
    ({'powr': 0.7}, TypeError, "InversePowerEMA has no option 'powr'.*mean 'power'")])
def test_mistyped_average_suggests_the_nearest(build, changes, error, message):
    with pytest.raises(error, match=message):
        build(custom_hooks=[AVERAGE_HOOK | changes]).train()


def test_best_checkpoint_holds_the_averaged_weights_that_were_validated(build, tmp_path):
    runner = build(**averaging(default_hooks={'checkpoint': {'save_best': 'change/OA'}}))
    runner.train()
    best, = (tmp_path / 'run').glob('best_change_OA*.pth')
    saved = read_checkpoint(best)
    assert equal(saved['state_dict'], notes(runner).validated[0])
    trained = {key.removeprefix('module.'): value for key, value in saved['ema_state_dict'].items()
               if key != 'steps'}
    assert equal(trained, notes(runner).trained[0])
    assert not torch.equal(trained['head.1.weight'], saved['state_dict']['head.1.weight'])


def test_training_goes_on_with_the_trained_weights_after_a_validation(build):
    runner = build(**averaging(train_cfg={'max_epochs': 1}))
    runner.train()
    assert equal(copy_of(runner.model), notes(runner).trained[-1])


def test_buffers_changed_after_the_last_update_are_saved_as_they_were_validated(build, tmp_path):
    runner = build(**averaging({'type': 'DisturbBuffers'},
                               default_hooks={'checkpoint': {'save_best': 'change/OA'}}))
    runner.train()
    best, = (tmp_path / 'run').glob('best_change_OA*.pth')
    assert equal(read_checkpoint(best)['state_dict'], notes(runner).validated[0])


def test_a_test_of_the_checkpoint_scores_the_averaged_weights(build, tmp_path):
    build(**averaging()).train()
    path = tmp_path / 'run' / 'epoch_1.pth'
    plain, with_hook = (build('tested', load_from=str(path), custom_hooks=hooks)
                        for hooks in ([], [AVERAGE_HOOK]))
    assert plain.test() == with_hook.test()
    assert equal(copy_of(plain.model), read_checkpoint(path)['state_dict'])
    assert equal(copy_of(with_hook.model), read_checkpoint(path)['state_dict'])


def test_weights_that_fit_in_part_start_model_and_average_alike(build, tmp_path, capfd):
    build(**averaging()).train()
    path = tmp_path / 'run' / 'epoch_1.pth'
    checkpoint = torch.load(path, weights_only=False)
    state = checkpoint['state_dict']
    first, second, *_ = [key for key, value in state.items() if value.ndim and len(value) > 1]
    state[first] = state[first][:1]
    state['elsewhere.weight'] = state.pop(second)
    torch.save(checkpoint, tmp_path / 'part.pth')
    runner = build('other', **averaging(load_from=str(tmp_path / 'part.pth')))
    runner.call_hook('before_run')
    before = copy_of(runner.model)
    runner.load_or_resume()
    average, = (hook.ema_model.module for hook in runner.hooks if hasattr(hook, 'ema_model'))
    after = copy_of(runner.model)
    assert equal(copy_of(average), after)
    assert torch.equal(after[first], before[first]) and torch.equal(after[second], before[second])
    # Told once, and shortly: MMEngine's hook prints every name.
    assert 'do not match exactly' not in ''.join(capfd.readouterr())


@HOOKS.register_module(force=True)
class StopIn(Hook):
    """Stop a run in the middle of an epoch."""

    def __init__(self, iteration):
        self.iteration = iteration

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter == self.iteration:
            raise KeyboardInterrupt


def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(build):
    whole = build('whole', **averaging(train_cfg={'max_epochs': 3}))
    whole.train()
    with pytest.raises(KeyboardInterrupt):
        build('parts', **averaging({'type': 'StopIn', 'iteration': 6},
                                   train_cfg={'max_epochs': 3})).train()
    resumed = build('parts', resume=True, **averaging(train_cfg={'max_epochs': 3}))
    resumed.train()
    assert whole.iter == resumed.iter == 12
    assert len(notes(resumed).validated) == 2
    assert equal(copy_of(whole.model), copy_of(resumed.model))
    first, second = (next(hook for hook in runner.hooks if isinstance(hook, EMAHook)).ema_model
                     for runner in (whole, resumed))
    assert equal(copy_of(first), copy_of(second))
    assert equal(notes(whole).validated[-1], notes(resumed).validated[-1])
    assert not equal(copy_of(first.module), copy_of(whole.model))
