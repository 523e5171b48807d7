"""Caption annotations of every supported style, read into one kind of record and cleaned."""
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Any, NotRequired, TypedDict

from rscc.text import normalise
from rscc.text.caption_files import holds_word, read_images, sentences_of, string_of
from rscc.text.normalisation import check_language, strip_hashes
from rscc.utils import check_choice, did_you_mean
from rscc.utils.forms import check_form
from rscc.utils.logging import warn_once
from rscc.utils.paths import sample_name

#: Fields of the templates of paths.
FIELDS = ('filename', 'filepath', 'split', 'stem')


class Record(TypedDict):
    """One annotated image or pair.

    Attributes:
        sample_id: File name with its folders, without ending.
        filename: File name, slashes between its folders.
        filepath: Folder named by the file, or the split.
        split: ``'train'``, ``'val'``, ``'test'``, or None where the file has no splits.
        captions: Normalised sentences, never empty.
        changeflag: True, False, or None where the file does not say.
        imgid: The image's number, where the file numbers them.
        all_captions: Those of all languages, where a dataset brings several.
    """
    sample_id: str
    filename: str
    filepath: str | None
    split: str | None
    captions: list[str]
    changeflag: bool | None
    imgid: NotRequired[int | None]
    all_captions: NotRequired[list[str]]


#: Entries of an image beside its name and captions.
_FORM = {'filepath?': (str, None), 'split?': (str, None), 'imgid?': (int, str, None),
         'changeflag?': ({0, 1}, None)}


@dataclass
class _Reading:
    """Options and findings of reading one file."""
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
                warn_once(f"'{self.path}': {len(found)} of {self.total} captions in "
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
    check_choice('text_from', text_from, ('raw', 'tokens'))
    reading = _Reading(path, language, text_from, clean)
    records = [_record(item, number, reading) for number, item in enumerate(read_images(path))]
    reading.report()
    return records


def _record(item: dict, number: int, reading: _Reading) -> Record:
    filename, sentences = sentences_of(item, number, reading.path)
    check_form(item, _FORM, f"'{reading.path}': '{filename}'")
    filename = inside(filename, filename, reading.path)
    folder, flag = item.get('filepath'), item.get('changeflag')
    folder = None if folder is None else inside(folder, filename, reading.path)
    return Record(sample_id=sample_name(filename), filename=filename, filepath=folder,
                  split=item.get('split'), changeflag=None if flag is None else bool(flag),
                  captions=_captions(sentences, filename, reading), imgid=item.get('imgid'))


def inside(name: str, filename: str, path: str | Path) -> str:
    """Return a path with slashes, which must stay in the folder that it starts from."""
    name = name.replace('\\', '/')
    if PureWindowsPath(name).drive or name.startswith('/') or '..' in name.split('/'):
        raise ValueError(f"'{path}': '{name}' (image '{filename}') leaves the folder of the "
                         'dataset. Name files by their path below it.')
    return name


def _captions(sentences: list[Any], filename: str, reading: _Reading) -> list[str]:
    captions = []
    for number, sentence in enumerate(sentences):
        text = string_of(sentence, f"'{reading.path}': caption {number} of '{filename}'",
                         reading.language, reading.text_from)
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
    if not holds_word(caption):
        reading.empty.append(shown)
        return ''
    return caption


def fill_template(template: str, record: Record, source: str) -> str:
    """Return the path of a record's file.

    Args:
        template: With some of the fields ``{filename}``, ``{stem}``, ``{split}``, ``{filepath}``.
        record: The record.
        source: The annotation file, for messages.

    Raises:
        ValueError: If a field is unknown, or the record has no such value.
    """
    filename = record['filename']
    values = {'filename': filename, 'stem': sample_name(filename), 'split': record['split'],
              'filepath': record['filepath'] or record['split']}
    try:
        unknown = [name for name in FIELDS if f'{{{name}}}' in template and values[name] is None]
        if unknown:
            raise ValueError(f"path template '{template}' needs {unknown}, but "
                             f"the entry of '{record['filename']}' in '{source}' has no "
                             'such field.')
        return template.format(**values)
    except KeyError as error:
        raise ValueError(f"unknown field {error} in the path template '{template}': use "
                         f'{list(FIELDS)}.{did_you_mean(error.args[0], FIELDS)}') from error


def languages_to_learn(language: str, languages: Sequence[str] | None) -> tuple[str, ...]:
    """Return the languages of the sentences to learn, the dataset's own first."""
    names = (languages, ) if isinstance(languages, str) else tuple(languages or (language, ))
    for name in (language, *names):
        check_language(name)
    if language not in names:
        raise ValueError(f"languages={list(names)} and language='{language}': expected a list that "
                         f"names '{language}' too, ('en', 'zh') for instance")
    return tuple(dict.fromkeys((language, *names)))
