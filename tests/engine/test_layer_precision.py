"""Groups of layers that stay in float32 under autocast: chosen by time, kept, followed exactly."""
import copy

import pytest
import torch
from testers import batch, build_interpreter, total
from torch import nn

from rscc.engine import layer_precision
from rscc.engine.layer_precision import ROUNDS, WARM_UP, LayerPrecision, layer_groups
from rscc.engine.optim import AutocastOptimWrapper


class Net(nn.Module):

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3))
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
        self.seen = {}
        for name, layer in self.named_modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.register_forward_hook(
                    lambda _, inputs, output, name=name: self.seen.update({name: output.dtype}))

    def forward(self, images):
        return self.head(self.encoder(images))


CONVOLUTIONS, LINEAR = 'encoder convolutions', 'head linear layers'


class Clock:
    """A step takes what its layers cost: by group in bfloat16 and in float32."""

    def __init__(self, net, costs):
        self.net, self.costs, self.now, self.calls = net, costs, 0.0, 0

    def __call__(self):
        self.calls += 1
        if self.calls % 2 == 0:  # the end of a step
            kinds = {CONVOLUTIONS: self.net.seen['encoder.0'], LINEAR: self.net.seen['head.2']}
            self.now += 1 + sum(self.costs[name][kind is torch.float32]
                                for name, kind in kinds.items())
        return self.now


def train(net, wrapper, steps):
    seen = []
    for _ in range(steps):
        with wrapper.optim_context(net):
            loss = net(torch.ones(2, 3, 8, 8)).float().square().mean()
        wrapper.update_params(loss)
        seen.append(dict(net.seen))
    return seen


def wrapper_of(net, **kwargs):
    return AutocastOptimWrapper(dtype='bfloat16', device_type='cpu', **kwargs,
                                optimizer=torch.optim.SGD(net.parameters(), lr=1e-3))


STEPS = WARM_UP + ROUNDS * 3


@pytest.mark.parametrize('costs, expected', [
    ({CONVOLUTIONS: (3, 1), LINEAR: (1, 2)}, (CONVOLUTIONS, )),
    ({CONVOLUTIONS: (1, 3), LINEAR: (2, 1)}, (LINEAR, )),
    ({CONVOLUTIONS: (3, 1), LINEAR: (2, 1)}, (CONVOLUTIONS, LINEAR)),
    ({CONVOLUTIONS: (1, 2), LINEAR: (1, 1)}, ()),
    ({CONVOLUTIONS: (1, 0.95), LINEAR: (1, 1)}, ())])
def test_what_is_faster_in_float32_stays_in_it(costs, expected, monkeypatch):
    net, told = Net(), []
    wrapper = wrapper_of(net)
    wrapper._layers = LayerPrecision(net, 'cpu', clock=Clock(net, costs))
    monkeypatch.setattr(layer_precision, 'print_log', lambda text, *_: told.append(text))
    train(net, wrapper, STEPS - 1)
    assert wrapper._layers.chosen is None and 'full_precision' not in wrapper.state_dict()
    train(net, wrapper, 1)
    assert wrapper._layers.chosen == expected
    assert wrapper.state_dict()['full_precision'] == list(expected)
    seen = train(net, wrapper, 3)[-1]
    kinds = {CONVOLUTIONS: seen['encoder.2'], LINEAR: seen['head.2']}
    assert {name for name, kind in kinds.items() if kind is torch.float32} == set(expected)
    assert len(told) == 1 and all(name in told[0] for name in expected)


def test_each_group_is_tried_alone_after_the_warm_up():
    net = Net()
    seen = train(net, wrapper_of(net), STEPS)
    full = [tuple(kinds[name] is torch.float32 for name in ('encoder.0', 'head.2'))
            for kinds in seen]
    none = (False, False)
    assert full == [none] * WARM_UP + [none, (True, False), (False, True)] * ROUNDS


def test_the_choice_of_a_checkpoint_goes_on_without_measuring():
    net = Net()
    first = wrapper_of(net, full_precision=[LINEAR])
    train(net, first, 1)
    net = Net()
    again = wrapper_of(net)
    again.load_state_dict(copy.deepcopy(first.state_dict()))
    seen = train(net, again, 1)
    assert seen[0]['head.2'] is torch.float32 and seen[0]['encoder.0'] is torch.bfloat16
    assert again.state_dict()['full_precision'] == [LINEAR]


def test_what_the_config_says_is_stronger_than_a_checkpoint():
    net = Net()
    first = wrapper_of(net, full_precision=[LINEAR])
    train(net, first, 1)
    net = Net()
    again = wrapper_of(net, full_precision=())
    again.load_state_dict(copy.deepcopy(first.state_dict()))
    assert train(net, again, 1)[0]['head.2'] is torch.bfloat16


def test_all_groups_in_float32_train_as_without_autocast_where_layers_are_all():
    plain, full = Net(), Net()
    wrapper = wrapper_of(plain)
    wrapper.dtype = None  # no autocast
    train(plain, wrapper, 3)
    train(full, wrapper_of(full, full_precision=(CONVOLUTIONS, LINEAR)), 3)
    for expected, found in zip(plain.parameters(), full.parameters(), strict=True):
        assert torch.equal(expected, found)


def test_a_failing_layer_leaves_autocast_as_it_was():
    net = Net()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        LayerPrecision(net, 'cpu', [CONVOLUTIONS])
        with pytest.raises(RuntimeError):
            net(torch.ones(2, 5, 8, 8))
        assert torch.is_autocast_enabled('cpu')


def test_an_unknown_group_is_refused_with_the_nearest_name():
    with pytest.raises(ValueError, match=r"'encoder convolution', expected some of encoder "
                       r"convolutions, head linear layers.*Did you mean 'encoder convolutions'"):
        LayerPrecision(Net(), 'cpu', ['encoder convolution'])
    with pytest.raises(ValueError, match="in a list, found 'head linear layers'"):
        wrapper_of(Net(), full_precision=LINEAR)


def test_compiled_models_are_not_measured():
    net = Net()
    net.encoder.compile(backend='eager')
    assert LayerPrecision(net, 'cpu').chosen == ()


@pytest.mark.parametrize('full', [False, True])
def test_a_whole_model_trains_with_any_choice(full):
    model = build_interpreter()
    names = list(layer_groups(model))
    assert {'encoder convolutions', 'change_head convolutions', 'caption_head linear layers',
            'flag_head linear layers'} <= set(names)
    wrapper = wrapper_of(model, full_precision=names if full else names[::2])
    data = batch(2)
    for _ in range(2):
        with wrapper.optim_context(model):
            loss = total(model(**model.data_preprocessor(copy.deepcopy(data), True), mode='loss'))
        wrapper.update_params(loss)
        assert loss.isfinite()
