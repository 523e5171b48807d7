"""Georeferenced pairs of dates, and stand-in models that answer them without weights.

``python tests/fake_scenes.py FROM TO --out DIR [--part I/N | --combine] [--pause SECONDS]`` answers
a pair in a process of its own, and ends with code 3 where places could not be read.
"""
import argparse
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from rscc.scenes.contracts import ModelFacts, Predictor, Sentence, WindowPrediction
from rscc.scenes.preparation import SceneOptions, ScenePair
from rscc.scenes.run import run_scenes
from rscc.scenes.transitions import SemanticClasses

UTM = 'EPSG:32631'
#: Pixels of a block in these tests: several blocks in small images.
SMALL = SceneOptions(block_pixels=128 * 128, sample_every=0)


class Difference(Predictor):
    """Says how much two dates differ, more sure on the right of a window than on its left.

    What a pixel gets depends on where in a window it lies, so that blending shows.

    Args:
        window, overlap: Of the windows, in pixels.
        heads: Which outputs there are.
        pause: Seconds that a batch takes at least.
        marks: Folder for a file per batch, named after the process.

    Attributes:
        seen: Windows answered so far, as the number of dates and the mean of the last one.
        asked: When each of them was to be described.
    """

    def __init__(self, window=64, overlap=16, heads=('change_head', 'caption_head'), task='pair',
                 pause=0.0, marks=None, weights_hash='a'):
        self.facts = ModelFacts(
            task=task, window=window and (window, window), overlap=(overlap, overlap), heads=heads,
            classes=('unchanged', 'changed') if 'change_head' in heads else (),
            language='en' if 'caption_head' in heads else None, weights='stand-in',
            weights_hash=weights_hash, no_change_captions=('the same',))
        self.pause, self.marks = pause, marks
        self.seen, self.asked = [], []

    def enlarged(self, factor):
        """Return the same with larger windows."""
        (side, _), (overlap, _), heads = self.facts.window, self.facts.overlap, self.facts.heads
        larger = Difference(factor * side, overlap, heads)
        larger.factor = factor
        return larger

    def predict(self, windows, describe):
        """Answer windows by their pixels."""
        if self.marks is not None:
            Path(self.marks, f'{os.getpid()}_{time.monotonic_ns()}').touch()
        time.sleep(self.pause)
        self.seen += [(len(dates), float(dates[-1].mean())) for dates in windows]
        self.asked += describe
        return [self._answer(dates, when) for dates, when in zip(windows, describe, strict=True)]

    def _answer(self, dates, when):
        earlier, later = dates[0], dates[-1]
        differing = np.abs(later.astype(np.float32) - earlier).mean(2) / 255
        probability = differing * np.linspace(0.3, 1, differing.shape[1], dtype=np.float32)
        share = float((probability > 0.5).mean())
        has_map = 'change_head' in self.facts.heads
        told = when == 'always' or (when == 'changed' and (not has_map or share >= 0.001))
        said = Sentence('a house is built' if differing.mean() > 0.01 else 'the same', -share)
        return WindowPrediction(probability if has_map else None,
                                (said,) if told and self.facts.language else ())


class LandCover(Difference):
    """Tells three classes by brightness, too: dark, grey and bright ground at each date."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.facts = replace(self.facts, semantic=SemanticClasses(
            ('water', 'farmland', 'building'), [[0, 0, 200], [200, 200, 0], [200, 0, 0]], False))

    def _answer(self, dates, when):
        middles = np.float32([20, 90, 220])[:, None, None]
        near = np.exp(-np.abs(np.stack([date.mean(2, dtype=np.float32)[None] - middles
                                        for date in dates])) / 20)
        return replace(super()._answer(dates, when),
                       class_probabilities=near / near.sum(1, keepdims=True))


def pictures(height=300, width=420, seed=0):
    """Return two dates uint8 (h, w, 3): texture, and two bright rectangles in the later one."""
    texture = np.random.default_rng(seed).integers(0, 60, (height, width, 3), dtype=np.uint8)
    later = texture.copy()
    later[height // 6:height // 3, width // 5:width // 2] = 240
    later[2 * height // 3:, 3 * width // 4:width - 3] = 255
    return texture, later


def write_tiff(path, pixels, left=500000.0, top=5000000.0, **options):
    """Write (h, w, bands) as a GeoTIFF with half a metre a pixel; return the path as a string."""
    import rasterio
    from rasterio.transform import from_origin
    profile = dict(driver='GTiff', height=pixels.shape[0], width=pixels.shape[1],
                   count=pixels.shape[2], dtype=pixels.dtype, crs=UTM, compress='deflate',
                   transform=from_origin(left, top, 0.5, 0.5), tiled=True, blockxsize=64,
                   blockysize=64)
    with rasterio.open(path, 'w', **profile | options) as file:
        file.write(np.moveaxis(pixels, -1, 0))
    return str(path)


def write_pair(folder, name='town', dates=None, **options):
    """Write two dates and return them as a scene."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [write_tiff(folder / f'{name}_{date}.tif', pixels, **options)
             for date, pixels in zip(('from', 'to'), dates or pictures(), strict=True)]
    return ScenePair(name, *paths)


def damage(path, row, column):
    """Overwrite a tile of 64 x 64 pixels, counted from 0, in a file of :func:`write_tiff`."""
    import rasterio
    with rasterio.open(path) as file:
        place, size = (int(file.get_tag_item(f'BLOCK_{what}_{column}_{row}', 'TIFF', bidx=1))
                       for what in ('OFFSET', 'SIZE'))
    data = bytearray(Path(path).read_bytes())
    data[place:place + size] = b'\xff' * size
    Path(path).write_bytes(data)


def block_files(folder):
    """Return the bytes of every block of a run, by name."""
    return {path.name: path.read_bytes() for path in sorted(Path(folder, 'blocks').glob('*.npz'))}


def main():
    """Answer a pair in a process of its own."""
    parser = argparse.ArgumentParser()
    parser.add_argument('dates', nargs=2)
    parser.add_argument('--out', required=True)
    parser.add_argument('--part')
    parser.add_argument('--combine', action='store_true')
    parser.add_argument('--pause', type=float, default=0.0)
    args = parser.parse_args()
    part = args.part and tuple(map(int, args.part.split('/')))
    done = run_scenes([ScenePair('town', *args.dates)], Difference(pause=args.pause), args.out,
                      SMALL, part, args.combine)
    print(f'OMP_NUM_THREADS={os.environ.get("OMP_NUM_THREADS")}')
    sys.exit(3 if done.gaps else 0)


if __name__ == '__main__':
    main()
