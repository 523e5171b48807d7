"""Calibration of a trained model's doubt: training statistic, validation answers, their judgement.

The statistic of features is taken from training images, the calibration from validation answers,
and what it is worth is measured on test answers. Weights stay as they are.
"""
import copy
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from torch import Tensor

from rscc.config.data import leaves
from rscc.config.schema import Schema
from rscc.engine.checkpoint import read_checkpoint, with_metadata, write_published
from rscc.evaluation.calibration import (
    ERRORS,
    FEWEST,
    LEAST,
    SPREAD,
    Calibration,
    changed_by,
    errors_of,
)
from rscc.evaluation.functional.risk import compare_areas, reliability, risk_coverage
from rscc.evaluation.prediction_dump import PredictionDump
from rscc.inference.loading import LoadedModel
from rscc.models.interpreter import ChangeInterpreter
from rscc.models.novelty import KEY, FeatureDistance, pooled_vectors
from rscc.registry import DATASETS
from rscc.text.doubts import GRADES, grade_of, grade_text
from rscc.text.normalisation import stock_sentences
from rscc.utils import progress, read_json
from rscc.utils.files import atomic_path
from rscc.utils.signatures import keywords_of
from rscc.utils.terminal import padded
from rscc.visualization.curves import Curve, Panel, draw_curves

#: Share of the answers that are left out to show what abstaining does.
TENTH = 0.1


def with_option(described: Mapping, name: str, value: Any) -> Mapping:
    """Return the config of a dataset, or of several in one, with an option where it has that."""
    described = copy.deepcopy(described)
    for _, leaf in leaves(described, 'dataset'):
        kind = Schema('DATASETS').registered(leaf['type'])
        if kind is not None and keywords_of(kind).accepts(name):
            leaf[name] = value
    return described


def built_dataset(cfg: Config, stage: str, **options: Any) -> Any:
    """Build the dataset of a stage.

    Args:
        cfg: The config.
        stage: ``'train'``, ``'val'`` or ``'test'``.
        **options: Over the config's, ``language`` and ``split`` for instance; those that are None,
            or that a dataset does not have, stay as they are.

    Raises:
        ValueError: If the config has no such dataset.
    """
    loader = cfg.get(f'{stage}_dataloader')
    if not loader:
        raise ValueError(f"'{cfg.filename}' has no {stage}_dataloader, which calibrating needs")
    described = Config(dict(dataset=loader['dataset'])).to_dict()['dataset']
    for name, value in options.items():
        if value is not None:
            described = with_option(described, name, value)
    with DefaultScope.overwrite_default_scope('rscc'):
        return DATASETS.build(described)


def _batches(dataset: Any, places: Sequence[int], batch_size: int, title: str) -> Iterator[dict]:
    """Yield collated batches of some samples of a dataset, with a progress bar."""
    starts = range(0, len(places), batch_size)
    for start in progress(starts, title, len(starts), 'batch'):
        yield pseudo_collate([dataset[place] for place in places[start:start + batch_size]])


def feature_statistic(model: ChangeInterpreter, dataset: Any, samples: int = 1000,
                      batch_size: int = 16) -> FeatureDistance:
    """Take the statistic of a model's features over images as its training showed them.

    Args:
        model: In evaluation mode.
        dataset: That of the training, with its augmentation.
        samples: How many, evenly over the dataset.
        batch_size: Samples encoded at once.
    """
    places = np.unique(np.linspace(0, len(dataset) - 1, min(samples, len(dataset))).astype(int))
    found: list[Tensor] = []
    with torch.inference_mode():
        for batch in _batches(dataset, places.tolist(), batch_size, 'training images'):
            vectors = pooled_vectors(model.encoder(
                model.data_preprocessor(batch, False)['inputs']))
            if vectors is None:
                raise ValueError(f'{model.encoder.title} gives no feature that a distance could be '
                                 'taken of')
            found.append(vectors.flatten(0, 1).cpu())
    return FeatureDistance.fit(torch.cat(found))


def answer_split(loaded: LoadedModel, dataset: Any, out: str | os.PathLike,
                 weights: Mapping[str, Any], batch_size: int = 16) -> dict[str, Any]:
    """Have a model answer every sample of a dataset, as ``tools/test.py --out`` writes it.

    Args:
        loaded: The model.
        dataset: Validation or test data.
        out: The JSON file.
        weights: Metadata of the checkpoint, for the doubts.
        batch_size: Samples answered at once.

    Returns:
        What the file holds.
    """
    dump = PredictionDump(out, checkpoint=loaded.source)
    dump.dataset_meta, dump.weights = dataset.metainfo, weights
    title = f'{dataset.metainfo.get("split") or "data"} answers'
    with torch.inference_mode():
        for batch in _batches(dataset, range(len(dataset)), batch_size, title):
            dump.process(None, loaded.model.test_step(batch))
    dump.evaluate(len(dataset))
    return read_json(out)


# ---- judgement ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Judged:
    """Answers of one split, judged by their references.

    Attributes:
        inputs: Of N answers what the doubt is computed from.
        kinds: Of each what is wrong with it (``ERRORS``); empty where it is right.
        scores: Of each the mean log-probability per token (N,), NaN where there is none.
        cider: Of each CIDEr-D with the document frequencies of the whole split (N,), NaN likewise.
        changed: Whether each is a changed pair (N,); all False for single images.
        dataset: Metadata of the data.
    """
    inputs: list[dict[str, float]]
    kinds: list[set[str]]
    scores: np.ndarray
    cider: np.ndarray
    changed: np.ndarray
    dataset: Mapping[str, Any]

    @classmethod
    def of(cls, data: Mapping[str, Any], name: str) -> Self:
        """Judge the answers of a predictions file.

        Args:
            data: What ``tools/test.py --out`` writes.
            name: Of the file or split, for messages.

        Raises:
            ValueError: If no sample has sentence, references and doubt.
        """
        meta = data.get('dataset') or {}
        language, single = meta.get('language') or 'en', meta.get('task') == 'single'
        stock = stock_sentences(meta, language)
        rows = [sample for sample in data['samples'] if sample.get('references')
                and sample.get('prediction') is not None and sample.get('doubt')]
        if not rows:
            raise ValueError(f'{name}: no sample has a sentence, references and a doubt; the '
                             'calibration judges sentences, and files of earlier versions of rscc '
                             'have no doubt')
        flags = [None if single else changed_by(row.get('gt_change_flag'), row['references'],
                                                language, stock) for row in rows]
        kinds = [errors_of(row['prediction'], row['references'], flag, language, stock)
                 for row, flag in zip(rows, flags, strict=True)]
        scores, cider = (np.array([np.nan if value is None else value for value in values], float)
                         for values in ([row.get('score') for row in rows],
                                        [row['scores'].get('CIDEr') for row in rows]))
        return cls([row['doubt']['inputs'] for row in rows], kinds, scores, cider,
                   np.array(flags, bool), meta)

    @property
    def wrong(self) -> np.ndarray:
        """Whether each answer is wrong (N,)."""
        return np.array([bool(kinds) for kinds in self.kinds])

    def doubts(self, calibration: Calibration) -> np.ndarray:
        """Return the calibrated doubts (N,)."""
        return np.array([calibration.probability(inputs) for inputs in self.inputs])

    def quality(self, kept: np.ndarray) -> dict[str, float]:
        """Return errors, flag accuracy and CIDEr of changed pairs of the answers that are kept.

        Args:
            kept: bool (N,).
        """
        found = {'answers': float(kept.sum()), 'errors': float(self.wrong[kept].mean())}
        if not self.changed.any():
            return found | {'CIDEr': float(np.nanmean(self.cider[kept]))}
        right = [('flag' not in kinds) for kinds in self.kinds]
        return found | {'flag_accuracy': float(np.array(right)[kept].mean()),
                        'CIDEr_changed': float(np.nanmean(self.cider[kept & self.changed]))}


def least_doubtful(doubts: np.ndarray, share: float = 1 - TENTH) -> np.ndarray:
    """Return which answers belong to the least doubtful share, bool (N,)."""
    kept = np.zeros(len(doubts), bool)
    kept[np.argsort(doubts, kind='stable')[:round(share * len(doubts))]] = True
    return kept


def evaluate(judged: Judged, calibration: Calibration, resamples: int = 1000) -> dict[str, Any]:
    """Measure how well a calibration sorts out the errors of some answers.

    Args:
        judged: The answers, none of which it was fitted to.
        calibration: The calibration.
        resamples: For the intervals.

    Returns:
        ``samples``; ``errors``, all and by kind; ``AURC``, areas under the risk-coverage curve by
        doubt, by the sentences' own score, and their difference, each with low and high end of its
        95 % interval; ``calibration_error``; ``not_sure``, the share that is not sure; ``grades``,
        of every grade how many answers have it and which share of these is wrong; and
        ``quality`` of all answers, without the most doubtful tenth, without the tenth of lowest
        score, and of those that are sure.
    """
    wrong, doubts = judged.wrong, judged.doubts(calibration)
    unlikely = -np.nan_to_num(judged.scores)
    sure = calibration.sure(doubts)
    kept = {'all': np.ones(len(wrong), bool), 'without the most doubtful tenth':
            least_doubtful(doubts), 'without the tenth of lowest score': least_doubtful(unlikely)}
    if sure.any():
        kept['sure'] = sure
    return {
        'samples': len(wrong),
        'errors': {'all': float(wrong.mean())} | {
            kind: float(np.mean([kind in kinds for kinds in judged.kinds])) for kind in ERRORS},
        'AURC': compare_areas({'doubt': doubts, 'score': unlikely}, wrong, resamples),
        'calibration_error': reliability(doubts, wrong)[1], 'not_sure': 1 - float(sure.mean()),
        'grades': _by_grade(doubts, sure, wrong),
        'quality': {name: judged.quality(rows) for name, rows in kept.items()}}


def _by_grade(doubts: np.ndarray, sure: np.ndarray, wrong: np.ndarray) -> dict[str, dict]:
    grades = np.array([grade_of(*pair) for pair in zip(doubts.tolist(), sure.tolist(),
                                                       strict=True)])
    return {grade: {'answers': int((grades == grade).sum()),
                    'errors': float(wrong[grades == grade].mean())}
            for grade in GRADES if (grades == grade).any()}


def describe_calibration(calibration: Calibration, inputs: Sequence[Mapping[str, float]],
                         language: str) -> str:
    """Lay out a calibration for the terminal: what its inputs weigh, which carry nothing, and why.

    Args:
        calibration: The calibration.
        inputs: Of the answers that it was fitted to.
        language: Of their sentences.
    """
    known = {name for row in inputs for name in row}
    fixed = {name for name in calibration.weights if name in LEAST or name not in known}
    fitted = {name: weight for name, weight in calibration.weights.items()
              if weight and name not in fixed}
    same, others = [], []
    for name in sorted(known - set(fitted) - fixed):
        values = np.array([row[name] for row in inputs if name in row])
        (same if values.std() <= SPREAD or len(values) < FEWEST else others).append(name)
    silent = {'alike in all validation answers, or known of too few': same,
              'wrong answers do not have more of it': others}
    lines = [f'calibration  {language}: ' + ', '.join(
        f'{name} {weight:+.2f}' for name, weight in fitted.items())]
    lines += [f'             carry nothing, {reason}: {", ".join(names)}'
              for reason, names in silent.items() if names]
    lines.append('             set by hand, validation cannot show them: ' + ', '.join(
        f'{name} {calibration.weights[name]:+.2f}' for name in sorted(fixed)))
    alone = '' if calibration.limit == calibration.threshold else (
        f' (by --abstain alone: from {calibration.threshold:.2f} on)')
    return '\n'.join([*lines, f'             not sure from {calibration.limit:.2f} on{alone}'])


def describe_evaluation(found: Mapping[str, Any], name: str) -> str:
    """Lay out what :func:`evaluate` returned, for the terminal."""
    kinds = ', '.join(f'{kind} {found["errors"][kind]:.1%}' for kind in ERRORS)
    lines = [f'{padded(name, 12)} {found["samples"]} answers, {found["errors"]["all"]:.1%} wrong '
             f'({kinds})']
    lines += [f'  {"AURC " + key:22s} {point:+.4f}  ({low:+.4f} to {high:+.4f})'
              if ' - ' in key else f'  {"AURC " + key:22s}  {point:.4f}  ({low:.4f} to {high:.4f})'
              for key, (point, low, high) in found['AURC'].items()]
    lines += [f'  calibration error       {found["calibration_error"]:.4f}',
              f'  not sure                {found["not_sure"]:.1%} of the answers',
              '  by risk                 ' + '; '.join(
                  f'{grade_text(grade)} {row["answers"]}, {row["errors"]:.1%} wrong'
                  for grade, row in found['grades'].items())]
    for key, row in found['quality'].items():
        told = ', '.join(f'{label} {value:.4f}' if label in ('errors', 'flag_accuracy') else
                         f'{label} {value:.2f}' for label, value in row.items()
                         if label != 'answers')
        lines.append(f'  {key:34s} {row["answers"]:4.0f} answers: {told}')
    return '\n'.join(lines)


def draw_evaluation(judged: Judged, calibration: Calibration, title: str) -> np.ndarray:
    """Draw reliability and risk over coverage side by side, uint8 RGB (height, width, 3)."""
    wrong, doubts = judged.wrong, judged.doubts(calibration)
    rows, _ = reliability(doubts, wrong)
    top = max(max(mean, share) for mean, share, _ in rows)
    reliable = [Curve('doubt', [row[0] for row in rows], [row[1] for row in rows]),
                Curve('perfect', [0, top], [0, top], dashed=True, colour=1)]
    risks = [Curve(name, *risk_coverage(values, wrong), dots=False, dashed=colour > 0,
                   colour=colour) for colour, (name, values) in enumerate(
        {'by doubt': doubts, 'by caption score': -np.nan_to_num(judged.scores)}.items())]
    return draw_curves([
        Panel(f'{title}: share of errors', 'doubt', reliable, linear=True),
        Panel(f'{title}: errors among the answers given', 'share of the answers given', risks,
              levels=[('all answers', float(wrong.mean()))], linear=True)])


# ---- checkpoint --------------------------------------------------------------------------------


def write_copy(checkpoint: str | os.PathLike, out: str | os.PathLike,
               novelty: FeatureDistance | None, doubt: Mapping[str, Any]) -> None:
    """Write a copy of a checkpoint with statistic and calibrations in its metadata.

    Args:
        checkpoint: The checkpoint, or the name or file of a published model.
        out: ``.pth``, or ``.safetensors`` for a copy of a published model.
        novelty: The statistic; None keeps what the checkpoint has.
        doubt: Language -> calibration as plain values; other languages are kept.

    Raises:
        ValueError: If the copy of a bare or a training checkpoint should be ``.safetensors``.
    """
    stored, out = with_metadata(read_checkpoint(checkpoint)), Path(out)
    meta = stored['meta']
    meta |= {'doubt': {**(meta.get('doubt') or {}), **doubt}}
    if novelty is not None:
        meta[KEY] = novelty.to_dict()
    if out.suffix == '.safetensors':
        if 'published' not in meta:
            raise ValueError(f"'{out}': only copies of published models are .safetensors; write a "
                             '.pth, and publish that (tools/deployment/publish.py)')
        text = meta.pop('cfg')
        write_published(out, stored['state_dict'], text, meta)
        return
    with atomic_path(out) as path:
        torch.save(stored, path)
