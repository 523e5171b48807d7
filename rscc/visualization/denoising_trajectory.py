"""Denoising trajectory of a caption: its sentence at every noise level, as rows or a picture.

:func:`denoising_rows` compares the sentences; the HTML report shows the rows as a table, and
:func:`draw_denoising` draws them beside the images.
"""
import math
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import groupby
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from rscc.rasters.image_files import as_rgb
from rscc.structures import SampledCaption
from rscc.visualization.fonts import find_cjk_font, font_for, has_cjk, wrap
from rscc.visualization.panels import LABELS, frame_names

_MARGIN, _GAP, _TILE, _WIDTH, _LINE, _SIZE, _BLANK = 24, 28, 240, 1120, 25, 15, 6
#: Columns right of the images: noise level, its bar, the sentence.
_BAR, _TEXT = 128, 232
_INK, _SOFT, _ACCENT, _TINT, _BAD, _PALE, _PAPER = (
    (28, 32, 38), (140, 147, 156), (12, 98, 168), (222, 237, 250), (179, 54, 27), (232, 235, 239),
    (255, 255, 255))


class Run(NamedTuple):
    """Neighbouring words that are equally final and equally new.

    Attributes:
        text: The words.
        final: Whether the finished sentence has them too, in this order.
        new: Whether they were not there one row before.
    """
    text: str
    final: bool
    new: bool


class Row(NamedTuple):
    """Successive denoising steps with the same sentence.

    Attributes:
        sigma: Noise level of the first.
        last_sigma: Noise level of the last, the same for a single step.
        steps: How many.
        noise: ``sigma`` on a logarithmic scale, 0 to 1, from the least noise of the trajectory to
            the most.
        runs: The sentence; none where it was empty.
    """
    sigma: float
    last_sigma: float
    steps: int
    noise: float
    runs: list[Run]

    @property
    def label(self) -> str:
        """The noise level, or the range of it, to three digits."""
        ends = dict.fromkeys(f'{sigma:.3g}' for sigma in (self.sigma, self.last_sigma))
        return ' – '.join(ends)


def denoising_rows(trajectory: Sequence[tuple[float, str]], final: str) -> list[Row]:
    """Lay out a denoising trajectory, a row for every sentence that differs from the one before.

    Args:
        trajectory: Noise level and sentence of every step, noisiest first.
        final: The finished sentence.

    Returns:
        Rows, noisiest first.
    """
    chinese = has_cjk(final) or any(has_cjk(text) for _, text in trajectory)
    target = _words(final, chinese)
    rows, before = [], None
    for text, group in groupby(trajectory, key=lambda step: step[1]):
        sigmas = [sigma for sigma, _ in group]
        words = _words(text, chinese)
        kept, fresh = _matched(words, target), set()
        if before is not None:
            fresh = set(range(len(words))) - _matched(words, before)
        runs = [Run(('' if chinese else ' ').join(words[i] for i in places), *kind)
                for kind, places in _kinds(len(words), kept, fresh)]
        rows.append(Row(sigmas[0], sigmas[-1], len(sigmas), _noise(sigmas[0], trajectory), runs))
        before = words
    return rows


def _words(text: str, chinese: bool) -> list[str]:
    """Split a sentence into what is compared; Chinese by characters, no blanks tell its words."""
    return list(text) if chinese else text.split()


def _matched(words: list[str], others: list[str]) -> set[int]:
    """Return the places of the words that both sentences have in the same order."""
    blocks = SequenceMatcher(None, words, others, autojunk=False).get_matching_blocks()
    return {place for start, _, size in blocks for place in range(start, start + size)}


def _kinds(count: int, kept: set[int], fresh: set[int]) -> list[tuple[tuple[bool, bool], list]]:
    """Group neighbouring places by (final, new)."""
    return [(kind, list(places)) for kind, places in
            groupby(range(count), key=lambda place: (place in kept, place in fresh))]


def _noise(sigma: float, trajectory: Sequence[tuple[float, str]]) -> float:
    levels = [level for level, _ in trajectory if level > 0]
    if sigma <= 0 or max(levels) == min(levels):
        return float(sigma > 0)
    return math.log(sigma / min(levels)) / math.log(max(levels) / min(levels))


def draw_denoising(frames: Sequence[np.ndarray], caption: SampledCaption,
                   title: str | None = None) -> np.ndarray:
    """Draw a caption at falling noise levels, as one row a sentence beside the images.

    Words of the finished sentence are dark and others grey; words that were not there one row above
    are blue where they stay and underlined where they do not. Steps that change nothing share a
    row.

    Args:
        frames: uint8 images (H, W, B), earliest first; their first three bands are shown.
        caption: A sentence with its trajectory.
        title: A line on top, the sample's name for instance.

    Returns:
        uint8 RGB (height, width, 3).

    Raises:
        ValueError: If there is no frame, or no trajectory.
    """
    if not frames or not caption.trajectory:
        raise ValueError(f'draw_denoising got {len(frames)} frame(s) and a trajectory '
                         f'of {len(caption.trajectory)} step(s); expected at least one of each')
    chinese = any(has_cjk(text) for text in (caption.text, caption.trajectory[0][1]))
    words = LABELS['zh' if chinese and find_cjk_font() is not None else 'en']
    page = _Page(_MARGIN + _TILE + _GAP)
    if title is not None:
        page.lines(title, 15, _SOFT)
        page.y += 6
    page.lines(caption.text or '—', 22, _INK)
    page.y += 8
    page.agreement(caption, words)
    page.legend(words)
    for row in denoising_rows(caption.trajectory, caption.text):
        page.row(row, words)
    tiles = [_tile(frame) for frame in frames]
    return page.finish(tiles, frame_names(len(frames), words))


def _tile(frame: np.ndarray) -> Image.Image:
    height = max(1, round(frame.shape[0] * _TILE / frame.shape[1]))
    return Image.fromarray(as_rgb(frame)).resize((_TILE, height), Image.Resampling.LANCZOS)


class _Page:
    """The column right of the images, which grows downwards."""

    def __init__(self, left: int) -> None:
        self.left, self.y = left, _MARGIN
        self.canvas = Image.new('RGB', (_WIDTH, 2000), _PAPER)

    def _draw(self, needed: int) -> ImageDraw.ImageDraw:
        """Return what draws on a canvas with at least ``needed`` pixels below the current line."""
        if self.y + needed > self.canvas.height:
            taller = Image.new('RGB', (_WIDTH, 2 * self.canvas.height + needed), _PAPER)
            taller.paste(self.canvas)
            self.canvas = taller
        return ImageDraw.Draw(self.canvas)

    def lines(self, text: str, size: int, colour: tuple) -> None:
        """Write wrapped text."""
        font = font_for(text, size)
        for line in wrap(text, font, _WIDTH - _MARGIN - self.left):
            self._draw(2 * size).text((self.left, self.y), line, colour, font)
            self.y += round(1.35 * size)

    def agreement(self, caption: SampledCaption, words: dict) -> None:
        """Draw how much the sentences agree as a bar, and whether that is too little."""
        if caption.drawn < 2 and not caption.abstained:
            return
        label = words['agreement'].format(caption.drawn)
        font, colour = font_for(label, 14), _BAD if caption.abstained else _ACCENT
        draw, x = self._draw(60), self.left
        draw.text((x, self.y), label, _INK, font)
        x += round(font.getlength(label)) + 14
        box = (x, self.y + 4, x + 160, self.y + 13)
        draw.rounded_rectangle(box, 4, _PALE)
        share = min(max(caption.agreement, 0), 1)
        if share > 0:
            draw.rounded_rectangle((x, box[1], x + max(8, round(160 * share)), box[3]), 4, colour)
        draw.text((x + 172, self.y), f'{caption.agreement:.2f}', colour, font_for('0', 14, True))
        if caption.abstained:
            draw.text((x + 220, self.y), words['doubt'], _BAD, font_for(words['doubt'], 14))
        self.y += 30

    def legend(self, words: dict) -> None:
        """Write what the styles of the words mean, and rule the table off."""
        draw = self._draw(60)
        draw.line((self.left, self.y, _WIDTH - _MARGIN, self.y), _PALE)
        self.y += 12
        title = words['trajectory']
        draw.text((self.left, self.y), title, _SOFT, font_for(title, 14))
        x = self.left + _TEXT
        looks = ((False, False), (True, False), (True, True), (False, True))
        for name, look in zip(words['kinds'], looks, strict=True):
            self._words([(x, self.y, name, Run(name, *look))])
            x += round(font_for(name, _SIZE).getlength(name)) + 22
        self.y += _LINE + 10

    def row(self, row: Row, words: dict) -> None:
        """Write the noise level with its bar, and the sentence then."""
        draw, top = self._draw(3 * _LINE), self.y
        level = f'{words["noise"]} {row.label}'
        draw.text((self.left, top + 1), level, _SOFT, font_for(level, 13))
        left = self.left + _BAR
        draw.rounded_rectangle((left, top + 7, left + max(5, round(84 * row.noise)), top + 11), 2,
                               _SOFT)
        if row.steps > 1:
            text = words['steps'].format(row.steps)
            draw.text((self.left, top + 19), text, _SOFT, font_for(text, 11))
            self.y += 12
        pieces = [(x, top + line * _LINE, text, run)
                  for line, x, text, run in _placed(row.runs, self.left + _TEXT)]
        self.y = max([self.y, *(y for _, y, _, _ in pieces)])
        self._words(pieces)
        self.y += _LINE + 2

    def _words(self, pieces: Sequence[tuple[int, int, str, Run]]) -> None:
        """Write words (x, y, text, run), each in the style of its kind."""
        draw = self._draw(2 * _LINE)
        for x, y, text, run in pieces:
            width = round(font_for(text, _SIZE).getlength(text))
            if run.final and run.new:
                draw.rounded_rectangle((x - 3, y - 1, x + width + 3, y + 21), 4, _TINT)
            elif run.new:
                draw.line((x, y + 20, x + width, y + 20), _SOFT)
        for x, y, text, run in pieces:
            colour = _SOFT if not run.final else _ACCENT if run.new else _INK
            draw.text((x, y), text, colour, font_for(text, _SIZE))

    def finish(self, tiles: list[Image.Image], names: list[str]) -> np.ndarray:
        """Put the images beside, and cut off what is not needed."""
        bottom, self.y = self.y, _MARGIN
        for tile, name in zip(tiles, names, strict=True):
            draw = self._draw(tile.height + 60)
            draw.text((_MARGIN, self.y), name, _SOFT, font_for(name, 14))
            self.canvas.paste(tile, (_MARGIN, self.y + 24))
            self.y += 24 + tile.height + 16
        height = max(bottom, self.y) + _MARGIN - 12
        return np.asarray(self.canvas.crop((0, 0, _WIDTH, height)))


def _placed(runs: Sequence[Run], left: int) -> Iterator[tuple[int, int, str, Run]]:
    """Break a sentence into lines; yield (line, x, words, run) of every piece."""
    line, x = 0, left
    for run in runs:
        rest = ' '.join(run.text.split())
        while rest:
            font = font_for(rest, _SIZE)
            room = _WIDTH - _MARGIN - x
            # Of a full line first: wrapping by the room that is left would cut words apart.
            piece = wrap(rest, font, _WIDTH - _MARGIN - left)[0]
            while piece and font.getlength(piece) > room:
                piece = piece[:-1] if has_cjk(piece) else piece.rpartition(' ')[0]
            if piece:
                yield line, x, piece, run
                x += round(font.getlength(piece)) + (0 if has_cjk(piece) else _BLANK)
                rest = rest[len(piece):].lstrip()
            if rest:
                line, x = line + 1, left
