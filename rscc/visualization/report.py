"""One HTML file that shows a whole test run, offline."""
import json
import os
from collections.abc import Sequence
from datetime import datetime
from html import escape
from pathlib import Path

import numpy as np

from rscc.utils import atomic_write, progress
from rscc.version import __version__
from rscc.visualization.metric_tables import metric_tables, show_number
from rscc.visualization.overlays import ERROR_CLASSES, ERROR_PALETTE, tint_palette
from rscc.visualization.panels import LABELS
from rscc.visualization.picture_files import safe_name
from rscc.visualization.report_assets import CSS, SCRIPT
from rscc.visualization.report_strips import agreement_html, sampled_caption, strip_html
from rscc.visualization.thumbnails import Pictures, Source, Thumbnails

_LAYERS = {'pred': 'prediction', 'gt': 'reference', 'errors': 'errors'}
_FACTS = ('split', 'protocol', 'config', 'checkpoint')


def write_report(predictions: dict,
                 out_file: str | os.PathLike,
                 *,
                 mask_dir: str | os.PathLike | None = None,
                 reference_mask_dir: str | os.PathLike | None = None,
                 palette: Sequence | None = None,
                 classes: Sequence[str] | None = None,
                 max_samples: int = 500,
                 max_megabytes: float = 20) -> Path:
    """Write a test run as one HTML file with every picture inside.

    Args:
        predictions: What ``tools/test.py --out`` writes: ``metrics`` and ``samples`` besides
            ``config``, ``checkpoint``, ``dataset``, ``split`` and ``protocol``. A sample may also
            hold ``pred_change_flag`` and, of a sentence drawn from noise, ``agreement``,
            ``abstained``, ``drawn`` and ``strip``: [[sigma, text], ...], noisiest first.
        out_file: The HTML file; replaced only when the new one is complete.
        mask_dir: Folder of predicted masks, ``<sample id>.png`` by ``PanelHook``.
        reference_mask_dir: Folder of reference masks; None looks for ``reference_masks`` beside
            ``mask_dir``.
        palette: RGB per class; None takes the dataset's.
        classes: Class names; None takes the dataset's.
        max_samples: Samples shown; of more, evenly spaced ones.
        max_megabytes: Size to stay below by making the pictures smaller.

    Returns:
        The file.

    Raises:
        ValueError: If ``predictions`` has no list of samples.
    """
    samples = predictions.get('samples')
    if not isinstance(samples, list):
        raise ValueError("the predictions hold no list 'samples'; found the keys "
                         f'{sorted(predictions)}. Expected what tools/test.py --out writes')
    dataset = predictions.get('dataset') or {}
    palette, classes = palette or dataset.get('palette'), classes or dataset.get('classes')
    chosen = np.unique(np.linspace(0, len(samples) - 1, min(len(samples), max_samples))
                       .round().astype(int))
    shown = [samples[index] for index in chosen]
    if reference_mask_dir is None and mask_dir is not None:
        reference_mask_dir = Path(mask_dir).parent / 'reference_masks'
    sources = [_source(sample, mask_dir, reference_mask_dir) for sample in shown]
    encode = Thumbnails(sources, palette, max_megabytes * 1e6)
    words = LABELS.get(dataset.get('language'), LABELS['en'])
    layers, scores = set(), {}
    with atomic_write(out_file) as file:
        cards = []
        for sample, source in progress(list(zip(shown, sources, strict=True)), 'report', None,
                                       'sample'):
            pictures = encode(source)
            layers.update(pictures.layers)
            scores |= dict.fromkeys(_scores(sample))
            cards.append(_card(sample, pictures, words, dataset, first=not cards))
        file.write(_head(predictions, dataset, len(samples), len(shown)))
        file.write(_bar(list(scores), layers, shown, words))
        file.writelines(['<main>', '<p class="none" hidden>No sample fits these filters.</p>',
                         *cards, '</main>'])
        file.write(_tail(layers, palette, classes))
    return Path(out_file)


def _source(sample: dict, mask_dir: str | os.PathLike | None,
            reference_mask_dir: str | os.PathLike | None) -> Source:
    paths = [sample.get(key) for key in ('img_path_from', 'img_path_to', 'img_path')]
    name = safe_name(sample.get('sample_id', '')) + '.png'
    return Source(tuple(Path(path) for path in paths if path),
                  None if mask_dir is None else Path(mask_dir) / name,
                  None if reference_mask_dir is None else Path(reference_mask_dir) / name)


def _scores(sample: dict) -> dict[str, float]:
    """Return everything a sample can be sorted by."""
    found = dict(sample.get('scores') or {})
    if sample.get('score') is not None:
        found['model score'] = sample['score']
    if sample.get('drawn', 1) > 1:
        found['agreement'] = sample['agreement']
    return {name: float(value) for name, value in found.items()
            if value is not None and np.isfinite(value)}


def _predicted_flag(sample: dict, dataset: dict) -> bool | None:
    """Return whether the answer claims a change, None where that cannot be told."""
    if sample.get('pred_change_flag') is not None:
        return bool(sample['pred_change_flag'])
    unchanged = {sentence.strip(' .。').lower() for sentence in
                 dataset.get('no_change_captions') or ()}
    if not unchanged or not sample.get('prediction'):
        return None
    return sample['prediction'].strip(' .。').lower() not in unchanged


def _card(sample: dict, pictures: Pictures, words: dict, dataset: dict, first: bool = False) -> str:
    truth, claim = sample.get('gt_change_flag'), _predicted_flag(sample, dataset)
    flag = '' if truth is None else 'changed' if truth else 'unchanged'
    wrong = truth is not None and claim is not None and bool(truth) != claim
    caption = sampled_caption(sample)
    doubt = caption is not None and caption.abstained
    chips = f'<span class="chip">{flag}</span>' if flag else ''
    if flag and claim is not None:
        said = 'changed' if claim else 'unchanged'
        chips += (f'<span class="chip {"wrong" if wrong else "right"}">'
                  f'{"wrong: " if wrong else ""}predicted {said}</span>')
    if doubt:
        chips += f'<span class="chip wrong">{words["doubt"]}</span>'
    single = ' single' if len(pictures.frames) == 1 else ''
    return (f'<article class="card{single}" data-flag="{flag}"{" data-wrong" * wrong}'
            f'{" data-abstained" * doubt} data-scores="{escape(json.dumps(_scores(sample)))}">'
            f'<h3>{escape(str(sample.get("sample_id", "")))}{chips}</h3>'
            f'<div class="pictures">{_pictures(pictures, words)}</div>'
            f'<div class="text">{_text(sample, words)}</div>'
            f'{strip_html(caption, words, first) if caption else ""}</article>\n')


def _pictures(pictures: Pictures, words: dict) -> str:
    count = len(pictures.frames)
    names = ([words['single']] if count == 1 else
             [words['frames'][0], *(words['date'].format(i) for i in range(2, count)),
              words['frames'][1]])[:count]
    figures = []
    for name, address, problem in zip(names, pictures.frames, pictures.problems, strict=True):
        inside = (f'<img class="date" alt="{escape(name)}" src="{address}">' if address else
                  f'<div class="missing">{escape(problem)}</div>')
        figures.append(f'<figure>{inside}<figcaption>{escape(name)}</figcaption></figure>')
    if count == 2 and all(pictures.frames):
        figures.append(_comparison(pictures, words))
    return ''.join(figures) or '<div class="missing">this sample names no image</div>'


def _comparison(pictures: Pictures, words: dict) -> str:
    """Return the tile that wipes and blinks between the dates, with the masks above."""
    layers = ''.join(f'<img class="layer {name}" alt="" src="{address}">'
                     for name, address in pictures.layers.items())
    start = 0 if layers else 50
    both = escape(' / '.join(words['frames']))
    return ('<figure><div class="stack"><img class="before" alt=""><img class="after" alt="">'
            f'{layers}<span class="handle"></span><input type="range" min="0" max="100" '
            f'value="{start}" aria-label="{both}"></div><figcaption>{words["compare"]}'
            f'<button type="button" class="blinker" aria-pressed="false">{words["blink"]}</button>'
            '</figcaption></figure>')


def _text(sample: dict, words: dict) -> str:
    parts = []
    if sample.get('prediction') is not None:
        said = escape(sample['prediction']) or '<span class="empty">(empty)</span>'
        parts.append(f'<h4 class="main">{words["pred"]}</h4><p class="prediction">{said}</p>')
    if caption := sampled_caption(sample):
        parts.append(agreement_html(caption, words))
    if sample.get('references'):
        parts.append(f'<h4>{words["references"]}</h4>{_list("ul", sample["references"])}')
    scores = {name: value for name, value in _scores(sample).items() if name != 'agreement'}
    if scores:
        parts.append('<div class="scores">' + ''.join(
            f'<span>{escape(name)} <b>{show_number(value)}</b></span>'
            for name, value in scores.items()) + '</div>')
    if len(sample.get('nbest') or ()) > 1:
        lines = [text if score is None else f'{text} ({show_number(score)})'
                 for text, score in sample['nbest']]
        parts.append(f'<details><summary>{len(lines)} candidates</summary>{_list("ol", lines)}'
                     '</details>')
    return ''.join(parts)


def _list(tag: str, lines: Sequence[str]) -> str:
    return f'<{tag}>' + ''.join(f'<li>{escape(str(line))}</li>' for line in lines) + f'</{tag}>'


def _head(predictions: dict, dataset: dict, total: int, shown: int) -> str:
    name = str(dataset.get('dataset_type') or 'test run')
    facts = {key: predictions[key] for key in _FACTS if predictions.get(key)}
    facts['samples'] = f'{total}' if shown == total else f'{total} ({shown} shown, evenly spaced)'
    facts['written'] = datetime.now().strftime('%Y-%m-%d %H:%M') + f' by rscc {__version__}'
    listed = ''.join(f'<div><dt>{key}</dt><dd>{escape(str(value))}</dd></div>'
                     for key, value in facts.items())
    language = escape(str(dataset.get('language') or 'en'))
    return (f'<!doctype html>\n<html lang="{language}"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<title>{escape(name)}: test report</title><style>{CSS}</style></head>\n<body><header>'
            f'<h1>{escape(name)}: test report</h1><dl class="facts">{listed}</dl>'
            f'{metric_tables(predictions.get("metrics") or {})}</header>\n')


def _bar(scores: list[str], layers: set[str], samples: Sequence[dict], words: dict) -> str:
    """Return the controls; those without a use in this report are left out."""
    orders = ''.join(f'<option value="{escape(name)}|{order}">{order} {escape(name)} first</option>'
                     for name in scores for order in ('worst', 'best'))
    overlays = ''.join(f'<option value="{name}">{title}</option>'
                       for name, title in _LAYERS.items() if name in layers)
    overlay = (f'<label>Mask <select name="layer">{overlays}<option value="">none</option></select>'
               '</label>') if layers else ''
    strips = (f'<label><input type="checkbox" name="strips"> {words["strip"]}</label>'
              if any(sample.get('strip') for sample in samples) else '')
    doubt = (f'<option value="abstained">{words["abstained"]}</option>'
             if any(sample.get('abstained') for sample in samples) else '')
    return ('<div class="bar"><form><label>Sort <select name="sort"><option value="">'
            f'file order</option>{orders}</select></label><label>Show <select name="show">'
            '<option value="all">all</option><option value="changed">changed</option>'
            '<option value="unchanged">unchanged</option><option value="wrong">wrong change flag'
            f'</option>{doubt}</select></label>{overlay}{strips}<label class="wide">Search <input '
            'type="search" name="search" placeholder="words or sample id"></label>'
            '<span class="count"></span>'
            '<div class="legend"></div></form></div>'
            '<noscript><p class="note">Sorting and filtering need JavaScript.</p></noscript>\n')


def _tail(layers: set[str], palette: Sequence | None, classes: Sequence[str] | None) -> str:
    names = list(classes or ())
    colours = tint_palette(len(names), palette)
    change = [[name, _css(colours[index])] for index, name in enumerate(names) if index]
    errors = [[name, _css(ERROR_PALETTE[index])] for index, name in enumerate(ERROR_CLASSES)
              if index]
    legends = {'pred': change, 'gt': change, 'errors': errors} if layers else {}
    data = json.dumps(legends, ensure_ascii=False).replace('<', '\\u003c')
    return (f'<script type="application/json" id="legends">{data}</script>'
            f'<script>{SCRIPT}</script></body></html>\n')


def _css(colour: Sequence[int]) -> str:
    return '#' + bytes(colour).hex()
