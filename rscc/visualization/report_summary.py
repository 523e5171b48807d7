"""What the report of a test run says of all samples together.

A verdict in one line and a row of numbers open the page; its further parts are the failures by
kind, and the scores as tables.
"""
from collections.abc import Mapping, Sequence
from typing import Any

from rscc.text.land_cover import ARROW, class_text
from rscc.text.quantities import defined_scores
from rscc.utils import Count
from rscc.visualization.pages import number_text
from rscc.visualization.report_cards import Judgement, doubt_grade

#: Metrics shown in their group's table with one decimal, being 100 times a fraction.
_TIMES_100 = ('Bleu_', 'METEOR', 'ROUGE_L', 'CIDEr', 'Sm')
#: Fractions that stand beside those, as hundredths.
_SHARES = ('F1_', 'IoU_', 'mF1', 'mIoU', 'OA', 'precision_', 'recall_', 'reversible', 'F_scd',
           'SeK', 'Score')
#: Samples shown of each kind of failure, the worst first.
_MOST_EXAMPLES = 6
_FLAG_KINDS = {'missed_change', 'invented_change'}


def verdict(samples: Sequence[Mapping[str, Any]], judgements: Sequence[Judgement],
            metrics: Mapping[str, float], words: Mapping[str, Any]) -> str:
    """Say in one line what the test has shown.

    Args:
        samples: All samples of the run.
        judgements: Of each.
        metrics: Flat scores.
        words: Of the page.
    """
    total = Count(len(samples))
    judged = [one for one in judgements if None not in (one.truth, one.claim)]
    if judged:
        other = sum(bool(set(one.failures or ()) - _FLAG_KINDS) and not one.wrong for one in judged)
        return words['verdict_other' if other else 'verdict_flag'].format(
            right=f'{sum(not one.wrong for one in judged):,}', judged=Count(len(judged)),
            missed=sum(bool(one.wrong and one.truth) for one in judged),
            invented=sum(bool(one.wrong and one.claim) for one in judged), other=Count(other))
    known = [one for one in judgements if one.claim is not None]
    if known and all(one.truth is None for one in judgements):
        claimed = sum(bool(one.claim) for one in known)
        return words['verdict_claims'].format(claimed=f'{claimed:,}', total=total)
    for key, text in (('change/F1_changed', 'verdict_map'), ('caption/all/CIDEr',
                                                             'verdict_captions')):
        if key in metrics:
            score = score_text(key.split('/')[-1], metrics[key], words)
            return words[text].format(total=total, score=score)
    return words['verdict_none'].format(total=total)


def headline_numbers(samples: Sequence[Mapping[str, Any]], judgements: Sequence[Judgement],
                     metrics: Mapping[str, float], words: Mapping[str, Any]
                     ) -> list[tuple[str, str]]:
    """Return the few numbers that stand below the verdict: (value, what it is).

    Args:
        samples, judgements, metrics, words: As for :func:`verdict`.
    """
    single = not any(sample.get('img_path_to') for sample in samples)
    numbers = [(f'{len(samples):,}', words['images' if single else 'pairs'])]
    judged = [one for one in judgements if None not in (one.truth, one.claim)]
    if judged:
        numbers.append((_share(sum(not one.wrong for one in judged), len(judged), words),
                        words['flag_accuracy']))
    failing = [one.failures for one in judgements if one.failures is not None]
    if failing:
        numbers.append((_share(sum(not kinds for kinds in failing), len(failing), words),
                        words['faultless']))
    for keys, name in ((('caption/changed/CIDEr', ), 'cider_changed'),
                       (('change/F1_changed', ), 'f1'), (('reversal/reversible', ), 'reversible')):
        numbers += [(score_text(key.split('/')[-1], metrics[key], words), words[name])
                    for key in keys if key in metrics]
    if 'caption/changed/CIDEr' not in metrics and 'caption/all/CIDEr' in metrics:
        numbers.append((score_text('CIDEr', metrics['caption/all/CIDEr'], words), words['cider']))
    return numbers + _unsure(samples, words)


def _unsure(samples: Sequence[Mapping[str, Any]], words: Mapping[str, Any]
            ) -> list[tuple[str, str]]:
    """Return how many answers are not sure, or that nobody knows."""
    grades = [grade for sample in samples if (grade := doubt_grade(sample.get('doubt')))]
    if not grades:
        return []
    if set(grades) == {'uncalibrated'}:
        return [('–', words['unsure_unknown'])]
    return [(f'{grades.count("high"):,}', words['unsure_number'])]


def _share(part: float, whole: int, words: Mapping[str, Any]) -> str:
    return words['share'].format(f'{100 * part / whole:.1f}')


def failure_page(judgements: Sequence[Judgement], cards: Sequence[Mapping[str, Any]],
                 words: Mapping[str, Any]) -> dict[str, Any] | None:
    """Group the failing sentences by kind.

    Args:
        judgements: Of all samples.
        cards: Of the samples shown; their order gives the numbers of the examples.
        words: Of the page.

    Returns:
        How many of how many sentences fail, and of every kind that occurs its name, count, share,
        meaning, number of cards and examples (numbers of cards, the lowest scores first); None
        where nobody looked for failures.
    """
    found = [set(one.failures) for one in judgements if one.failures is not None]
    if not found:
        return None
    kinds = []
    for kind, (name, meaning) in words['kinds_of_failure'].items():
        count = sum(kind in failures for failures in found)
        shown = [number for number, card in enumerate(cards) if kind in card['failures']]
        shown.sort(key=lambda number: cards[number]['scores'].get('CIDEr', float('inf')))
        kinds.append({'kind': kind, 'name': name, 'meaning': meaning, 'count': count,
                      'share': count / len(found), 'num_cards': len(shown),
                      'examples': shown[:_MOST_EXAMPLES]})
    return {'failing': sum(map(bool, found)), 'total': len(found),
            'kinds': sorted(kinds, key=lambda kind: -kind['count'])}


def score_tables(metrics: Mapping[str, Any], words: Mapping[str, Any]) -> dict[str, Any]:
    """Lay out flat metric keys.

    ``caption/<subset>/<metric>`` become rows of one wide table, with the trivial baselines of
    ``baseline/...`` below; two-part keys (``change/F1_changed``) become one narrow table a group.

    Args:
        metrics: Flat scores; what is no number is left out.
        words: Of the page.
    """
    known = {key: value for key, value in metrics.items()
             if isinstance(value, int | float) and not isinstance(value, bool)}
    numbers = defined_scores(known)
    rows, groups = {}, {}
    for key, value in numbers.items():
        *place, name = key.split('/')
        if len(place) > 1:
            rows.setdefault(tuple(place), {})[name] = _cell(name, value)
        else:
            group = place[0] if place else 'metrics'
            title = words['groups'].get(group, group.capitalize())
            groups.setdefault(title, {})[score_name(name, words)] = _cell(name, value)
    ordered = sorted(rows.items(), key=lambda row: row[0][0] == 'baseline')
    columns = list(dict.fromkeys(name for _, cells in ordered for name in cells))
    return {'columns': [score_name(name, words) for name in columns], 'groups': groups,
            'alike': len(numbers) < len(known),
            'rows': [{'title': _row_title(words, *place), 'baseline': place[0] == 'baseline',
                      'cells': [cells.get(name, '–') for name in columns]}
                     for place, cells in ordered]}


def score_name(key: str, words: Mapping[str, Any]) -> str:
    """Return what readers call a score; of one that is not known, its key in plain words.

    Args:
        key: Last part of a metric's key, or a key of a sample's scores.
        words: Of the page.
    """
    for ending, place in (('_low', 0), ('_high', 1)):
        if key.endswith(ending):
            return words['interval'][place].format(score_name(key.removesuffix(ending), words))
    known, language = {**words['names'], **words['score_names']}, words['html'][:2]
    if key in known:
        return known[key]
    earlier, became, later = key.partition('_to_')
    if became:
        return ARROW.join(_class_name(name, language) for name in (earlier, later))
    if key.startswith('IoU_'):
        return f'IoU {_class_name(key.removeprefix("IoU_"), language)}'
    return key.replace('_', ' ')


def score_text(key: str, value: float, words: Mapping[str, Any]) -> str:
    """Return a score as it stands in a row of numbers, which are of one scale, 0 to 100.

    Args:
        key: As for :func:`score_name`.
        value: The score: of captions 100 times a fraction, else a fraction, or a number of its own
            scale (a log-probability), which stays.
        words: Of the page.
    """
    return _share(value, 1, words) if key.startswith(_SHARES) else _cell(key, value)


def curve_name(key: str, words: Mapping[str, Any]) -> str:
    """Return what readers call a loss or score of a training's log.

    Args:
        key: As the log has it: ``loss_caption``, ``caption/changed/CIDEr``, ``lr``.
        words: Of the page.
    """
    before, loss, part = key.partition('loss')
    if loss:
        part = f'{before}{part}'.strip('_.').replace('_', ' ')
        return words['loss_of'].format(part) if part else words['loss_sum']
    *places, name = key.split('/')
    subsets = [words['subsets'][place] for place in places if place in words['subsets']]
    return words['rate'] if key == 'lr' else ', '.join([score_name(name, words), *subsets])


def _class_name(key: str, language: str) -> str:
    """Return the name of a class as it stands in the key of a score, without blanks."""
    return class_text(key.replace('_', ' '), language)


def _row_title(words: Mapping[str, Any], origin: str, *subsets: str) -> str:
    title = ', '.join(words['subsets'].get(part, part.replace('_', ' ')) for part in subsets)
    if origin == 'baseline':
        return words['baseline'].format(title)
    return title if origin == 'caption' else f'{origin}: {title}'


def _cell(name: str, value: float) -> str:
    if name == 'pairs':
        return f'{value:.0f}'
    return f'{value:.1f}' if name.startswith(_TIMES_100) else number_text(value)
