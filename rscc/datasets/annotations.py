"""Readers of caption annotations, one per style, all giving the same records.

Styles: Karpathy JSON (``images[].sentences[]`` or ``images[].captions``), COCO JSON (``images`` and
``annotations``). Files may be gzipped.
"""
from pathlib import Path
from typing import Any, TypedDict

from rscc.text import normalise
from rscc.utils import did_you_mean, read_json

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
    """
    sample_id: str
    filename: str
    filepath: str | None
    split: str | None
    captions: list[str]
    changeflag: bool | None


def read_captions(path: str | Path, language: str = 'en', text_from: str = 'raw') -> list[Record]:
    """Read a caption file of either JSON style.

    Args:
        path: ``.json`` or ``.json.gz``.
        language: ``'en'`` or ``'zh'`` (the keys ``raw_chinese`` and ``tokens_chinese``).
        text_from: ``'raw'`` for the sentence, ``'tokens'`` for the words joined.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the layout, a caption or an option is not what it must be.
    """
    if language not in SENTENCE_KEYS:
        raise ValueError(f"unknown language '{language}': use one of {sorted(SENTENCE_KEYS)}."
                         f'{did_you_mean(language, SENTENCE_KEYS)}')
    if text_from not in ('raw', 'tokens'):
        raise ValueError(f"text_from='{text_from}' is unknown: use 'raw' or 'tokens'."
                         f"{did_you_mean(text_from, ('raw', 'tokens'))}")
    data = read_json(path)
    if isinstance(data, dict) and 'annotations' in data and 'images' in data:
        images = _from_coco(data, path)
    elif isinstance(data, dict) and isinstance(data.get('images'), list):
        images = data['images']
    else:
        raise ValueError(f"'{path}' is not a caption file in LEVIR-CC's (Karpathy) or COCO style: "
                         f"found {_describe(data)}, expected an object with a list 'images'.")
    return [_record(item, number, language, text_from, path) for number, item in enumerate(images)]


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


def _record(item: dict, number: int, language: str, text_from: str, path: str | Path) -> Record:
    filename = item.get('filename') if isinstance(item, dict) else None
    if not isinstance(filename, str) or not filename:
        raise ValueError(f"'{path}': image {number} has no 'filename': found {_describe(item)}.")
    flag = item.get('changeflag')
    if flag not in (None, 0, 1):
        raise ValueError(f"'{path}': changeflag of '{filename}' is {flag!r}, expected 0 or 1.")
    return Record(sample_id=Path(filename).stem, filename=filename, filepath=item.get('filepath'),
                  split=item.get('split'), changeflag=None if flag is None else bool(flag),
                  captions=_captions(item, filename, language, text_from, path))


def _captions(item: dict, filename: str, language: str, text_from: str,
              path: str | Path) -> list[str]:
    sentences = item.get('sentences', item.get('captions'))
    if not isinstance(sentences, list) or not sentences:
        raise ValueError(f"'{path}': '{filename}' has no captions: a non-empty list 'sentences' or "
                         f"'captions' was expected, found {_describe(sentences)}.")
    captions = []
    for number, sentence in enumerate(sentences):
        text = _text_of(sentence, language, text_from)
        if not isinstance(text, str) or not normalise(text, language):
            raise ValueError(f"'{path}': caption {number} of '{filename}' is {text!r}; a non-empty "
                             f"string in '{language}' was expected. Correct or remove it.")
        captions.append(normalise(text, language))
    return captions


def _text_of(sentence: Any, language: str, text_from: str) -> Any:
    """Return the sentence as a string, or whatever stands there instead (the caller reports it)."""
    if not isinstance(sentence, dict):
        return sentence
    raw, tokens = SENTENCE_KEYS[language]
    words = sentence.get(tokens)
    if isinstance(words, list) and (text_from == 'tokens' or sentence.get(raw) is None):
        return (' ' if language == 'en' else '').join(map(str, words))
    return sentence.get(raw)
