"""Findings and overview as one HTML file with pictures, which needs no network.

Colours and tables are those of the reports of tests (``rscc.visualization``).
"""
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from rscc.doctor.kinds import KINDS, WORDS
from rscc.doctor.register import Register
from rscc.doctor.report import ordered, root_of, summed, told, totals
from rscc.doctor.sources import Part, Sample
from rscc.rasters.image_files import NeedsMapping, as_rgb, read_rgb
from rscc.text.land_cover import class_text
from rscc.utils import atomic_write, progress
from rscc.version import __version__
from rscc.visualization.overlays import overlay_mask, tint_palette
from rscc.visualization.pages import render_page
from rscc.visualization.picture_files import data_address

#: Samples shown of each kind of finding, and how many details of it.
SHOWN, _DETAILS = 4, 200
_SIDE, _QUALITY = 200, 70


def write_page(register: Register, parts: Sequence[Part], overview: Mapping[str, Any],
               path: str | os.PathLike, language: str = 'en') -> Path:
    """Write the page.

    Args:
        register: A complete record.
        parts: What was examined; images are read again for the pictures.
        overview: Of ``rscc.doctor.overview``.
        path: The file; replaced when the new one is complete.
        language: Of the page.

    Returns:
        The file.
    """
    counts, words = register.counts(), WORDS[language]
    findings = [_finding(register, parts, kind, counts[kind], language)
                for kind in progress(ordered(counts), words['drawing'], unit=words['one_kind'])]
    types = [{'title': words['types'][name], **found,
              'cards': [_card(register, parts, n, '') for n in found['samples']]}
             for name, found in overview['changes'].items()]
    plain = [] if types else [_card(register, parts, n, '') for n in _spread(register.done)]
    severities, total = totals(counts), summed(counts, language)
    written = f'{datetime.now():%Y-%m-%d %H:%M} rscc {__version__}'
    with atomic_write(path) as file:
        file.writelines(render_page(
            'rscc.doctor', 'doctor.html.j2', ('base.css', 'report.css', 'doctor.css'), (),
            language=language, words=words, name=parts[0].title, root=root_of(parts),
            findings=findings, totals=severities, total=total, overview=overview, types=types,
            plain=plain, written=written, samples=register.done,
            colours=_colours(parts[0], overview), named=lambda name: _named(name, language)))
    return Path(path)


def _named(name: str, language: str) -> str:
    """Return what a class or thing is called in the language of the page."""
    return WORDS[language]['names'].get(name) or class_text(name, language)


def _spread(count: int) -> list[int]:
    """Return a few samples from all over the dataset."""
    return sorted({*np.linspace(0, count - 1, min(8, count)).astype(int).tolist()})


def _finding(register: Register, parts: Sequence[Part], kind: str, count: int, language: str
             ) -> dict[str, Any]:
    rows = register.examples(kind, _DETAILS, language)
    found = KINDS[kind]
    cards = [_card(register, parts, n, detail, partner) for n, detail, partner in rows[:SHOWN]
             if n is not None]
    lines = [detail for n, detail, _ in rows if n is None]
    more = [told(register, kind, row, language) for row in rows[SHOWN:] if row[0] is not None]
    return {'kind': kind, 'severity': found.severity, 'count': count, 'drops': found.drops,
            'text': found.text(language), 'advice': found.advice(language), 'cards': cards,
            'lines': lines, 'more': more, 'rest': count - len(rows)}


def _card(register: Register, parts: Sequence[Part], n: int, detail: str,
          partner: int | None = None) -> dict[str, Any]:
    """Return what is shown of a sample, and of the one that it is like."""
    place, name, split, data = register.sample(n)
    card = {'id': f'{split}/{name}' if split else name, 'detail': detail,
            'captions': data['captions'] or [], 'other': None,
            'pictures': _pictures(parts[place], name, split, data)}
    if partner is not None:
        where, other, beside, theirs = register.sample(partner)
        card |= {'other': f'{beside}/{other}' if beside else other,
                 'theirs': _pictures(parts[where], other, beside, theirs)}
    return card


def _pictures(part: Part, name: str, split: str, data: Mapping[str, Any]) -> list[str | None]:
    """Return small pictures of the dates, with the mask over the last one as one more."""
    frames = _frames(part, name, split, data)
    shown = [None if frame is None else _address(frame) for frame in frames]
    last = frames[-1] if frames else None
    if last is not None and data['label']:
        try:
            mask = part.read_mask(data['label'])
            shown.append(_address(overlay_mask(last, mask, _palette(part, mask))))
        except (OSError, ValueError):
            shown.append(None)
    return shown


def _frames(part: Part, name: str, split: str, data: Mapping[str, Any]
            ) -> list[np.ndarray | None]:
    if part.load is not None:
        sample = next((one for one in part.samples() if (one.name, one.split) == (name, split)),
                      Sample(name, split))
        return [as_rgb(frame) for frame in _loaded(part, sample)]
    frames: list[np.ndarray | None] = []
    for path in data['images']:
        try:
            frames.append(_shown(path, part))
        except (OSError, ValueError):
            frames.append(None)
    return frames


def _shown(path: str, part: Part) -> np.ndarray:
    """Read an image as the dataset does; one that it cannot read so, stretched to be seen."""
    try:
        return read_rgb(path, part.bands, part.scale)
    except NeedsMapping as error:
        count = error.facts['count']
        bands = part.bands or ((1, 2, 3) if count > 2 else (1, ) * 3)
        return read_rgb(path, bands, part.scale or 'percentile')


def _loaded(part: Part, sample: Sample) -> list[np.ndarray]:
    from rscc.datasets.transforms.loading import LoadFrames
    try:
        return LoadFrames(part.bands, part.scale)(part.load(sample))['frames']
    except (OSError, ValueError, TypeError):
        return []


def _palette(part: Part, mask: np.ndarray) -> Sequence:
    count = len(part.classes or ()) or int(mask[mask < 253].max(initial=1)) + 1
    return tint_palette(max(count, 2), part.palette)


def _colours(part: Part, overview: Mapping[str, Any]) -> dict[int, str]:
    """Return the colour of each class that masks hold."""
    known = [found['class'] for found in overview['classes'] if found['class'] < 253]
    palette = tint_palette(max([*known, 1]) + 1, part.palette)
    return {value: '#' + bytes(palette[value]).hex() for value in known if value}


def _address(frame: np.ndarray) -> str:
    image = Image.fromarray(frame)
    image.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    return data_address(image, _QUALITY)
