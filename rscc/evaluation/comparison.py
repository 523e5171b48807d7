"""Two systems compared by their prediction files: intervals, paired tests, several runs each.

Every score is computed from counts per image, so that images can be drawn again. What is compared
is on the images that all files have; CIDEr takes its document frequencies from these.
"""
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rscc.evaluation.content_scores import content_details, number_gaps, things_on_mask
from rscc.evaluation.functional import content
from rscc.evaluation.functional.bootstrap import Difference, paired_difference
from rscc.evaluation.functional.captioning import CaptionCorpus, coco_bleu
from rscc.evaluation.functional.failures import place_right
from rscc.evaluation.functional.mask_content import place_on_mask
from rscc.evaluation.predictions import read_metadata, read_predictions
from rscc.evaluation.records import CaptionOptions, CaptionRecord, coco_words
from rscc.evaluation.references import References
from rscc.text.normalisation import language_of, warn
from rscc.utils import read_json
from rscc.utils.terminal import cells, in_columns

#: Score -> whether more of it is better.
HIGHER_IS_BETTER = {
    'Bleu_4': True, 'ROUGE_L': True, 'CIDEr': True, 'flag_accuracy': True, 'object_F1': True,
    'direction_accuracy': True, 'hallucinated': False, 'missed': False, 'count_error': False,
    'place_accuracy': True, 'hallucinated_mask': False, 'missed_mask': False,
    'place_accuracy_mask': True, 'failures': False, 'reversible': True, 'mask_IoU': True,
    'F1_changed': True}
#: Chance of a difference at least as large between equal systems, below which one is marked.
LEVEL = 0.05
# Score -> what an image has to have to count in it.
_COUNTED = {
    'flag_accuracy': "a true flag ('gt_change_flag')",
    'object_F1': 'a thing that its sentence or its references name',
    'direction_accuracy': "a true flag ('gt_change_flag') and references that tell what appears or "
                          'is removed',
    'hallucinated': 'a sentence that names a thing',
    'missed': 'references that name a thing',
    'count_error': 'a number in its sentence of what its references number too',
    'place_accuracy': 'a place in its sentence and in its references',
    'hallucinated_mask': "a sentence that names a thing, beside a mask ('shown')",
    'missed_mask': "a thing on its mask ('shown')",
    'place_accuracy_mask': "a sentence that names a place, beside a mask ('shown')",
    'failures': "a true flag ('gt_change_flag')",
    'reversible': "a sentence about its dates exchanged ('swapped')",
    'mask_IoU': "a map of its dates exchanged ('swapped')",
    'F1_changed': "a score of its change map ('F1_changed')"}


@dataclass
class Run:
    """Answers of one prediction file.

    Attributes:
        path: The file.
        records: Sample -> its captions.
        numbers: Sample -> what the file says of its maps: ``F1_changed``, ``mask_IoU``.
        split: Of the dataset, where the file says it.
    """
    path: str
    records: dict[str, CaptionRecord]
    numbers: dict[str, dict[str, float]] = field(default_factory=dict)
    split: str | None = None

    @property
    def language(self) -> str | None:
        """``'en'`` or ``'zh'``: that of most of its sentences; None where all are empty."""
        chinese = [language_of(record.prediction) == 'zh' for record in self.records.values()
                   if record.prediction.strip()]
        return None if not chinese else 'zh' if 2 * sum(chinese) > len(chinese) else 'en'


def read_run(path: str | os.PathLike, references: References | None = None) -> Run:
    """Read a prediction file of any form that ``read_predictions`` knows.

    Raises:
        FileNotFoundError, ValueError: As ``read_predictions`` says it.
    """
    records = {record.sample_id: record for record in read_predictions(path, references)}
    numbers: dict[str, dict[str, float]] = {}
    known = read_metadata(path)
    if known:
        for sample in read_json(path)['samples']:
            found = {'F1_changed': (sample.get('scores') or {}).get('F1_changed'),
                     'mask_IoU': (sample.get('swapped') or {}).get('mask_IoU')}
            numbers[sample['sample_id']] = {name: value for name, value in found.items()
                                            if value is not None}
    return Run(str(path), records, numbers, known.get('split'))


def compare_runs(one: Sequence[Run], other: Sequence[Run], options: CaptionOptions,
                 resamples: int = 1000, lacking: dict[str, list[str]] | None = None
                 ) -> dict[str, Difference]:
    """Compare two systems on the images that all their files have.

    Args:
        one: Runs (seeds) of the first system.
        other: Runs of the second.
        options: Language, stock sentences and the seed of the resamples.
        resamples: How many, at least 100.
        lacking: Gets each score that some files have and others lack, with the paths of these.

    Returns:
        ``<part>/<score>`` (part ``all`` or ``changed``; captions x100, shares and maps 0 to 1) ->
        the comparison. Scores that a file lacks are left out.

    Raises:
        ValueError: If the files have no image in common, references of an image differ, or their
            sentences are in another language than ``options`` says.
    """
    check_language([*one, *other], options.language)
    names, left_out = shared_images([*one, *other])
    if left_out:
        warn(f'{len(left_out)} of {len(names) + len(left_out)} images are not in every file and '
             f'are left out, {left_out[0]!r} the first')
    parts = {'all': names,
             'changed': [name for name in names if one[0].records[name].changed]}
    compared: dict[str, Difference] = {}
    for part, chosen in parts.items():
        if not chosen:
            continue
        sides = [[_Counts(run, chosen, options) for run in side] for side in (one, other)]
        every = [counts for side in sides for counts in side]
        for name in HIGHER_IS_BETTER:
            # Only images that count in every run: of the others no answer is known.
            known = [counts.of(name) for counts in every]
            without = [run.path for run, (table, _) in zip([*one, *other], known, strict=True)
                       if table is None]
            if without:
                if lacking is not None and len(without) < len(known):
                    lacking[f'{part}/{name}'] = list(dict.fromkeys(without))
                continue
            score = known[0][1]
            tables = [table for table, _ in known]
            compared[f'{part}/{name}'] = paired_difference(
                tables[:len(sides[0])], tables[len(sides[0]):], score, resamples, options.seed)
    return compared


def check_language(runs: Sequence[Run], language: str) -> None:
    """Refuse files whose sentences are in different languages, or in another one than is scored.

    Raises:
        ValueError: If so; it names a file of each language.
    """
    names = {'en': 'English', 'zh': 'Chinese'}
    found = {run.language: run.path for run in reversed(runs) if run.language}
    if len(found) > 1:
        raise ValueError(f"the sentences of '{found['en']}' are English and those of "
                         f"'{found['zh']}' Chinese: scores of two languages cannot be compared. "
                         'Give files of one language (tools/test.py with the data in it)')
    for spoken, path in found.items():
        if spoken != language:
            raise ValueError(f"the sentences of '{path}' are {names[spoken]} and would be scored "
                             f'as {names[language]}: expected --language {spoken}')


def shared_images(runs: Sequence[Run]) -> tuple[list[str], list[str]]:
    """Return the images that all runs have, and those that some lack.

    Raises:
        ValueError: If there is none in common, or references of an image differ.
    """
    shared = set.intersection(*(set(run.records) for run in runs))
    if not shared:
        splits = {run.split for run in runs} - {None}
        raise ValueError(f"'{runs[0].path}' and '{runs[-1].path}' have no image in common"
                         f'{f" (splits: {sorted(splits)})" if len(splits) > 1 else ""}; expected '
                         'predictions of the same split, as tools/test.py --out writes them')
    everything = set.union(*(set(run.records) for run in runs))
    for name in shared:
        first = runs[0].records[name]
        for run in runs[1:]:
            if list(run.records[name].references) != list(first.references):
                raise ValueError(f"'{run.path}': the references of '{name}' are not those of "
                                 f"'{runs[0].path}'; expected files of one dataset, or give "
                                 '--references for all of them')
    return sorted(shared), sorted(everything - shared)


def keep_shared(runs: Sequence[Run]) -> list[str]:
    """Take the images that some runs lack out of the others, and return these images.

    Raises:
        ValueError: As :func:`shared_images` says it.
    """
    names, left_out = shared_images(runs)
    for run in runs:
        run.records = {name: run.records[name] for name in names}
    return left_out


class _Counts:
    """Counts per image of one run, by score."""

    def __init__(self, run: Run, names: Sequence[str], options: CaptionOptions) -> None:
        self.records = [run.records[name] for name in names]
        self.numbers = [run.numbers.get(name, {}) for name in names]
        self.options = options
        split = coco_words(options.language)
        self.words = [split(record.prediction) for record in self.records]
        self.corpus = CaptionCorpus([[split(text) for text in record.references]
                                     for record in self.records])
        self.rows = self.corpus.score(self.words)[1]
        self.details = [content_details(record, options) for record in self.records]

    def of(self, name: str) -> tuple[np.ndarray | None, Callable[[np.ndarray], float]]:
        """Return counts (N, K), None where the score does not apply, and what makes it of sums."""
        if name == 'Bleu_4':
            return self.corpus.bleu_totals(self.words, range(len(self.words))), _bleu_4
        if name in ('ROUGE_L', 'CIDEr'):
            return _values([row[name] for row in self.rows]), _ratio
        found = _values([self._number(name, place) for place in range(len(self.records))])
        return (None if not found[:, 1].any() else found), _ratio

    def _number(self, name: str, place: int) -> Any:
        """Return what one image adds: a number, (part, whole), or None for nothing."""
        record, details = self.records[place], self.details[place]
        language = self.options.language
        if name == 'flag_accuracy':
            silent = content.says_no_change(record.prediction, self.options.no_change_captions,
                                            language)
            return None if record.changed is None else record.changed != silent
        if name == 'direction_accuracy':
            return None if record.changed is None else content.direction_accuracy(
                [record.prediction], [record.references], language)
        if name in ('object_F1', 'hallucinated', 'missed'):
            return _object_shares(content.object_counts(
                record.prediction, record.references, language))[name]
        if name.endswith('_mask'):
            return self._beside_mask(name, record)
        if name in ('count_error', 'place_accuracy'):
            if record.changed is False:  # nothing to count and no place
                return None
            gaps = number_gaps(record, language)
            return (sum(gaps), len(gaps)) if name == 'count_error' else place_right(
                record.prediction, record.references, language)
        if name == 'failures':
            return None if 'failures' not in details else bool(details['failures'])
        if name == 'reversible':
            return (details.get('reversal') or {}).get('reversible')
        return self.numbers[place].get(name)


    def _beside_mask(self, name: str, record: CaptionRecord) -> Any:
        """Return what an image adds to a score beside its reference mask; None without one."""
        if record.shown is None:
            return None
        if name == 'place_accuracy_mask':
            return place_on_mask(record.prediction, record.shown, self.options.language)
        named, wrong, shown, missed = things_on_mask(record, self.options)
        return (wrong, named) if name == 'hallucinated_mask' else (missed, shown)


def _object_shares(counts: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    hits, wrong, missed = counts['hits'], counts['wrong'], counts['missed']
    return {'object_F1': (2 * hits, 2 * hits + wrong + missed),
            'hallucinated': (wrong, wrong + hits), 'missed': (missed, counts['agreed'])}


def _values(values: Sequence[Any]) -> np.ndarray:
    """Return (N, 2): what each image adds to a sum, and to what that is divided by."""
    rows = [(0, 0) if value is None else value if isinstance(value, tuple) else (float(value), 1)
            for value in values]
    return np.array(rows, dtype=np.float64)


def _ratio(sums: np.ndarray) -> float:
    return float(sums[0] / sums[1]) if sums[1] else 0.0


def _bleu_4(sums: np.ndarray) -> float:
    return float(coco_bleu(sums)[3])


def is_significant(found: Difference, level: float = LEVEL) -> bool:
    """Return whether a difference is marked: by its p, and by an interval without zero."""
    return found.p < level and (found.low > 0 or found.high < 0)


def format_differences(compared: Mapping[str, Difference], names: Sequence[str],
                       level: float = LEVEL) -> str:
    """Lay out comparisons as a table; ``*`` marks differences that are significant.

    Args:
        compared: What :func:`compare_runs` returned.
        names: Of the two systems.
        level: Of significance.
    """
    rows = [['', *names, 'difference', '95 % from', 'to', 'p']]
    rows += [[key, f'{found.one:.4f}', f'{found.other:.4f}', f'{found.value:+.4f}',
              f'{found.low:+.4f}', f'{found.high:+.4f}', f'{found.p:.4f}']
             for key, found in compared.items()]
    head, *lines = in_columns(rows)
    for place, (key, found) in enumerate(compared.items()):
        better = found.value > 0 if HIGHER_IS_BETTER[key.split('/')[1]] else found.value < 0
        if is_significant(found, level):
            lines[place] += f' * {names[0] if better else names[1]} better'
    lines = [head, '-' * cells(head), *lines]
    return '\n'.join([*lines, f'* p below {level:g} and a 95 % interval without zero; of '
                      f'{len(compared)} rows, up to {level * len(compared):.0f} would be marked by '
                      'chance alone'])


def format_lacking(lacking: Mapping[str, Sequence[str]]) -> str:
    """Return the scores that only some files have, a line for each reason; empty without any.

    Args:
        lacking: What :func:`compare_runs` filled in.
    """
    reasons: dict[str, list[str]] = {}
    for key, paths in lacking.items():
        part, _, name = key.partition('/')
        if part != 'all' and f'all/{name}' in lacking:
            continue  # said of all images, and so of some
        files = ' and '.join(f"'{path}'" for path in paths)
        verb = 'has' if len(paths) == 1 else 'have'
        reasons.setdefault(f'{files} {verb} no image with {_COUNTED[name]}', []).append(
            name if part == 'all' else key)
    return '\n'.join(f'not compared: {", ".join(keys)}: {why}' for why, keys in reasons.items())
