import pytest
import torch

from rscc.engine import precision


@pytest.mark.parametrize('line,expected', [
    ('flags\t\t: fpu avx512_bf16 sse', True), ('flags : fpu amx_bf16', True),
    ('Features\t: fp asimd bf16', True), ('flags\t\t: fpu avx512f avx2', False)])
def test_bfloat16_is_read_from_the_flags(tmp_path, line, expected, monkeypatch):
    monkeypatch.setattr('platform.system', lambda: 'Linux')
    (tmp_path / 'cpuinfo').write_text(f'processor : 0\n{line}\n')
    assert precision.cpu_has_bf16(str(tmp_path / 'cpuinfo')) is expected


def test_unknown_cpu_counts_as_without(tmp_path):
    assert not precision.cpu_has_bf16(str(tmp_path / 'absent'))


@pytest.mark.parametrize('capability,expected', [((9, 0), torch.bfloat16),
                                                 ((7, 5), torch.float16)])
def test_old_gpus_get_float16(monkeypatch, capability, expected):
    monkeypatch.setattr('torch.cuda.get_device_capability', lambda: capability)
    assert precision.reduced_dtype('cuda') is expected


def test_explicit_wish_is_followed_on_any_cpu(monkeypatch):
    monkeypatch.setattr(precision, 'cpu_has_bf16', lambda: False)
    with precision.reduced_precision('cpu', torch.bfloat16):
        assert torch.mm(torch.ones(2, 2), torch.ones(2, 2)).dtype is torch.bfloat16
    with precision.reduced_precision('cpu'):
        assert torch.mm(torch.ones(2, 2), torch.ones(2, 2)).dtype is torch.float32
