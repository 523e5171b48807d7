"""An interpreted scene as one HTML file: both dates to compare, the map, every region with crops.

This module prepares the values that the page shows; ``templates/`` holds how they are shown.
"""
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rscc.scenes.contracts import OutputOptions, Scene, SceneFindings
from rscc.scenes.pictures import (
    ReadBlock,
    crop_of,
    map_picture,
    thumbnail_shape,
    thumbnails,
)
from rscc.text.doubts import risk_text
from rscc.text.land_cover import class_text
from rscc.text.quantities import area_text, pixels_text, share_text
from rscc.utils import atomic_write, progress
from rscc.version import __version__
from rscc.visualization.overlays import tint_palette
from rscc.visualization.pages import page_words, render_page

REPORT_FILE = 'report.html'
_MOST_PLACES = 200
_MOST_GAPS = 100


def write_report(scene: Scene, read_block: ReadBlock, findings: SceneFindings,
                 summary: Mapping[str, Any], folder: str | os.PathLike, options: OutputOptions
                 ) -> Path:
    """Write ``report.html``, which holds all its pictures and needs no network.

    Pictures are read one by one: memory does not grow with the scene. The file stays below 15 MB.

    Args:
        scene: The scene, all of whose blocks are answered.
        read_block: Gives the answer to a block.
        findings: Regions and sentences; at most 200 are shown, the largest first.
        summary: What :func:`rscc.scenes.summary.write_summary` returned.
        folder: Made if needed; the file is replaced only when the new one is whole.
        options: ``language`` counts.

    Returns:
        The file.

    Raises:
        ValueError: If the language is neither ``'en'`` nor ``'zh'``.
    """
    language = options.language or summary['language']
    words = page_words('rscc.scenes', language)
    height, width = thumbnail_shape(scene.reader.grid)
    places = _regions(scene, findings, words, language)
    kind = 'regions'
    if not len(findings.regions):
        places, kind = _described(scene, findings, words), 'windows'
    path = Path(folder) / REPORT_FILE
    with atomic_write(path) as file:
        file.writelines(render_page(
            'rscc.scenes', 'scene.html.j2', ('base.css', 'scene.css'), ('scene.js', ),
            words=words, summary=summary, lead=_lead(summary, words), kind=kind,
            dates=words['dates'] if scene.facts.dates == 2 else (words['image'],),
            frames=thumbnails(scene), layer=map_picture(scene, read_block), size=(width, height),
            numbers=_numbers(scene, summary, words), classes=_classes(scene, summary, language),
            became=_became(scene, summary, language), places=places,
            listed=_listed(findings, kind, words),
            **_controls(findings, kind, words, language),
            sentences=summary['best_sentences'], check=_check(summary, words, language),
            gaps=summary['gaps'][:_MOST_GAPS], more_gaps=len(summary['gaps']) - _MOST_GAPS,
            origin=_origin(scene, findings, summary),
            written=words['written'].format(__version__)))  # no time: a rerun gives equal bytes
    return path


def _lead(summary: Mapping[str, Any], words: Mapping[str, Any]) -> str:
    """Return the sentences that the verdict, the legend and the note leave to be said."""
    said = [sentence for sentence in summary['sentences'][1:] if sentence != summary['note']]
    return words['between'].join(said)


def _numbers(scene: Scene, summary: Mapping[str, Any], words: Mapping[str, Any]
             ) -> list[tuple[str, str]]:
    """Return the row of numbers below the verdict: (value, what it counts)."""
    language, regions, windows = words['html'][:2], summary['regions'], summary['windows']
    numbers = []
    if 'change_head' in scene.facts.heads:
        numbers.append((f'{regions["count"]:,}', words['regions_changed']))
        if regions['area_m2'] is not None:
            numbers.append((area_text(regions['area_m2'], language), words['area_changed']))
        numbers.append((share_text(regions['share'], language), words['share_changed']))
    if 'caption_head' in scene.facts.heads:
        described = f'{windows["described"]:,}'
        numbers.append((described, words['described']) if scene.facts.dates == 1 else
                       (words['of'].format(f'{windows["changed"]:,}', described),
                        words['windows_changed']))
        if summary['doubt']:
            unsure = windows['unsure']
            numbers.append(('–', words['unsure_unknown']) if unsure is None else
                           (words['of'].format(f'{unsure:,}', described), words['unsure_windows']))
    if summary['examined_area_m2'] is not None:
        numbers.append((area_text(summary['examined_area_m2'], language), words['examined']))
    without = words['outside' if summary['area_of_interest'] else 'nodata']
    return [*numbers, (share_text(summary['nodata_share'], language), without)]


def _classes(scene: Scene, summary: Mapping[str, Any], language: str) -> list[dict[str, Any]]:
    """Return a row of the legend per changed class."""
    total = sum(row['pixels'] for row in summary['classes'])
    return [{'name': class_text(row['class'], language), 'colour': _colour(scene, row['value']),
             'regions': f'{row["regions"]:,}',
             'size': _size(row, language, summary['regions']['area_m2']),
             'share': row['pixels'] / total if total else 0.0} for row in summary['classes']]


def _became(scene: Scene, summary: Mapping[str, Any], language: str) -> dict[str, Any] | None:
    """Return the table of what became what: classes of the later date, and a row per earlier one.

    None where the model tells no classes of dates, or nothing changed.
    """
    rows = summary['transitions']
    if not rows:
        return None
    semantic = scene.facts.semantic
    names, colours = semantic.names, semantic.colours[1:]

    def shown(date: str) -> list[tuple[str, str]]:
        there = {row[date] for row in rows}
        return [(name, '#' + bytes(colour).hex())
                for name, colour in zip(names, colours, strict=True) if name in there]

    # The unit of the whole stands once, above; only cells of another one name theirs.
    whole = _sum(rows) | {'area_m2': summary['regions']['area_m2']}  # as it stands above
    unit = _size(whole, language).rpartition(' ')[2]

    def cell(chosen: Sequence[Mapping[str, Any]]) -> str:
        found = _size(_sum(chosen), language, whole['area_m2']) if chosen else ''
        return found.removesuffix(f' {unit}')

    later, earlier = shown('to'), shown('from')
    return {'unit': unit, 'later': [(class_text(name, language), colour) for name, colour in later],
            'rows': [(class_text(name, language), colour,
                      [cell([row for row in rows if (row['from'], row['to']) == (name, other)])
                       for other, _ in later], cell([row for row in rows if row['from'] == name]))
                     for name, colour in earlier],
            'sums': [cell([row for row in rows if row['to'] == other]) for other, _ in later],
            'whole': _size(whole, language).removesuffix(f' {unit}')}


def _sum(rows: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Return pixels and area of several transitions; no area where one is not known."""
    areas = [row['area_m2'] for row in rows]
    return {'pixels': sum(row['pixels'] for row in rows),
            'area_m2': None if None in areas else sum(areas)}


def _colour(scene: Scene, value: int) -> str:
    return '#' + bytes(tint_palette(value + 1, scene.facts.map_palette)[value]).hex()


def _size(row: Mapping[str, Any], language: str, like: float | None = None) -> str:
    """Write an area, or pixels where there is none."""
    if row['area_m2'] is None or math.isnan(row['area_m2']):
        return pixels_text(int(row['pixels']), language)
    return area_text(float(row['area_m2']), language, like)


def _regions(scene: Scene, findings: SceneFindings, words: Mapping[str, Any], language: str
             ) -> Iterator[dict[str, Any]]:
    """Yield a card per region, the largest first."""
    by = 'pixels' if findings.area_by is None else 'area_m2'
    chosen = findings.regions.sort_values(by, ascending=False, kind='stable')
    chosen = chosen.head(_MOST_PLACES)
    centres = _centres(chosen, words)
    for (index, row), centre in progress(list(zip(chosen.iterrows(), centres, strict=True)),
                                         'report', unit='region'):
        yield {'crop': crop_of(scene, row), 'number': f'{index + 1:,}', 'centre': centre,
               'name': class_text(row['class'], language), 'group': row['class'],
               'colour': _colour(scene, int(row['value'])), 'size': _size(row, language),
               'order': int(index), 'area': float(row[by]), 'score': float(row['score']),
               'sentence': _text(row['sentence']), 'sampled': False, 'doubt': _doubt(row, words),
               **_place(scene, row)}


def _described(scene: Scene, findings: SceneFindings, words: Mapping[str, Any]
               ) -> Iterator[dict[str, Any]]:
    """Yield a card per window that was put into words, those of change first."""
    chosen = findings.sentences.sort_values(['flag', 'score'], ascending=False, kind='stable')
    chosen = chosen.head(_MOST_PLACES)
    centres, single = _centres(chosen, words), scene.facts.dates == 1
    for (index, row), centre in progress(list(zip(chosen.iterrows(), centres, strict=True)),
                                         'report', unit='window'):
        group = 'changed' if row['flag'] else 'unchanged'
        yield {'crop': crop_of(scene, row, whole=True), 'number': f'{index + 1:,}',
               'centre': centre, 'name': '' if single else words[group], 'group': group,
               'colour': '', 'size': '', 'order': int(index), 'area': 0,
               'score': float(row['score']), 'sentence': _text(row['sentence']),
               'sampled': bool(row['sampled']), 'doubt': _doubt(row, words),
               **_place(scene, row)}


def _place(scene: Scene, row: Mapping[str, Any]) -> dict[str, str]:
    """Return the bounds of a row in percent of the picture, as JSON."""
    grid = scene.reader.grid
    sizes = (grid.width, grid.height, grid.width, grid.height)
    bounds = [round(100 * float(row[name]) / size, 4) for name, size in
              zip(('left', 'top', 'right', 'bottom'), sizes, strict=True)]
    return {'bounds': json.dumps(bounds)}


def _doubt(row: Mapping[str, Any], words: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return grade, risk in words and reasons of a row's sentence; None without one."""
    grade = _text(row['risk'])
    if not grade:
        return None
    number = None if math.isnan(row['doubt']) else float(row['doubt'])
    return {'grade': grade, 'text': risk_text(number, grade, words['html'][:2], how=False),
            'reasons': _text(row['reasons'])}


def _text(value: Any) -> str:
    """Return a sentence; tables hold None or NaN for none."""
    return value if isinstance(value, str) else ''


def _centres(rows: Any, words: Mapping[str, Any]) -> list[str]:
    """Write a point inside each place, in degrees where that is known, else in pixels."""
    middle = [words['column'].format(f'{(left + right) // 2:,}', f'{(top + bottom) // 2:,}')
              for left, top, right, bottom in
              zip(*(rows[name] for name in ('left', 'top', 'right', 'bottom')), strict=True)]
    if rows.crs is None:
        return middle
    try:
        points = rows.geometry.representative_point().to_crs(4326)
    except RuntimeError:  # pyproj's errors: a system without a way to degrees
        return middle
    return [_degrees(point.x, point.y) if math.isfinite(point.x + point.y) else pixels
            for point, pixels in zip(points, middle, strict=True)]


def _degrees(longitude: float, latitude: float) -> str:
    """Write a place to a metre, latitude first as maps on the web take it."""
    return (f'{abs(latitude):.5f}° {"NS"[latitude < 0]}, '
            f'{abs(longitude):.5f}° {"EW"[longitude < 0]}')


def _listed(findings: SceneFindings, kind: str, words: Mapping[str, Any]) -> str:
    """Say how many of how many places are listed."""
    total = len(findings.regions if kind == 'regions' else findings.sentences)
    if not total:
        return words['none_listed']
    if total <= _MOST_PLACES:
        return words['all'].format(f'{total:,}')
    return words['some' if kind == 'regions' else 'some_windows'].format(
        _MOST_PLACES, f'{total:,}')


def _controls(findings: SceneFindings, kind: str, words: Mapping[str, Any], language: str
              ) -> dict[str, list[tuple[str, str]]]:
    """Return (value, text) of what the list can be limited to, and of its orders, first default."""
    if kind == 'windows':
        flags = set(map(bool, findings.sentences['flag']))
        groups = {name: words[name] for name in ('changed', 'unchanged')}
        groups, orders = groups if len(flags) == 2 else {}, ['by_change', 'by_score', 'by_order']
    else:
        groups = {name: class_text(name, language) for name in sorted(set(
            findings.regions['class']))}
        orders = ['by_area', 'by_score', 'by_class', 'by_order']
    several = len(groups) > 1
    return {
        'choices': [('', words['every' if kind == 'regions' else 'every_window']),
                    *(groups.items() if several else ())],
        'sorts': [('group' if order in ('by_change', 'by_class') else order[3:], words[order])
                  for order in orders if several or order not in ('by_change', 'by_class')],
    }


def _check(summary: Mapping[str, Any], words: Mapping[str, Any], language: str
           ) -> dict[str, Any] | None:
    """Return the verdict of the check of the pair, the reasons for it, and what was in order."""
    check = summary['provenance'].get('pair_check')
    if not isinstance(check, Mapping):
        return None
    verdict, findings = str(check.get('verdict') or ''), check.get('findings') or []
    told = [(finding, (finding.get('texts') or {}).get(language, finding['text']))
            for finding in findings]
    fine = {finding['name']: text for finding, text in told if finding['status'] == 'ok'}
    rest = {key: value for key, value in check.items() if key not in ('verdict', 'findings')}
    return {'verdict': words['verdict'].get(verdict, verdict), 'grade': verdict,
            'reasons': [text for finding, text in told if finding['status'] != 'ok'],
            'rows': [*fine.items(), *_rows(rest)]}


def _origin(scene: Scene, findings: SceneFindings, summary: Mapping[str, Any]
            ) -> list[tuple[str, str]]:
    """Return what the answers come from, as keys and values."""
    grid = scene.reader.grid
    sources = {f'source.{number}': source for number, source in enumerate(summary['sources'], 1)}
    crs = findings.regions.crs
    place = {} if crs is None else {
        'crs': ' · '.join(filter(None, [crs.name, crs.to_string() if crs.to_epsg() else '']))}
    rest = {key: value for key, value in summary['provenance'].items() if key != 'pair_check'}
    return list(_rows({**sources, 'size': f'{grid.width} x {grid.height}', **place,
                       'windows': summary['windows']['computed'], 'model': summary['model'],
                       **rest}))


def _rows(values: Mapping[str, Any], above: str = '') -> Iterable[tuple[str, str]]:
    """Yield nested values as rows with dotted keys; what is not known is left out."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _rows(value, f'{above}{key}.')
        elif value not in (None, '', [], ()):
            yield above + key, _value(value)


def _value(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple) and not any(isinstance(item, list | dict) for item in value):
        return ', '.join(map(_value, value))
    if isinstance(value, float):
        return f'{value:.6g}'
    return json.dumps(value, ensure_ascii=False)
