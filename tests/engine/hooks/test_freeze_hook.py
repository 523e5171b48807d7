import pytest
import torch


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
