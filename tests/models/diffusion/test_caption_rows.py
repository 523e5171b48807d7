import pytest
import torch

from rscc.models.diffusion.caption_rows import CaptionRows, position_weights

PAD = 0


def rows(*sentences, **options):
    return CaptionRows.of(sentences, PAD, 5, **options)


def test_every_sample_gets_as_many_rows_as_the_one_with_most_captions():
    laid = rows([[2, 4, 3], [2, 5, 3], [2, 6, 3]], [[2, 7, 3]], [[2, 8, 3], [2, 9, 3]])
    assert laid.ids.shape == (3, 3, 5) and laid.known.tolist() == [True] * 3
    assert laid.ids[..., 1].tolist() == [[4, 5, 6], [7, 7, 7], [8, 9, 8]]
    assert laid.ids[0, 0].tolist() == [2, 4, 3, PAD, PAD]


def test_captions_take_turns_in_more_rows_than_there_are_captions():
    assert rows([[2, 4, 3], [2, 5, 3]], [[2, 6, 3]], rows=5).ids[..., 1].tolist() == [
        [4, 5, 4, 5, 4], [6] * 5]


def test_a_sample_without_captions_is_padding_and_known_to_be():
    laid = rows([], [[2, 4, 3]], rows=2)
    assert laid.known.tolist() == [False, True]
    assert laid.ids[0].eq(PAD).all() and laid.ids.dtype == torch.long
    assert rows([], []).ids.shape == (2, 1, 5)


def test_rows_move_to_a_device_together():
    moved = rows([[2, 4, 3]]).to(torch.device('meta'))
    assert moved.ids.device.type == moved.known.device.type == 'meta'


@pytest.mark.parametrize('pad_weight', [0.0, 0.1, 1.0])
def test_padding_beyond_the_first_counts_less(pad_weight):
    ids = torch.tensor([[2, 4, 3, 0, 0, 0], [2, 4, 5, 6, 7, 3], [0, 0, 0, 0, 0, 0]])
    weights = position_weights(ids, PAD, pad_weight)
    expected = torch.tensor([[1, 1, 1, 1, pad_weight, pad_weight], [1] * 6,
                             [1] + [pad_weight] * 5], dtype=torch.float)
    torch.testing.assert_close(weights, expected / expected.mean(1, keepdim=True))
    torch.testing.assert_close(weights.mean(1), torch.ones(3))


def test_a_special_padding_id_is_heeded():
    weights = position_weights(torch.tensor([[0, 9, 9, 9]]), 9, 0.0)
    assert weights.tolist() == [[2.0, 2.0, 0.0, 0.0]]
