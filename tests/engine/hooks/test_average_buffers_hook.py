import os
import subprocess
import sys

import torch
from torch import nn

from rscc.engine.hooks.average_buffers_hook import AverageBuffersHook

TWO_PROCESSES = """
import sys
import torch
from torch import nn
from torch.distributed import destroy_process_group, init_process_group
from rscc.engine.hooks.average_buffers_hook import AverageBuffersHook

rank, folder = int(sys.argv[1]), sys.argv[2]
init_process_group('gloo', init_method=f'file://{folder}/meet', rank=rank, world_size=2)
runner = type('Runner', (), {'model': nn.BatchNorm1d(2)})
runner.model.running_mean.fill_(float(rank))
runner.model.register_buffer('words', torch.tensor([200, 7], dtype=torch.uint8))
AverageBuffersHook().before_val_epoch(runner)
torch.save(dict(runner.model.named_buffers()), f'{folder}/{rank}.pt')
destroy_process_group()
"""


def test_two_processes_end_with_the_mean_and_their_words(tmp_path, repo):
    environment = os.environ | {'PYTHONPATH': str(repo)}
    running = [subprocess.Popen([sys.executable, '-c', TWO_PROCESSES, str(rank), str(tmp_path)],
                                env=environment) for rank in range(2)]
    assert [process.wait(120) for process in running] == [0, 0]
    for rank in range(2):
        buffers = torch.load(tmp_path / f'{rank}.pt', weights_only=True)
        assert buffers['running_mean'].tolist() == [0.5, 0.5]
        assert buffers['words'].tolist() == [200, 7]


def test_one_process_keeps_its_own():
    runner = type('Runner', (), {'model': nn.BatchNorm1d(2)})
    runner.model.running_mean.fill_(3)
    AverageBuffersHook().after_train_epoch(runner)
    assert runner.model.running_mean.tolist() == [3.0, 3.0]
