import torch
from torch import nn
from torch.distributed import destroy_process_group, init_process_group
from torch.multiprocessing import spawn

from rscc.engine.hooks.average_buffers_hook import AverageBuffersHook


class FakeRunner:
    def __init__(self, rank):
        self.model = nn.BatchNorm1d(2)
        self.model.running_mean.fill_(float(rank))
        self.model.register_buffer('words', torch.tensor([200, 7], dtype=torch.uint8))


def _average(rank, folder):
    init_process_group('gloo', init_method=f'file://{folder}/meet', rank=rank, world_size=2)
    runner = FakeRunner(rank)
    AverageBuffersHook().before_val_epoch(runner)
    torch.save(dict(runner.model.named_buffers()), f'{folder}/{rank}.pt')
    destroy_process_group()


def test_two_processes_end_with_the_mean_and_their_words(tmp_path):
    spawn(_average, (str(tmp_path),), nprocs=2)
    for rank in range(2):
        buffers = torch.load(tmp_path / f'{rank}.pt', weights_only=True)
        assert buffers['running_mean'].tolist() == [0.5, 0.5]
        assert buffers['words'].tolist() == [200, 7]


def test_one_process_keeps_its_own():
    runner = FakeRunner(3)
    AverageBuffersHook().after_train_epoch(runner)
    assert runner.model.running_mean.tolist() == [3.0, 3.0]
