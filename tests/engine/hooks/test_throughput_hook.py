import pytest


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
