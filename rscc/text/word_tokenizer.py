"""Word-level tokenizer with its vocabularies, and pretrained word vectors."""
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path

import numpy as np

from rscc.registry import TOKENIZERS
from rscc.text.caption_files import read_images, string_of
from rscc.text.detokenizer import Detokenizer
from rscc.text.normalisation import LANGUAGES, join_words, split_words, strip_hashes
from rscc.text.tokenizer import CaptionTokenizer
from rscc.utils import read_json, resolve_data_file
from rscc.utils.files import check_text
from rscc.utils.forms import check_form
from rscc.utils.logging import warn_deprecated

#: Names that vocabularies in the wild give the four specials; ours come first.
SPECIALS = {
    'pad': ('<pad>', '<NULL>', '<PAD>', '[PAD]'),
    'unk': ('<unk>', '<UNK>', '[UNK]'),
    'bos': ('<start>', '<START>', '<bos>', '<BOS>'),
    'eos': ('<end>', '<END>', '<eos>', '<EOS>'),
}

#: Entries by which a vocabulary of several languages tells whose words follow.
LANGUAGE_MARKERS = {language: f'<{language}>' for language in LANGUAGES}

#: All of these, and those of subword tokenizers: none is a word of a caption.
SPECIAL_TOKENS = (*chain.from_iterable(SPECIALS.values()), '<s>', '</s>', '<mask>', '[CLS]',
                  '[SEP]', '[MASK]', '[DEC]', '[ENC]', '<|endoftext|>', '<|startoftext|>')

#: Mark of the file that ``tools/dataset_converters/levircc.py --word-encode`` writes.
ENCODING_FORMAT = 'rscc word encoding'


@TOKENIZERS.register_module()
class WordTokenizer(CaptionTokenizer):
    """Word-level tokenizer over a vocabulary file, a list of words or an annotation file.

    Reads, by content: a JSON list of words, most frequent first (ours; ids are pad 0, unk 1,
    start 2, end 3, then the words); a JSON object word -> id (Chg2Cap, RSCaMa, Change-Agent, and
    the ``WORDMAP_*.json`` of the attention tutorial, KD-RSCC's ``vocab.json``), whose ids and
    special names are kept; a ``word_encoding.json``, which also knows the longest caption; and a
    Karpathy-style annotation file (``LevirCCcaptions.json``), whose training captions are counted.

    Args:
        vocab_file: One of these files; a relative path is looked up in the folder of all datasets
            (``'synth/vocab_en.json'`` below ``$RSCC_DATA``) unless it exists from here.
        words: Words in place of a file: plain words, or all entries in id order with the specials
            among them (what :meth:`vocabulary` returns, so a checkpoint can carry it).
        language: ``'en'`` or ``'zh'``; decides how sentences are split and joined.
        min_count: Words seen less often in an annotation file become unknown. Only counts can be
            thresholded: the other sources take 1.

    Attributes:
        max_tokens: Words of the longest caption of all splits, where the file says it
            (``word_encoding.json``), else None.

    Raises:
        FileNotFoundError: If ``vocab_file`` does not exist; the message says what writes it.
        ValueError: If neither or both sources are given, an entry appears twice, ids have gaps,
            a special is missing, ``min_count`` has nothing to count, or the file is of another
            language.
    """

    def __init__(self, vocab_file: str | os.PathLike | None = None,
                 words: Iterable[str] | None = None, language: str = 'en',
                 min_count: int = 1) -> None:
        super().__init__(language)
        if (vocab_file is None) == (words is None):
            raise ValueError('WordTokenizer takes either vocab_file or words, and got '
                             f"{'neither' if words is None else 'both'}")
        source = f"'{vocab_file}'" if words is None else 'words'
        entries = list(words) if words is not None else self._read(vocab_file, min_count)
        if min_count != 1 and not self._counted:
            raise ValueError(f'min_count={min_count} needs words with counts, and {source} has '
                             'none: give the annotation file as vocab_file, or min_count=1')
        self._set_entries(entries, source)

    _counted = False

    @classmethod
    def from_captions(cls, captions: Iterable[str], min_count: int = 1,
                      language: str = 'en') -> 'WordTokenizer':
        """Build the vocabulary from sentences, most frequent word first, ties by alphabet.

        Args:
            captions: Sentences, normalised here.
            min_count: Words seen less often become unknown.
            language: ``'en'`` or ``'zh'``.

        Raises:
            ValueError: If no word is frequent enough.
        """
        counts = Counter(word for text in captions for word in split_words(text, language))
        return cls(words=_frequent(counts, min_count, 'the captions'), language=language)

    def _read(self, path: str | os.PathLike, min_count: int) -> list[str]:
        path = resolve_data_file(path)
        if not path.is_file():
            raise FileNotFoundError(
                f"vocabulary not found at '{path}'. tools/dataset_converters/vocabulary.py "
                'writes that of any captioned dataset, tools/dataset_converters/synth.py those of '
                'the built-in one; the annotation file itself can also be given')
        data = read_json(path)
        if isinstance(data, Mapping) and isinstance(data.get('images'), list):
            self._counted = True
            counts = Counter(word for text in _training_captions(path, self.language)
                             for word in split_words(text, self.language))
            return _frequent(counts, min_count, f"'{path}'")
        if isinstance(data, Mapping) and data.get('format') == ENCODING_FORMAT:
            return self._read_encoding(data, path)
        if isinstance(data, Mapping) and all(type(i) is int for i in data.values()):
            return _by_id(data, path)
        if isinstance(data, list) and all(isinstance(word, str) for word in data):
            return data
        raise ValueError(f"'{path}' is no vocabulary: expected a JSON list of words, a JSON "
                         'object word -> id, or annotations with "images"')

    def _read_encoding(self, data: Mapping, path: str | os.PathLike) -> list[str]:
        # A caption is at least start, a word and end.
        check_form(data, {'words': [str], 'length': range(3, 10_000), 'language?': (str, None)},
                   f"word encoding '{path}'",
                   'Write it again: tools/dataset_converters/levircc.py --word-encode')
        if data.get('language') not in (None, self.language):
            raise ValueError(f"'{path}' is of captions in '{data['language']}', and the "
                             f"tokenizer's language is '{self.language}'")
        self.max_tokens = data['length'] - 2  # start and end
        return data['words']

    def _set_entries(self, entries: list[str], source: str) -> None:
        check_form(entries, [str], source)
        for entry in entries:
            check_text(entry, f'{source}: the entry {entry!r}')
        marked = [marker for marker in LANGUAGE_MARKERS.values() if marker in entries]
        if marked:
            raise ValueError(f'{source} holds {marked[0]}, after which the words of one of several '
                             'languages come: take BilingualWordTokenizer')
        twice = [word for word, count in Counter(entries).items() if count > 1]
        if twice:
            raise ValueError(f"{source} holds '{twice[0]}' twice ({len(twice)} such words)")
        found = {kind: next((name for name in names if name in entries), None)
                 for kind, names in SPECIALS.items()}
        if not any(found.values()):
            found = {kind: names[0] for kind, names in SPECIALS.items()}
            entries = [*found.values(), *entries]
        missing = [SPECIALS[kind][0] for kind, name in found.items() if name is None]
        if missing:
            raise ValueError(f'{source} has some special tokens but lacks '
                             f"{', '.join(missing)} (or the usual other spellings)")
        if len(entries) <= len(SPECIALS):
            raise ValueError(f'{source} holds no words')
        self._entries = entries
        self._ids = {word: i for i, word in enumerate(entries)}
        self.pad_id, self.unk_id, self.bos_id, self.eos_id = (
            self._ids[found[kind]] for kind in ('pad', 'unk', 'bos', 'eos'))
        self.vocab_size = len(entries)
        names = set(found.values())
        # DUBAI-CC's vocabulary keeps capitals; lowering the case would make those words unknown.
        self.lower_case = all(word == word.lower() for word in entries if word not in names)

    @property
    def longest(self) -> int | None:
        """The old measure of the longest caption, which counts start and end."""
        warn_deprecated("'WordTokenizer.longest', less 2,", 'WordTokenizer.max_tokens', '0.3')
        return None if self.max_tokens is None else self.max_tokens + 2

    def vocabulary(self) -> list[str]:
        """Return every entry in id order, specials included; ``words=`` accepts it."""
        return list(self._entries)

    def _text_to_ids(self, text: str) -> list[int]:
        words = split_words(text, self.language, self.lower_case)
        return [self._ids.get(word, self.unk_id) for word in words]

    def _ids_to_text(self, ids: list[int]) -> str:
        return join_words([self._entries[i] for i in ids], self.language)

    def detokenizer(self) -> Detokenizer:
        """Return the words with the rules that join them."""
        return self._detokenizer('words', self._entries)

    def __repr__(self) -> str:
        return f"WordTokenizer({self.vocab_size} entries, language='{self.language}')"


def _frequent(counts: Counter, min_count: int, source: str) -> list[str]:
    words = [word for word, count in counts.items() if count >= min_count]
    if not words:
        raise ValueError(f'no word occurs {min_count} times or more in {source} '
                         f'({len(counts)} different words)')
    return sorted(words, key=lambda word: (-counts[word], word))


def _by_id(ids: Mapping[str, int], path: str | os.PathLike) -> list[str]:
    """Turn word -> id into a list; some files leave the padding at 0 unsaid."""
    by_id = {i: word for word, i in ids.items()}
    if 0 not in by_id and not set(SPECIALS['pad']) & set(ids):
        by_id[0] = SPECIALS['pad'][0]
    if len(by_id) < len(ids):
        raise ValueError(f"'{path}' gives the same id to several words")
    gap = next((i for i in range(len(by_id)) if i not in by_id), None)
    if gap is not None:
        raise ValueError(f"'{path}' has no word for id {gap} although ids go up to {max(by_id)}")
    return [by_id[i] for i in range(len(by_id))]


def _training_captions(path: str | os.PathLike, language: str) -> Iterable[str]:
    """Yield the training sentences of an annotation file (all, if no split is given)."""
    for number, image in enumerate(read_images(path)):
        where = f"'{path}': image {number}"
        check_form(image, {'split?': (str, None)}, where)
        if image.get('split', 'train') in ('train', 'restval'):
            sentences = image.get('sentences', image.get('captions'))
            check_form(sentences, [object], f'{where}: its captions')
            for place, sentence in enumerate(sentences):
                yield strip_hashes(string_of(sentence, f'{where}: caption {place}', language))


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
    try:
        with path.open(encoding='utf-8') as lines:
            found = _vectors(lines, set(words), width, path)
    except UnicodeDecodeError as error:
        raise ValueError(f"word vectors '{path}' are not UTF-8 ({error.reason}). Save the file "
                         'again in that encoding') from error
    if not found:
        raise ValueError(f"'{path}' has a vector for none of {len(set(words))} words "
                         f'({", ".join(sorted(words)[:3])}, ...): is it of another language?')
    return found


def _vectors(lines: Iterator[str], wanted: set[str], width: int, path: Path
             ) -> dict[str, np.ndarray]:
    """Return the vectors (width,) of wanted words among the lines of a file."""
    found: dict[str, np.ndarray] = {}
    first = next(lines, '')
    sizes = len(first.split()) == 2 and first.replace(' ', '').strip().isdigit()
    for number, line in enumerate(lines if sizes else chain([first], lines), 1):
        # The first line tells a wrong file at once; parsing all others would take minutes.
        word = line.rstrip().rsplit(' ', width)[0]
        if number == 1 or word in wanted:
            vector = _vector(line.rstrip(), width, f"'{path}', vector {number}")
            found |= {word: vector} if word in wanted else {}
    return found


def _vector(line: str, width: int, where: str) -> np.ndarray:
    """Return the numbers after the word of a line."""
    numbers = line.split(' ')[1:]
    try:
        with np.errstate(over='ignore'):
            vector = np.array(line.rsplit(' ', width)[1:], dtype=np.float32)
        extra = len(numbers) > width and _is_number(numbers[-width - 1])
    except ValueError:
        vector, extra = np.empty(0), False
    if len(vector) != width or extra or not np.isfinite(vector).all():
        raise ValueError(f'{where}: {len(numbers)} values after the word ({line[:40]!r}), expected '
                         f'{width} finite numbers (embed_dims)')
    return vector


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
