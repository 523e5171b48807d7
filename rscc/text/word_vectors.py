"""Pretrained vectors of words in a text file, one a line: GloVe's format, and fastText's."""
import os
from collections.abc import Collection
from itertools import chain

import numpy as np

from rscc.utils import resolve_data_file


def read_word_vectors(path: str | os.PathLike, words: Collection[str], width: int
                      ) -> dict[str, np.ndarray]:
    """Read the vectors of some words.

    A first line of two numbers, as fastText writes, is passed over. A word may hold blanks.

    Args:
        path: The file; a relative path is looked up in the folder of all datasets, too.
        words: What is wanted.
        width: Numbers that each vector must have.

    Returns:
        Vectors (width,), float32, of the words that the file has.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a vector has another width or is no vector, or the file has none of the
            words.
    """
    path = resolve_data_file(path)
    if not path.is_file():
        raise FileNotFoundError(f"no word vectors at '{path}': expected a text file with a word "
                                f'and {width} numbers a line, glove.6B.{width}d.txt for instance')
    wanted, found = set(words), {}
    with path.open(encoding='utf-8') as lines:
        first = next(lines, '')
        sizes = len(first.split()) == 2 and first.replace(' ', '').strip().isdigit()
        rest = lines if sizes else chain([first], lines)
        for number, line in enumerate(rest, 1):
            # The first line tells a wrong file at once; parsing all others would take minutes.
            word = line.rstrip().rsplit(' ', width)[0]
            if number == 1 or word in wanted:
                vector = _vector(line.rstrip(), width, f"'{path}', vector {number}")
                found |= {word: vector} if word in wanted else {}
    if not found:
        raise ValueError(f"'{path}' has a vector for none of {len(wanted)} words "
                         f'({", ".join(sorted(wanted)[:3])}, ...): is it of another language?')
    return found


def _vector(line: str, width: int, where: str) -> np.ndarray:
    """Return the numbers after the word of a line."""
    numbers = line.split(' ')[1:]
    try:
        vector = np.array(line.rsplit(' ', width)[1:], dtype=np.float32)
        extra = len(numbers) > width and _is_number(numbers[-width - 1])
    except ValueError:
        vector, extra = np.empty(0), False
    if len(vector) != width or extra:
        raise ValueError(f'{where}: {len(numbers)} values after the word ({line[:40]!r}), expected '
                         f'{width} numbers (embed_dims)')
    return vector


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
