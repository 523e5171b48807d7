"""Infinite sampler whose order depends on seed and pass alone, for runs counted in iterations."""
import itertools
from collections.abc import Iterator, Sized

import torch
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from rscc.registry import DATA_SAMPLERS


class Visit(int):
    """Index of a sample, with the pass over the data in which it is drawn.

    Worker processes load batches ahead of the training, and one batch may end a pass and begin the
    next, so no clock outside could tell a dataset the epoch of an index; the index itself can. The
    arithmetic by which ``ConcatDataset`` and ``RepeatDataset`` find their part keeps it.

    Args:
        index: Index of the sample.
        epoch: Number of the pass, from 0.
    """

    epoch: int

    def __new__(cls, index: int, epoch: int) -> 'Visit':
        """Make the integer; its epoch comes along."""
        made = super().__new__(cls, index)
        made.epoch = epoch
        return made

    def __sub__(self, other: int) -> 'Visit':
        return Visit(int(self) - other, self.epoch)

    def __mod__(self, other: int) -> 'Visit':
        return Visit(int(self) % other, self.epoch)

    def __reduce__(self) -> tuple:
        return Visit, (int(self), self.epoch)

    def __repr__(self) -> str:
        return f'Visit({int(self)}, epoch={self.epoch})'


@DATA_SAMPLERS.register_module()
class InfiniteSampler(Sampler):
    """Endless passes over the data, each in another order; every index is a ``Visit``.

    Named as MMEngine's and used alike (``sampler=dict(type='InfiniteSampler')``), with two
    differences. Datasets of ours learn which pass an index belongs to, so that augmentation differs
    between the passes whatever the number of workers. And the order is a function of (seed, pass)
    alone, so that a resumed run starts at its place without loading what came before.

    Args:
        dataset: What is sampled.
        shuffle: Whether each pass has an order of its own.
        seed: The same in all processes; None draws one.
    """

    def __init__(self, dataset: Sized, shuffle: bool = True, seed: int | None = None):
        self.rank, self.world_size = get_dist_info()
        self.size, self.shuffle = len(dataset), shuffle
        if not self.size:
            raise ValueError('InfiniteSampler got a dataset without samples.')
        self.seed = sync_random_seed() if seed is None else seed
        self.start = 0

    def start_at(self, samples: int) -> None:
        """Let the next iteration begin after the first ``samples`` of this process."""
        self.start = samples

    def __iter__(self) -> Iterator[Visit]:
        first = self.rank + self.start * self.world_size
        stream = itertools.chain.from_iterable(
            self._pass(epoch) for epoch in itertools.count(first // self.size))
        return itertools.islice(stream, first % self.size, None, self.world_size)

    def _pass(self, epoch: int) -> list[Visit]:
        if self.shuffle:
            generator = torch.Generator().manual_seed(self.seed + epoch)
            order = torch.randperm(self.size, generator=generator).tolist()
        else:
            order = range(self.size)
        return [Visit(index, epoch) for index in order]

    def __len__(self) -> int:
        """Return the length of one pass (of all processes), as MMEngine's does."""
        return self.size

    def set_epoch(self, epoch: int) -> None:
        """Do nothing: passes are counted here."""
