"""The sentences that a sample learns."""
from collections.abc import Sequence

import torch
from torch import Tensor

from rscc.structures import ChangeDataSample
from rscc.text.tokenizer import CaptionTokenizer


def encode_targets(data_samples: list[ChangeDataSample], tokenizer: CaptionTokenizer,
                   max_len: int) -> list[list[list[int]]]:
    """Return ids per sample and sentence, from ``target_captions``, else ``gt_captions``.

    Args:
        data_samples: N samples; those without captions give no sentence.
        tokenizer: What encodes them.
        max_len: Most ids in a sentence, specials included; longer ones are cut and counted.
            Sentences without a word are counted and left out.
    """
    bare = len(tokenizer.start_ids) + 1
    return [[ids for caption in
             sample.get('target_captions') or sample.get('gt_captions') or ()
             if len(ids := tokenizer.encode(caption, max_len)) > bare] for sample in data_samples]


def never_written(tokenizer: CaptionTokenizer) -> list[int]:
    """Return the special ids that no sentence holds: all but the end, which is written once."""
    return sorted({tokenizer.pad_id, tokenizer.bos_id, tokenizer.unk_id} - {tokenizer.eos_id})


def pad_sentences(sentences: Sequence[Sequence[int]], pad_id: int, length: int | None = None
                  ) -> tuple[Tensor, Tensor]:
    """Lay sentences out one a row.

    Args:
        sentences: Ids of M sentences.
        pad_id: Id that fills up the rows.
        length: Length T of the rows, longer sentences being cut; that of the longest if None.

    Returns:
        Ids (M, T), and a mask (M, T) that is true on them and false on padding.
    """
    length = max(map(len, sentences)) if length is None else length
    ids = torch.full((len(sentences), length), pad_id, dtype=torch.long)
    mask = torch.zeros_like(ids, dtype=torch.bool)
    for row, sentence in enumerate(sentences):
        kept = torch.as_tensor(sentence[:length], dtype=torch.long)
        ids[row, :len(kept)], mask[row, :len(kept)] = kept, True
    return ids, mask


def clipcap_max_tokens(lengths: Sequence[int]) -> int:
    """Return the length that ClipCap pads all sentences of a dataset to.

    It is mean + 10 standard deviations, rounded down, or the longest, whichever is less.

    Args:
        lengths: Number of ids of every sentence.
    """
    numbers = torch.tensor(lengths, dtype=torch.float32)
    return min(int(numbers.mean() + 10 * numbers.std()), int(numbers.max()))
