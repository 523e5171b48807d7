import subprocess
import sys

import pytest
import torch
from mmengine.structures import PixelData

from rscc.engine import precision
from rscc.engine.precision import to_float32
from rscc.structures import ChangeDataSample


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


FAULTS = """
import resource, sys
sys.path.insert(0, sys.argv[1])
from rscc.engine.precision import keep_freed_memory
import torch
if sys.argv[2] == 'keep':
    assert keep_freed_memory()
def use():
    torch.ones(16 << 20)  # 64 MiB
for _ in range(3):
    use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != 'linux', reason='glibc only')
def test_large_blocks_are_used_again_without_page_faults(repo, monkeypatch):
    monkeypatch.delenv('MALLOC_ARENA_MAX', raising=False)

    def faults(mode):
        return int(subprocess.run([sys.executable, '-c', FAULTS, str(repo), mode], check=True,
                                  capture_output=True, text=True).stdout)

    # A kernel short of memory may take pages back in between: one undisturbed run in three will do.
    default = faults('default')
    assert any(faults('keep') * 2 < default for _ in range(3))


def test_settings_of_the_user_stand(monkeypatch):
    monkeypatch.setenv('MALLOC_TRIM_THRESHOLD_', '1')
    assert precision.keep_freed_memory.__wrapped__() is False


def test_another_platform_is_left_alone(monkeypatch):
    monkeypatch.setattr('sys.platform', 'darwin')
    assert precision.keep_freed_memory.__wrapped__() is False


def test_another_c_library_is_left_alone(monkeypatch):
    def absent(name):
        raise OSError(name)
    monkeypatch.setattr('ctypes.CDLL', absent)
    assert precision.keep_freed_memory.__wrapped__() is False


def test_forward_is_reduced_and_metrics_see_float32(build, monkeypatch):
    monkeypatch.setattr('rscc.engine.precision.cpu_has_bf16', lambda: True)
    plain = build()
    reduced = build(custom_hooks=[{'type': 'AutocastInferenceHook'}])
    reduced.model.load_state_dict(plain.model.state_dict())
    assert reduced.test() == plain.test()  # the metric itself asserts float32
    assert reduced.model.seen_dtype is torch.bfloat16
    assert plain.model.seen_dtype is torch.float32
    assert 'test_step' not in vars(reduced.model)


def test_validation_is_reduced_as_well(build, monkeypatch):
    monkeypatch.setattr('rscc.engine.precision.cpu_has_bf16', lambda: True)
    runner = build(custom_hooks=[{'type': 'AutocastInferenceHook'}])
    runner.val()
    assert runner.model.seen_dtype is torch.bfloat16 and 'val_step' not in vars(runner.model)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_every_half_tensor_of_a_sample_becomes_float32(dtype):
    sample = ChangeDataSample(metainfo={'sample_id': 'a'})
    sample.seg_logits = PixelData(data=torch.ones(2, 4, 4, dtype=dtype))
    sample.pred_sem_seg = PixelData(data=torch.ones(1, 4, 4, dtype=torch.int64))
    sample.pred_caption = 'a house'
    done, = to_float32([sample])
    assert done.seg_logits.data.dtype is torch.float32
    assert done.pred_sem_seg.data.dtype is torch.int64 and done.pred_caption == 'a house'
