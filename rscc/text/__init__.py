"""Normalisation and direction words, and tokenizers, which are imported when they are first used.

Tokenizers register themselves and need MMEngine for it; normalisation does not, so that exported
models answer without it. TOKENIZERS imports every module here when it is first asked.
"""
import importlib

from rscc.text import directions
from rscc.text.normalisation import LANGUAGES, join_words, normalise, split_words

__all__ = [
    'LANGUAGES', 'BilingualWordTokenizer', 'CaptionTokenizer', 'WordPieceTokenizer',
    'WordTokenizer', 'directions', 'join_words', 'normalise', 'split_words'
]

_LATE = {'BilingualWordTokenizer': 'bilingual_tokenizer', 'CaptionTokenizer': 'tokenizer',
         'WordPieceTokenizer': 'subword_tokenizers',
         'WordTokenizer': 'word_tokenizer'}


def __getattr__(name: str) -> object:
    if name not in _LATE:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module(f'{__name__}.{_LATE[name]}'), name)
