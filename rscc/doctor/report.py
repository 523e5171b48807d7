"""Findings as text and as JSON, the list of clean samples, and the exit code."""
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rscc.doctor.examination import clean_lines
from rscc.doctor.kinds import KINDS, SEVERITIES, WORDS
from rscc.doctor.register import Register
from rscc.doctor.sources import Part
from rscc.utils import atomic_write, counted
from rscc.utils.terminal import padded

#: Samples that are named of each kind in text and JSON.
NAMED = 5
_NAMED_IN_JSON = 1000


def ordered(counts: Iterable[str]) -> list[str]:
    """Return the kinds that occur, the gravest first, each severity in the order of its table."""
    return sorted(counts, key=lambda kind: (SEVERITIES.index(KINDS[kind].severity),
                                            list(KINDS).index(kind)))


def totals(counts: Mapping[str, int]) -> dict[str, int]:
    """Return how many findings there are of each severity."""
    return {severity: sum(count for kind, count in counts.items()
                          if KINDS[kind].severity == severity) for severity in SEVERITIES}


def exit_code(counts: Mapping[str, int], fail_on: str) -> int:
    """Return 1 where something at least as grave as ``fail_on`` was found, else 0.

    Args:
        counts: Findings by kind.
        fail_on: ``'error'``, ``'warning'``, ``'note'`` or ``'never'``.
    """
    if fail_on == 'never':
        return 0
    grave = SEVERITIES[:SEVERITIES.index(fail_on) + 1]
    return int(any(totals(counts)[severity] for severity in grave))


def splits_of(register: Register) -> dict[str, int]:
    """Return the number of samples by split."""
    return dict(register.base.execute('SELECT split, COUNT(*) FROM sample GROUP BY split '
                                      'ORDER BY MIN(n)'))


def as_text(register: Register, parts: Sequence[Part], language: str = 'en') -> str:
    """Return the findings as lines for a terminal."""
    words, counts = WORDS[language], register.counts()
    splits = splits_of(register)
    lines = [f'{parts[0].title}  {root_of(parts)}', _header(splits, language), '']
    for kind in ordered(counts):
        found = KINDS[kind]
        lines.append(f'{padded(words[found.severity], 8)}{counts[kind]:>8,}  '
                     f'{found.text(language)}')
        for n, detail, partner in register.examples(kind, NAMED, language):
            line = told(register, kind, (n, detail, partner), language)
            lines.append(f'{"":18s}{" ".join(line.split())}')
        if counts[kind] > NAMED:
            lines.append(f'{"":18s}' + words['more'].format(f'{counts[kind] - NAMED:,}'))
        if found.advice(language):
            lines.append(f'{"":16s}> {found.advice(language)}')
    lines += [''] if counts else []
    lines.append(summed(counts, language))
    return '\n'.join(lines)


def root_of(parts: Sequence[Part]) -> str:
    """Return the folder that all parts are in."""
    roots = [part.root for part in parts if part.root]
    try:
        return os.path.commonpath(roots) if roots else ''
    except ValueError:  # on several drives, or some relative
        return roots[0]


def number_of(count: int, noun: str, language: str) -> str:
    """Return a number with its noun: ``'1 sample'``, ``'2,000 errors'``, ``'2,000 个样本'``.

    Args:
        count: How many.
        noun: ``'sample'`` or one of :data:`SEVERITIES`.
        language: ``'en'`` or ``'zh'``.
    """
    if language == 'zh':
        return WORDS['zh']['counted'][noun].format(f'{count:,}')
    return counted(count, noun)


def summed(counts: Mapping[str, int], language: str) -> str:
    """Return the numbers of errors, warnings and notes in a line."""
    if not counts:
        return WORDS[language]['none']
    return WORDS[language]['comma'].join(number_of(count, severity, language)
                                         for severity, count in totals(counts).items())


def _header(splits: Mapping[str, int], language: str) -> str:
    """Return how many samples there are, and of which splits where there are any."""
    words, total = WORDS[language], number_of(sum(splits.values()), 'sample', language)
    if set(splits) <= {''}:
        return total
    shown = words['comma'].join(f'{split or words["unsplit"]} {count:,}'
                                for split, count in splits.items())
    return words['header'].format(count=total, splits=shown)


def told(register: Register, kind: str, found: tuple[int | None, str, int | None],
         language: str = 'en') -> str:
    """Return one finding as a line: the sample, the other sample, and what is the matter.

    Args:
        register: The record.
        kind: Of the finding.
        found: A row of ``register.examples``.
        language: ``'en'`` or ``'zh'``.
    """
    n, detail, partner = found
    if n is None:
        return detail
    words, line = WORDS[language], _place(register, n)
    if partner is not None:
        how = words['near' if kind.startswith('near_') else 'same']
        line = how.format(line, _place(register, partner))
    return line + (words['colon'] + detail if detail else '')


def _place(register: Register, n: int) -> str:
    """Return a sample as split and id."""
    _, name, split, _ = register.sample(n)
    return f'{split}/{name}' if split else name


def as_json(register: Register, parts: Sequence[Part], overview: Mapping[str, Any]
            ) -> dict[str, Any]:
    """Return findings and overview as JSON values.

    Every kind has its count and its first 1,000 samples.
    """
    counts = register.counts()
    found = [{
        'kind': kind, 'severity': KINDS[kind].severity, 'count': counts[kind],
        'text': KINDS[kind].text('en'), 'left_out': KINDS[kind].drops,
        'samples': [_sample(register, *row) for row in register.examples(kind, _NAMED_IN_JSON)],
    } for kind in ordered(counts)]
    return {'dataset': parts[0].title, 'root': root_of(parts), 'samples': splits_of(register),
            'findings': found, 'totals': totals(counts), 'overview': overview}


def _sample(register: Register, n: int | None, detail: str, partner: int | None) -> dict:
    if n is None:
        return {'detail': detail}
    _, name, split, _ = register.sample(n)
    shown = {'id': name, 'split': split, 'detail': detail}
    if partner is not None:
        shown['other'] = register.sample(partner)[1]
    return shown


def write_clean(register: Register, path: str | Path) -> tuple[int, dict[str, int]]:
    """Write the samples that nothing speaks against, ``split<TAB>id`` a line.

    Every error about a sample leaves it out, and so do the warnings whose kind says so.

    Returns:
        How many stay, and kind -> samples with such a finding, which are left out. A sample with
        several findings counts in each.
    """
    kinds = [kind for kind in ordered(KINDS) if KINDS[kind].drops]
    found = register.samples_by_kind(kinds)
    left = {kind: found[kind] for kind in kinds if kind in found}
    with atomic_write(path) as file:
        file.write('# Samples without faults, as rscc check found them: split, tab, id. Datasets '
                   'take this file as clean_list.\n')
        file.writelines(f'# left out: {count:,} ({KINDS[kind].text("en")})\n'
                        for kind, count in left.items())
        kept = 0
        for line in clean_lines(register, kinds):
            file.write(f'{line}\n')
            kept += 1
    return kept, left


def told_clean(register: Register, path: str, kept: int, left: Mapping[str, int], language: str
               ) -> str:
    """Return what a list of clean samples keeps and leaves out, as lines for a terminal."""
    words = WORDS[language]
    lines = [words['kept'].format(kept=number_of(kept, 'sample', language), path=path,
                                  left=f'{register.done - kept:,}')]
    lines += [f'{count:>16,}  {KINDS[kind].text(language)}' for kind, count in left.items()]
    return '\n'.join(lines)
