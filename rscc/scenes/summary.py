"""The numbers of an interpreted scene as ``summary.json``, and a few sentences made from them."""
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from rscc.scenes.contracts import OutputOptions, Scene, SceneFindings
from rscc.scenes.findings import Ground
from rscc.scenes.transitions import transition_rows
from rscc.scenes.wording import RENDERED_NOTE, doubt_sentence, summary_sentences
from rscc.text.doubts import GRADES, reason_kind
from rscc.utils import write_json

SUMMARY_FILE = 'summary.json'
_MOST_SENTENCES, _MOST_REASONS = 10, 5
#: What ``model`` repeats of the model's facts.
_MODEL = ('task', 'heads', 'classes', 'language', 'window', 'overlap', 'ground_resolution',
          'rendered', 'normalisation', 'weights', 'weights_hash', 'config')


def write_summary(scene: Scene, findings: SceneFindings, folder: str | os.PathLike,
                  options: OutputOptions) -> dict[str, Any]:
    """Write ``summary.json``.

    Args:
        scene: The scene, all of whose blocks are answered.
        findings: Its regions, sentences and counts.
        folder: Made if needed; the file is replaced only when the new one is whole.
        options: ``language`` and ``min_area`` count.

    Returns:
        What was written, as :func:`summarise` describes it.

    Raises:
        ValueError: If the language is neither ``'en'`` nor ``'zh'``.
    """
    summary = summarise(scene, findings, options)
    write_json(Path(folder) / SUMMARY_FILE, summary)
    return summary


def summarise(scene: Scene, findings: SceneFindings, options: OutputOptions) -> dict[str, Any]:
    """Count what was found in a scene and put it into words.

    Every key is always there. Areas are in square metres, rounded to 0.1, and None where the scene
    has no place on the map; shares run from 0 to 1.

    Args:
        scene: The scene.
        findings: Its regions, sentences and counts.
        options: ``language`` and ``min_area`` count.

    Returns:
        - ``scene``, ``sources``: name; paths of the dates, earliest first.
        - ``language``, ``verdict``, ``sentences``: ``'en'`` or ``'zh'``; the result in a few words;
            the result in whole sentences.
        - ``note``: that the model has seen rendered images only; None of another.
        - ``grid``: ``width``, ``height``, ``crs`` (WKT) and ``transform`` of ``change.tif``.
        - ``pixels``: ``total``; ``nodata`` (without data at some date, outside the area of interest
            or not readable); ``examined``, the others; ``changed`` of them, None without a map.
        - ``nodata_share`` of all pixels; ``changed_share`` of the examined, None without a map.
        - ``area_of_interest``: whether the work was limited to one.
        - ``area_by``: how areas were measured, ``'plane'`` (of the map projection) or
            ``'ellipsoid'``; None where the scene has no place on the map. ``examined_area_m2``:
            of the examined pixels, None without a map of changes too.
        - ``regions``: ``count``, ``pixels``, ``area_m2`` and ``share`` of the examined pixels, all
            regions together; ``left_out``, the number of those smaller than ``min_area`` (square
            metres, pixels where there is no place on the map), which nothing else counts.
        - ``classes``: of every changed class that occurs, largest first: ``class``, ``value`` in
            ``change.tif``, and of its regions ``regions`` (how many), ``pixels``, ``area_m2``; with
            small ones, ``map_pixels`` and ``map_area_m2``.
        - ``transitions``: of a model of semantic change what became what, largest first: ``from``,
            ``to``, ``regions``, ``pixels``, ``area_m2``; empty of another.
        - ``land_cover``: of such a model, of every class: ``class``, ``from_pixels``,
            ``to_pixels``, ``from_area_m2``, ``to_area_m2`` (pixels count with the scene's mean);
            empty of another.
        - ``windows``: ``computed``; ``described``, put into words; ``changed`` of those; and
            ``unsure``, whose sentences are too doubtful to count as an answer.
        - ``doubt``: about the sentences of all described windows: ``mean`` and ``highest``, the
            estimated probability that a sentence is wrong; ``grades``, how many windows have which
            (``low``, ``medium``, ``high``, which is "not sure", ``uncalibrated``); ``reasons``,
            at most 5 of ``input``, ``reason`` (its kind in words) and ``windows``; ``text``, the
            same in a sentence. None where no window was described. Without a calibration,
            ``mean``, ``highest`` and ``windows.unsure`` are None.
        - ``best_sentences``: at most 10 of ``sentence``, ``windows`` (that say it),
            ``changed_windows`` (of those), ``mean_score``, and of their doubts ``mean_doubt``,
            ``unsure_windows`` and ``reasons`` (in words, window by window); those of changed
            windows first.
        - ``gaps``: ``box`` (left, top, right, bottom in pixels) and ``reason`` of what could not be
            read.
        - ``model``: what its file tells: ``task``, ``heads``, ``classes``, ``language``,
            ``window``, ``overlap``, ``ground_resolution``, ``rendered``, ``weights``,
            ``weights_hash`` and ``config``.
        - ``provenance``: what the run tells of itself: ``pair_check``, ``options``, ``versions``.

    Raises:
        ValueError: If the language is neither ``'en'`` nor ``'zh'``.
    """
    facts = scene.facts
    language = options.language or facts.language or 'en'
    pixels = _pixels(scene, findings)
    summary = {'scene': scene.name, 'sources': list(scene.reader.sources), 'language': language,
               'verdict': '', 'sentences': [],
               'note': RENDERED_NOTE.get(language) if facts.rendered else None, **pixels,
               **_regions(findings, options, pixels['pixels']['examined']),
               'transitions': [], 'land_cover': _land_cover(scene, findings),
               'windows': _windows(findings), 'doubt': _doubt(findings.sentences, language),
               'best_sentences': _best_sentences(scene, findings),
               'gaps': [_plain(asdict(gap)) for gap in findings.gaps],
               'model': {key: _plain(getattr(facts, key)) for key in _MODEL},
               'provenance': _plain(scene.provenance)}
    summary['transitions'] = transition_rows(facts.semantic, summary['classes'])
    summary['verdict'], summary['sentences'] = summary_sentences(summary, language)
    return summary


def _pixels(scene: Scene, findings: SceneFindings) -> dict[str, Any]:
    grid, nodata = scene.reader.grid, int(findings.nodata_pixels)
    total = grid.width * grid.height
    changed = None
    if 'change_head' in scene.facts.heads:
        changed = sum(int(findings.pixels_by_class.get(name, 0))
                      for value, name in findings.classes.items() if value)
    return {
        'grid': {'width': grid.width, 'height': grid.height, 'crs': grid.crs,
                 'transform': _plain(grid.transform)},
        'pixels': {'total': total, 'nodata': nodata, 'examined': total - nodata,
                   'changed': changed},
        'nodata_share': _share(nodata, total),
        'changed_share': None if changed is None else _share(changed, total - nodata),
        'area_of_interest': bool((scene.provenance.get('options') or {}).get('area')),
    }


def _regions(findings: SceneFindings, options: OutputOptions, examined: int) -> dict[str, Any]:
    """Count regions and measure them, all together and class by class."""
    regions = findings.regions

    def measured(chosen: Any) -> dict[str, Any]:
        pixels = int(chosen['pixels'].sum())
        return {'pixels': pixels, 'area_m2': _area(chosen['area_m2'].sum(), findings)}

    classes = []
    for value, name in findings.classes.items():
        chosen = regions[regions['class'] == name]
        if value and findings.pixels_by_class.get(name):
            classes.append({'class': name, 'value': int(value), 'regions': len(chosen),
                            **measured(chosen),
                            'map_pixels': int(findings.pixels_by_class[name]),
                            'map_area_m2': _area(findings.area_by_class.get(name), findings)})
    classes.sort(key=lambda row: (-row['pixels'], -row['map_pixels'], row['value']))
    together = measured(regions)
    together |= {'share': _share(together['pixels'], examined),
                 'left_out': int(findings.left_out), 'min_area': float(options.min_area)}
    examined_area = sum(findings.area_by_class.values()) if findings.area_by_class else None
    return {'area_by': findings.area_by, 'examined_area_m2': _area(examined_area, findings),
            'regions': {'count': len(regions), **together},
            'classes': classes}


def _land_cover(scene: Scene, findings: SceneFindings) -> list[dict[str, Any]]:
    """Count the pixels of every class at both dates."""
    semantic = scene.facts.semantic
    if semantic is None or findings.pixels_by_date is None:
        return []
    pixel = Ground(scene.reader.grid).pixel_area
    rows = []
    for value, name in enumerate(semantic.names, 1):
        earlier, later = (int(date[value]) for date in findings.pixels_by_date)
        rows.append({'class': name, 'from_pixels': earlier, 'to_pixels': later,
                     **{f'{date}_area_m2': _area(None if pixel is None else count * pixel, findings)
                        for date, count in (('from', earlier), ('to', later))}})
    return rows


def _area(square_metres: float | None, findings: SceneFindings) -> float | None:
    if findings.area_by is None or square_metres is None:
        return None
    return round(float(square_metres), 1)


def _windows(findings: SceneFindings) -> dict[str, int | None]:
    said = findings.sentences
    return {'computed': int(findings.windows), 'described': len(said),
            'changed': int(np.count_nonzero(said['flag'])), 'unsure': _unsure(said)}


def _unsure(said: Any) -> int | None:
    """Count the sentences that are not sure; None where no risk is known."""
    return int((said['risk'] == 'high').sum()) if said['doubt'].notna().any() else (
        None if len(said) else 0)


def _mean_doubt(said: Any) -> float | None:
    return round(float(said['doubt'].mean()), 4) if said['doubt'].notna().any() else None


def _doubt(said: Any, language: str) -> dict[str, Any] | None:
    """Sum up the doubts about all sentences."""
    if said['risk'].isna().all():
        return None
    counts = Counter(said['risk'].dropna())
    kinds = Counter(name for names in said['reason_inputs'] for name in dict.fromkeys(names))
    mean = _mean_doubt(said)
    found = {'mean': mean, 'highest': mean and round(float(said['doubt'].max()), 4),
             'grades': {grade: counts[grade] for grade in GRADES},
             'reasons': [{'input': name, 'reason': reason_kind(name, language), 'windows': windows}
                         for name, windows in kinds.most_common(_MOST_REASONS)]}
    return found | {'text': doubt_sentence(found, language)}


def _best_sentences(scene: Scene, findings: SceneFindings) -> list[dict[str, Any]]:
    """Group windows that say the same, those of change first, then the most frequent.

    The dataset's sentences for unchanged pairs come last, whatever a flag says beside them.
    """
    stock = {' '.join(text.split()) for text in scene.facts.no_change_captions}
    said = findings.sentences
    groups: dict[str, list[int]] = {}
    for place, text in enumerate(said['sentence']):
        groups.setdefault(' '.join(text.split()), []).append(place)
    flags, scores = said['flag'].to_numpy(bool), said['score'].to_numpy(float)
    rows = [{'sentence': text, 'windows': len(places), 'changed_windows': int(flags[places].sum()),
             'mean_score': round(float(scores[places].mean()), 4)}
            for text, places in groups.items() if text]
    rows.sort(key=lambda row: (row['sentence'] in stock, -row['changed_windows'],
                               -row['windows'], -row['mean_score'], row['sentence']))
    return [{**row, **_doubts_of(said.iloc[groups[row['sentence']]])}
            for row in rows[:_MOST_SENTENCES]]


def _doubts_of(said: Any) -> dict[str, Any]:
    """Return what the windows that say the same are doubted by."""
    return {'mean_doubt': _mean_doubt(said), 'unsure_windows': _unsure(said),
            'reasons': list(dict.fromkeys(said['reasons'].dropna()))[:_MOST_REASONS]}


def _share(part: float, whole: float) -> float:
    return round(part / whole, 6) if whole else 0.0


def _plain(value: Any) -> Any:
    """Return a value as JSON takes it: lists for tuples and arrays, no NaN, text for the rest."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value if value is None or isinstance(value, str | bool | int) else str(value)
