"""Vocabularies of captions, and captions as word ids in KD-RSCC's manner.

:func:`vocabulary` lists the words of a training split for ``WordTokenizer``. :func:`encode_words`
numbers the words of a whole annotation file and encodes every caption, after
Yu, Ma and Qiao, "KD-RSCC: A Karras Diffusion Framework for Efficient Remote Sensing Change
Captioning", IEEE GRSL 22 (2025). Words are numbered from 1 by first appearance over the whole file,
all splits; unknown, start and end follow, padding is 0. A caption is start, its words, end and
zeros up to the longest caption of all splits. Nothing is lower-cased, no word is left out.
"""
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from rscc.datasets.base import ChangeDataset
from rscc.text import split_words
from rscc.text.caption_files import SENTENCE_KEYS, holds_word, read_images, sentences_of, string_of
from rscc.text.normalisation import check_language, strip_hashes
from rscc.text.word_tokenizer import ENCODING_FORMAT, SPECIALS
from rscc.utils import check_choice, did_you_mean, write_json
from rscc.utils.logging import warn_once

SPLITS = ('train', 'val', 'test')
SOURCES = ('tokens', 'raw')
PAD, UNK, START, END = (SPECIALS[kind][0] for kind in ('pad', 'unk', 'bos', 'eos'))
#: Files that are written beside ``{split}_caption_encoded.json``.
VOCABULARY, SUMMARY = 'vocab.json', 'word_encoding.json'


def count_words(dataset: ChangeDataset) -> Counter:
    """Return how often each word occurs in the captions of a dataset, normalised and cleaned."""
    return Counter(word for row in range(len(dataset))
                   for caption in dataset.get_data_info(row)['gt_captions']
                   for word in split_words(caption, dataset.language))


def vocabulary(dataset: ChangeDataset, min_count: int = 1) -> list[str]:
    """Return the words of a dataset, the most frequent first, ties by alphabet.

    Args:
        dataset: The training split: the words of others are not for a model to know.
        min_count: Rarer words are left out.

    Raises:
        ValueError: If no word is left.
    """
    counts = count_words(dataset)
    kept = [word for word, count in counts.items() if count >= min_count]
    if not kept:
        raise ValueError(f'no word of {dataset.TITLE} occurs {min_count} times or more; the most '
                         f'frequent is {counts.most_common(1)}')
    return sorted(kept, key=lambda word: (-counts[word], word))


@dataclass(frozen=True)
class WordEncoding:
    """A vocabulary and every caption in it.

    Attributes:
        words: All V entries in id order: padding, the words, unknown, start, end.
        length: Ids of a caption, L: start, the words of the longest, end.
        captions: Split -> file name -> captions, each L ids.
        language: Of the captions.
    """
    words: list[str]
    length: int
    captions: dict[str, dict[str, list[list[int]]]]
    language: str

    def summary(self) -> dict[str, Any]:
        """Return what ``WordTokenizer`` reads: entries, length, and counts of every split."""
        pad = self.words.index(PAD)
        return dict(
            format=ENCODING_FORMAT, language=self.language, words=self.words, length=self.length,
            splits={split: dict(
                images=len(images), captions=sum(map(len, images.values())),
                longest=max(len(row) - row.count(pad) for rows in images.values() for row in rows))
                for split, images in self.captions.items()})


class _Image(NamedTuple):
    """Captions of one image as lists of words."""
    split: str
    filename: str
    captions: list[list[str]]


def encode_words(path: str | Path, language: str = 'en', words_from: str = 'tokens'
                 ) -> WordEncoding:
    r"""Number the words of an annotation file and encode its captions.

    As the original, with two exceptions for slips in real files. A word with a backslash is two
    (``a\almost``, once in LEVIR-CC; the published vocabulary of 998 entries does not have it). A
    caption without a word is left out as long as its image has another. Both are said once.

    Args:
        path: Karpathy-style ``.json`` or ``.json.gz``, ``LevirCCcaptions.json`` for instance.
        language: ``'en'`` or ``'zh'`` (the keys ``raw_chinese`` and ``tokens_chinese``).
        words_from: ``'tokens'``, the words as the file lists them (the original), or ``'raw'``, the
            sentence split here as ``WordTokenizer`` splits it.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the layout, a split or a caption is not what it must be, or an option is
            unknown.
    """
    check_language(language)
    check_choice('words_from', words_from, SOURCES)
    images = _Reading(Path(path), language, words_from).images()
    words = dict.fromkeys(word for image in images for caption in image.captions
                          for word in caption)
    special = [name for names in SPECIALS.values() for name in names if name in words]
    if special:
        raise ValueError(f"'{path}': the captions hold '{special[0]}', the name of a special "
                         'entry: take it out of the lists of words')
    entries = [PAD, *words, UNK, START, END]
    numbers = {word: number for number, word in enumerate(entries)}
    length = 2 + max(len(caption) for image in images for caption in image.captions)
    captions: dict[str, dict] = {split: {} for split in SPLITS
                                 if any(image.split == split for image in images)}
    for image in images:
        captions[image.split][image.filename] = [_row(caption, numbers, length)
                                                 for caption in image.captions]
    return WordEncoding(entries, length, captions, language)


def write_word_encoding(encoding: WordEncoding, out: str | Path) -> list[Path]:
    """Write the original's files and our summary, which ``WordTokenizer`` reads.

    Args:
        encoding: What :func:`encode_words` returned.
        out: Folder.

    Returns:
        ``vocab.json`` (word -> id), ``{split}_caption_encoded.json`` (file name -> captions) of
        every split there is, and ``word_encoding.json``, in the order written.
    """
    numbers = {word: number for number, word in enumerate(encoding.words) if word != PAD}
    files: dict[str, Any] = {VOCABULARY: {**numbers, PAD: encoding.words.index(PAD)}}
    files |= {f'{split}_caption_encoded.json': images
              for split, images in encoding.captions.items()}
    files[SUMMARY] = encoding.summary()
    for name, data in files.items():
        write_json(Path(out) / name, data, indent=1 if name == SUMMARY else None)
    return [Path(out) / name for name in files]


def _row(words: list[str], numbers: Mapping[str, int], length: int) -> list[int]:
    ids = [numbers[START], *(numbers[word] for word in words), numbers[END]]
    return ids + [numbers[PAD]] * (length - len(ids))


@dataclass
class _Reading:
    """Options and findings of reading one file."""
    path: Path
    language: str
    words_from: str
    slipped: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    otherwise: list[str] = field(default_factory=list)

    def images(self) -> list[_Image]:
        """Return the words of all captions in file order."""
        if not self.path.is_file():
            beside = [found.name for found in self.path.parent.glob('*.json*')]
            raise FileNotFoundError(f"no annotations at '{self.path}'."
                                    f'{did_you_mean(self.path.name, beside)}')
        images = [self._image(item, number) for number, item in enumerate(read_images(self.path))]
        if not images:
            raise ValueError(f"'{self.path}' lists no images at all")
        self._check_unique(images)
        self._report()
        return images

    def _image(self, item: Any, number: int) -> _Image:
        filename, sentences = sentences_of(item, number, self.path)
        split = item.get('split')
        if split not in SPLITS:
            raise ValueError(f"'{self.path}': '{filename}' is of split {split!r}, and one of "
                             f'{list(SPLITS)} was expected.{did_you_mean(str(split), SPLITS)}')
        captions = [self._words(sentence, f"caption {place} of '{filename}'")
                    for place, sentence in enumerate(sentences)]
        kept = [words for words in captions if words]
        if not kept:
            raise ValueError(f"'{self.path}': none of the {len(captions)} captions of '{filename}' "
                             'holds a word. Correct them or remove the image')
        return _Image(split, filename, kept)

    def _words(self, sentence: Any, where: str) -> list[str]:
        """Return a caption's words; no word, no list."""
        if self.words_from == 'raw':
            words = self._split(sentence, where)
        else:
            words = self._tokens(sentence, where)
        whole = [part for word in words for part in word.split('\\') if part]
        if whole != words:
            self.slipped.append(where)
        if not any(map(holds_word, whole)):
            self.empty.append(where)
            return []
        if self.words_from == 'tokens' and self._is_split_otherwise(sentence, words):
            self.otherwise.append(where)
        return whole

    def _split(self, sentence: Any, where: str) -> list[str]:
        text = string_of(sentence, f"'{self.path}': {where}", self.language)
        return split_words(strip_hashes(text), self.language)

    def _tokens(self, sentence: Any, where: str) -> list[str]:
        key = SENTENCE_KEYS[self.language][1]
        words = sentence.get(key) if isinstance(sentence, Mapping) else None
        if not isinstance(words, list):
            found = f'the keys {sorted(sentence)}' if isinstance(sentence, Mapping) else sentence
            raise ValueError(f"'{self.path}': {where} has no list '{key}' of words, found {found}. "
                             "words_from='raw' (--words-from raw) splits the sentences instead")
        wrong = [word for word in words if not isinstance(word, str) or not word.strip()]
        if wrong:
            raise ValueError(f"'{self.path}': {where} lists {wrong[0]!r} among its words; strings "
                             'that are not blank were expected')
        return words

    def _is_split_otherwise(self, sentence: Mapping, words: Sequence[str]) -> bool:
        raw = sentence.get(SENTENCE_KEYS[self.language][0])
        return isinstance(raw, str) and split_words(strip_hashes(raw), self.language) != words

    def _check_unique(self, images: Sequence[_Image]) -> None:
        seen: set[tuple[str, str]] = set()
        for image in images:
            if image[:2] in seen:
                raise ValueError(f"'{self.path}' has '{image.filename}' twice in split "
                                 f"'{image.split}'. Remove one")
            seen.add(image[:2])

    def _report(self) -> None:
        for found, what in (
                (self.slipped, 'hold a word with a backslash, which is taken for two words'),
                (self.empty, 'hold no word and are left out'),
                (self.otherwise, "list other words than WordTokenizer finds in their '"
                 f"{SENTENCE_KEYS[self.language][0]}' sentence: read the dataset with "
                 "text_from='tokens', or encode with --words-from raw")):
            if found:
                warn_once(f"'{self.path}': {len(found)} captions {what}; the first: {found[0]}")
