"""Wishes of a visitor about a run: as they are typed, for the model, and as a command line."""
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rscc.demo.words import Problem


@dataclass(frozen=True)
class Asked:
    """Options of one run of the web page, as its visitor has set them.

    Attributes:
        language: Of the sentences, ``'en'`` or ``'zh'``.
        nbest: Sentences to show.
        bands: Bands that are read, counted from 1; None for the model's.
        scale: Values that become 0 and 255; None for the model's.
        align: Move the later date by the shift that the pair check estimates.
        match_histogram: Bring the later date's values to the earlier one's distribution.
        force: Go on where the pair check refuses, or one date alone has a place on the map.
    """
    language: str = 'en'
    nbest: int = 3
    bands: tuple[int, ...] | None = None
    scale: Any = None
    align: bool = False
    match_histogram: bool = False
    force: bool = False

    @property
    def as_scene(self) -> bool:
        """Whether something is wanted that only scenes know."""
        return self.align or self.match_histogram or self.force


def decoding_of(known: Mapping[str, Any], nbest: int, language: str | None) -> dict[str, Any]:
    """Return the decoding options for some sentences in a language.

    Args:
        known: Options of the caption head; empty without one.
        nbest: Sentences, 1 or more; a search needs as many beams, a sampler as many draws.
        language: None where the model has no choice.
    """
    given: dict[str, Any] = {}
    if nbest > 1 and 'num_captions' in known:
        given['num_captions'] = nbest
        width = 'num_beams' if 'num_beams' in known else 'num_samples'
        if width in known:
            given[width] = max(known[width], nbest)
    if language is not None and 'language' in known:
        given['language'] = language
    return given


def command_of(name: str, images: Sequence[Path], asked: Asked, language: str | None,
               scene: bool = False, forced: bool = False) -> str:
    """Return the command that writes the same files.

    Args:
        name: Of the model.
        images: Files of the dates.
        asked: What was wanted.
        language: Of the sentences; None where the model has no choice.
        scene: Whether the files are those of a scene, which have the sentences of its windows.
        forced: Whether it takes ``--force`` for the files to be those of a scene: of pictures
            without a place that fit a window.
    """
    def quoted(text: str) -> str:
        text = f'./{text}' if text.startswith('-') else text  # no option
        return text if re.fullmatch(r'[\w./+-]+', text) else "'" + text.replace("'", "'\\''") + "'"

    parts = ['rscc infer', quoted(name)]
    flags = ('--img-from', '--img-to') if len(images) > 1 else ('--img', )
    parts += [f'{flag} {quoted(path.name)}' for flag, path in zip(flags, images, strict=True)]
    parts += [f'--nbest {asked.nbest}'] if not scene and asked.nbest > 1 else []
    parts += [f'--language {language}'] if language else []
    parts += [f"--bands {' '.join(map(str, asked.bands))}"] if asked.bands else []
    if asked.scale is not None:
        parts.append('--scale ' + (asked.scale if isinstance(asked.scale, str) else ' '.join(
            f'{value:g}' for value in np.ravel(asked.scale))))
    parts += [flag for flag, wanted in (
        ('--align', asked.align), ('--match-histogram', asked.match_histogram),
        ('--force --assume-same-grid', asked.force),
        ('--force', forced and not asked.force)) if wanted]
    return ' '.join([*parts, '--out out'])


def parse_bands(text: str) -> tuple[int, ...] | None:
    """Read bands as a visitor types them: ``'4 3 2'`` or ``'4,3,2'``; None for nothing."""
    parts = re.split(r'[\s,，;]+', (text or '').strip())
    if parts == ['']:
        return None
    if len(parts) > 64 or not all(re.fullmatch('[0-9]{1,4}', part) and int(part) for part in parts):
        raise Problem('bad_bands', found=text[:60])
    return tuple(map(int, parts))


def parse_scale(text: str) -> Any:
    """Read a scale as a visitor types it: ``'0 3000'`` or ``'percentile'``; None for nothing."""
    parts = re.split(r'[\s,，;]+', (text or '').strip())
    if parts == ['']:
        return None
    if parts == ['percentile']:
        return 'percentile'
    try:
        values = tuple(map(float, parts))
    except ValueError:
        values = ()
    pairs = tuple(zip(values[::2], values[1::2], strict=False))
    if not values or len(values) % 2 or len(values) > 128 or not all(
            np.isfinite([low, high]).all() and low < high for low, high in pairs):
        raise Problem('bad_scale', found=text[:60])
    return pairs[0] if len(pairs) == 1 else pairs
