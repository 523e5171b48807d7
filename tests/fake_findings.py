"""A scene held in memory and what was found in it, as the writers of its files receive them."""
from itertools import product

import cv2
import numpy as np

from rscc.scenes.contracts import (
    NODATA,
    Block,
    BlockAnswer,
    ModelFacts,
    Scene,
    SceneFindings,
    SceneGrid,
    SceneReader,
)

CLASSES = ('unchanged', 'building', 'road')
UTM = 'EPSG:32650'
JOINT = ('change_head', 'caption_head')
#: Columns of the doubt about rows of which nothing is known.
DOUBT = {'doubt': float('nan'), 'risk': None, 'unsure': None, 'reasons': None,
         'reason_inputs': ()}


class ArrayReader(SceneReader):
    """Frames in memory; what touches a box of ``damaged`` cannot be read."""

    def __init__(self, frames, grid, sources, damaged=()):
        self.frames, self.grid, self.sources = frames, grid, sources
        self.damaged, self.largest = damaged, 0

    def read(self, box, shape=None):
        left, top, right, bottom = box
        assert 0 <= left < right <= self.grid.width and 0 <= top < bottom <= self.grid.height
        for x0, y0, x1, y1 in self.damaged:
            if x0 < right and left < x1 and y0 < bottom and top < y1:
                raise OSError('block 3 is damaged')
        parts = [frame[top:bottom, left:right] for frame in self.frames]
        if shape is not None:
            parts = [cv2.resize(part, shape[::-1], interpolation=cv2.INTER_AREA)
                     for part in parts]
        self.largest = max(self.largest, parts[0].size)
        return parts, np.ones(parts[0].shape[:2], bool)


def scene_of(frames, *, crs=UTM, pixel=0.5, block=512, provenance=None, damaged=(), name='town',
             **facts):
    """Return a scene of frames (h, w, 3) in blocks; ``crs`` None takes away its place."""
    from pyproj import CRS
    height, width = frames[0].shape[:2]
    grid = SceneGrid(width, height)
    if crs:
        grid = SceneGrid(width, height, CRS(crs).to_wkt(),
                         (pixel, 0.0, 448_000.0, 0.0, -pixel, 3_455_000.0))
    corners = product(range(0, height, block), range(0, width, block))
    blocks = tuple(Block(name, number, box, box) for number, box in enumerate(
        (left, top, min(left + block, width), min(top + block, height)) for top, left in corners))
    facts = {'heads': JOINT, 'classes': CLASSES, 'language': 'en', 'weights': 'town.pth',
             'weights_hash': 'ab' * 32, 'config': 'blip_synth.py', **facts}
    sources = ('2019/town.tif', '2024/town.tif')[:len(frames)]
    return Scene(name, ArrayReader(frames, grid, sources, damaged), ModelFacts(**facts), blocks,
                 provenance or {})


def answers_of(scene, classes):
    """Return a function that gives the answer to a block of a class map (h, w)."""
    def read(block):
        left, top, right, bottom = block.box
        return BlockAnswer(block, None if classes is None else classes[top:bottom, left:right])
    return read


def findings_of(scene, classes=None, said=(), **counts):
    """Return what a class map (h, w) and windows (box, sentence, score, flag) add up to."""
    grid, crs = scene.reader.grid, scene.reader.grid.crs
    names = dict(enumerate(scene.facts.classes)) if classes is not None else {}
    area = abs(grid.transform[0] * grid.transform[4]) if grid.transform else None
    pixels = {name: int((classes == value).sum()) for value, name in names.items()}
    nodata = int((classes == NODATA).sum()) if classes is not None else 0
    found = {'area_by': 'plane' if area else None, 'classes': names, 'pixels_by_class': pixels,
             'area_by_class': {name: area * count for name, count in pixels.items()} if area
             else {}, 'pixels': grid.width * grid.height, 'nodata_pixels': nodata,
             'windows': len(said), **counts}
    return SceneFindings(_regions(grid, crs, classes, names, area, said),
                         _sentences(grid, crs, said), **found)


def _regions(grid, crs, classes, names, area, said):
    from geopandas import GeoDataFrame
    from rasterio.features import shapes
    from rasterio.transform import Affine
    from shapely.geometry import shape
    rows = []
    if classes is not None:
        changed = (classes != 0) & (classes != NODATA)
        for form, value in shapes(classes, changed, 4):
            polygon = shape(form)
            left, top, right, bottom = map(int, polygon.bounds)
            rows.append({
                'class': names[int(value)], 'value': int(value), 'pixels': int(polygon.area),
                'area_m2': polygon.area * area if area else np.nan, 'score': 0.5 + 0.4 / value,
                'sentence': next((text for box, text, _, _ in said if box[0] <= left < box[2]
                                  and box[1] <= top < box[3]), None), **DOUBT,
                'left': left, 'top': top, 'right': right, 'bottom': bottom, 'geometry': polygon})
    columns = ['class', 'value', 'pixels', 'area_m2', 'score', 'sentence', *DOUBT, 'left', 'top',
               'right', 'bottom', 'geometry']
    rows.sort(key=lambda row: (row['top'], row['left']))
    table = GeoDataFrame(rows, columns=columns, geometry='geometry', crs=crs)
    table = table.astype({'doubt': float, 'unsure': 'boolean'})
    place = Affine(*(grid.transform or (1, 0, 0, 0, -1, 0)))
    table.geometry = table.geometry.affine_transform(place.to_shapely())
    return table


def _sentences(grid, crs, said):
    from geopandas import GeoDataFrame
    from rasterio.transform import Affine
    from shapely.geometry import box as rectangle
    rows = [{'sentence': text, 'score': score, 'flag': flag, 'probability': None,
             'change_share': None, 'sampled': False, **DOUBT, 'left': box[0], 'top': box[1],
             'right': box[2], 'bottom': box[3], 'geometry': rectangle(*box)}
            for box, text, score, flag in said]
    columns = ['sentence', 'score', 'flag', 'probability', 'change_share', 'sampled', *DOUBT,
               'left', 'top', 'right', 'bottom', 'geometry']
    table = GeoDataFrame(rows, columns=columns, geometry='geometry', crs=crs)
    table = table.astype({'doubt': float, 'unsure': 'boolean'})
    place = Affine(*(grid.transform or (1, 0, 0, 0, -1, 0)))
    table.geometry = table.geometry.affine_transform(place.to_shapely())
    return table
