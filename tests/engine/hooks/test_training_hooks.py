import pytest
import torch
from engine.toys import ToyMetric
from torch import nn

from rscc.engine.hooks.training_hooks import FiniteLossHook, batch_ids, batch_notes
from rscc.registry import Part
from rscc.structures import ChangeDataSample


def run(build, epochs, **hook):
    runner = build(train_cfg={'max_epochs': epochs},
                   custom_hooks=[{'type': 'FreezeHook', **hook}])
    before = {key: value.clone() for key, value in runner.model.state_dict().items()}
    runner.train()
    after = runner.model.state_dict()
    return runner, {key for key in before if not torch.equal(before[key], after[key])}


def test_frozen_parts_keep_weights_and_statistics(build):
    runner, changed = run(build, 1, patterns=[r'^encoder\.'])
    assert changed == {'head.1.weight', 'head.1.bias'}
    assert not runner.model.encoder[1].training


def test_parts_thaw_at_their_epoch(build, log_of):
    runner, changed = run(build, 2, patterns=r'^encoder\.', until_epoch=1)
    assert {'encoder.0.weight', 'encoder.1.running_mean'} <= changed
    assert all(p.requires_grad for p in runner.model.parameters())
    log = log_of(runner)
    assert 'froze 4 tensors' in log and 'thawed 4 tensors' in log


def test_other_norms_keep_learning_their_statistics(build):
    _, changed = run(build, 1, patterns=['^head'])
    assert 'encoder.1.running_mean' in changed and 'head.1.weight' not in changed


def test_pattern_without_a_match_stops_the_training(build):
    runner = build(custom_hooks=[{'type': 'FreezeHook', 'patterns': r'^encodr\.'}])
    with pytest.raises(ValueError, match=r"matches no parameter.*Did you mean 'encoder'"):
        runner.train()


def test_nan_names_samples_losses_and_the_last_checkpoint(build):
    runner = build(train_dataloader={'dataset': {'poison': 5}})
    said = (r'not finite at epoch 1, iteration \d: .*flag\.loss_ce=nan\. Samples of the batch: '
            r'.*toy_005.*Last checkpoint: none')
    with pytest.raises(FloatingPointError, match=said):
        runner.train()


def test_samples_without_an_id_are_numbered():
    assert batch_ids({'data_samples': [ChangeDataSample(), ChangeDataSample()]}) == ['#0', '#1']
    assert batch_ids([1]) == []


class Talking(nn.Module, Part):
    """A part of a model that remembers something of its last batch."""

    def __init__(self, note):
        super().__init__()
        self.note = note

    def describe_last_batch(self):
        return self.note


def test_parts_of_a_model_tell_what_they_know_of_the_batch():
    model = nn.Sequential(Talking('sigma: a 0.5'), nn.Linear(1, 1), Talking(''),
                          nn.Sequential(Talking('other: b')))
    assert batch_notes(model) == ['sigma: a 0.5', 'other: b']
    assert batch_notes(nn.Linear(1, 1)) == []


def test_what_the_parts_tell_is_in_the_message(build):
    runner = build(train_dataloader={'dataset': {'poison': 5}})
    runner.model.talking = Talking('sigma: toy_005 0.5')
    with pytest.raises(FloatingPointError, match=r'toy_\d+\. sigma: toy_005 0\.5\. Last '):
        runner.train()


def test_infinite_and_detached_losses_count_too(build):
    runner = build()
    hook = next(hook for hook in runner.hooks if isinstance(hook, FiniteLossHook))
    hook.after_train_iter(runner, 0, None, dict(loss=torch.ones(1, requires_grad=True), plain=2.0))
    with pytest.raises(FloatingPointError, match=r'loss=inf\. Samples of the batch: unknown'):
        hook.after_train_iter(runner, 0, None, dict(loss=float('inf')))


def test_a_large_batch_is_named_in_part(build):
    runner, samples = build(), [ChangeDataSample()] * 40
    hook = next(hook for hook in runner.hooks if isinstance(hook, FiniteLossHook))
    with pytest.raises(FloatingPointError, match=r'#30, #31 and 8 more\.'):
        hook.after_train_iter(runner, 0, dict(data_samples=samples), dict(loss=float('nan')))


def test_a_loss_that_was_zero_from_the_start_is_told_once(build, log_of):
    runner, hook = build(), FiniteLossHook(zeros=3)
    for step in range(6):
        hook.after_train_iter(runner, step, None, dict(
            loss=1.0, acc=0.0, **{'caption.loss_ce': float(step > 1)},
            **({} if step in (0, 2) else {'change.loss_ce': 0.0})))
    said = log_of(runner)
    assert said.count('change.loss_ce exactly 0 in 3 steps') == 1
    assert 'caption.loss_ce exactly' not in said and 'acc exactly' not in said


def test_a_loss_that_is_zero_now_and_then_is_not(build, log_of):
    runner, hook = build(), FiniteLossHook(zeros=3)
    for step in range(6):
        hook.after_train_iter(runner, step, None, dict(loss=float(step == 1)))
    hook.before_train(runner)
    hook.after_train_iter(runner, 0, None, dict(loss=0.0))
    assert 'exactly 0' not in log_of(runner)


def test_rate_counts_samples_and_leaves_warm_up_and_validation_out(build, log_of):
    runner = build(train_cfg={'max_epochs': 2}, model={'seconds': 0.02})
    runner.train()
    hook = next(h for h in runner.hooks if type(h).__name__ == 'ThroughputHook')
    assert hook.samples == 4 * (8 - 1)
    # Seven counted steps of four samples, each at least 0.02 s.
    assert 0 < hook.rate < 4 / 0.02
    assert runner.message_hub.get_info('pairs_per_s') == pytest.approx(hook.rate, abs=1e-3)
    assert runner.message_hub.get_scalar('train/pairs_per_s').current() == pytest.approx(hook.rate)
    assert 'samples/s' in log_of(runner)


def test_nothing_is_reported_before_the_warm_up_is_over(build):
    runner = build(default_hooks={'throughput': {'warm_up': 99}})
    runner.train()
    assert 'pairs_per_s' not in runner.message_hub.runtime_info


def early(build, scores, monkeypatch, work_dir='run', **changes):
    values = iter(scores)
    monkeypatch.setattr(ToyMetric, 'compute_metrics', lambda *_: {'OA': next(values)})
    runner = build(work_dir, train_cfg={'max_epochs': len(scores), 'val_interval': 1},
                   custom_hooks=[{'type': 'EarlyStoppingHook', 'monitor': 'change/OA',
                                  'patience': 2}], **changes)
    runner.train()
    return runner


def test_a_score_from_0_to_1_that_rises_goes_on(build, monkeypatch):
    assert early(build, [0.5, 0.58, 0.66, 0.74], monkeypatch).epoch == 4
    assert early(build, [0.5, 0.4, 0.4, 0.9], monkeypatch, 'other').epoch == 3


def test_a_resumed_run_goes_on_counting(build, monkeypatch, tmp_path):
    monkeypatch.setattr(ToyMetric, 'compute_metrics', lambda *_: {'OA': 0.5})
    changes = dict(custom_hooks=[{'type': 'EarlyStoppingHook', 'monitor': 'change/OA',
                                  'patience': 3}])
    build(train_cfg={'max_epochs': 3, 'val_interval': 1}, **changes).train()
    # The first validation is the best, the next two are not better; that of epoch 3 is repeated.
    resumed = build(train_cfg={'max_epochs': 9, 'val_interval': 1}, resume=True, **changes)
    resumed.train()
    assert resumed.epoch == 4
