"""Weighting of the heads' losses: numbers, gradients, checkpoints, optimizer groups, processes."""
import json
import math
import os
import subprocess
import sys

import pytest
import torch
from testers import batch, build_interpreter, losses, total

from rscc.config.check import check_config
from rscc.engine.checkpoint import load_weights
from rscc.engine.optim import GroupedConstructor
from rscc.models.loss_weighting import FixedWeights, UncertaintyWeights

HEADS = ('change', 'caption', 'flag')
UNCERTAINTY = dict(type='UncertaintyWeights')


def given(change=0.5, caption=2.0, attention=1.0, flag=0.0):
    """Losses of three heads, the second of two parts, each a leaf; accuracies beside them."""
    leaf = {name: torch.tensor(value, requires_grad=True) for name, value in dict(
        change=change, caption=caption, attention=attention, flag=flag).items()}
    return leaf, dict(
        change=dict(loss_ce=leaf['change'], acc_seg=torch.tensor(90.0)),
        caption=dict(loss_caption=leaf['caption'], loss_attention=leaf['attention'],
                     accuracy=torch.tensor(0.5)),
        flag=dict(loss_flag=leaf['flag']))


def summed(weighted):
    return sum(value for values in weighted.values() for name, value in values.items()
               if 'loss' in name)


def losses_of(model):
    """Losses with the same draws of dropout for every model."""
    torch.manual_seed(1)
    return losses(model, batch())


def learned(weighting, **log_variances):
    for head, value in log_variances.items():
        torch.nn.init.constant_(getattr(weighting, f'log_variance_{head}'), value)
    return weighting


def test_fixed_factors_weigh_losses_and_leave_accuracies_alone():
    _, values = given()
    weighted = FixedWeights(HEADS, caption=0.25, flag=0)(values)
    assert weighted['change'] == values['change']
    assert weighted['caption']['loss_caption'] == 0.5
    assert weighted['caption']['loss_attention'] == 0.25
    assert weighted['caption']['accuracy'] == 0.5
    assert summed(weighted) == 0.5 + 0.5 + 0.25


def test_learned_variances_start_as_the_plain_sum():
    _, values = given(flag=0.3)
    weighted = UncertaintyWeights(HEADS)(values)
    assert summed(weighted) == summed(values)
    assert {head: found['variance'].item() for head, found in weighted.items()} == dict.fromkeys(
        HEADS, 1.0)


def test_losses_are_weighted_as_in_the_paper():
    leaf, values = given()
    weighting = learned(UncertaintyWeights(HEADS, regression=['caption']), change=-1.0, caption=0.4)
    loss = summed(weighting(values))
    # Equation 10 for the map, equation 7 for the sentences; the flag had nothing to learn from.
    expected = math.e * 0.5 + -1.0 / 2 + 0.5 * math.exp(-0.4) * 3.0 + 0.4 / 2
    assert loss.item() == pytest.approx(expected, rel=1e-6)
    loss.backward()
    assert leaf['change'].grad.item() == pytest.approx(math.e, rel=1e-6)
    assert leaf['attention'].grad.item() == pytest.approx(0.5 * math.exp(-0.4), rel=1e-6)
    # d/ds (exp(-s) L + s / 2) = 1/2 - exp(-s) L, and half the second term for squared errors.
    assert weighting.log_variance_change.grad.item() == pytest.approx(0.5 - 0.5 * math.e, rel=1e-6)
    assert weighting.log_variance_caption.grad.item() == pytest.approx(
        0.5 - 0.5 * math.exp(-0.4) * 3.0, rel=1e-6)


@pytest.mark.parametrize('regression, limit', [((), math.log(2 * 3.0)), ('caption', math.log(3.0))])
def test_a_log_variance_goes_to_where_the_weighted_loss_is_a_half(regression, limit):
    weighting = UncertaintyWeights(HEADS, regression)
    optimizer = torch.optim.AdamW(weighting.parameters(), lr=0.05, weight_decay=0)
    for _ in range(300):
        optimizer.zero_grad()
        weighted = weighting(given()[1])
        summed(weighted).backward()
        optimizer.step()
    assert weighting.log_variance_caption.item() == pytest.approx(limit, abs=0.01)
    found = weighted['caption']
    assert (found['loss_caption'] + found['loss_attention']).item() == pytest.approx(0.5, abs=0.01)
    assert found['variance'].item() == pytest.approx(math.exp(limit), rel=0.02)
    assert weighting.log_variance_flag.item() == 0.0, 'it had no target in any step'


def test_a_batch_without_targets_of_a_head_gives_its_variance_no_gradient():
    data = batch(2)
    for sample in data['data_samples']:
        del sample.gt_sem_seg
        sample.gt_captions = []
    model = build_interpreter(loss_weighting=UNCERTAINTY)
    for head in HEADS:
        torch.nn.init.constant_(getattr(model.loss_weighting, f'log_variance_{head}'), -3.0)
    values = losses(model, data)
    for head in ('change', 'caption'):
        assert sum(value for name, value in values.items()
                   if name.startswith(head) and 'loss' in name) == 0
    total(values).backward()
    assert model.loss_weighting.log_variance_change.grad.item() == 0.0
    assert model.loss_weighting.log_variance_caption.grad.item() == 0.0
    assert model.loss_weighting.log_variance_flag.grad.item() != 0.0


def test_without_a_weighting_keys_and_numbers_are_those_of_the_heads():
    plain, one = build_interpreter(), build_interpreter(loss_weighting=dict(type='FixedWeights'))
    assert set(plain.state_dict()) == set(one.state_dict())
    values, same = (losses_of(model) for model in (plain, one))
    assert list(values) == list(same) == [
        'change.loss_ce', 'change.acc_seg', 'caption.loss_caption', 'caption.accuracy',
        'flag.loss_flag']
    assert all(torch.equal(values[name], same[name]) for name in values)


def test_a_training_step_moves_and_logs_every_variance():
    model = build_interpreter(loss_weighting=UNCERTAINTY)
    wrapper = GroupedConstructor(dict(optimizer=dict(type='AdamW', lr=1e-5, weight_decay=0.1)))(
        model)
    logged = model.train_step(batch(), wrapper)
    assert logged['loss'].item() == pytest.approx(sum(
        value for name, value in logged.items() if '.loss' in name).item())
    for head in HEADS:
        assert logged[f'{head}.variance'] == 1.0 and logged[f'{head}.loss_variance'] == 0.0
        moved = getattr(model.loss_weighting, f'log_variance_{head}').item()
        assert abs(moved) == pytest.approx(5e-3, rel=1e-3), 'one step of Adam at its own rate'


def test_the_rate_is_its_own_and_nothing_decays():
    model = build_interpreter(loss_weighting=dict(type='UncertaintyWeights', lr=0.5))
    options = dict(custom_keys={'log_variance_flag': dict(lr_mult=0.1)}, decay_vectors=True)
    wrapper = GroupedConstructor(dict(optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.1)),
                                 options)(model)
    of = {id(p): (group['lr'], group['weight_decay'])
          for group in wrapper.param_groups for p in group['params']}
    assert of[id(model.loss_weighting.log_variance_change)] == (0.5, 0.0)
    assert of[id(model.loss_weighting.log_variance_flag)] == (0.05, 0.0)
    assert of[id(model.flag_head.classifier[0].bias)] == (1e-3, 0.1)


def test_variances_are_learned_beside_adapters_and_can_be_frozen():
    pytest.importorskip('peft')
    lora = dict(target_modules=r'.*\.(query|value)', r=2)
    model = build_interpreter(lora=lora, loss_weighting=UNCERTAINTY)
    assert all(value.requires_grad for value in model.loss_weighting.parameters())
    model = build_interpreter(freeze=['^loss_weighting'], loss_weighting=UNCERTAINTY)
    assert not any(value.requires_grad for value in model.loss_weighting.parameters())


def test_checkpoints_hold_the_variances_and_load_with_any_weighting():
    trained = build_interpreter(loss_weighting=UNCERTAINTY)
    learned(trained.loss_weighting, change=-2.0, caption=1.0)
    stored = dict(state_dict=trained.state_dict())
    again = build_interpreter(loss_weighting=UNCERTAINTY)
    assert load_weights(again, stored).exact
    assert again.loss_weighting.log_variance_change.item() == -2.0
    # Into models that weigh in another way, or have fewer heads to weigh.
    assert load_weights(build_interpreter(), stored).exact
    assert load_weights(build_interpreter(loss_weighting=dict(type='FixedWeights')), stored).exact
    fewer = build_interpreter(flag_head=None, loss_weighting=UNCERTAINTY)
    report = load_weights(fewer, stored)
    assert not report.missing and all(key.startswith('flag_head.') for key in report.unexpected)
    assert fewer.loss_weighting.log_variance_caption.item() == 1.0
    # An old checkpoint, which has none: they begin as plain sums.
    old = build_interpreter(loss_weighting=UNCERTAINTY)
    assert load_weights(old, dict(state_dict=build_interpreter().state_dict())).exact
    assert old.loss_weighting.log_variance_change.item() == 0.0


@pytest.mark.parametrize('options, message', [
    (dict(type='FixedWeights', flag=2.0), r'FixedWeights\(flag=2.0\) speaks of the flag head, and '
     'this model has change, caption: leave it out, or give the model a flag_head'),
    (dict(type='FixedWeights', caption=-1.0), r'caption=-1.0\): a factor is 0 or a positive'),
    (dict(type='FixedWeights', change=math.inf), r'change=inf\): a factor is 0 or a positive'),
    (dict(type='UncertaintyWeights', regression=['captions']), 'speaks of the captions head'),
    (dict(type='UncertaintyWeights', lr=0.0), r'lr=0.0\): a learning rate is a positive number'),
])
def test_impossible_settings_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        build_interpreter(flag_head=None, loss_weighting=options)


def test_the_check_of_configs_knows_its_keywords():
    cfg = dict(default_scope='rscc', model=dict(
        type='ChangeInterpreter', loss_weighting=dict(type='FixedWeights', captoin=0.5)))
    with pytest.raises(ValueError, match=r"model\.loss_weighting\.captoin.*Did you mean 'caption'"):
        check_config(cfg, stages=())


PROCESS = """
import sys
import torch
import torch.distributed as dist
from testers import batch, build_interpreter, total
from torch.nn.parallel import DistributedDataParallel
from rscc.engine.distributed import leave_process_group
rank, folder = int(sys.argv[1]), sys.argv[2]
torch.set_num_threads(1)
dist.init_process_group('gloo', init_method=f'file://{folder}/meeting', rank=rank, world_size=2)
model = build_interpreter(loss_weighting=dict(type='UncertaintyWeights'))
parallel = DistributedDataParallel(model)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
for _ in range(2):
    data = model.data_preprocessor(batch(), True)
    for sample in data['data_samples'] if rank else ():  # the second process sees no mask at all
        del sample.gt_sem_seg
    optimizer.zero_grad()
    total(parallel(**data, mode='loss')).backward()
    optimizer.step()
print([value.item() for value in model.loss_weighting.parameters()])
del parallel  # it holds the group, whose threads should end before Python does
leave_process_group()
"""


def test_processes_agree_on_the_variances_where_one_has_no_mask(tmp_path, repo):
    env = {**os.environ, 'PYTHONPATH': os.pathsep.join([str(repo), str(repo / 'tests')])}
    ranks = [subprocess.Popen([sys.executable, '-c', PROCESS, str(rank), str(tmp_path)], env=env,
                              text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
             for rank in range(2)]
    said = [rank.communicate(timeout=240) for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], said
    assert said[0][0] == said[1][0]
    assert all(json.loads(said[0][0])), 'every variance moved'
