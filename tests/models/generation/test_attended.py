import pytest
import torch

from rscc.models.generation.attended import attended, cross_attention_rollout, words_of
from rscc.structures import ScoredCaption

PIECES = {1: 'un', 2: '##built', 3: 'house', 4: '房屋', 5: '新建'}


def decode(ids):
    """Join pieces as BERT's tokenizers do; id 9 is the end."""
    text = ' '.join(PIECES[i] for i in ids if i != 9).replace(' ##', '')
    return text.replace(' ', '') if any(i in (4, 5) for i in ids) else text


def test_one_layer_is_its_own_rollout():
    memory = torch.rand(2, 3, 4, 5).softmax(-1)
    shares = cross_attention_rollout([(torch.eye(4).expand(2, 3, 4, 4), memory)])
    torch.testing.assert_close(shares, memory.mean(1))


def test_a_word_that_reads_another_takes_over_where_that_looked():
    # Layer one: the first word looks at token 0, the second at token 1.
    first = torch.tensor([[[[1., 0.], [0., 1.]]]])
    # Layer two: the second word reads the first alone, and both look at token 1.
    words, second = torch.tensor([[[[1., 0.], [1., 0.]]]]), torch.tensor([[[[0., 1.], [0., 1.]]]])
    shares = cross_attention_rollout([(torch.eye(2)[None, None], first), (words, second)])
    # By hand: the second word holds 1/2 of token 1, halved twice, 1/2 of token 0, halved twice,
    # and half of layer two: 1/8, 1/8 and 1/2.
    torch.testing.assert_close(shares[0, 1], torch.tensor([1 / 6, 5 / 6]))
    torch.testing.assert_close(shares[0, 0], torch.tensor([1 / 3, 2 / 3]))
    assert shares.dtype == torch.float32


def test_layers_may_look_at_the_memory_alone_or_at_words_alone():
    memory, words = torch.rand(1, 2, 3, 4).softmax(-1), torch.rand(1, 2, 3, 3).softmax(-1)
    parts = cross_attention_rollout([(None, memory), (words, None), (words, memory)])
    held = memory.mean(1)
    held = (held + words.mean(1) @ held) / 2
    # Shares of one layer weigh half as much where the next one looks again.
    held = ((held + words.mean(1) @ held) / 2 + 2 * memory.mean(1)) / 3
    torch.testing.assert_close(parts, held)


@pytest.mark.parametrize('layers', [[], [(torch.eye(2)[None, None], None)]])
def test_layers_that_never_look_at_the_memory_are_refused(layers):
    with pytest.raises(ValueError, match='got no weights over a memory; expected those of one'):
        cross_attention_rollout(layers)


def test_pieces_of_a_word_belong_together():
    assert words_of([3, 1, 2, 9], decode) == [('house', [0]), ('unbuilt', [1, 2])]
    assert words_of([5, 4, 9], decode) == [('新建', [0]), ('房屋', [1])]
    assert words_of([9], decode) == []


def test_maps_are_those_of_places_and_pieces_share_theirs():
    # Two groups of a class token and 2 x 2 places, three ids.
    weights = torch.arange(30.).view(3, 10)
    caption = attended(ScoredCaption('house unbuilt', -0.5, 7), [3, 1, 2], weights, (2, 2, 2),
                       decode)
    assert caption.words == ['house', 'unbuilt'] and caption.cut_at == 7
    assert caption.attention.shape == (2, 2, 2, 2)
    assert caption.attention[0].flatten().tolist() == [1, 2, 3, 4, 6, 7, 8, 9]
    assert caption.attention[1, 0].flatten().tolist() == [16, 17, 18, 19]


def test_a_sentence_without_a_word_has_no_map():
    caption = attended(ScoredCaption('', -1.0), [9], torch.rand(1, 8), (2, 2, 2), decode)
    assert caption.words == [] and caption.attention.shape == (0, 2, 2, 2)
