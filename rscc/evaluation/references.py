"""Reference captions out of a dataset's annotation file, found under any of an image's names."""
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rscc.evaluation.functional.content import says_no_change
from rscc.evaluation.records import CaptionRecord
from rscc.text.frequency import frequent_caption
from rscc.text.normalisation import check_language
from rscc.utils import did_you_mean, read_json

#: How a predictions file may name images: file name (the ending may lack) or number.
NAMINGS = ('name', 'imgid')
TASKS = ('pair', 'single')


@dataclass
class References:
    """The references of one split.

    Attributes:
        path: The annotation file.
        split: The split.
        language: Language of the sentences.
        records: File name without ending -> record with an empty prediction, in order of names.
        ids: Naming (see ``NAMINGS``) -> id -> file name without ending.
        frequent: The most frequent caption of the training split; None without one.
    """
    path: str
    split: str
    language: str
    records: dict[str, CaptionRecord]
    ids: dict[str, dict[str, str]] = field(default_factory=dict)
    frequent: str | None = None


def read_references(path: str | os.PathLike, split: str, language: str = 'en',
                    no_change_captions: tuple[str, ...] = (),
                    task: str | None = None) -> References:
    """Read the references of one split of a Karpathy-style annotation file.

    Args:
        path: ``LevirCCcaptions.json``, ``dataset_sydney_cn.json`` or another file of their layout,
            gzipped or not.
        split: ``'train'``, ``'val'`` or ``'test'``.
        language: ``'zh'`` reads ``raw_chinese``.
        no_change_captions: Stock sentences, for pairs without ``changeflag``.
        task: ``'pair'`` or ``'single'`` (no change flags). By default a file is of single images
            if no image has a ``changeflag`` and none has captions that all say "no change".

    Raises:
        FileNotFoundError: If the file is not there.
        ValueError: If it has another layout, nothing in that split, two images of one name, or an
            image without sentences in that language.
    """
    check_language(language)
    if task not in (None, *TASKS):
        raise ValueError(f"unknown task '{task}': expected one of {', '.join(TASKS)}."
                         f'{did_you_mean(task, TASKS)}')
    data = read_json(path)
    if not isinstance(data, dict) or not isinstance(data.get('images'), list):
        raise ValueError(f"'{path}' has no list 'images': expected annotations as in "
                         'LevirCCcaptions.json')
    images = _of_split(data['images'], split, path)
    captions = {id(image): _sentences(image, language, path) for image in images}
    train = [text for image in data['images'] if image.get('split') == 'train'
             for text in _found(image, language)]
    if task is None:
        task = 'pair' if _tells_change(data['images'], no_change_captions, language) else 'single'
    references = References(str(path), split, language, {}, {name: {} for name in NAMINGS},
                            frequent_caption(train, language))
    for image in sorted(images, key=lambda image: str(image['filename'])):
        sentences = captions[id(image)]
        changed = None if task == 'single' else _changed(image, sentences, no_change_captions,
                                                         language)
        _add(references, image, CaptionRecord(Path(image['filename']).stem, '', sentences, changed))
    return references


def _of_split(images: Sequence[Mapping], split: str, path: str | os.PathLike) -> list[Mapping]:
    splits = sorted({str(image.get('split')) for image in images})
    chosen = [image for image in images if image.get('split') == split]
    if not chosen:
        raise ValueError(f"'{path}' has no split '{split}': it has {', '.join(splits)}."
                         f'{did_you_mean(split, splits)}')
    return chosen


def _tells_change(images: Sequence[Mapping], stock: tuple[str, ...], language: str) -> bool:
    """Return whether the images are pairs: some are flagged, or said to be unchanged."""
    return any(image.get('changeflag') is not None for image in images) or any(
        _changed(image, found, stock, language) is False
        for image in images if (found := _found(image, language)))


def _changed(image: Mapping, sentences: Sequence[str], stock: tuple[str, ...],
             language: str) -> bool:
    flag = image.get('changeflag')
    if flag is not None:
        return bool(flag)
    return not all(says_no_change(text, stock, language) for text in sentences)


def _add(references: References, image: Mapping, record: CaptionRecord) -> None:
    """Put a record under all names of its image."""
    name = record.sample_id
    if name in references.records:
        raise ValueError(f"'{references.path}' has two images '{name}' in split "
                         f"'{references.split}'; remove one")
    references.records[name] = record
    references.ids['name'][name] = name
    if image.get('imgid') is not None:
        references.ids['imgid'][str(image['imgid'])] = name


def _found(image: Mapping, language: str) -> list[str]:
    """Return the sentences an image has in a language, as they are written."""
    raw, tokens = (('raw_chinese', 'tokens_chinese') if language == 'zh' else ('raw', 'tokens'))
    blank = '' if language == 'zh' else ' '
    return [s.get(raw) or blank.join(s.get(tokens) or ()) for s in image.get('sentences') or ()]


def _sentences(image: Mapping, language: str, path: str | os.PathLike) -> list[str]:
    """Return an image's sentences, or say what it lacks."""
    found = _found(image, language)
    if not image.get('filename') or not found or not all(found):
        raw, tokens = (('raw_chinese', 'tokens_chinese') if language == 'zh' else
                       ('raw', 'tokens'))
        raise ValueError(f"'{path}': image '{image.get('filename')}' needs a filename and "
                         f"sentences with '{raw}' or '{tokens}' (language '{language}'); found "
                         f"{str(image.get('sentences'))[:80]}")
    return found
