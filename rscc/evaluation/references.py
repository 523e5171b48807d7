"""Reference captions of a split, read from an annotation file and found by name or number."""
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rscc.evaluation.functional.content import says_no_change
from rscc.evaluation.records import CaptionRecord
from rscc.text.caption_files import holds_word, read_images, sentences_of, string_of, text_of
from rscc.text.normalisation import check_language, frequent_caption, warn
from rscc.utils import check_choice, did_you_mean
from rscc.utils.paths import sample_name

#: How a predictions file may name images: file name (the ending may lack) or number.
NAMINGS = ('name', 'imgid')
TASKS = ('pair', 'single')
#: The split where a file has several, and what stands for all images of one that has none.
DEFAULT_SPLIT, ALL = 'test', 'all'


@dataclass
class References:
    """Reference captions of one split.

    Attributes:
        path: The annotation file.
        split: The split, ``'all'`` where the file has none.
        language: Language of the sentences.
        records: File name without ending -> record with an empty prediction, in order of names.
        ids: Naming (see ``NAMINGS``) -> id -> file name without ending.
        elsewhere: Naming -> id of an image of another split -> that split.
        frequent: The most frequent caption of the training split; None without one.
    """
    path: str
    split: str
    language: str
    records: dict[str, CaptionRecord] = field(default_factory=dict)
    ids: dict[str, dict[str, str]] = field(default_factory=lambda: _by_naming())
    elsewhere: dict[str, dict[str, str]] = field(default_factory=lambda: _by_naming())
    frequent: str | None = None


def _by_naming() -> dict[str, dict[str, str]]:
    return {name: {} for name in NAMINGS}


def read_references(path: str | os.PathLike, split: str | None = None, language: str = 'en',
                    no_change_captions: tuple[str, ...] = (),
                    task: str | None = None) -> References:
    """Read the references of one split of an annotation file.

    Sentences without a word are left out, counted in a warning, as long as their image has another.

    Args:
        path: ``LevirCCcaptions.json``, ``dataset_sydney_cn.json`` or another file in Karpathy's or
            COCO's style, gzipped or not.
        split: ``'train'``, ``'val'`` or ``'test'``; by default test, or all images of a file
            without splits.
        language: ``'zh'`` reads ``raw_chinese``.
        no_change_captions: Stock sentences, for pairs without ``changeflag``.
        task: ``'pair'`` or ``'single'`` (no change flags). By default a file is of single images
            if no image has a ``changeflag`` and none has captions that all say "no change".

    Raises:
        FileNotFoundError: If the file is not there.
        ValueError: If it has another layout, nothing in that split, two images of one name or
            number, or an image without sentences in that language.
    """
    check_language(language)
    if task is not None:
        check_choice('task', task, TASKS)
    images = read_images(path)
    split = _chosen_split(images, split, path)
    if task is None:
        task = 'pair' if _tells_change(images, no_change_captions, language) else 'single'
    # The most frequent training caption is a baseline of single images.
    train = (text for image in images if _split_of(image) == 'train'
             for text in _found(image, language))
    references = References(str(path), split, language, frequent=frequent_caption(train, language))
    # By name, so that a text file with one caption a line has an order to follow.
    wordless = []
    for number, image in sorted(enumerate(images), key=lambda place: _name_of(place[1])):
        if split not in (ALL, _split_of(image)):
            _note_elsewhere(references, image)
            continue
        stem, sentences = _sentences(image, number, references, wordless)
        changed = None if task == 'single' else _changed(image, sentences, no_change_captions,
                                                         language)
        _add(references, image, CaptionRecord(stem, '', sentences, changed))
    if wordless:
        warn(f"'{path}': {len(wordless)} references in '{language}' hold no word and are left out; "
             f'the first: {wordless[0]}')
    return references


def _name_of(image: Any) -> str:
    return str(image.get('filename')) if isinstance(image, Mapping) else ''


def _split_of(image: Any) -> Any:
    return image.get('split') if isinstance(image, Mapping) else None


def _chosen_split(images: Sequence[Any], split: str | None, path: str | os.PathLike) -> str:
    splits = sorted({str(found) for image in images if (found := _split_of(image)) is not None})
    if not images:
        raise ValueError(f"'{path}' lists no images at all")
    if not splits and split is None:
        return ALL
    if not splits:
        raise ValueError(f"'{path}' has no splits, so split '{split}' selects nothing: leave "
                         '--split out for all its images')
    split = split or DEFAULT_SPLIT
    if split not in splits:
        raise ValueError(f"'{path}' has no split '{split}': it has {', '.join(splits)}."
                         f'{did_you_mean(split, splits)}')
    return split


def _tells_change(images: Sequence[Any], stock: tuple[str, ...], language: str) -> bool:
    """Return whether the images are pairs: some are flagged, or said to be unchanged."""
    return any(_flag_of(image) is not None for image in images) or any(
        _changed(image, found, stock, language) is False
        for image in images if (found := _found(image, language)))


def _flag_of(image: Any) -> Any:
    return image.get('changeflag') if isinstance(image, Mapping) else None


def _changed(image: Any, sentences: Sequence[str], stock: tuple[str, ...],
             language: str) -> bool:
    # Without a flag, captions tell: a pair is unchanged where all of them say so.
    flag = _flag_of(image)
    if flag is not None:
        return bool(flag)
    return not all(says_no_change(text, stock, language) for text in sentences)


def _add(references: References, image: Mapping, record: CaptionRecord) -> None:
    """Put a record under all names of its image."""
    name, number = record.sample_id, image.get('imgid')
    # Two images of one name would share a score; which one was meant cannot be told.
    if name in references.records:
        raise ValueError(f"'{references.path}' has two images '{name}' in split "
                         f"'{references.split}'; remove one")
    if str(number) in references.ids['imgid']:
        raise ValueError(f"'{references.path}' has two images with the imgid {number}, "
                         f"'{references.ids['imgid'][str(number)]}' and '{name}'; correct one")
    references.records[name] = record
    references.ids['name'][name] = name
    if number is not None:
        references.ids['imgid'][str(number)] = name


def _note_elsewhere(references: References, image: Any) -> None:
    """Remember the names of an image of another split, to tell where foreign ids are from."""
    split = str(_split_of(image))
    references.elsewhere['name'][sample_name(_name_of(image))] = split
    if isinstance(image, Mapping) and image.get('imgid') is not None:
        references.elsewhere['imgid'][str(image['imgid'])] = split


def _found(image: Any, language: str) -> list[str]:
    """Return the sentences an image has in a language, as they are written."""
    image = image if isinstance(image, Mapping) else {}
    sentences = image.get('sentences', image.get('captions'))
    # What is no list of sentences is refused by name where the image's references are read.
    texts = (text_of(sentence, language)
             for sentence in (sentences if isinstance(sentences, list) else ()))
    return [text for text in texts if isinstance(text, str)]


def _sentences(image: Any, number: int, references: References,
               wordless: list[str]) -> tuple[str, list[str]]:
    """Return name and sentences of an image, or say what it lacks; note those without a word."""
    filename, found = sentences_of(image, number, references.path)
    texts = [string_of(sentence, f"'{references.path}': caption {place} of '{filename}'",
                       references.language) for place, sentence in enumerate(found)]
    kept = [text for text in texts if holds_word(text)]
    wordless += [f"{text!r} (image '{filename}')" for text in texts if not holds_word(text)]
    if not kept:
        raise ValueError(f"'{references.path}': none of the captions of '{filename}' holds a word "
                         f"in '{references.language}', {texts[0]!r} the first")
    return sample_name(filename), kept
