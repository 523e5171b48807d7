import pytest

from rscc.engine.hooks.finite_loss_hook import batch_ids


def test_nan_names_samples_losses_and_the_last_checkpoint(build):
    runner = build(train_dataloader={'dataset': {'poison': 5}})
    said = (r'not finite at epoch 1, iteration \d: .*flag\.loss_ce=nan\. Samples of the batch: '
            r'.*toy_005.*Last checkpoint: none')
    with pytest.raises(FloatingPointError, match=said):
        runner.train()


def test_samples_without_an_id_are_numbered():
    assert batch_ids({'data_samples': [object(), object()]}) == ['#0', '#1']
    assert batch_ids([1]) == []
