"""Attention maps of the words of a sentence, out of a decoder's attention weights.

Heads give one vector of weights over the memory for each id that they wrote; here these become maps
of words. A transformer has weights in every layer, which attention rollout makes one: Abnar,
Zuidema, Quantifying Attention Flow in Transformers, ACL 2020, https://arxiv.org/abs/2005.00928. Its
extension to a memory follows Chefer, Gur, Wolf, ICCV 2021, https://arxiv.org/abs/2103.15679,
without the gradients.
"""
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from rscc.structures import ScoredCaption
from rscc.text.normalisation import language_of


def cross_attention_rollout(layers: Iterable[tuple[Tensor | None, Tensor | None]]) -> Tensor:
    """Return how much of every memory token stands in each position after a decoder's layers.

    A position holds, half each, what it held before a layer and what the layer brought (the
    shortcut around it): from the other positions first, then from the memory.

    Args:
        layers: Weights of each layer, the first one first: of the words among themselves
            (R, heads, T, T) and of the words over the memory (R, heads, T, L); None for what a
            layer does not have.

    Returns:
        Shares (R, T, L), float32, of which those of a position sum to one.

    Raises:
        ValueError: If no layer looks at the memory.
    """
    held = None
    for words, memory in layers:
        # At first every position holds its own word alone, nothing of the memory.
        if words is not None and held is not None:
            held = (held + words.float().mean(1) @ held) / 2
        if memory is not None:
            memory = memory.float().mean(1)
            held = memory / 2 if held is None else (held + memory) / 2
    if held is None:
        raise ValueError('cross_attention_rollout got no weights over a memory; expected those of '
                         'one layer or more')
    return held / held.sum(-1, keepdim=True).clamp(min=torch.finfo(held.dtype).tiny)


def words_of(ids: Sequence[int], decode: Callable[[list[int]], str]) -> list[tuple[str, list[int]]]:
    """Split a sentence into words, each with the places of its ids.

    A piece that continues a word (``##ing`` of BERT) belongs to it; Chinese words are as the
    tokenizer splits them. Ids without a text (the end) are left out.

    Args:
        ids: Of a sentence.
        decode: A tokenizer's ``decode``: ids to text.
    """
    words: list[tuple[str, list[int]]] = []
    before = ''
    for place in range(len(ids)):
        text = decode(list(ids[:place + 1]))
        if text == before:
            continue
        alone = (not words or language_of(text) == 'zh'
                 or len(text.split()) > len(before.split()))
        before = text
        if alone:
            words.append((decode([ids[place]]), [place]))
        else:
            # The word has grown: what it is now, the text tells.
            words[-1] = (text.split()[-1], [*words[-1][1], place])
    return words


def attended(caption: ScoredCaption, ids: Sequence[int], weights: Tensor,
             grid: tuple[int, int, int], decode: Callable[[list[int]], str]) -> ScoredCaption:
    """Add words and their maps to a sentence.

    Args:
        caption: The sentence.
        ids: Its T ids.
        weights: Weight of every memory token at each id (T, L), float32.
        grid: Groups, rows and columns (G, h, w) of the memory; tokens before a group's last h * w
            have no place (class tokens).
        decode: A tokenizer's ``decode``: ids to text.
    """
    groups, height, width = grid
    # (T, G, h, w) without class tokens; pieces of a word share the mean of theirs.
    maps = weights.float().cpu().unflatten(1, (groups, -1))[..., -height * width:]
    maps = maps.unflatten(2, (height, width))
    words = words_of(ids, decode)
    shown = [maps[places].mean(0) for _, places in words]
    return caption.looking([word for word, _ in words],
                           torch.stack(shown) if shown else maps[:0])
