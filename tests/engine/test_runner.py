import os
from pathlib import Path

import pytest
import torch
from engine.toys import ToyPairs

from rscc.engine.checkpoint import read_checkpoint


def iterations(most, sampler='InfiniteSampler', workers=0, **changes):
    return dict(
        train_cfg={'_delete_': True, 'type': 'IterBasedTrainLoop', 'max_iters': most,
                   'val_interval': 3},
        train_dataloader={'sampler': {'type': sampler}, 'num_workers': workers,
                          'persistent_workers': bool(workers), 'dataset': {'length': 10}},
        default_hooks={'logger': {'interval': 1}, 'throughput': {'warm_up': 1},
                       'panels': {'num_val': 0},
                       'checkpoint': {'by_epoch': False, 'interval': 3, 'save_best': None,
                                      'rule': None}},
        log_processor={'by_epoch': False}, param_scheduler={
            '_delete_': True, 'type': 'PolyLR', 'by_epoch': False, 'begin': 0, 'end': 9},
        **changes)


@pytest.mark.parametrize('workers', [0, 2])
def test_a_resumed_run_equals_an_uninterrupted_one(build, tmp_path, workers):
    whole = build('whole', **iterations(8))
    whole.train()
    build('parts', **iterations(3)).train()
    # Another seed in the config: the checkpoint's counts, as for epochs.
    resumed = build('parts', resume=True, randomness={'seed': 5}, **iterations(8, workers=workers))
    resumed.train()
    assert resumed.iter == whole.iter == 8
    ours, theirs = resumed.model.state_dict(), whole.model.state_dict()
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())


def test_a_resumed_run_loads_nothing_that_was_trained_on(build, monkeypatch):
    build('parts', **iterations(6)).train()
    resumed = build('parts', resume=True, **iterations(8))
    asked, original = [], ToyPairs.prepare_data

    def noting(self, index):
        asked.append(getattr(index, 'epoch', None))
        return original(self, index)

    monkeypatch.setattr(ToyPairs, 'prepare_data', noting)
    resumed.train()
    assert [epoch for epoch in asked if epoch is not None] == [2] * 6 + [3] * 2


def test_another_sampler_goes_through_what_was_trained_on_and_says_so(build, log_of):
    build('parts', **iterations(3, 'DefaultSampler')).train()
    resumed = build('parts', resume=True, **iterations(4, 'DefaultSampler'))
    resumed.train()
    assert 'the 3 batches trained on before are loaded again' in log_of(resumed)
    assert resumed.iter == 4


def test_validation_comes_at_its_interval_and_at_the_end(build, log_of):
    runner = build(**iterations(4))
    runner.train()
    assert log_of(runner).count('Iter(val)') == 2 * len(runner.val_dataloader) + 2


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


@pytest.mark.parametrize('hooks', [[], [dict(type='EMAHook', momentum=0.5)]], ids=['', 'averaged'])
def test_what_resumes_where_it_can_starts_from_its_weights_where_it_cannot(
        build, trained, log_of, hooks):
    given = dict(load_from=trained, resume='auto', custom_hooks=hooks)
    begun = build('begun', **given, optim_wrapper=dict(optimizer=dict(lr=0.0)))
    begun.train()
    assert f"training starts from '{trained}'" in log_of(begun)
    saved = read_checkpoint(trained)['state_dict']
    assert all(torch.equal(value, saved[name]) for name, value in begun.model.named_parameters())
    # Now the folder has something to continue from.
    longer = build('begun', **given, train_cfg={'max_epochs': 2})
    longer.train()
    assert longer.iter == 2 * begun.iter


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


def test_warnings_come_once_and_those_for_mmengines_authors_never(build, log_of):
    runner = build(train_cfg={'max_epochs': 2}, custom_hooks=[{'type': 'EarlyStoppingHook',
                                                              'monitor': 'change/OA'}])
    for _ in range(3):
        runner.logger.warning('the same again')
        runner.logger.info('news')
    runner.train()
    log = log_of(runner)
    assert log.count('the same again') == 1 and log.count('news') == 3
    assert 'FileClient' not in log and 'HardDiskBackend' not in log


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
