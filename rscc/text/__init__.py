"""Tokenizers, normalisation and direction words; importing the package fills TOKENIZERS."""
import sys

from rscc.text import directions
from rscc.text.normalisation import LANGUAGES, join_words, normalise, split_words
from rscc.text.subword_tokenizers import WordPieceTokenizer
from rscc.text.tokenizer import CaptionTokenizer
from rscc.text.word_tokenizer import WordTokenizer
from rscc.utils.imports import import_siblings

__all__ = [
    'LANGUAGES', 'CaptionTokenizer', 'WordPieceTokenizer', 'WordTokenizer', 'directions',
    'join_words', 'normalise', 'split_words'
]

import_siblings(sys.modules[__name__])
