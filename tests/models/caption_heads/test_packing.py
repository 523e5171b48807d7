import torch

from rscc.models.caption_heads.packing import pack


def test_sentences_lie_end_to_end_with_their_own_positions():
    packed = pack([[[2, 7, 3], [2, 8, 9, 3]], [[2, 5, 3]]], pad_id=0)
    assert packed.ids.tolist() == [[2, 7, 3, 2, 8, 9, 3], [2, 5, 3, 0, 0, 0, 0]]
    assert packed.positions[0].tolist() == [0, 1, 2, 0, 1, 2, 3]
    assert packed.labels[0].tolist() == [-100, 7, 3, -100, 8, 9, 3]
    assert packed.labels[1].tolist() == [-100, 5, 3, -100, -100, -100, -100]


def test_a_token_sees_itself_and_what_came_before_in_its_sentence():
    mask = pack([[[2, 7, 3], [2, 8, 3]]], pad_id=0).mask[0, 0] == 0
    expected = torch.block_diag(*[torch.ones(3, 3).tril()] * 2).bool()
    assert torch.equal(mask, expected)


def test_the_prompt_is_not_learned():
    assert pack([[[2, 4, 5, 7, 3]]], 0, prompt_length=3).labels.tolist() == [
        [-100, -100, -100, 7, 3]]
