"""Readers of caption annotations, one per style, all giving the same records.

Styles: Karpathy JSON (``images[].sentences[]`` or ``images[].captions``), COCO JSON (``images`` and
``annotations``). Files may be gzipped.
"""
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from rscc.text import normalise
from rscc.text.normalisation import check_language, strip_hashes
from rscc.utils import did_you_mean, read_json
from rscc.utils.notes import say_once

SENTENCE_KEYS = {'en': ('raw', 'tokens'), 'zh': ('raw_chinese', 'tokens_chinese')}


class Record(TypedDict):
    """One annotated image or pair, as the file says it.

    Attributes:
        sample_id: File name without its ending.
        filename: File name.
        filepath: Folder named by the file, or the split.
        split: ``'train'``, ``'val'``, ``'test'``, or None where the file has no splits.
        captions: Normalised sentences, never empty.
        changeflag: True, False, or None where the file does not say.
        imgid: The image's number, where the file numbers them.
    """
    sample_id: str
    filename: str
    filepath: str | None
    split: str | None
    captions: list[str]
    changeflag: bool | None
    imgid: NotRequired[int | None]


@dataclass
class _Reading:
    """How a file is read, and what was noticed on the way."""
    path: str | Path
    language: str
    text_from: str
    clean: bool
    total: int = 0
    hashes: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)

    def report(self) -> None:
        """Say once a file how many captions were changed or left out, with the first of them."""
        for found, what in ((self.hashes, "end in '#', which is cut off (clean_captions=False "
                                          'keeps it)'),
                            (self.empty, 'hold no word and are left out')):
            if found:
                say_once(f"'{self.path}': {len(found)} of {self.total} captions in "
                         f"'{self.language}' {what}; the first: {found[0]}")


def read_captions(path: str | Path, language: str = 'en', text_from: str = 'raw',
                  clean: bool = True) -> list[Record]:
    """Read a caption file of either JSON style.

    Captions without any word are left out as long as their image has another one. They and the
    cleaned ones are counted in one warning a file.

    Args:
        path: ``.json`` or ``.json.gz``.
        language: ``'en'`` or ``'zh'`` (the keys ``raw_chinese`` and ``tokens_chinese``).
        text_from: ``'raw'`` for the sentence, ``'tokens'`` for the words joined.
        clean: Cut off the ``###`` in which some Chinese sentences of Sydney-captions end.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the layout, a caption or an option is not what it must be, or an image has no
            caption with a word in it.
    """
    check_language(language)
    if text_from not in ('raw', 'tokens'):
        raise ValueError(f"text_from='{text_from}' is unknown: use 'raw' or 'tokens'."
                         f"{did_you_mean(text_from, ('raw', 'tokens'))}")
    reading = _Reading(path, language, text_from, clean)
    records = [_record(item, number, reading) for number, item in enumerate(read_images(path))]
    reading.report()
    return records


def read_images(path: str | Path) -> list[Any]:
    """Return the images of a caption file as it lists them, COCO's with their captions joined.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is of neither style.
    """
    data = read_json(path)
    if isinstance(data, dict) and 'annotations' in data and 'images' in data:
        return _from_coco(data, path)
    if isinstance(data, dict) and isinstance(data.get('images'), list):
        return data['images']
    raise ValueError(f"'{path}' is not a caption file in LEVIR-CC's (Karpathy) or COCO style: "
                     f"found {_describe(data)}, expected an object with a list 'images'.")


def sentences_of(item: Any, number: int, path: str | Path) -> tuple[str, list[Any]]:
    """Return file name and captions, as they stand there, of image ``number`` of a file.

    Raises:
        ValueError: If one of them is missing.
    """
    filename = item.get('filename') if isinstance(item, dict) else None
    if not isinstance(filename, str) or not filename:
        raise ValueError(f"'{path}': image {number} has no 'filename': found {_describe(item)}.")
    sentences = item.get('sentences', item.get('captions'))
    if not isinstance(sentences, list) or not sentences:
        raise ValueError(f"'{path}': '{filename}' has no captions: a non-empty list 'sentences' or "
                         f"'captions' was expected, found {_describe(sentences)}.")
    return filename, sentences


def _describe(data: Any) -> str:
    if isinstance(data, dict):
        return f'an object with the keys {sorted(map(str, data))[:6]}'
    return f'a {type(data).__name__}'


def _from_coco(data: dict, path: str | Path) -> list[dict]:
    """Join COCO's two tables into Karpathy-like items, images in file order."""
    items = {image['id']: {**image, 'filename': image.get('file_name'), 'captions': []}
             for image in data['images']}
    for annotation in data['annotations']:
        if annotation['image_id'] not in items:
            raise ValueError(f"'{path}': a caption names image_id {annotation['image_id']!r}, "
                             "which is not in 'images'.")
        items[annotation['image_id']]['captions'].append(annotation.get('caption'))
    return list(items.values())


def _record(item: dict, number: int, reading: _Reading) -> Record:
    filename, sentences = sentences_of(item, number, reading.path)
    flag = item.get('changeflag')
    if flag not in (None, 0, 1):
        raise ValueError(f"'{reading.path}': changeflag of '{filename}' is {flag!r}, expected 0 "
                         'or 1.')
    return Record(sample_id=Path(filename).stem, filename=filename, filepath=item.get('filepath'),
                  split=item.get('split'), changeflag=None if flag is None else bool(flag),
                  captions=_captions(sentences, filename, reading), imgid=item.get('imgid'))


def _captions(sentences: list[Any], filename: str, reading: _Reading) -> list[str]:
    captions = []
    for number, sentence in enumerate(sentences):
        text = text_of(sentence, reading.language, reading.text_from)
        if not isinstance(text, str):
            raise ValueError(_say_what_is_missing(sentence, text, number, filename, reading))
        captions.append(_clean(text, f"'{text}' (image '{filename}')", reading))
    kept = [caption for caption in captions if caption]
    if not kept:
        raise ValueError(f"'{reading.path}': none of the captions of '{filename}' holds a word in "
                         f"'{reading.language}', {sentences[0]!r} the first. Correct them or "
                         'remove the image.')
    return kept


def _clean(text: str, shown: str, reading: _Reading) -> str:
    """Return the normalised sentence and take note of what is odd about it."""
    reading.total += 1
    stripped = strip_hashes(text) if reading.clean else text
    if stripped != text:
        reading.hashes.append(shown)
    caption = normalise(stripped, reading.language)
    if not any(character.isalnum() for character in caption):
        reading.empty.append(shown)
        return ''
    return caption


def _say_what_is_missing(sentence: Any, text: Any, number: int, filename: str,
                         reading: _Reading) -> str:
    """Return the message for a caption that is no string, or is there in another language only."""
    where = f"'{reading.path}': caption {number} of '{filename}'"
    raw, tokens = SENTENCE_KEYS[reading.language]
    if isinstance(sentence, dict) and not {raw, tokens} & set(sentence):
        return (f"{where} has no sentence in '{reading.language}': neither '{raw}' nor '{tokens}' "
                f'among {sorted(map(str, sentence))}. Chinese captions of published datasets are '
                "in files of their own, such as 'dataset_sydney_cn.json'; name it with ann_file.")
    return (f"{where} is {text!r}; a non-empty string in '{reading.language}' was expected. "
            'Correct or remove it.')


def text_of(sentence: Any, language: str, text_from: str) -> Any:
    """Return the sentence as a string, or whatever stands there instead (the caller reports it)."""
    if not isinstance(sentence, dict):
        return sentence
    raw, tokens = SENTENCE_KEYS[language]
    words = sentence.get(tokens)
    if isinstance(words, list) and (text_from == 'tokens' or sentence.get(raw) is None):
        return (' ' if language == 'en' else '').join(map(str, words))
    return sentence.get(raw)
