import pickle

import pytest
from mmengine.dataset import BaseDataset, ConcatDataset, RepeatDataset
from torch.utils.data import DataLoader

from rscc.datasets import samplers
from rscc.datasets.levir_cc import LEVIRCCDataset
from rscc.datasets.samplers import InfiniteSampler, Visit

PIPELINE = [{'type': 'LoadFrames'}, {'type': 'FramesColorJitter', 'prob': 1.0},
            {'type': 'PackChangeInputs'}]


def first(sampler, count):
    stream = iter(sampler)
    return [next(stream) for _ in range(count)]


def pairs(visits):
    return [(int(visit), visit.epoch) for visit in visits]


def test_every_pass_holds_every_sample_once_in_another_order():
    visits = first(InfiniteSampler(range(5), seed=3), 15)
    assert [visit.epoch for visit in visits] == [0] * 5 + [1] * 5 + [2] * 5
    passes = [[int(visit) for visit in visits[i:i + 5]] for i in (0, 5, 10)]
    assert all(sorted(order) == list(range(5)) for order in passes)
    assert passes[0] != passes[1] != passes[2]


def test_without_shuffling_the_order_stays():
    visits = first(InfiniteSampler(range(3), shuffle=False), 7)
    assert [int(visit) for visit in visits] == [0, 1, 2, 0, 1, 2, 0]


@pytest.mark.parametrize('start', [0, 1, 4, 5, 13])
def test_a_start_in_the_middle_gives_what_would_have_come(start):
    whole, later = (InfiniteSampler(range(5), seed=1) for _ in range(2))
    later.start_at(start)
    assert pairs(first(later, 9)) == pairs(first(whole, start + 9)[start:])


def test_processes_share_the_passes(monkeypatch):
    whole = pairs(first(InfiniteSampler(range(5), seed=1), 20))
    for rank in (0, 1):
        monkeypatch.setattr(samplers, 'get_dist_info', lambda rank=rank: (rank, 2))
        sampler = InfiniteSampler(range(5), seed=1)
        assert pairs(first(sampler, 10)) == whole[rank::2]
        sampler.start_at(3)
        assert pairs(first(sampler, 7)) == whole[rank::2][3:]


def test_a_seed_that_a_checkpoint_tells_later_counts():
    sampler = InfiniteSampler(range(50), seed=1)
    sampler.seed = 2
    assert pairs(first(sampler, 50)) == pairs(first(InfiniteSampler(range(50), seed=2), 50))


def test_an_empty_dataset_is_refused_instead_of_searched_forever():
    with pytest.raises(ValueError, match='dataset without samples'):
        InfiniteSampler([])


def test_a_visit_is_an_index_that_travels_with_its_epoch():
    visit = Visit(3, 7)
    assert visit == 3 and 'abcd'[visit] == 'd' and repr(visit) == 'Visit(3, epoch=7)'
    copy = pickle.loads(pickle.dumps(visit))
    assert copy == 3 and copy.epoch == 7


class Asked(BaseDataset):
    """Says which index and pass it was asked for."""

    def load_data_list(self):
        return [{}] * 3

    def prepare_data(self, idx):
        return int(idx), idx.epoch


def test_wrappers_hand_the_pass_through():
    both = ConcatDataset([Asked(), Asked()])
    assert [both[Visit(i, 4)] for i in (0, 2, 3, 5)] == [(0, 4), (2, 4), (0, 4), (2, 4)]
    assert RepeatDataset(Asked(), times=2)[Visit(5, 4)] == (2, 4)


def test_augmentation_differs_between_passes_and_not_between_numbers_of_workers(levir):
    dataset = LEVIRCCDataset(str(levir), pipeline=PIPELINE)

    def sums(workers, start=0):
        sampler = InfiniteSampler(dataset, seed=0)
        sampler.start_at(start)
        loader = DataLoader(dataset, batch_size=3, sampler=sampler, num_workers=workers,
                            collate_fn=list, persistent_workers=bool(workers))
        stream = iter(loader)
        return [(item['data_samples'].sample_id, int(item['inputs'].long().sum()))
                for _ in range(4) for item in next(stream)]

    alone = sums(0)
    assert len(set(alone)) == 12, 'three visits of four samples, all of them different'
    assert sums(2) == alone
    assert sums(2, start=6)[:6] == alone[6:]


def test_a_visit_overrules_the_epoch_but_not_test_mode(levir):
    dataset = LEVIRCCDataset(str(levir), pipeline=PIPELINE)
    tested = LEVIRCCDataset(str(levir), pipeline=PIPELINE, test_mode=True)
    dataset.set_epoch(2)
    now, visit = dataset[1]['inputs'], dataset[Visit(1, 2)]['inputs']
    assert now.equal(visit) and not now.equal(dataset[Visit(1, 3)]['inputs'])
    assert tested[Visit(1, 3)]['inputs'].equal(tested[1]['inputs'])
