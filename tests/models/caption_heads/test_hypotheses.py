import torch

from rscc.models.caption_heads.hypotheses import Finished, History


def rows(*values):
    return [torch.tensor([list(row)]) for row in values]


def test_a_sentence_is_read_along_its_pointers_and_cut_at_its_stop_id():
    history = History()
    history.add(*rows((5, 6), (-1., -2.), (0, 0), (0, 0)))
    history.add(*rows((7, 3), (-3., -4.), (0, 1), (1, 0)))
    history.add(*rows((0, 8), (0., -6.), (1, 0), (1, 0)))
    history.unfold()
    closed = history.read(2, 0, {3})
    assert (closed.ids, closed.logprobs, closed.rows) == ([5, 3], [-1, -4], [0, 1])
    assert closed.score == -2.5
    assert history.read(2, 1, {3}).ids == [6, 7, 8]


def test_the_best_stay_and_open_sentences_come_last():
    finished = Finished.empty(2, 2, torch.device('cpu'))
    sample = torch.tensor([1])
    finished.add(sample, torch.tensor([[-3., -torch.inf]]), 4, torch.tensor([[8, 9]]))
    assert finished.count(torch.tensor([0, 1])).tolist() == [0, 1]
    finished.add(sample, torch.tensor([[-1., -2.]]), 5, torch.tensor([[10, 11]]), cut=True)
    assert finished.ends() == [[], [(4, 8), (5, 10)]]
    finished.add(sample, torch.tensor([[-5., -2.]]), 6, torch.tensor([[12, 13]]))
    assert finished.ends() == [[], [(6, 13), (4, 8)]]
