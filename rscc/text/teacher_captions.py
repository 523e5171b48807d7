"""Sentences that a trained captioner wrote for a dataset, the file that holds them.

A student learns from them in place of people's sentences, or beside them: sequence-level
distillation (Kim and Rush, EMNLP 2016, section 3.2). A captioner repeats itself where people do
not, so its sentences are easier to learn, above all for a head that writes all words at once.
"""
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rscc.text.minimum_bayes_risk import similarity_matrix
from rscc.text.normalisation import check_language, split_words
from rscc.utils import read_json, write_json
from rscc.utils.forms import check_form

_FORM = {'language': str, 'split': (str, None), 'captions': {str: [[str, float]]}}
#: Command that writes the file.
COMMAND = 'python tools/dataset_converters/distil_captions.py CONFIG CHECKPOINT'
#: What makes a sentence the best: the teacher's own opinion, or that of people.
ORDERS = ('likeliest', 'closest')
Told = Sequence[tuple[str, float]]


class TeacherCaptions(NamedTuple):
    """A file of sentences.

    Attributes:
        path: The file.
        language: ``'en'`` or ``'zh'``.
        split: Split of the dataset that they describe; None for all of it.
        captions: Sample id -> sentences, the best first, each with its score: its mean
            log-probability per token (<= 0), or its closeness to people's sentences (0 to 1).
    """
    path: Path
    language: str
    split: str | None
    captions: Mapping[str, Told]

    def of(self, names: Iterable[str]) -> list[Told]:
        """Return the sentences of samples in the order asked for.

        Raises:
            ValueError: If there is none for a sample; names the first three.
        """
        names = list(names)
        lost = [name for name in names if not self.captions.get(name)]
        if lost:
            raise ValueError(
                f"'{self.path}' has no sentence for {len(lost)} of {len(names)} samples, "
                f'{lost[:3]} for instance. It was written for other data, or for a part of it: '
                f'write it again, {COMMAND}')
        return [self.captions[name] for name in names]


def closeness(sentences: Sequence[str], people: Sequence[str], language: str) -> list[float]:
    """Return how much sentences are like those by people, each from 0 to 1.

    Args:
        sentences: K sentences.
        people: What people said of the same images, at least one sentence.
        language: ``'en'`` or ``'zh'``.

    Returns:
        For each of the K the mean over ``people`` of the share of n-grams in common, see
        ``similarity_matrix``.
    """
    alike = similarity_matrix([split_words(text, language) for text in (*sentences, *people)])
    return alike[:len(sentences), len(sentences):].mean(1).tolist()


def read_teacher_captions(path: str | os.PathLike, split: str | None = None) -> TeacherCaptions:
    """Read a file of sentences.

    Args:
        path: The JSON file.
        split: Split that they must be of; None takes any.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such file, or of another split.
    """
    data = read_json(path)
    remedy = f'Expected what this writes: {COMMAND}'
    check_form(data, _FORM, f"'{path}'", remedy)
    check_language(data['language'])
    if None not in (split, data['split']) and data['split'] != split:
        raise ValueError(f"'{path}' holds sentences of the split '{data['split']}'; those of "
                         f"'{split}' are needed: {COMMAND} --split {split}")
    captions = {name: [(text, score) for text, score in told]
                for name, told in data['captions'].items()}
    return TeacherCaptions(Path(path), data['language'], data['split'], captions)


def write_teacher_captions(path: str | os.PathLike, captions: Mapping[str, Told], language: str,
                           split: str | None, teacher: Mapping[str, Any] | None = None) -> None:
    """Write a file of sentences, whole or not at all.

    Args:
        path: The JSON file.
        captions: Sample id -> sentences with their scores, the best first.
        language: ``'en'`` or ``'zh'``.
        split: Of the samples; None for all of them.
        teacher: Who wrote them, for the record: config and checkpoint.
    """
    rows = {name: [[text, round(float(score), 4)] for text, score in told]
            for name, told in captions.items()}
    write_json(path, {'teacher': dict(teacher or {}), 'language': language, 'split': split,
                      'captions': rows})
