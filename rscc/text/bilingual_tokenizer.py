"""Words of several languages in one vocabulary, for a caption head that writes all of them."""
import os
from collections.abc import Iterable, Mapping, Sequence

from rscc.registry import TOKENIZERS
from rscc.text.detokenizer import Detokenizer, join_by_language
from rscc.text.normalisation import LANGUAGES, check_language
from rscc.text.tokenizer import CaptionTokenizer
from rscc.text.word_tokenizer import LANGUAGE_MARKERS, SPECIALS, WordTokenizer


@TOKENIZERS.register_module()
class BilingualWordTokenizer(CaptionTokenizer):
    """Word-level tokenizer of English and Chinese, each with words of its own.

    An encoded caption is ``start, marker of the language, words, end``. The marker is the prompt:
    it is given, not learned, so who asks for a caption chooses its language. Sentences are told
    apart by their script, and a word is looked up among those of its own language alone. How each
    language is split into words is ``WordTokenizer``'s affair: Chinese by jieba, as the built-in
    dataset and its vocabulary are.

    Ids are pad 0, unk 1, start 2, end 3, then marker and words of the first language, marker and
    words of the next. The same text may be a word of both languages (a comma, a number): it then
    has two ids.

    Args:
        vocab_files: Language -> file with its words, each as ``WordTokenizer`` reads it; the first
            language is the one that is written where none is asked for.
        words: All entries in id order, what :meth:`vocabulary` returns, so that a checkpoint alone
            rebuilds the tokenizer.

    Attributes:
        language: The first language.
        languages: All of them, in order.
        max_tokens: Words of the longest caption of all languages, where all files say it.

    Raises:
        FileNotFoundError: If a file does not exist; the message says what writes it.
        ValueError: If neither or both sources are given, there are fewer than two languages, one
            is unknown, or the entries are not in this order.
    """

    def __init__(self, vocab_files: Mapping[str, str | os.PathLike] | None = None,
                 words: Iterable[str] | None = None) -> None:
        if (vocab_files is None) == (words is None):
            raise ValueError('BilingualWordTokenizer takes either vocab_files or words, and got '
                             f"{'neither' if words is None else 'both'}")
        parts = _parts_of_files(vocab_files) if words is None else _parts_of(list(words))
        super().__init__(next(iter(parts)))
        self.languages = tuple(parts)
        self._parts = parts
        self._entries = [names[0] for names in SPECIALS.values()]
        self.pad_id, self.unk_id, self.bos_id, self.eos_id = (
            list(SPECIALS).index(kind) for kind in ('pad', 'unk', 'bos', 'eos'))
        self._word_ids: dict[str, range] = {}
        for language, part in parts.items():
            words = part.vocabulary()[len(SPECIALS):]
            self._entries += [LANGUAGE_MARKERS[language], *words]
            self._word_ids[language] = range(len(self._entries) - len(words), len(self._entries))
        self._marker_ids = {name: ids.start - 1 for name, ids in self._word_ids.items()}
        # The languages, and the id that the words of each begin with.
        self._starts = tuple((name, ids.start) for name, ids in self._word_ids.items())
        self.vocab_size = len(self._entries)
        self.prompt_ids = (self._marker_ids[self.language], )
        longest = [part.max_tokens for part in parts.values()]
        self.max_tokens = None if None in longest else max(longest)

    @property
    def special_ids(self) -> frozenset[int]:
        """Ids that are no word of a sentence, the markers of the languages among them."""
        return super().special_ids | frozenset(self._marker_ids.values())

    def prompt_in(self, language: str | None = None) -> list[int]:
        """Return the marker of a language, None for the first."""
        return [self._marker_ids[self.choose(language)]]

    def foreign_ids(self, language: str | None = None) -> list[int]:
        """Return the ids of the markers and of the words of the other languages."""
        own = self._word_ids[self.choose(language)]
        return [number for number in range(len(SPECIALS), self.vocab_size) if number not in own]

    def encode(self, text: str, *, max_tokens: int | None = None, max_len: int | None = None
               ) -> list[int]:
        """Return the ids of a sentence: ``start, marker, words, end``; see ``CaptionTokenizer``."""
        ids = super().encode(text, max_tokens=max_tokens, max_len=max_len)
        return [ids[0], self._marker_ids[self.language_of(text)], *ids[2:]]

    def vocabulary(self) -> list[str]:
        """Return every entry in id order, markers included; ``words=`` accepts it."""
        return list(self._entries)

    def _text_to_ids(self, text: str) -> list[int]:
        # The tokenizer of the language has the specials first as well, and no marker behind them.
        language = self.language_of(text)
        part, shift = self._parts[language], self._word_ids[language].start - len(SPECIALS)
        return [self.unk_id if number == part.unk_id else number + shift
                for number in part.plain_ids(text)]

    def _ids_to_text(self, ids: list[int]) -> str:
        return join_by_language(self._starts, [(number, self._entries[number]) for number in ids])

    def detokenizer(self) -> Detokenizer:
        """Return the words with the rules that join those of each language."""
        return self._detokenizer('words', self._entries, languages=self._starts)

    def __repr__(self) -> str:
        counts = ', '.join(f'{len(ids)} of {name}' for name, ids in self._word_ids.items())
        return f'BilingualWordTokenizer({self.vocab_size} entries, {counts})'


def _parts_of_files(files: Mapping[str, str | os.PathLike]) -> dict[str, WordTokenizer]:
    """Return language -> a tokenizer of its words, specials first."""
    for language in files:
        check_language(language)
    _check_count(list(files), 'vocab_files')
    parts = {}
    for language, file in files.items():
        read = WordTokenizer(file, language=language)
        # Files keep ids of their own; here the specials come first, then the words.
        part = WordTokenizer(words=[word for number, word in enumerate(read.vocabulary())
                                    if number not in read.special_ids], language=language)
        part.max_tokens = read.max_tokens
        parts[language] = part
    return parts


def _parts_of(entries: Sequence[str]) -> dict[str, WordTokenizer]:
    """Return the same out of the entries of a checkpoint."""
    specials = [names[0] for names in SPECIALS.values()]
    places = {language: place for place, entry in enumerate(entries)
              for language, marker in LANGUAGE_MARKERS.items() if entry == marker}
    _check_count(list(places), 'words')
    ends = [*list(places.values())[1:], len(entries)]
    if list(entries[:min(places.values())]) != specials:
        raise ValueError(f'words={list(entries[:6])}...: expected {specials}, then the marker of a '
                         'language with its words after it, as vocabulary() returns them')
    return {language: WordTokenizer(words=entries[start + 1:end], language=language)
            for (language, start), end in zip(places.items(), ends, strict=True)}


def _check_count(languages: Sequence[str], source: str) -> None:
    if len(languages) < 2:
        raise ValueError(f'{source} of BilingualWordTokenizer names {languages or "no language"}: '
                         f'expected two of {list(LANGUAGES)}. WordTokenizer is for one language')
