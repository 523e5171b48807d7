"""Calibration of doubt: from inputs to a probability of error, and how well it sorts out errors.

A logistic function of the inputs is fitted on validation answers whose errors are known by their
references. It travels with the weights as plain values.
"""
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np

from rscc.evaluation.functional.content import objects_named, says_no_change
from rscc.evaluation.functional.failures import failure_kinds
from rscc.text.doubts import NEVER_SURE_FROM
from rscc.utils.forms import check_form

#: What a sentence can be wrong about.
ERRORS = ('flag', 'object', 'direction', 'count', 'place')
_ERROR_OF = {'missed_change': 'flag', 'invented_change': 'flag', 'wrong_object': 'object',
             'wrong_direction': 'direction', 'wrong_count': 'count', 'wrong_place': 'place'}
#: Inputs that may lower the doubt too: what the sentence commits itself to (a change, a number, a
#: place). All others speak against an answer by what they mean, and can only raise the doubt.
CONTEXT = ('change_told', 'count_told', 'place_told')
#: Least weights (logits for a score of 1) of what validation data cannot show, being like those of
#: the training: images farther from them than 99 % of the training images, other resolutions,
#: sentences that a shorter limit has cut.
LEAST = {'novelty': 3.0, 'resolution': 2.0, 'cut': 5.0}
#: Weight of an input that the validation answers lack, other sentences for instance.
_UNSEEN_WEIGHT = 1.0
#: Standard deviation up to which an input is the same in all answers, and has nothing to say.
SPREAD = 1e-4
#: Answers that must have an input before it is weighed.
FEWEST = 20
_PULL, _STEPS = 1.0, 50
_FORM = {'weights': {str: float}, 'means': {str: float}, 'usual': {str: float}, 'offset': float,
         'threshold': float, 'samples': int, 'errors': float}


@dataclass(frozen=True)
class Calibration:
    """Logistic function from the inputs of a doubt to the probability that an answer is wrong.

    Attributes:
        weights: Input -> logits that a score of 1 adds to one of the mean.
        means: Input -> mean over the validation answers that have it; an input that an answer
            lacks counts as the mean.
        usual: Input -> what nine of ten validation answers lie below.
        offset: Logit of an answer whose inputs are all at their means.
        threshold: Doubt from which on the answer is "not sure"; one half at most counts.
        samples: Number of validation answers.
        errors: Share of them that is wrong.
    """
    weights: Mapping[str, float]
    means: Mapping[str, float]
    usual: Mapping[str, float] = field(default_factory=dict)
    offset: float = 0.0
    threshold: float = 0.5
    samples: int = 0
    errors: float = 0.0

    @property
    def limit(self) -> float:
        """Doubt from which on an answer is "not sure": the threshold, but never above one half."""
        return min(self.threshold, NEVER_SURE_FROM)

    def sure(self, value: Any) -> Any:
        """Return whether doubts are low enough to answer, a bool or an array.

        Args:
            value: One doubt, or an array; compared in whole percent, as it is shown.
        """
        found = np.round(value, 2) < self.limit
        return found if np.ndim(value) else bool(found)

    def contributions(self, inputs: Mapping[str, float]) -> dict[str, float]:
        """Return input -> logits that it adds to the doubt, of those that are there."""
        # Calibrations of earlier versions do not know of cut sentences.
        weights = {'cut': LEAST['cut'], **self.weights}
        return {name: weights[name] * (value - self.means.get(name, 0.0))
                for name, value in inputs.items() if name in weights}

    def probability(self, inputs: Mapping[str, float]) -> float:
        """Return the probability that an answer is wrong, 0 to 1."""
        logit = self.offset + sum(self.contributions(inputs).values())
        return float(1 / (1 + np.exp(-np.clip(logit, -30, 30))))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as a checkpoint keeps them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str = 'the checkpoint') -> Self:
        """Read a calibration.

        Files of earlier versions may hold a negative weight of evidence that can only raise the
        doubt (the distance of images from those of the training); it counts as 0.

        Raises:
            ValueError: If it is damaged; the message names the entry.
        """
        check_form(data, _FORM, f'the calibration of doubt in {where}',
                   'Write it anew with tools/analysis_tools/calibrate.py')
        if set(data['weights']) != set(data['means']):
            raise ValueError(f'the calibration of doubt in {where} has weights of '
                             f'{sorted(data["weights"])} and means of {sorted(data["means"])}; '
                             'expected the same inputs. Write it anew with '
                             'tools/analysis_tools/calibrate.py')
        known = {name: data[name] for name in _FORM}
        known['weights'] = {name: weight if name in CONTEXT else max(weight, 0.0)
                            for name, weight in data['weights'].items()}
        return cls(**known)


def calibration_for(stored: Mapping[str, Any] | None, language: str | None) -> Calibration | None:
    """Return the calibration for a language; that of another language where it has none.

    Args:
        stored: Language -> calibration as plain values: ``meta['doubt']`` of a checkpoint.
        language: ``'en'`` or ``'zh'``; None for any.
    """
    if not stored:
        return None
    name = language if language in stored else sorted(stored)[0]
    return Calibration.from_dict(stored[name])


# ---- errors ------------------------------------------------------------------------------------


def errors_of(prediction: str, references: Sequence[str], changed: bool | None = None,
              language: str = 'en', no_change_captions: Sequence[str] = ()) -> set[str]:
    """Return what a sentence is wrong about, by its references: flag, object, direction and others.

    Of pairs, the failures of :func:`rscc.evaluation.functional.failures.failure_kinds`: ``flag`` is
    a missed or invented change, ``object``, ``direction``, ``count`` and ``place`` a wrong one. Of
    single images, ``object``: it names nothing that references name, or an object (building, road,
    tree, parking, water) that none of them names.

    Args:
        prediction: The sentence.
        references: Those of its sample.
        changed: Whether the pair changed; None for single images.
        language: ``'en'`` or ``'zh'``.
        no_change_captions: The dataset's sentences for unchanged pairs.

    Returns:
        Of :data:`ERRORS`; empty for a sentence that is right.
    """
    if changed is not None:
        kinds = failure_kinds(prediction, references, changed, language, no_change_captions)
        return {_ERROR_OF[kind] for kind in kinds}
    known = set().union(*(objects_named(text, language, True) for text in references))
    named = objects_named(prediction, language, True)
    return {'object'} if known and (not named & known or objects_named(prediction, language) - known
                                    ) else set()


def changed_by(flag: bool | None, references: Sequence[str], language: str = 'en',
               no_change_captions: Sequence[str] = ()) -> bool:
    """Return whether a pair changed: by its flag, else by what not all references deny."""
    return bool(flag) if flag is not None else not all(
        says_no_change(text, no_change_captions, language) for text in references)


# ---- fitting -----------------------------------------------------------------------------------


def fit_calibration(inputs: Sequence[Mapping[str, float]], wrong: Sequence[bool],
                    abstain: float = 0.1) -> Calibration:
    """Fit the probability of error to validation answers.

    The weights are those of a ridge logistic regression in which all but :data:`CONTEXT`, what a
    sentence commits itself to, can only raise the doubt.

    Args:
        inputs: Of N answers, as ``Doubt.inputs``.
        wrong: Whether each is wrong.
        abstain: Share of the validation answers, the most doubtful ones, that the threshold calls
            not sure.

    Raises:
        ValueError: If there are too few answers, or all are right, or all are wrong.
    """
    wrong = np.asarray(wrong, float)
    least = min(int(wrong.sum()), int(len(wrong) - wrong.sum()))
    if least < 5:
        raise ValueError(f'{int(wrong.sum())} of {len(wrong)} validation answers are wrong: at '
                         'least 5 wrong and 5 right ones are needed to calibrate doubt. Use more '
                         'samples')
    if not 0 <= abstain < 1:
        raise ValueError(f'abstain={abstain} is a share in [0, 1)')
    names, table, present = _table(inputs)
    count = np.maximum(present.sum(0), 1)
    means = (table * present).sum(0) / count
    centred = (table - means) * present
    spread = np.sqrt((centred**2).sum(0) / count)
    usable = (present.sum(0) >= FEWEST) & (spread > SPREAD)
    solved = _solve(centred[:, usable] / spread[usable], wrong,
                    np.array([LEAST.get(name, 0.0) * spread[column] if name not in CONTEXT
                              else -np.inf for column, name in enumerate(names)])[usable])
    weights = {name: LEAST.get(name, 0.0) for name in names if name not in CONTEXT}
    for column, weight in zip(np.flatnonzero(usable), solved[:-1], strict=True):
        weights[names[column]] = float(weight / spread[column])
    found = dict(zip(names, means.tolist(), strict=True))
    # What the validation answers lack altogether still counts when somebody asks for it.
    for name in {'contradiction', *LEAST} - set(weights):
        weights[name], found[name] = LEAST.get(name, _UNSEEN_WEIGHT), 0.0
    usual = {name: float(np.quantile(table[present[:, column], column], 0.9))
             for column, name in enumerate(names) if present[:, column].any()}
    fitted = Calibration(
        _rounded(weights), _rounded({name: found[name] for name in weights}), _rounded(usual),
        round(float(solved[-1]), 5), 0.5, len(wrong), round(float(wrong.mean()), 5))
    values = np.array([fitted.probability(row) for row in inputs])
    threshold = float(np.quantile(values, 1 - abstain)) if abstain else 1.0
    return Calibration(**asdict(fitted) | dict(threshold=round(threshold, 5)))


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(float(value), 5) for name, value in sorted(values.items())}


def _table(inputs: Sequence[Mapping[str, float]]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return names (K), values (N, K), 0 where absent, and which are present, bool (N, K)."""
    names = sorted(set().union(*inputs))
    table = np.array([[row.get(name, 0.0) for name in names] for row in inputs], float)
    present = np.array([[name in row for name in names] for row in inputs], bool)
    shape = (len(inputs), len(names))
    return names, table.reshape(shape), present.reshape(shape)


def _solve(columns: np.ndarray, wrong: np.ndarray, lowest: np.ndarray) -> np.ndarray:
    """Fit logistic weights and offset by Newton's method, weights not below their lowest values.

    Args:
        columns: Standardised inputs (N, K).
        wrong: 0 or 1 (N,).
        lowest: Least weight of each (K,), -inf for none.

    Returns:
        K weights and the offset.
    """
    design = np.concatenate([columns, np.ones((len(columns), 1))], 1)
    bounds = np.append(lowest, -np.inf)
    pull = np.append(np.full(columns.shape[1], _PULL), 1e-6)
    held = np.zeros(len(bounds), bool)
    solution = np.where(np.isfinite(bounds), np.maximum(bounds, 0), 0.0)
    for _ in range(len(bounds)):
        # Weights that would fall below their bound are held there, and the others fitted anew.
        solution[held] = bounds[held]
        for _ in range(_STEPS):
            chance = 1 / (1 + np.exp(-np.clip(design @ solution, -30, 30)))
            gradient = design.T @ (chance - wrong) + pull * solution
            hessian = (design * (chance * (1 - chance))[:, None]).T @ design + np.diag(pull)
            free = ~held
            step = np.linalg.solve(hessian[np.ix_(free, free)], gradient[free])
            # Damped, so that a first step cannot throw it out of the region of convergence.
            solution[free] -= step * min(1.0, 2.0 / max(np.abs(step).max(initial=0), 1e-12))
            if np.abs(step).max(initial=0) < 1e-9:
                break
        below = free & (solution < bounds)
        if not below.any():
            break
        held |= below
    return solution
