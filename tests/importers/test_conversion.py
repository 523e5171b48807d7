"""Whole pickled modules become state dicts, and nothing of what their pickle says is run."""
import collections
import os

import pytest
import torch
from torch import nn

from rscc.engine.checkpoint import ForeignObjectsError, read_checkpoint
from rscc.importers.conversion import read_state_dicts


class Inner(nn.Module):

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.layers = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Linear(2, 2, bias=False))

    def __setstate__(self, state):
        raise RuntimeError('the code of a module ran')


class Outer(nn.Module):

    def __init__(self):
        super().__init__()
        self.inner, self.scale, self.absent = Inner(), nn.Parameter(torch.randn(2)), None
        self.choices = {1, 2}


class Runs:
    """Would write a file when unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.system, (f'touch {self.path}', )


def same(one, other):
    return set(one) == set(other) and all(torch.equal(one[name], other[name]) for name in other)


@pytest.mark.parametrize('new', [True, False], ids=['zip', 'before torch 1.6'])
@pytest.mark.filterwarnings('ignore:Couldn.t retrieve source')
def test_modules_in_a_training_file_are_read_without_their_code(tmp_path, new):
    encoder, decoder = Outer(), nn.LSTMCell(3, 4)
    optimizer = torch.optim.Adam(decoder.parameters())
    decoder(torch.randn(1, 3))[0].sum().backward()
    optimizer.step()
    counts = collections.defaultdict(list, {1: [2]})
    torch.save(dict(epoch=3, encoder=encoder, decoder=decoder, optimizer=optimizer, counts=counts),
               tmp_path / 'all.pth', _use_new_zipfile_serialization=new)
    with pytest.raises(ForeignObjectsError, match='holds Python objects of'):
        read_checkpoint(tmp_path / 'all.pth')
    found = read_state_dicts(tmp_path / 'all.pth')
    assert list(found) == ['epoch', 'encoder', 'decoder'] and found['epoch'] == 3
    assert same(found['encoder'], encoder.state_dict())
    assert same(found['decoder'], decoder.state_dict())


def test_a_lone_module_and_plain_tensors_are_state_dicts(tmp_path):
    module = Outer()
    torch.save(module, tmp_path / 'module.pth')
    torch.save(module.state_dict(), tmp_path / 'state.pth')
    for name in ('module', 'state'):
        assert same(read_state_dicts(tmp_path / f'{name}.pth'), module.state_dict())


def test_what_a_pickle_wants_run_is_not_run(tmp_path):
    torch.save(dict(a=Runs(tmp_path / 'ran'), model=Outer()), tmp_path / 'bad.pth')
    assert list(read_state_dicts(tmp_path / 'bad.pth')) == ['model']
    assert not (tmp_path / 'ran').exists()


def test_another_object_is_told(tmp_path):
    torch.save(Runs(tmp_path / 'ran'), tmp_path / 'bad.pth')
    with pytest.raises(ValueError, match=r'holds a system, no module: .*Python objects of'):
        read_state_dicts(tmp_path / 'bad.pth')
    assert not (tmp_path / 'ran').exists()


def test_a_spoilt_file_is_told(tmp_path, monkeypatch):
    torch.save(Outer(), tmp_path / 'bad.pth')

    def fails(*_, **__):
        raise IndexError('out of range')

    whole = torch.load
    monkeypatch.setattr(torch, 'load', lambda *given, weights_only, **options: (
        whole if weights_only else fails)(*given, weights_only=weights_only, **options))
    with pytest.raises(ValueError, match=r"'.*bad.pth' cannot be read: out of range"):
        read_state_dicts(tmp_path / 'bad.pth')


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match='no checkpoint at'):
        read_state_dicts(tmp_path / 'none.pth')
