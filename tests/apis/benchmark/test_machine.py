"""The machine is described in both languages."""
import torch

from rscc.apis.benchmark import machine


def test_this_machine_has_a_name_cores_and_a_torch():
    here = machine.describe_machine()
    assert here.cores >= 1 and here.threads >= 1 and here.gpu is None
    assert here.processor and here.torch == torch.__version__
    assert f'torch {torch.__version__}' in str(here)


def test_the_model_name_is_read_from_cpuinfo(tmp_path):
    file = tmp_path / 'cpuinfo'
    file.write_text('processor\t: 0\nmodel name\t: Fast CPU 9000\n')
    assert machine._processor(str(file)) == 'Fast CPU 9000'
    file.write_text('processor\t: 0\n')  # ARM's has no model name
    assert machine._processor(str(file))


def test_a_line_names_the_gpu_first_and_leaves_out_what_is_unknown():
    there = machine.Machine('CPU', 1, 8, None, '2.6', False, 'GPU X')
    assert there.line('en') == 'GPU X, CPU, 1 core, 8 threads, torch 2.6, no bfloat16'
    assert there.line('zh_cn') == 'GPU X，CPU，1 核，8 线程，torch 2.6，无 bfloat16'
