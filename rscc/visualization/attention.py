"""Pictures that captions bring along: attention maps, and how each kind of caption is drawn.

``draw_attention`` makes a picture for people; ``save_evidence`` a small file for the report, which
lays the maps over its own pictures.

One table serves the test's pictures (``PanelHook``), ``InferenceResult`` and ``tools/infer.py``; a
head with something else to show adds a line.
"""
import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from rscc.rasters.image_files import as_rgb, opened
from rscc.structures import SampledCaption, ScoredCaption
from rscc.utils import atomic_write, did_you_mean
from rscc.visualization.denoising_trajectory import draw_denoising
from rscc.visualization.fonts import find_cjk_font, font_for, has_cjk, wrap
from rscc.visualization.panels import LABELS, frame_names

_MARGIN, _GAP, _COLUMNS, _TILE, _LABEL = 20, 12, 6, 180, 26
_INK, _SOFT, _PAPER = (28, 32, 38), (104, 112, 122), (255, 255, 255)
#: A map is drawn at full heat where its weight is this many times the even one, or its own largest
#: where that is more: a decoder that looks everywhere alike must not seem to look hard.
_HOT = 4
_DIFFERENCE = {'en': 'Difference', 'zh': '差异'}


def draw_attention(frames: Sequence[np.ndarray], caption: ScoredCaption,
                   title: str | None = None) -> np.ndarray:
    """Draw the words of a caption, each over its attention map.

    The first column is the image. With several groups of tokens (dates, then their difference),
    a word has one map under the other; groups beyond the dates lie over the last date.

    Args:
        frames: uint8 images (H, W, B), earliest first; their first three bands are shown.
        caption: A sentence with its maps.
        title: A line on top, the sample's name for instance.

    Returns:
        uint8 RGB (height, width, 3).

    Raises:
        ValueError: If there is no frame, or there are fewer groups of maps than frames.
    """
    groups = caption.attention.shape[1]
    if not frames or groups < len(frames):
        raise ValueError(f'draw_attention got {len(frames)} frame(s) and maps of {groups} group(s) '
                         'of tokens; expected at least one frame, and a group for each')
    tiles = [_tile(frames[min(group, len(frames) - 1)]) for group in range(groups)]
    names = _names(len(frames), groups, caption.text)
    cells = [(names[0] if groups == 1 else '', tiles)]
    for word, levels in zip(caption.words, _levels(caption), strict=True):
        cells.append((word, [_heat(tile, level) for tile, level in
                             zip(tiles, levels, strict=True)]))
    return _page(cells, names if groups > 1 else [], caption.text, title)


def _levels(caption: ScoredCaption) -> np.ndarray:
    """Return the heat of every place at every word, 0 to 1, (W, G, h, w)."""
    weights = caption.attention.numpy()
    hottest = weights.max((1, 2, 3), keepdims=True, initial=_HOT / max(1, weights[:1].size))
    return weights / hottest


def _tile(frame: np.ndarray) -> np.ndarray:
    """Scale an image to the width of a column."""
    height = max(1, round(frame.shape[0] * _TILE / frame.shape[1]))
    return cv2.resize(as_rgb(frame), (_TILE, height), interpolation=cv2.INTER_AREA)


def _heat(tile: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Lay a map (h, w), 0 to 1, over an image: cold places go grey and dark, hot ones glow."""
    size = tile.shape[1::-1]
    level = cv2.resize(level.astype(np.float32), size, interpolation=cv2.INTER_CUBIC).clip(0, 1)
    colours = cv2.applyColorMap(np.rint(255 * level).astype(np.uint8), cv2.COLORMAP_INFERNO)
    grey = np.repeat(tile.mean(2, keepdims=True), 3, 2)
    opacity = 0.35 + 0.3 * level[..., None]
    return np.rint(grey * (1 - opacity) + colours[..., ::-1] * opacity).astype(np.uint8)


def _names(frames: int, groups: int, text: str) -> list[str]:
    """Name the groups, in Chinese where the sentence is and can be drawn."""
    language = 'zh' if has_cjk(text) and find_cjk_font() is not None else 'en'
    return [*frame_names(frames, LABELS[language]), *[_DIFFERENCE[language]] * (groups - frames)]


def _page(cells: list[tuple[str, list[np.ndarray]]], names: list[str], text: str,
          title: str | None) -> np.ndarray:
    """Arrange the cells (a word over its tiles) in rows under the sentence."""
    columns = min(_COLUMNS, len(cells))
    width = max(2 * _MARGIN + columns * (_TILE + _GAP) - _GAP, 3 * _TILE)
    height = sum(len(tile) + _GAP for tile in cells[0][1]) + _LABEL
    lines = [] if title is None else [(title, font_for(title, 17, True), _INK)]
    font = font_for(text, 17)
    lines += [(line, font, _INK) for line in wrap(text, font, width - 2 * _MARGIN)]
    top = _MARGIN + 28 * len(lines) + 8
    rows = -(-len(cells) // columns)
    canvas = Image.new('RGB', (width, top + rows * height + _MARGIN - _GAP), _PAPER)
    draw = ImageDraw.Draw(canvas)
    for number, (line, face, colour) in enumerate(lines):
        draw.text((_MARGIN, _MARGIN + 28 * number), line, colour, face)
    for number, (word, tiles) in enumerate(cells):
        row, column = divmod(number, columns)
        place = (_MARGIN + column * (_TILE + _GAP), top + row * height)
        _cell(canvas, draw, place, word, tiles, names if column == 0 else [])
    return np.asarray(canvas)


def _cell(canvas: Image.Image, draw: ImageDraw.ImageDraw, place: tuple[int, int], word: str,
          tiles: list[np.ndarray], names: list[str]) -> None:
    """Write a word and put its tiles below, each with the name of its group in the corner."""
    x, y = place
    draw.text((x, y), word, _INK if word else _SOFT, font_for(word, 15, True))
    y += _LABEL
    for number, tile in enumerate(tiles):
        canvas.paste(Image.fromarray(tile), (x, y))
        if number < len(names):
            font = font_for(names[number], 12)
            box = (x, y, x + round(font.getlength(names[number])) + 12, y + 20)
            draw.rectangle(box, _PAPER)
            draw.text((x + 6, y + 3), names[number], _SOFT, font)
        y += len(tile) + _GAP


@dataclass(frozen=True)
class Evidence:
    """Where a model looked for every word of a sentence.

    Attributes:
        words: The W words.
        grid: Groups, rows and columns (G, h, w) of each word's map.
        sheet: Heat of all maps as uint8 (G * h, W * w): words from left to right, groups from top
            to bottom; 255 is the hottest.
    """
    words: list[str]
    grid: tuple[int, int, int]
    sheet: np.ndarray


def save_evidence(path: str | os.PathLike, caption: ScoredCaption) -> Path | None:
    """Write a sentence's words and maps as one small grey PNG, atomically.

    Args:
        path: The file; words and grid stand in its text entry ``rscc``.
        caption: A sentence with its maps.

    Returns:
        The file; None where the sentence has no word, and nothing is written.
    """
    if not caption.words:
        return None
    grid = tuple(caption.attention.shape[1:])
    sheet = np.rint(255 * _levels(caption)).astype(np.uint8).transpose(1, 2, 0, 3)
    about = PngInfo()
    about.add_itxt('rscc', json.dumps({'words': caption.words, 'grid': grid}, ensure_ascii=False))
    encoded = io.BytesIO()
    Image.fromarray(sheet.reshape(grid[0] * grid[1], -1)).save(encoded, 'PNG', pnginfo=about)
    with atomic_write(path, 'wb') as file:
        file.write(encoded.getvalue())
    return Path(path)


def read_evidence(path: str | os.PathLike) -> Evidence | None:
    """Read what :func:`save_evidence` wrote; None where there is no such file.

    Raises:
        ValueError: If the file is another kind of picture.
    """
    if not Path(path).is_file():
        return None
    with opened(path) as (file, _):
        sheet, about = np.asarray(file.convert('L')), file.info.get('rscc')
    try:
        about = json.loads(about)
        words, grid = [str(word) for word in about['words']], tuple(map(int, about['grid']))
        fits = sheet.shape == (grid[0] * grid[1], len(words) * grid[2])
    except (KeyError, TypeError, ValueError, IndexError):
        fits = False
    if not fits:
        raise ValueError(f"'{path}' holds no attention maps: expected a grey PNG with its words "
                         "in the text entry 'rscc', as tools/test.py --show-dir writes it")
    return Evidence(words, grid, sheet)


class CaptionDrawing(NamedTuple):
    """One kind of picture of a caption.

    Attributes:
        name: Of the folder and the files.
        what: Its plural, for messages.
        option: Decoding option that asks for it.
        heads: Caption heads that have it, for messages.
        has: Tells whether a caption has what is drawn.
        draw: Draws frames (uint8 (H, W, B), earliest first), caption and title as uint8 RGB.
    """
    name: str
    what: str
    option: str
    heads: str
    has: Callable[[ScoredCaption], bool]
    draw: Callable[..., np.ndarray]


CAPTION_DRAWINGS = (
    CaptionDrawing('attention', 'attention maps', 'return_attention',
                   'AttentionLSTMHead, BlipCaptionHead, KarrasCaptionHead, MaskedCaptionHead',
                   lambda caption: caption.attention is not None, draw_attention),
    CaptionDrawing('denoising', 'denoising trajectories', 'return_trajectory',
                   'KarrasCaptionHead, MaskedCaptionHead',
                   lambda caption: isinstance(caption, SampledCaption) and bool(caption.trajectory),
                   draw_denoising),
)


def drawings_of(caption: ScoredCaption | None) -> list[CaptionDrawing]:
    """Return the kinds of picture that can be drawn of a caption; none for None."""
    return [] if caption is None else [kind for kind in CAPTION_DRAWINGS if kind.has(caption)]


def find_drawing(name: str, caption: ScoredCaption | None) -> CaptionDrawing:
    """Return the kind of picture of this name.

    Args:
        name: As in the table, ``'attention'`` for instance.
        caption: Whose picture it is to be; None where there is no sentence.

    Raises:
        ValueError: If there is no such kind, or the caption does not bring it.
    """
    known = {kind.name: kind for kind in CAPTION_DRAWINGS}
    if name not in known:
        raise ValueError(f"captions have no drawing '{name}'; expected one of {', '.join(known)}."
                         f'{did_you_mean(name, known)}')
    kind = known[name]
    if caption is None or not kind.has(caption):
        raise ValueError(f'there are no {kind.what} to draw: ask for them with {kind.option}=True, '
                         f'of a model whose caption head has some ({kind.heads})')
    return kind
