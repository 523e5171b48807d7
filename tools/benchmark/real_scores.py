"""Scores of judged real pairs, by set and pooled: change maps, false area, flags, sentences."""
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from rscc.evaluation.functional.content import caption_hits
from rscc.evaluation.functional.decisions import alarm_scores, average_precision, roc_auc
from rscc.evaluation.functional.segmentation import change_scores, confusion_matrix
from tools.benchmark.real_answers import SOURCES, JudgedPair
from tools.benchmark.real_sets import CAPTIONED_POOL, POOLS

#: What a constant sentence gets right, to read the hit rates beside.
CONSTANT = {'en': 'some houses are built', 'zh': '新建了一些房屋'}
HITS = ('object', 'direction', 'whole_direction', 'change', 'no_change')
ALL_MASKS = 'all with masks'
ALL_CAPTIONED = 'LEVIR captions'
UNCHANGED = 'unchanged pairs'


def by_set(judged: Iterable[JudgedPair]) -> dict[str, list[JudgedPair]]:
    """Group judged pairs by the titles of their sets, in order."""
    groups: dict[str, list[JudgedPair]] = {}
    for one in judged:
        groups.setdefault(one.one.title, []).append(one)
    return groups


# ---- change maps -------------------------------------------------------------------------------


def map_scores(judged: Sequence[JudgedPair], any_class: bool = False) -> dict[str, float]:
    """Return the scores of change maps over the pooled pixels of some pairs.

    Args:
        judged: Pairs with masks and predicted maps.
        any_class: Any class of change counts, not those alone that each set labels.

    Returns:
        ``F1``, ``IoU``, ``precision``, ``recall`` and ``AP``, 0 to 1; those that are not defined
        (nothing changed, say) are left out.
    """
    return _scores(
        [one.called_any if any_class else one.called for one in judged],
        [one.score_any if any_class else one.score for one in judged],
        [one.target for one in judged])


def _scores(called: Sequence[np.ndarray], score: Sequence[np.ndarray],
            target: Sequence[np.ndarray]) -> dict[str, float]:
    called, score, target = (np.concatenate([part.ravel() for part in parts])
                             for parts in (called, score, target))
    found = change_scores(confusion_matrix(called.astype(np.uint8), target.astype(np.uint8), 2))
    scores = {name: found.get(f'{name}_changed') for name in ('F1', 'IoU', 'precision', 'recall')}
    scores['AP'] = average_precision(score, target)
    return {name: value for name, value in scores.items() if value is not None}


def map_rows(judged: Sequence[JudgedPair]) -> dict[str, dict[str, Any]]:
    """Return title -> scores of every set with masks, of its classes, and of what is pooled."""
    masked = [one for one in judged if one.target is not None and one.called is not None]
    groups = by_set(masked)
    rows: dict[str, dict[str, Any]] = {}
    for title, own in groups.items():
        rows[title] = _map_row(own)
        for name in own[0].one.values:
            if known := [one for one in own if name in one.by_class]:
                called, score = zip(*(one.by_class[name] for one in known), strict=True)
                target = [one.parts[name] for one in known]
                rows[f'{title}: {name}'] = {
                    'pairs': len(known), 'changed': _share(target), 'counted': [name],
                    **_scores(called, score, target)}
    for title, parts in POOLS.items():
        if all(part in groups for part in parts):
            rows[title] = _map_row([one for part in parts for one in groups[part]])
    if len(groups) > 1:
        rows[ALL_MASKS] = _map_row(masked)
    return rows


def _map_row(judged: Sequence[JudgedPair]) -> dict[str, Any]:
    counted = {one.counted for one in judged}
    return {'pairs': len(judged), 'changed': _share([one.target for one in judged]),
            'counted': list(counted.pop()) if len(counted) == 1 else None,
            **map_scores(judged), 'any': map_scores(judged, any_class=True)}


def _share(maps: Sequence[np.ndarray]) -> float:
    """Return the share of True over the pooled pixels of some maps."""
    return float(sum(one.sum() for one in maps) / sum(one.size for one in maps))


def false_area_rows(judged: Sequence[JudgedPair]) -> dict[str, dict[str, Any]]:
    """Return title -> share of pixels called changed in the unchanged pairs of every set."""
    unchanged = [one for one in judged if one.changed is False and one.called is not None]
    return {title: {'pairs': len(own), 'counted': list(own[0].counted),
                    'share': _share([one.called for one in own]),
                    'any': _share([one.called_any for one in own])}
            for title, own in by_set(unchanged).items()}


# ---- changed or not ----------------------------------------------------------------------------


def flag_rows(judged: Sequence[JudgedPair]) -> dict[str, dict[str, Any]]:
    """Return "group / source" -> how well it says which pairs changed.

    Groups are the captioned sets in the manner of LEVIR-CC, where people said so; the sets with
    masks, of which an empty one says so; other captioned sets; and the sets in which nothing
    changed, which have false alarms alone.
    """
    groups = {ALL_CAPTIONED: [one for one in judged if one.one.title in CAPTIONED_POOL],
              ALL_MASKS: [one for one in judged if one.target is not None]}
    groups |= by_set(one for one in judged
                     if one.pair.references and one.one.title not in CAPTIONED_POOL)
    groups[UNCHANGED] = [one for one in judged if one.one.unchanged]
    rows = {}
    for group, members in groups.items():
        for source in SOURCES:
            told = [one for one in members
                    if one.changed is not None and one.says(source) is not None]
            if told:
                rows[f'{group} / {source}'] = _flag_row(told, source)
    return rows


def _flag_row(judged: Sequence[JudgedPair], source: str) -> dict[str, Any]:
    actual = np.array([one.changed for one in judged])
    row = {'changed': int(actual.sum()), 'unchanged': int((~actual).sum()),
           **alarm_scores([one.says(source) for one in judged], actual)}
    if source != 'sentence':
        values = [one.probability if source == 'head' else one.called_any.mean() for one in judged]
        row['AUC'] = roc_auc(np.array(values, float), actual)
    return {name: value for name, value in row.items() if value is not None}


# ---- sentences ---------------------------------------------------------------------------------


def sentence_rows(judged: Sequence[JudgedPair]) -> dict[str, dict[str, dict[str, Any]]]:
    """Return language -> title -> hit rates of the sentences, beside those of a constant one.

    Titles are the sets, and ``ALL_CAPTIONED`` for those in the manner of LEVIR-CC together.
    """
    rows: dict[str, dict[str, dict[str, Any]]] = {}
    for language in dict.fromkeys(name for one in judged for name in one.hits):
        own = [one for one in judged if language in one.hits]
        groups = by_set(own)
        pooled = [one for one in own if one.one.title in CAPTIONED_POOL]
        if pooled:
            groups[ALL_CAPTIONED] = pooled
        rows[language] = {}
        for title, members in groups.items():
            rows[language][title] = _hit_row([one.hits[language] for one in members])
            constant = [caption_hits(CONSTANT[language], one.pair.references, language, 'en')
                        for one in members]
            rows[language][title]['constant'] = _hit_row(constant)
    return rows


def _hit_row(hits: Sequence[Mapping[str, bool | None]]) -> dict[str, Any]:
    """Return the share of hits of every kind, and out of how many."""
    row = {}
    for kind in HITS:
        asked = [one[kind] for one in hits if one[kind] is not None]
        if asked:
            row |= {kind: sum(asked) / len(asked), f'{kind}_of': len(asked)}
    return row


def scores_of(judged: Sequence[JudgedPair]) -> dict[str, Any]:
    """Return every score of the judged pairs, and a record of each pair, as JSON takes them."""
    return {'maps': map_rows(judged), 'false_area': false_area_rows(judged),
            'flags': flag_rows(judged), 'sentences': sentence_rows(judged),
            'pairs': [pair_record(one) for one in judged]}


def pair_record(judged: JudgedPair) -> dict[str, Any]:
    """Return the scores and sentences of one pair."""
    record: dict[str, Any] = {'set': judged.one.title, 'pair': judged.pair.name,
                              'changed': judged.changed}
    if judged.target is not None and judged.called is not None:
        record |= {'changed_share': float(judged.target.mean()), **map_scores([judged])}
        record |= {f'{name}_any': value
                   for name, value in map_scores([judged], any_class=True).items()}
    if judged.called is not None:
        record |= {'called_share': float(judged.called.mean()),
                   'called_share_any': float(judged.called_any.mean())}
    record['probability'] = judged.probability
    for language, text in judged.sentences.items():
        record[f'sentence_{language}'] = text
        for name, hit in judged.hits.get(language, {}).items():
            record[f'{name}_{language}'] = hit
    record['references'] = list(judged.pair.references)
    return record


def headline(scores: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield name and value of the figures that a line of a log, and the goals, are about."""
    for title in (*(part for parts in POOLS.values() for part in parts), *POOLS):
        if 'F1' in scores['maps'].get(title, {}):
            yield f'F1 {title}', scores['maps'][title]['F1']
    for title, row in scores['false_area'].items():
        yield f'false area {title}', row['share']
    for source in SOURCES:
        row = scores['flags'].get(f'{ALL_CAPTIONED} / {source}', {})
        for name in ('balanced_accuracy', 'false_alarms'):
            if name in row:
                yield f'{name.replace("_", " ")} ({source})', row[name]
    for language, rows in scores['sentences'].items():
        for name in ('object', 'direction'):
            if name in rows.get(ALL_CAPTIONED, {}):
                yield f'{name} ({language})', rows[ALL_CAPTIONED][name]
    for name, value in scores.get('times', {}).items():
        yield f'time, {name}', value
