import os
from pathlib import Path

import pytest
import torch

from rscc.engine.checkpoint import read_checkpoint


@pytest.fixture
def trained(build, tmp_path):
    """A checkpoint of the toy model."""
    build().train()
    return str(tmp_path / 'run' / 'epoch_1.pth')


def test_checkpoint_of_another_width_is_an_error_when_testing(build, trained):
    runner = build(load_from=trained, model={'width': 5})
    with pytest.raises(ValueError, match=r'does not fit the model of this config: 2 tensors match'
                       r'(.|\n)*encoder\.0\.weight: file \(6, 3, 3, 3\), model \(5, 3, 3, 3\)'):
        runner.test()


def test_free_escape_loads_what_fits(build, trained, log_of):
    runner = build(load_from=trained, model={'width': 5}, strict_load=False)
    assert 'change/OA' in runner.test()
    assert 'fits the model in part' in log_of(runner)


def test_training_from_other_weights_warns_with_counts(build, trained, log_of):
    runner = build('other', load_from=trained, model={'width': 5})
    runner.train()
    assert 'WARNING' in log_of(runner)
    assert '2 tensors match, 0 missing, 0 unexpected, 7 of another shape' in log_of(runner)


def test_training_from_weights_of_which_nothing_fits_is_an_error(build, tmp_path):
    torch.save({'backbone.weight': torch.zeros(1)}, tmp_path / 'alien.pth')
    with pytest.raises(ValueError, match='0 tensors match'):
        build('other', load_from=str(tmp_path / 'alien.pth')).train()


def test_resuming_another_model_is_an_error(build, trained):
    with pytest.raises(ValueError, match='does not fit the model'):
        build(load_from=trained, resume=True, model={'width': 5}).train()


def test_resume_brings_back_optimizer_schedule_and_seed(build, trained):
    runner = build(load_from=trained, resume=True, train_cfg={'max_epochs': 2},
                   randomness={'seed': 77})
    runner.train()
    saved = read_checkpoint(trained)
    assert runner.seed == saved['meta']['seed'] == 0
    assert runner.train_dataloader.sampler.seed == 0
    assert saved['optimizer']['state'] and saved['param_schedulers'][0]['last_step'] == 3
    assert runner.iter == 8
    # The curve is that of the longer run: the same rates as if it had never stopped.
    whole = build('whole', train_cfg={'max_epochs': 2})
    whole.train()
    assert [group['lr'] for group in runner.optim_wrapper.param_groups] == [
        group['lr'] for group in whole.optim_wrapper.param_groups]


def test_test_and_validation_run_without_a_checkpoint_file(build):
    assert 'change/OA' in build().val()


def test_full_disk_while_saving_keeps_the_previous_checkpoint(build, trained, monkeypatch):
    before = read_checkpoint(trained)['state_dict']
    runner = build(load_from=trained, resume=True, train_cfg={'max_epochs': 2},
                   default_hooks={'checkpoint': {'max_keep_ckpts': 1}})

    def full(_descriptor):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(OSError, match=r'epoch_2\.pth.*cannot be written.*MiB are free'):
        runner.train()
    folder = Path(trained).parent
    assert sorted(path.name for path in folder.glob('*.pth')) == ['epoch_1.pth']
    assert (folder / 'last_checkpoint').read_text() == trained
    after = read_checkpoint(trained)['state_dict']
    assert all(torch.equal(before[key], after[key]) for key in before)
