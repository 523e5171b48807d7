"""What a training refuses, or tells, before its first step."""
import pytest
import torch
from engine.toys import ToyModel
from mmengine.config import Config
from torch import nn

from rscc.engine.start_checks import check_last_batch, check_monitored_settings
from rscc.registry import MODELS

CHANGE = {'_delete_': True, 'type': 'ChangeMetric'}


def stopping(name, **options):
    return {'custom_hooks': [{'type': 'EarlyStoppingHook', 'monitor': name, 'rule': 'greater',
                              **options}], 'val_evaluator': dict(CHANGE)}


@pytest.mark.parametrize(('changes', 'message'), [
    (stopping('loss'), r"EarlyStoppingHook\.monitor waits for the score 'loss', which no "
     r'validation of this run gives: val_evaluator has ChangeMetric with change/F1_changed, .* '
     'Losses are'),
    (stopping('change/mIuO'), r"Did you mean 'change/mIoU'\?"),
    ({'default_hooks': {'checkpoint': {'save_best': 'change/F1'}}, 'val_evaluator': dict(CHANGE)},
     r"checkpoint\.save_best waits for the score 'change/F1',.*Did you mean 'change/mF1'\?"),
    ({'param_scheduler': {'_delete_': True, 'type': 'ReduceOnPlateauLR', 'monitor': 'loss',
                          'rule': 'less'}, 'val_evaluator': dict(CHANGE)},
     r"param_scheduler ReduceOnPlateauLR\.monitor waits for the score 'loss'"),
    ({**stopping('change/mIoU'), 'val_cfg': None, 'val_dataloader': None, 'val_evaluator': None},
     'this run has none: set val_dataloader'),
])
def test_a_score_that_will_never_be_is_refused(build, changes, message):
    with pytest.raises(ValueError, match=message):
        build(**changes).train()


def test_training_without_validation_says_that_it_keeps_no_best_checkpoint(build, log_of):
    runner = build(val_cfg=None, val_dataloader=None, val_evaluator=None,
                   default_hooks={'checkpoint': {'save_best': 'change/mIoU'}})
    runner.train()
    assert 'this run has none: no best checkpoint will be kept' in log_of(runner)


def test_scores_that_there_are_and_those_of_unknown_metrics_pass(build, log_of):
    changes = stopping('change/OA', min_delta=0.01, patience=2)
    changes['val_evaluator'] = {'type': 'ToyMetric'}
    changes['default_hooks'] = {'checkpoint': {'save_best': 'auto'}}
    runner = build(**changes)
    runner.train()
    assert ('training stops early when change/OA has not become greater by more than 0.01 in 2 '
            'validations') in log_of(runner)


@MODELS.register_module(force=True)
class PooledModel(ToyModel):
    """A batch norm behind a pooling to 1 x 1, which one sample leaves a single value."""

    def __init__(self, frames=1):
        super().__init__()
        self.frames, self.pooled = frames, nn.BatchNorm1d(12)

    def forward(self, inputs, data_samples, mode='tensor', poison=()):
        if mode == 'loss':
            self.pooled(torch.zeros(len(inputs) * self.frames, 12))
        return super().forward(inputs, data_samples, mode, poison)


LEFT = {'train_dataloader': {'batch_size': 5}}  # 16 samples


def test_a_last_batch_of_one_that_would_end_the_training_is_refused(build, tmp_path):
    runner = build(model={'type': 'PooledModel'}, **LEFT)
    with pytest.raises(ValueError, match=r"16 samples in batches of 5 leave a last batch of one, "
                       r".*'pooled' would get one value per channel and end the training; set "
                       r'train_dataloader\.drop_last=True or another train_dataloader\.batch_size'):
        runner.train()
    assert not list((tmp_path / 'run').glob('*.pth'))


def test_a_last_batch_of_one_that_can_be_trained_on_is_told(build, log_of):
    runner = build(model={'type': 'PooledModel', 'frames': 2}, **LEFT)
    runner.train()
    assert 'leave a last batch of one, from which batch norms cannot learn well' in log_of(runner)


@pytest.mark.parametrize('loader', [{'batch_size': 5, 'drop_last': True}, {'batch_size': 4}])
def test_nothing_is_said_where_no_batch_is_that_small(build, log_of, loader):
    runner = build(model={'type': 'PooledModel'}, train_dataloader=loader)
    runner.train()
    assert 'last batch of one' not in log_of(runner)


def test_batch_norms_that_do_not_learn_take_any_batch(build, log_of):
    runner = build(model={'type': 'PooledModel'}, **LEFT)
    runner.model.requires_grad_(False)
    check_last_batch(runner)
    assert 'last batch of one' not in log_of(runner)


def test_the_trial_changes_neither_statistics_nor_random_state(build, log_of):
    runner = build(model={'type': 'PooledModel', 'frames': 2}, **LEFT)
    assert len(runner.train_dataloader) == 4
    before = {name: value.clone() for name, value in runner.model.state_dict().items()}
    state = torch.get_rng_state()
    check_last_batch(runner)
    after = runner.model.state_dict()
    assert 'leave a last batch of one' in log_of(runner)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(after[name], before[name]) for name in before)


def monitored(evaluator, **settings):
    return check_monitored_settings(Config(dict(
        val_dataloader=dict(batch_size=1), val_evaluator=evaluator, **settings)))


@pytest.mark.parametrize(('settings', 'told'), [
    (dict(default_hooks=dict(checkpoint=dict(save_best='change/F1_chnged'))),
     "default_hooks.checkpoint.save_best waits for the score 'change/F1_chnged'"),
    (dict(default_hooks=dict(checkpoint=dict(save_best=['change/F1_changed', 'loss_x']))),
     "save_best waits for the score 'loss_x'"),
    (dict(custom_hooks=[dict(type='EarlyStoppingHook', monitor='regions/x')]),
     "EarlyStoppingHook.monitor waits for the score 'regions/x'"),
    (dict(param_scheduler=dict(type='ReduceOnPlateauLR', monitor='val/loss')),
     "ReduceOnPlateauLR.monitor waits for the score 'val/loss'")])
def test_a_score_that_no_metric_gives_is_refused_in_the_config(settings, told):
    with pytest.raises(ValueError, match=told):
        monitored(dict(type='ChangeMetric'), **settings)


@pytest.mark.parametrize('name', ['change/F1_changed', 'change/IoU_house', 'auto', None])
def test_scores_that_a_metric_gives_pass(name):
    monitored([dict(type='ChangeMetric')], default_hooks=dict(checkpoint=dict(save_best=name)))


def test_a_plateau_without_a_validation_is_refused():
    with pytest.raises(ValueError, match='of a validation, and this run has none: set val_data'):
        check_monitored_settings(Config(dict(
            custom_hooks=[dict(type='EarlyStoppingHook', monitor='change/OA')])))
