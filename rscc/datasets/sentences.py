"""Sentences beside those of a dataset's own language: of other languages, of a teacher."""
import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rscc.datasets.annotations import Record
from rscc.datasets.transforms.captions import PickTeacherCaptions
from rscc.text.normalisation import language_of
from rscc.text.teacher_captions import COMMAND, read_teacher_captions
from rscc.utils.logging import warn_once


def add_languages(dataset: Any, records: Sequence[Record]) -> None:
    """Give every record the captions of all languages, ``all_captions``.

    Args:
        dataset: A ``ChangeDataset``, which reads one language; a copy of it reads another.
        records: Those of the dataset's own language; changed in place.

    Raises:
        ValueError: If the annotations have no caption in a language.
    """
    read = {dataset.language: [record['captions'] for record in records]}
    for language in dataset.languages:
        if language not in read:
            reader = copy.copy(dataset)
            reader.language = language
            read[language] = [record['captions'] for record in reader.read_records()]
        captions = [text for own in read[language] for text in own]
        if captions and all(language_of(text) != language for text in captions):
            raise ValueError(f"'{dataset.ann_file}' has no caption in '{language}', only such as "
                             f'{captions[0]!r}: leave it out of languages='
                             f'{list(dataset.languages)}, or give a file that has both')
    for record, *found in zip(records, *(read[name] for name in dataset.languages), strict=True):
        record['all_captions'] = [text for own in found for text in own]


def add_teacher_captions(dataset: Any, samples: Sequence[dict],
                         files: Sequence[str]) -> None:
    """Give every sample the sentences that a captioner wrote for it, ``teacher_captions``.

    Args:
        dataset: A ``ChangeDataset``, whose folder, split and languages they are of.
        samples: Items of the split; each gets language -> sentences with their scores.
        files: Names of the files, in the dataset's folder or absolute, one a language.

    Raises:
        FileNotFoundError: If a file is not there.
        ValueError: If it is of another language or split, or lacks samples.
    """
    told = {}
    for name in files:
        path = Path(dataset.data_root) / Path(name).expanduser()
        dataset.need_file(path, 'sentences of a teacher', f'{COMMAND} --num 10 --closest writes '
                          'them for a trained captioner')
        found = read_teacher_captions(path, dataset.split)
        if found.language not in dataset.languages:
            raise ValueError(f"'{path}' holds sentences in '{found.language}'; this dataset learns "
                             f'{list(dataset.languages)}')
        told[found.language] = found.of(item['sample_id'] for item in samples)
    for place, item in enumerate(samples if told else ()):
        item['teacher_captions'] = {language: rows[place] for language, rows in told.items()}
    steps = getattr(dataset.pipeline, 'transforms', ())
    if told and steps and not any(map(_picks_teacher, steps)):
        warn_once(f'teacher_captions={list(files)} are read by PickTeacherCaptions alone, which is '
                  'not in the pipeline of this dataset: nothing is learned from them. Put it in '
                  'the place of PickCaptions')


def _picks_teacher(step: Any) -> bool:
    """Tell whether a step of a pipeline, or one inside it, draws from sentences of a teacher."""
    return isinstance(step, PickTeacherCaptions) or any(
        map(_picks_teacher, getattr(step, 'transforms', ())))
