import pytest
import torch
from engine.toys import ToyPairs


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
