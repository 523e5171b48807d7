"""Annotation files of captions, as datasets and scores read them.

Styles: Karpathy JSON (``images[].sentences[]`` or ``images[].captions``), COCO JSON (``images`` and
``annotations``). Files may be gzipped.
"""
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rscc.utils import read_json
from rscc.utils.files import check_path
from rscc.utils.forms import shorten

#: Language -> keys of a sentence: the sentence, its words.
SENTENCE_KEYS = {'en': ('raw', 'tokens'), 'zh': ('raw_chinese', 'tokens_chinese')}


def read_images(path: str | Path) -> list[Any]:
    """Return the images of a caption file as it lists them, COCO's with their captions joined.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is of neither style.
    """
    data = read_json(path, unique_keys=True)
    images = data.get('images') if isinstance(data, dict) else None
    if not isinstance(images, list):
        raise ValueError(f"'{path}' is not a caption file in LEVIR-CC's (Karpathy) or COCO style: "
                         f"found {_describe(data)}, expected an object with a list 'images'. A "
                         'dataset with a style of its own writes read_records() (CONTRIBUTING.md)')
    return _from_coco(images, data['annotations'], path) if 'annotations' in data else images


def sentences_of(item: Any, number: int, path: str | Path) -> tuple[str, list[Any]]:
    """Return file name and caption entries of one image of a file.

    Args:
        item: The image's entry.
        number: Its place in the file, for messages.
        path: The file, for messages.

    Raises:
        ValueError: If one of them is missing.
    """
    filename = item.get('filename') if isinstance(item, Mapping) else None
    if not isinstance(filename, str) or not filename:
        raise ValueError(f"'{path}': image {number} has no 'filename': found {_describe(item)}.")
    check_path(filename, f"'{path}': 'filename' of image {number}")
    sentences = item.get('sentences', item.get('captions'))
    if not isinstance(sentences, list) or not sentences:
        raise ValueError(f"'{path}': '{filename}' has no captions: a non-empty list 'sentences' or "
                         f"'captions' was expected, found {_describe(sentences)}.")
    return filename, sentences


def text_of(sentence: Any, language: str, text_from: str = 'raw') -> Any:
    """Return the text of a caption entry, or the value that stands in its place.

    Args:
        sentence: A caption: an object with the keys of ``SENTENCE_KEYS``, or a string.
        language: ``'en'`` or ``'zh'``.
        text_from: ``'raw'`` (the words joined, where there is no sentence) or ``'tokens'``.
    """
    if not isinstance(sentence, Mapping):
        return sentence
    raw, tokens = SENTENCE_KEYS[language]
    words = sentence.get(tokens)
    if isinstance(words, list) and (text_from == 'tokens' or sentence.get(raw) is None):
        return (' ' if language == 'en' else '').join(map(str, words))
    return sentence.get(raw)


def string_of(sentence: Any, where: str, language: str, text_from: str = 'raw') -> str:
    """Return the text of a caption entry, or refuse it.

    Args:
        sentence: See :func:`text_of`.
        where: Its place, the subject of messages: ``"'c.json': caption 0 of '1.tif'"``.
        language: See :func:`text_of`.
        text_from: See :func:`text_of`.

    Raises:
        ValueError: If it is no string, or is there in another language only.
    """
    text = text_of(sentence, language, text_from)
    if isinstance(text, str):
        return text
    raw, tokens = SENTENCE_KEYS[language]
    if isinstance(sentence, Mapping) and not {raw, tokens} & set(sentence):
        raise ValueError(
            f"{where} has no sentence in '{language}': neither '{raw}' nor '{tokens}' among "
            f'{sorted(map(str, sentence))}. Chinese captions of published datasets are in files of '
            "their own, such as 'dataset_sydney_cn.json': name that one (ann_file, --ann-file or "
            '--references).')
    raise ValueError(f"{where} is {shorten(text)}; a non-empty string in '{language}' was "
                     'expected. Correct or remove it.')


def holds_word(text: str) -> bool:
    """Return whether a sentence has a letter or digit: marks alone are no caption."""
    return any(map(str.isalnum, text))


def _describe(data: Any) -> str:
    if isinstance(data, Mapping):
        return f'an object with the keys {sorted(map(str, data))[:6]}'
    return f'a {type(data).__name__}'


def _from_coco(images: list, annotations: Any, path: str | Path) -> list[dict]:
    """Join COCO's two tables into Karpathy-like items, images in file order."""
    items: dict[Any, dict] = {}
    for place, image in enumerate(images):
        key = image.get('id') if isinstance(image, Mapping) else None
        if not isinstance(key, str | int) or key in items:
            raise ValueError(f"'{path}': image {place} has the 'id' {key!r}; one that no other "
                             'image has was expected.')
        items[key] = {'imgid': key, **image, 'filename': image.get('file_name'), 'captions': []}
    if not isinstance(annotations, list):
        raise ValueError(f"'{path}': 'annotations' is {_describe(annotations)}; COCO's list of "
                         'captions was expected.')
    for place, annotation in enumerate(annotations):
        key = annotation.get('image_id') if isinstance(annotation, Mapping) else None
        if not isinstance(key, str | int) or key not in items:
            raise ValueError(f"'{path}': caption {place} names image_id {key!r}, which is not in "
                             "'images'.")
        items[key]['captions'].append(annotation.get('caption'))
    return list(items.values())
