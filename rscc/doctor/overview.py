"""What is in a dataset: words, captions by type of change, masks by class, sizes, examples."""
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from rscc.doctor.kinds import WORDS
from rscc.doctor.register import Register
from rscc.doctor.report import splits_of
from rscc.doctor.sentences import words_of
from rscc.doctor.sources import Part
from rscc.evaluation.functional.content import actions_named, objects_named, says_no_change
from rscc.text.normalisation import normalise, strip_hashes

#: Types of change, as the sentences tell them.
CHANGES = ('unchanged', 'appear', 'remove', 'both', 'other')
#: Sentences and samples shown of each type.
SHOWN = 4
#: Words shown.
_WORDS = 60
#: Edges of the bins of changed shares.
_BINS = (0, 0.001, 0.01, 0.05, 0.1, 0.2, 0.5, 1)


def overview(register: Register, parts: Sequence[Part]) -> dict[str, Any]:
    """Count what a dataset holds, in one pass over its record.

    Returns:
        JSON values: ``splits``, ``flags``, ``sizes``, ``changes`` (by type: captions, objects,
        sentences, samples), ``lengths``, ``words``, ``classes`` (pixels and samples of each),
        ``shares`` (samples by changed share), ``captions`` and ``different``.
    """
    sizes, lengths, flags = Counter(), Counter(), {}
    changes = {name: {'captions': 0, 'objects': Counter(), 'sentences': Counter(), 'samples': []}
               for name in CHANGES}
    masks, shares = Counter(), [0] * (len(_BINS))
    holding: Counter = Counter()
    for n, part, _, split, data in register.samples():
        language, stock = parts[part].language, parts[part].stock
        for size in data['sizes'][:1]:
            sizes[f'{size[1]} x {size[0]}'] += 1
        if data['flag'] is not None:
            flags.setdefault(split, [0, 0])[data['flag']] += 1
        _captions(changes, lengths, n, data['captions'] or (), language, stock)
        _masks(masks, holding, shares, data)
    total, _, different = (register.recall('sentences') or '0 0').partition(' ')
    return {
        'splits': splits_of(register), 'flags': flags, 'sizes': dict(sizes.most_common(8)),
        'captions': int(total), 'different': int(different),
        'changes': {name: _plain(found) for name, found in changes.items() if found['captions']},
        'lengths': {length: lengths[length] for length in sorted(lengths)},
        'words': _words(register, parts), 'vocabulary': _vocabulary(register),
        'classes': _classes(masks, holding, parts[0].classes),
        'shares': [] if not sum(shares) else _bins(shares),
    }


def _captions(changes: dict, lengths: Counter, n: int, captions: Sequence[str], language: str,
              stock: Sequence[str]) -> None:
    for place, caption in enumerate(captions):
        text = normalise(strip_hashes(caption), language)
        if not text:
            continue
        lengths[len(words_of(text, language))] += 1
        found = changes[type_of(text, language, stock)]
        found['captions'] += 1
        found['objects'].update(objects_named(text, language, wide=True))
        if len(found['sentences']) < 2000 or text in found['sentences']:
            found['sentences'][text] += 1
        if place == 0 and len(found['samples']) < SHOWN:
            found['samples'].append(n)


@lru_cache(65536)
def type_of(text: str, language: str, stock: tuple[str, ...] = ()) -> str:
    """Return which of :data:`CHANGES` a sentence tells of."""
    if says_no_change(text, stock, language):
        return 'unchanged'
    actions = actions_named(text, language)
    return 'both' if len(actions) > 1 else next(iter(actions), 'other')


def _masks(masks: Counter, holding: Counter, shares: list[int], data: Mapping[str, Any]) -> None:
    for value, pixels in (data['classes'] or {}).items():
        masks[int(value)] += pixels
        holding[int(value)] += 1
    if data['changed'] is not None:
        shares[sum(data['changed'] > edge for edge in _BINS)
               if data['changed'] else 0] += 1


def _plain(found: dict) -> dict:
    return {'captions': found['captions'], 'objects': dict(found['objects'].most_common()),
            'sentences': found['sentences'].most_common(SHOWN), 'samples': found['samples']}


def _words(register: Register, parts: Sequence[Part]) -> list[tuple[str, int]]:
    # Words that say nothing about a dataset.
    idle = {word for part in parts for word in WORDS[part.language]['idle'].split()}
    found = ((word, count) for word, count, _ in register.words(_WORDS + len(idle))
             if word not in idle)
    return [pair for pair, _ in zip(found, range(_WORDS), strict=False)]


def _vocabulary(register: Register) -> dict[str, int]:
    row = register.base.execute('SELECT COUNT(*), COALESCE(SUM(count), 0), SUM(count = 1) '
                                'FROM word').fetchone()
    return {'words': row[0], 'occurrences': row[1], 'once': row[2] or 0}


def _classes(masks: Counter, holding: Counter, names: Sequence[str] | None) -> list[dict]:
    total = masks.total()
    return [{'class': value, 'name': _name(value, names), 'pixels': masks[value],
             'share': masks[value] / total, 'samples': holding[value]} for value in sorted(masks)]


def _name(value: int, names: Sequence[str] | None) -> str:
    if value >= 253:
        return {253: 'some change', 254: 'none labelled', 255: 'ignored'}[value]
    return names[value] if names and value < len(names) else str(value)


def _bins(shares: Sequence[int]) -> list[tuple[str, int]]:
    """Return samples by their changed share: none, up to 0.1 %, up to 1 %, ..."""
    labels = ['0 %', *(f'≤ {100 * edge:g} %' for edge in _BINS[1:])]
    return list(zip(labels, shares, strict=True))
