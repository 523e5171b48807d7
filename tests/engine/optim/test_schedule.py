import pytest
import torch

from rscc.engine.optim.schedule import WarmupCosineLR, WarmupPolyLR


def rates(steps=100, kind=WarmupCosineLR, **kwargs):
    groups = [{'params': [torch.nn.Parameter(torch.zeros(1))], 'lr': lr} for lr in (1.0, 0.1)]
    optimizer = torch.optim.SGD(groups, lr=1.0)
    schedule = kind(optimizer, end=steps, **kwargs)
    seen = []
    for _ in range(steps):
        seen.append([group['lr'] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    return torch.tensor(seen, dtype=torch.float64)


def test_rate_rises_for_its_share_then_falls_to_the_floor():
    seen = rates(warmup=0.1, floor=0.01)[:, 0]
    assert seen[:10].diff().gt(0).all() and seen[0] == pytest.approx(1 / 11)
    assert seen.argmax() == 10 and seen[10] == 1.0
    assert seen[10:].diff().lt(0).all()
    assert seen[55] == pytest.approx(0.01 + 0.99 / 2, abs=1e-6)
    assert seen[-1] == pytest.approx(0.01, abs=1e-3)


def test_groups_keep_their_ratio():
    seen = rates(warmup=0.2)
    assert torch.allclose(seen[:, 1] * 10, seen[:, 0])


def test_no_warm_up_starts_at_the_peak():
    assert rates(warmup=0)[0, 0] == 1.0


def test_whole_warm_up_counts_steps_and_a_power_of_one_falls_in_a_line():
    seen = rates(steps=50, kind=WarmupPolyLR, warmup=10)[:, 0]
    assert seen.argmax() == 10 and seen[10] == 1.0
    assert torch.allclose(seen[10:].diff(), torch.tensor(-1 / 40, dtype=torch.float64))
    curved = rates(steps=50, kind=WarmupPolyLR, warmup=10, power=2.0)[:, 0]
    assert torch.allclose(curved[10:], seen[10:]**2)


@pytest.mark.parametrize('kwargs,message', [
    ({'warmup': 1.0}, r'warmup is a share of the run in \[0, 1\) or a whole number .*got 1.0'),
    ({'kind': WarmupPolyLR, 'power': 0}, 'power must be positive, got 0'),
    ({'floor': 2}, r'floor is a share of the peak rate in \[0, 1\], got 2'),
    ({'by_epoch': True}, 'counts iterations: set by_epoch=False')])
def test_wrong_shares_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        rates(**kwargs)


def test_runner_fills_in_the_length_of_the_run(build):
    runner = build(train_cfg={'max_epochs': 2})
    runner.train()
    schedule, = runner.param_schedulers
    assert schedule.end == 8 and schedule.last_step == 7
