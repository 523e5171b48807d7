"""Base class of caption heads: tokenizer, vocabulary, length limits, decoding options.

A model with a word-level tokenizer is useless without its words. They are kept as one uint8 buffer
(UTF-8 JSON), which every loader handles, ``weights_only`` included.
"""
import json
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from rscc.registry import Part
from rscc.structures import ChangeDataSample
from rscc.text.tokenizer import CaptionTokenizer

BUFFER = 'vocabulary'


class VocabularyMixin(Part, nn.Module):
    """Gives a head the buffer ``vocabulary`` and checks it whenever weights are loaded."""

    CARRIED: ClassVar[tuple[str, ...]] = (BUFFER, )

    def register_vocabulary(self, words: list[str] | None) -> None:
        """Store the words; None (a word-piece tokenizer, found by name) stores nothing."""
        if words is not None:
            self.register_buffer(BUFFER, pack_words(words))

    def _load_from_state_dict(self, state_dict: dict, prefix: str, local_metadata: dict,
                              strict: bool, missing_keys: list, unexpected_keys: list,
                              error_msgs: list) -> None:
        stored, own = state_dict.get(prefix + BUFFER), getattr(self, BUFFER, None)
        if stored is not None and own is not None and not torch.equal(stored.cpu(), own.cpu()):
            theirs, ours = unpack_words(stored), unpack_words(own)
            error_msgs.append(
                f'vocabulary of the checkpoint has {len(theirs)} words, that of the config '
                f'{len(ours)}{_first_difference(theirs, ours)}: ids would mean other words. Take '
                "the checkpoint's vocabulary (tools/test.py and tools/infer.py do), or train anew")
            state_dict = {key: value for key, value in state_dict.items() if key != prefix + BUFFER}
            state_dict[prefix + BUFFER] = own
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing_keys,
                                      unexpected_keys, error_msgs)


def _first_difference(theirs: list[str], ours: list[str]) -> str:
    for position, (their, our) in enumerate(zip(theirs, ours, strict=False)):
        if their != our:
            return f" (word {position} is '{their}' there, '{our}' here)"
    return ''


def pack_words(words: list[str]) -> Tensor:
    """Encode words as a uint8 vector."""
    return torch.frombuffer(bytearray(json.dumps(words, ensure_ascii=False).encode()),
                            dtype=torch.uint8).clone()


def unpack_words(buffer: Tensor) -> list[str]:
    """Decode what ``pack_words`` encoded."""
    return json.loads(bytes(buffer.cpu().numpy()).decode())


def restore_vocabulary(cfg: dict, checkpoint: dict) -> list[str] | None:
    """Make a config's word tokenizer take its words from a checkpoint.

    Testing and inference then need neither the dataset nor its vocabulary file, nor one of word
    vectors.

    Args:
        cfg: A whole config; ``cfg['model']['caption_head']`` is edited in place.
        checkpoint: A loaded checkpoint, with or without its ``state_dict`` level.

    Returns:
        The words, or None where the checkpoint carries none.

    Raises:
        ValueError: If the model speaks another language than the config's tokenizer.
    """
    state_dict = checkpoint.get('state_dict', checkpoint)
    stored = [value for key, value in state_dict.items() if key.endswith(f'.{BUFFER}')]
    head = cfg['model'].get('caption_head')
    if not stored or not head or not head.get('tokenizer'):
        return None
    learnt = ((checkpoint.get('meta') or {}).get('dataset_meta') or {}).get('language')
    asked = head['tokenizer'].get('language', 'en')
    if learnt and learnt != asked:
        raise ValueError(f"the checkpoint was trained on captions in '{learnt}', and the config's "
                         f"tokenizer is for '{asked}': use the config it was trained with")
    words = unpack_words(stored[0])
    head['tokenizer'].pop('vocab_file', None)
    head.pop('word_vectors', None)
    head['tokenizer']['words'] = words
    return words


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
