import torch
from torch import nn

from rscc.models.fingerprint import fingerprint


def test_weights_and_statistics_count_and_files_do_not():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    twin = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    assert fingerprint(twin) != fingerprint(model)
    twin.load_state_dict(model.state_dict())
    assert fingerprint(twin) == fingerprint(model) == fingerprint(model.double())
    assert len(fingerprint(model)) == 16
    twin[1].running_mean[0] += 1
    assert fingerprint(twin) != fingerprint(model)
