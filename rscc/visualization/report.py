"""One HTML file that shows a whole test run, offline.

This module gathers what the file shows: pictures within a budget, cards (``report_cards``), what is
said of all samples (``report_summary``), curves of the training; ``templates/`` holds how it looks.
"""
import json
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rscc.text.doubts import GRADES, grade_text, risk_text
from rscc.text.land_cover import class_text
from rscc.utils import atomic_write, check_choice, progress
from rscc.version import __version__
from rscc.visualization.attention import Evidence, read_evidence
from rscc.visualization.curves import Chart, lay_out
from rscc.visualization.overlays import ERROR_PALETTE, class_palette
from rscc.visualization.pages import class_swatches, page_words, render_page, swatches
from rscc.visualization.panels import LABELS, class_map_folder
from rscc.visualization.picture_files import Source, Thumbnails, safe_name
from rscc.visualization.report_cards import card_of, doubt_grade, evidence_address, judge
from rscc.visualization.report_summary import (
    curve_name,
    failure_page,
    headline_numbers,
    score_name,
    score_tables,
    score_text,
    verdict,
)
from rscc.visualization.training_log import read_training_log, training_panels

_PACKAGE = 'rscc.visualization'
_FACTS = ('split', 'protocol', 'config', 'checkpoint')
#: Class maps of a card in their order.
_CLASS_MAPS = tuple(LABELS['en']['dates'])
#: Pictures of so many cards are in the page as it loads; those of others wait until they are near.
_EAGER = 4
#: Bytes of a card's tags and of the page's own parts, for the budget of the pictures.
_CARD, _FRAME = 1600, 60_000


def write_report(predictions: dict,
                 out_file: str | os.PathLike,
                 *,
                 mask_dir: str | os.PathLike | None = None,
                 reference_mask_dir: str | os.PathLike | None = None,
                 evidence_dir: str | os.PathLike | None = None,
                 log_dir: str | os.PathLike | None = None,
                 palette: Sequence | None = None,
                 classes: Sequence[str] | None = None,
                 language: str | None = None,
                 max_samples: int = 2000,
                 max_megabytes: float = 24) -> Path:
    """Write a test run as one HTML file with every picture inside.

    Args:
        predictions: What ``tools/test.py --out`` writes: ``metrics`` and ``samples`` besides
            ``config``, ``checkpoint``, ``dataset``, ``split`` and ``protocol``. A sample may also
            hold ``pred_change_flag``; ``failures``, kinds of failure; ``doubt``; ``swapped``, the
            answer with the dates exchanged; ``truncated`` where its sentence reached the token
            limit, True or the limit; and, of a sentence drawn from noise, ``agreement``,
            ``abstained``, ``drawn`` and ``trajectory``: [[sigma, text], ...], noisiest first.
        out_file: The HTML file; replaced only when the new one is complete.
        mask_dir: Folder of predicted masks, ``<sample id>.png`` by ``PanelHook``; those of class
            maps of both dates are looked for beside it.
        reference_mask_dir: Folder of reference masks; None looks for ``reference_masks`` beside
            ``mask_dir``.
        evidence_dir: Folder of attention maps by ``PanelHook``; None looks for ``evidence`` beside
            ``mask_dir``.
        log_dir: Work folder of the training, whose log is drawn; None draws no curves.
        palette: RGB per class; None takes the dataset's.
        classes: Class names; None takes the dataset's.
        language: Of the interface, ``'en'`` or ``'zh'``; None takes the dataset's where there is
            an interface in it.
        max_samples: Samples shown; of more, evenly spaced ones.
        max_megabytes: Size to stay below by making the pictures smaller.

    Returns:
        The file.

    Raises:
        ValueError: If ``predictions`` has no list of samples, or there is no such language.
    """
    samples = predictions.get('samples')
    if not isinstance(samples, list):
        raise ValueError("the predictions hold no list 'samples'; found the keys "
                         f'{sorted(predictions)}. Expected what tools/test.py --out writes')
    dataset, metrics = predictions.get('dataset') or {}, predictions.get('metrics') or {}
    words = interface_words(language, dataset)
    palette, classes = palette or dataset.get('palette'), classes or dataset.get('classes')
    chosen = np.unique(np.linspace(0, len(samples) - 1, min(len(samples), max_samples))
                       .round().astype(int))
    judgements = [judge(sample, dataset) for sample in samples]
    shown = [(samples[index], judgements[index]) for index in chosen]

    # Pictures take what text and attention maps leave of the size.
    files = _Files(mask_dir, reference_mask_dir, evidence_dir)
    sources = [files.pictures(sample) for sample, _ in shown]
    budget = max_megabytes * 1e6 - _FRAME - files.size([sample for sample, _ in shown])
    encode = Thumbnails(sources, palette, max(budget, 0), dataset.get('bands'),
                        dataset.get('scale'), (words['missing'], words['unreadable']))
    with atomic_write(out_file) as file:
        cards = [card_of(sample, judgement, encode(source), files.evidence(sample), words)
                 for (sample, judgement), source in
                 progress(list(zip(shown, sources, strict=True)), 'report', None, 'sample')]
        layers = [key for key in words['layers'] if any(key in card['layers'] for card in cards)]
        file.writelines(render_page(
            _PACKAGE, 'report.html.j2', ('base.css', 'report.css'), ('report.js', ),
            words=words, score_name=partial(score_name, words=words),
            score_text=partial(score_text, words=words),
            name=dataset.get('dataset_type') or words['test_run'],
            verdict=verdict(samples, judgements, _numbers(metrics), words),
            numbers=headline_numbers(samples, judgements, _numbers(metrics), words),
            facts=_facts(predictions, len(samples), len(shown), words),
            tables=score_tables(metrics, words), charts=_charts(log_dir, words),
            failures=failure_page(judgements, cards, words), cards=cards, eager=_EAGER,
            controls=_controls(cards, words), layers=layers,
            legends=_legends(palette, classes, words) if layers else {},
            class_legend=_class_legend(cards, dataset, words)))
    return Path(out_file)


def interface_words(language: str | None, dataset: Mapping[str, Any]) -> dict[str, Any]:
    """Return the words of the report, those that pictures share included.

    Args:
        language: ``'en'`` or ``'zh'``; None for the dataset's.
        dataset: Metainfo of the dataset.
    """
    if language is None:
        language = dataset.get('language') if dataset.get('language') in LABELS else 'en'
    check_choice('language', language, LABELS)
    return {**LABELS[language], **page_words(_PACKAGE, language)}


class _Files:
    """Files that a test left beside its predictions, by sample."""

    def __init__(self, masks: str | os.PathLike | None, references: str | os.PathLike | None,
                 evidence: str | os.PathLike | None) -> None:
        beside = None if masks is None else Path(masks).parent
        self.masks = masks
        self.class_maps = {} if beside is None else {
            name: beside / class_map_folder(name) for name in _CLASS_MAPS}
        self.references = references or (beside and beside / 'reference_masks')
        self._evidence = evidence or (beside and beside / 'evidence')

    def pictures(self, sample: Mapping[str, Any]) -> Source:
        """Return where the pictures of a sample are."""
        paths = [sample.get(key) for key in ('img_path_from', 'img_path_to', 'img_path')]
        maps = {name: self._of(folder, sample) for name, folder in self.class_maps.items()}
        return Source(tuple(Path(path) for path in paths if path),
                      self._of(self.masks, sample), self._of(self.references, sample), maps)

    def evidence(self, sample: Mapping[str, Any]) -> Evidence | None:
        """Return where the model looked for the words of a sample, None where it has none."""
        path = self._of(self._evidence, sample)
        return None if path is None else read_evidence(path)

    def _of(self, folder: str | os.PathLike | None, sample: Mapping[str, Any]) -> Path | None:
        return folder and Path(folder) / (safe_name(sample.get('sample_id', '')) + '.png')

    def size(self, samples: Sequence[Mapping[str, Any]]) -> float:
        """Estimate how many bytes cards take beside their pictures, from a few of them."""
        few = samples[::max(1, len(samples) // 16)]
        found = [self.evidence(sample) for sample in few]
        text = [len(json.dumps(sample, ensure_ascii=False).encode()) for sample in few]
        maps = [len(evidence_address(one)) for one in found if one is not None]
        return len(samples) * (_CARD + (sum(text) + sum(maps)) / max(1, len(few)))


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    return {key: float(value) for key, value in metrics.items()
            if isinstance(value, int | float) and not isinstance(value, bool)}


def _facts(predictions: Mapping[str, Any], total: int, shown: int, words: Mapping[str, Any]
           ) -> dict[str, str]:
    """Return what was tested, by whom and when."""
    facts = {key: predictions[key] for key in _FACTS if predictions.get(key)}
    facts['samples'] = f'{total}' if shown == total else words['some_shown'].format(total, shown)
    facts['written'] = words['written'].format(datetime.now().strftime('%Y-%m-%d %H:%M'),
                                               __version__)
    if any(doubt_grade(sample.get('doubt')) == 'uncalibrated' for sample in predictions['samples']):
        facts['doubt'] = risk_text(None, 'uncalibrated', words['html'][:2])
    return {words['facts'][key]: value for key, value in facts.items()}


def _charts(log_dir: str | os.PathLike | None, words: Mapping[str, Any]) -> list[Chart]:
    """Lay out the curves of a training; none without its log."""
    if log_dir is None:
        return []
    names = {**words, 'scores': words['scores_100']}
    panels = training_panels(read_training_log(log_dir), names, partial(curve_name, words=words))
    return [chart for panel in panels if (chart := lay_out(panel)) is not None]


def _controls(cards: Sequence[Mapping[str, Any]], words: Mapping[str, Any]) -> dict[str, Any]:
    """Return what there is to sort and to filter by; what fits no card, or all, has no use."""
    keys = list(dict.fromkeys(key for card in cards for key in card['orders']))
    counts = {}
    for card in cards:
        for mark in card['marks']:
            counts[mark] = counts.get(mark, 0) + 1
    kinds = {kind: name for kind, (name, _) in words['kinds_of_failure'].items()}
    groups = {'prediction': ('said_changed', 'said_unchanged', 'irreversible', 'cut'),
              'labels': ('changed', 'unchanged', 'wrong'), 'failures': ('faults', *kinds),
              'doubt': (*(f'risk_{grade}' for grade in GRADES), 'abstained')}
    names = {**words, **kinds, **{f'risk_{grade}': grade_text(grade, words['html'][:2])
                                  for grade in GRADES}}
    shows = [(words[f'group_{group}'], [(mark, names[mark], counts[mark])
                                        for mark in marks if counts.get(mark)])
             for group, marks in groups.items()]
    return {'sorts': [option for key in keys for option in _sort_options(key, words)],
            'shows': [(title, marks) for title, marks in shows if marks],
            'num_cut': counts.get('cut', 0),
            'first_trajectory': next((index for index, card in enumerate(cards)
                                      if card['trajectory']), None)}


def _sort_options(key: str, words: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return value and text of both orders; 'worst' counts upwards."""
    if key == 'area':
        return [('area|best', words['largest_area']), ('area|worst', words['smallest_area'])]
    if key == 'doubt':
        return [('doubt|best', words['most_doubt']), ('doubt|worst', words['least_doubt'])]
    name = score_name(key, words)
    return [(f'{key}|{order}', words[order].format(name)) for order in ('worst', 'best')]


def _legends(palette: Sequence | None, classes: Sequence[str] | None, words: Mapping[str, Any]
             ) -> dict[str, list]:
    """Return name and colour of every class but the first, by layer."""
    language = words['html'][:2]
    change = class_swatches([class_text(name, language) for name in classes or ()], palette)
    return {'pred': change, 'gt': change,
            'errors': swatches(words['error_classes'], ERROR_PALETTE)}


def _class_legend(cards: Sequence[Mapping[str, Any]], dataset: Mapping[str, Any],
                  words: Mapping[str, Any]) -> list[list[str]]:
    """Return name and colour of every class of the dates, where a card shows class maps."""
    names = list(dataset.get('semantic_classes') or ())
    if not names or not any(card['class_maps'] for card in cards):
        return []
    shown = [class_text(name, words['html'][:2]) for name in names]
    return swatches(shown, class_palette(len(names), dataset.get('semantic_palette')))
