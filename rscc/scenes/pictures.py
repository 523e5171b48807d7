"""Pictures of a scene for its report: the reduced dates, the reduced map, and crops of places."""
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from rscc.rasters.image_files import as_rgb
from rscc.scenes.contracts import NODATA, Block, BlockAnswer, Box, Scene, SceneGrid
from rscc.scenes.damage import read_reduced
from rscc.visualization.overlays import mask_layer, overlay_mask
from rscc.visualization.picture_files import data_address, save_image, save_mask

ReadBlock = Callable[[Block], BlockAnswer]
_THUMBNAIL, _CROP = 1600, 256  # longer side in pixels
_LEAST_CROP = 96  # pixels of the scene
_CONTEXT = 1.6  # side of a crop in sides of its place
_QUALITIES = (82, 70, 55, 40, 25)
# Characters of a picture in the file; with 400 crops the whole stays below 15 MB.
_THUMBNAIL_SIZE, _CROP_SIZE = 1_700_000, 26_000
_MOST_PIXELS = 25_000_000  # of a scene that is drawn as a picture too
_UNREAD = 200  # grey of what cannot be read
# RGBA of the hatching over pixels without an answer.
_GROUND, _STRIPES = (226, 229, 233, 190), (120, 127, 134, 230)
_EDGE = 2.5  # pixels
_MOST_POINTS = 600  # of an outline


@dataclass(frozen=True)
class Crop:
    """Pictures of a place, for a page.

    Attributes:
        box: Pixels of the scene that they show.
        frames: A ``data:`` address per date.
        outline: SVG path of the place in pixels of the box, from its upper left corner.
    """
    box: Box
    frames: tuple[str, ...]
    outline: str

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels of the scene."""
        return self.box[2] - self.box[0], self.box[3] - self.box[1]


def thumbnail_shape(grid: SceneGrid) -> tuple[int, int]:
    """Return the (height, width) of a scene's thumbnail: at most 1600, never enlarged."""
    return _reduced(grid.height, grid.width, _THUMBNAIL)


def thumbnails(scene: Scene) -> list[str]:
    """Return the dates of a scene, reduced, as ``data:`` addresses; grey where damaged."""
    grid = scene.reader.grid
    return [_within(frame, _THUMBNAIL_SIZE)
            for frame in _read(scene, grid.box, thumbnail_shape(grid))]


def _read(scene: Scene, box: Box, shape: tuple[int, int]) -> list[np.ndarray]:
    """Read a box at a shape (h, w) as RGB; grey where the files are damaged."""
    frames = [np.full((*shape, 3), _UNREAD, np.uint8) for _ in range(scene.facts.dates)]
    read_reduced(lambda part, size: [*map(as_rgb, scene.reader.read(part, size)[0])], box, frames)
    return frames


def write_pictures(scene: Scene, read_block: ReadBlock, folder: Path) -> list[Path]:
    """Write the map of a picture as a picture: ``mask.png`` and ``overlay.png``.

    Of a model of semantic change also the class maps, ``classes_from.png`` and ``classes_to.png``.

    Programs for pictures know no GeoTIFF, and images without a place are pictures.

    Returns:
        The files; none of scenes with a place, larger than 25 megapixels, or without a map.
    """
    grid = scene.reader.grid
    if grid.transform is not None or grid.width * grid.height > _MOST_PIXELS or (
            'change_head' not in scene.facts.heads):
        return []
    mask = np.zeros((grid.height, grid.width), np.uint8)
    semantic = scene.facts.semantic
    by_date = None if semantic is None else np.zeros((2, *mask.shape), np.uint8)
    for block in scene.blocks:
        left, top, right, bottom = block.box
        answer = read_block(block)
        mask[top:bottom, left:right] = answer.classes
        if by_date is not None:
            by_date[:, top:bottom, left:right] = answer.class_maps
    shown = np.where(mask == NODATA, 0, mask)
    frames = _read(scene, grid.box, mask.shape)
    dates = () if by_date is None else zip(('classes_from', 'classes_to'), by_date, strict=True)
    return [save_mask(folder / 'mask.png', mask, scene.facts.map_palette),
            save_image(folder / 'overlay.png', overlay_mask(frames[-1], shown,
                                                            scene.facts.map_palette)),
            *(save_mask(folder / f'{name}.png', date, semantic.colours) for name, date in dates)]


def map_picture(scene: Scene, read_block: ReadBlock) -> str | None:
    """Return the reduced map as a transparent picture, a ``data:`` address.

    Args:
        scene: The scene.
        read_block: Gives the answer to a block.

    Returns:
        The map in the classes' colours with what has no answer hatched; None without a map.
    """
    if 'change_head' not in scene.facts.heads:
        return None
    shape = thumbnail_shape(scene.reader.grid)
    classes = reduced_map(scene, read_block, shape)
    layer = mask_layer(classes, shape, scene.facts.map_palette, alpha=0.5, edge_width=_EDGE)
    rows, columns = np.indices(shape, sparse=True)
    layer[classes == NODATA] = _GROUND
    layer[(classes == NODATA) & ((rows + columns) % 8 < 3)] = _STRIPES
    return data_address(Image.fromarray(layer), None)


def reduced_map(scene: Scene, read_block: ReadBlock, shape: tuple[int, int]) -> np.ndarray:
    """Reduce the map of a scene so that no changed pixel is lost.

    Args:
        scene: The scene.
        read_block: Gives the answer to a block; they are read one by one.
        shape: (h, w) of the result, no larger than the scene.

    Returns:
        uint8 (h, w): the highest class of the pixels that a place stands for, :data:`NODATA` where
        none of them has an answer. What would be thinner than three places is thickened.
    """
    grid = scene.reader.grid
    # One more than the class, so that 0 is no answer and a maximum finds the rest.
    highest = np.zeros(shape, np.uint8)
    for block in scene.blocks:
        answer = read_block(block)
        if answer.classes is None:
            continue
        left, top, right, bottom = block.box
        rows = np.arange(top, bottom) * shape[0] // grid.height
        columns = np.arange(left, right) * shape[1] // grid.width
        found = answer.classes + np.uint8(1)  # NODATA, 255, becomes 0
        found = np.maximum.reduceat(found, _starts(rows), axis=0)
        found = np.maximum.reduceat(found, _starts(columns), axis=1)
        part = highest[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1]
        np.maximum(part, found, out=part)
    classes = highest - np.uint8(1)
    return _thickened(classes) if grid.width > shape[1] else classes


def _starts(cells: np.ndarray) -> np.ndarray:
    """Return where a run of equal numbers begins."""
    return np.flatnonzero(np.diff(cells, prepend=-1))


def _thickened(classes: np.ndarray) -> np.ndarray:
    """Give a width of three to what is thinner; in a browser window it would fade away."""
    changed = np.where(classes == NODATA, 0, classes)
    square = np.ones((3, 3), np.uint8)
    thin = np.where(cv2.morphologyEx(changed, cv2.MORPH_OPEN, square) == 0, changed, 0)
    return np.where(classes == 0, cv2.dilate(thin, square), classes)


def crop_of(scene: Scene, place: Mapping[str, Any], whole: bool = False) -> Crop:
    """Return both dates of a place with some of what lies around it.

    Args:
        scene: The scene.
        place: ``left``, ``top``, ``right``, ``bottom`` in pixels, and ``geometry`` in the scene's
            coordinates.
        whole: Show the box of the place itself, which then needs no outline.

    Returns:
        Pictures of at most 256 pixels that show at least 96 pixels of the scene.
    """
    bounds = tuple(int(place[name]) for name in ('left', 'top', 'right', 'bottom'))
    box = bounds if whole else _surroundings(bounds, scene.reader.grid)
    width, height = box[2] - box[0], box[3] - box[1]
    frames = _read(scene, box, _reduced(height, width, _CROP))
    outline = '' if whole else _outline(place['geometry'], scene.reader.grid, box)
    return Crop(box, tuple(_within(frame, _CROP_SIZE) for frame in frames), outline)


def _surroundings(bounds: Box, grid: SceneGrid) -> Box:
    """Return a square around a box, inside the scene."""
    left, top, right, bottom = bounds
    side = max(_LEAST_CROP, round(_CONTEXT * max(right - left, bottom - top)))

    def span(low: int, high: int, size: int) -> tuple[int, int]:
        length = min(side, size)
        begin = min(max((low + high - length) // 2, 0), size - length)
        return begin, begin + length

    (x0, x1), (y0, y1) = span(left, right, grid.width), span(top, bottom, grid.height)
    return x0, y0, x1, y1


def _outline(geometry: Any, grid: SceneGrid, box: Box) -> str:
    """Return the rings of a polygon as an SVG path in pixels of a box."""
    tolerance = max(box[2] - box[0], box[3] - box[1]) / _CROP / 2
    rings = [np.asarray(ring.coords)[:, :2] for part in getattr(geometry, 'geoms', [geometry])
             for ring in (part.exterior, *part.interiors)]
    rings = [(_to_pixels(ring, grid) - box[:2])[:-1] for ring in rings]
    simple = rings
    while sum(map(len, simple)) > _MOST_POINTS:
        # Holes that would shrink to a dot are left out, or a region full of them stays too long.
        rings = [ring for ring in rings if np.ptp(ring, axis=0).max() >= 2 * tolerance]
        simple = [cv2.approxPolyDP(ring.astype(np.float32), tolerance, True)[:, 0]
                  for ring in rings]
        tolerance *= 2
    return ''.join('M' + ' '.join(f'{x:.4g},{y:.4g}' for x, y in ring) + 'Z' for ring in simple)


def _to_pixels(points: np.ndarray, grid: SceneGrid) -> np.ndarray:
    """Turn coordinates of the scene, (n, 2), into columns and rows.

    Without a place on the map they are columns and rows too, rows counted downwards from 0.
    """
    a, b, c, d, e, f = grid.transform or (1, 0, 0, 0, -1, 0)
    return (points - (c, f)) @ np.linalg.inv([[a, b], [d, e]]).T


def _reduced(height: int, width: int, longest: int) -> tuple[int, int]:
    scale = min(1.0, longest / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _within(frame: np.ndarray, limit: int) -> str:
    """Encode a picture so that it takes at most ``limit`` characters, smaller if need be."""
    image = Image.fromarray(np.ascontiguousarray(frame))
    while True:
        for quality in _QUALITIES:
            address = data_address(image, quality)
            if len(address) <= limit or max(image.size) < 32:
                return address
        image = image.resize([max(1, side // 2) for side in image.size])
