import torch

from rscc.models.caption_heads.sentence_grid import SentenceGrid

SENTENCES = [[[1, 7, 2]], [], [[1, 2], [1, 5, 6, 2]]]


def test_the_longest_come_first_both_ways():
    grid = SentenceGrid.of(SENTENCES, pad_id=0)
    assert grid.order.tolist() == [2, 0, 1]
    assert grid.lengths.tolist() == [[3, 1], [2, 0], [0, 0]]
    assert grid.ids[0].tolist() == [[1, 5, 6, 2], [1, 2, 0, 0]]


def test_the_rectangle_shrinks_with_the_sentences():
    grid = SentenceGrid.of(SENTENCES, pad_id=0)
    assert grid.shapes == [(2, 2), (2, 1), (1, 1)]
    assert grid.going(0).tolist() == [[True, True], [True, False]]


def test_what_is_learned_is_every_word_and_end_once():
    grid = SentenceGrid.of(SENTENCES, pad_id=0)
    assert grid.targets.tolist() == [5, 2, 7, 6, 2, 2]
    # The fourth place of the first rectangle has no sentence.
    assert grid.learned.tolist() == [0, 1, 2, 4, 5, 6]
    assert sorted(grid.targets.tolist()) == sorted(
        token for sample in SENTENCES for ids in sample for token in ids[1:])


def test_one_sentence_a_sample_is_the_sorted_shrinking_batch():
    grid = SentenceGrid.of([[[1, 2]], [[1, 5, 6, 2]], [[1, 4, 2]]], pad_id=0)
    assert grid.shapes == [(3, 1), (2, 1), (1, 1)]
    assert torch.equal(grid.learned, torch.arange(6))
