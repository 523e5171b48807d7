"""What is allowed to numbers that were recorded in float32: enough, and no more."""
import json
import math
import runpy

import numpy as np
import pytest
import recordings
import torch
from recordings import assert_recorded, recording, unpacked
from rounding import FORMULA, assert_within, gradients_and_errors, rounding
from torch import nn


@pytest.mark.parametrize('products', [16, 256, 2048])
def test_float32_sums_are_off_by_less_than_allowed_and_not_by_much_less(products):
    draws = torch.Generator().manual_seed(0)
    factors = torch.randn(2, products, 1000, generator=draws, dtype=torch.float32)
    total = torch.zeros(1000, dtype=torch.float32)
    for first, second in zip(*factors, strict=True):  # one by one, which no processor does better
        total += first * second
    exact = (factors[0].double() * factors[1].double()).sum(0)
    off = (total - exact).abs().max() / exact.abs().max()
    assert rounding(products) / 20 < off < rounding(products)


def test_float32_formulas_are_off_by_less_than_allowed():
    exponents = torch.linspace(-16, 16, 1001)
    single = exponents.to(torch.float32).exp().sqrt() ** 2
    off = (single.double() / exponents.exp() - 1).abs().max()
    assert FORMULA / 100 < off < FORMULA


def test_a_share_is_of_the_largest_value():
    expected = torch.tensor([100.0, 1.0])
    assert_within(expected + torch.tensor([0.0, 0.09]), expected, 1e-3)
    with pytest.raises(AssertionError, match='the name'):
        assert_within(expected + torch.tensor([0.0, 0.11]), expected, 1e-3, 'the name')
    with pytest.raises(AssertionError):
        assert_within(torch.tensor([100.0, math.nan]), expected, 1e-3)


def gated(distance):
    """Return a layer of two units, the first so far above the gate of its ReLU, and its loss."""
    model = nn.Sequential(nn.Linear(4, 2), nn.ReLU(), nn.Linear(2, 1))
    for value in model.parameters():
        nn.init.ones_(value)
    model[0].bias.data = torch.tensor([distance - 4, 0.0])
    return model, lambda: model(torch.ones(1, 4)).sum()


@pytest.mark.parametrize(('distance', 'jumps'), [(1e-9, True), (-1e-9, True), (1e-3, False)])
def test_a_gate_may_be_open_or_shut_where_rounding_reaches_it(distance, jumps):
    gradients, errors = gradients_and_errors(*gated(distance))
    row = gradients['0.weight'][1].norm()  # of the unit whose gate is wide open
    assert errors['0.weight'] > row if jumps else errors['0.weight'] < 1e-4 * row


def test_gradients_are_allowed_no_more_than_they_are_off_in_float32():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 8))
    inputs = torch.randn(16, 64)
    gradients, errors = gradients_and_errors(model, lambda: model(inputs).square().mean())
    single = model.to(torch.float32)
    single(inputs.to(torch.float32)).square().mean().backward()
    for name, value in single.named_parameters():
        assert float((value.grad.double() - gradients[name]).norm()) < errors[name]
        assert errors[name] < 1e-3 * float(gradients[name].norm())


def test_a_thinned_array_is_met_by_every_fifth_value():
    values = torch.arange(12.0).view(3, 4)
    arrays = {'x__every5': torch.tensor([0.0, 5.0, 10.0])}
    assert_recorded(values, arrays, 'x', 1e-6)
    values = values + torch.eye(3, 4)
    with pytest.raises(AssertionError, match='x: '):
        assert_recorded(values, arrays, 'x', 1e-6)


def test_a_packed_array_begins_in_the_table_and_goes_round():
    index = [['weight', [2, 2], 'table', 2, 0.5], ['count', [], 'int64', 1, 1]]
    arrays = dict(unpacked(dict(
        index=np.frombuffer(json.dumps(index).encode(), np.uint8),
        table=np.array([2, 4, 6], np.float32), int64=np.array([7, 8]))))
    assert arrays['weight'].tolist() == [[3, 1], [2, 3]] and arrays['weight'].dtype == np.float32
    assert arrays['count'] == 8 and arrays['count'].shape == ()


def test_the_folder_is_the_variables_and_without_it_the_one_beside_the_tests(monkeypatch, repo):
    def folder():
        return runpy.run_path(recordings.__file__)['RECORDINGS']

    monkeypatch.setenv('RSCC_FIXTURES', 'somewhere')
    assert str(folder()) == 'somewhere'
    monkeypatch.delenv('RSCC_FIXTURES')
    assert folder() == repo / 'tests' / 'parity' / 'data' and folder().is_dir()


def test_a_missing_recording_names_the_variable(monkeypatch, tmp_path):
    monkeypatch.setattr(recordings, 'RECORDINGS', tmp_path)
    with pytest.raises(pytest.skip.Exception, match=r'clip_gpt/none\.npz.*RSCC_FIXTURES'):
        recording('clip_gpt/none.npz')


def test_the_folder_beside_the_tests_is_small(repo):
    sizes = {path: path.stat().st_size for path in (repo / 'tests' / 'parity' / 'data').rglob('*')}
    assert max(sizes.values()) < 1e6 and sum(sizes.values()) < 3e6
