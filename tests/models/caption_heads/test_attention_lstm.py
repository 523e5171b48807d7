import torch
from testers import generator

from rscc.models.caption_heads.attention_lstm import AttentionLSTM, AttentionLSTMStep, SentenceGrid

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


def build():
    torch.manual_seed(0)
    return AttentionLSTM(11, 16, embed_dims=8, hidden_dims=12, attention_dims=6).eval()


def memory(n=3):
    return torch.randn(n, 5, 16, generator=generator())


def test_words_and_classifier_start_as_the_paper_starts_them():
    decoder = build()
    for weight in (decoder.embedding.weight, decoder.classify.weight):
        assert 0.08 < weight.abs().max() <= 0.1
    assert not decoder.classify.bias.any()


def test_sentences_of_one_sample_are_read_apart():
    decoder, tokens = build(), memory(2)
    keys = decoder.attention.keys(tokens)
    hidden, cell = (state.expand(-1, 3, -1) for state in decoder.start(tokens))
    words = torch.tensor([[1, 2, 3], [4, 5, 6]])
    together = decoder(words, hidden, cell, tokens, keys)
    for row in range(2):
        for place in range(3):
            alone = decoder(words[row:row + 1, place:place + 1], hidden[row:row + 1, :1],
                            cell[row:row + 1, :1], tokens[row:row + 1], keys[row:row + 1])
            for one, many in zip(alone, together, strict=True):
                torch.testing.assert_close(one[0, 0], many[row, place])


@torch.no_grad()
def test_any_rows_can_be_selected():
    """Beams (even), samples that left, draws that ended at different times (uneven)."""
    decoder, tokens = AttentionLSTMStep(build(), start_id=2), memory(3)
    for rows in ([0, 0, 1, 1, 2, 2], [1, 1, 0, 0], [0, 2], [0, 0, 0, 2]):
        rows = torch.tensor(rows)
        words = torch.arange(len(rows))
        _, state = decoder.step(None, decoder.start(tokens))
        state = decoder.select(state, rows)
        logits, state = decoder.step(words, state)
        _, alone = decoder.step(None, decoder.start(tokens[rows]))
        expected, alone = decoder.step(words, alone)
        torch.testing.assert_close(logits, expected)
        torch.testing.assert_close(state.hidden.flatten(0, 1), alone.hidden.flatten(0, 1))


@torch.no_grad()
def test_beams_share_the_memory_of_their_sample():
    decoder = AttentionLSTMStep(build(), start_id=2)
    _, state = decoder.step(None, decoder.start(memory(2)))
    beams = decoder.select(state, torch.tensor([0, 0, 0, 1, 1, 1]))
    assert beams.memory is state.memory
    assert beams.hidden.shape == (2, 3, 12)
