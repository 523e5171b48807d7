"""Single images with masks of objects, one city or source a folder: what pseudo-pairs are made of.

A tile is one image and a mask of what stands in it, buildings for instance. Masks come as label
maps of the images' names or as polygons; images that are known to show no such object need none.
"""
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from rscc.datasets.base import ChangeDataset
from rscc.datasets.transforms.loading import LoadChangeMask, LoadFrames
from rscc.rasters.image_files import header_size
from rscc.rasters.labels import IGNORE
from rscc.rasters.polygons import draw_file
from rscc.registry import DATASETS
from rscc.utils import did_you_mean
from rscc.utils.paths import SUFFIXES

#: Endings of images; of two masks of one name, the PNG counts.
ENDINGS = tuple(sorted(SUFFIXES, key=lambda ending: (ending != '.png', ending)))
#: Endings of polygon files beside images.
POLYGONS = ('.geojson', '.json', '.gpkg', '.shp')


@dataclass(frozen=True)
class Tile:
    """One image and its objects, in memory.

    Attributes:
        name: Of the image.
        image: RGB uint8 (H, W, 3).
        mask: 1 on objects, 0 elsewhere, 255 where nobody knows, uint8 (H, W).
        resolution: Metres that a pixel covers.
        group: City or source, for a fair share of each.
        other_dates: The same ground at other dates, at which the same objects stand, each like
            ``image``.
    """
    name: str
    image: np.ndarray
    mask: np.ndarray
    resolution: float
    group: str
    other_dates: tuple[np.ndarray, ...] = ()


@DATASETS.register_module()
class TileDataset(ChangeDataset):
    """Single images with a mask each of one kind of object, as building footprints are published.

    * Layout: a folder of images and one of masks with the same stems (``image``, ``label``), or
      polygons beside or instead of the masks: ``STEM.geojson``, ``.gpkg`` or ``.shp``. Polygons are
      in any coordinate system, or in pixels where the image has none; a file without rows says that
      there is no object.
    * Mask values: {0, 255} or {0, 1}; anything else by ``label_map``.
    * Images without a mask are left out unless a list says that they show no object (``empty``).

    It serves to segment single images as it is, and gives ``PseudoPairDataset`` its tiles.

    Args:
        data_root: See ``ChangeDataset``.
        images: Folder of the images below it.
        masks: Folder of the masks, or None where there are none.
        polygons: Folder of polygon files, or None. Objects of both count.
        other_dates: Folders of images of the same names, of the same ground at other dates, at
            which the same objects stand.
        series: Whether all images of the folder are dates of one place.
        loading: Options of ``LoadFrames`` (bands, scale) by which pseudo-pairs read the images; a
            pipeline of this dataset has its own.
        empty: Text file with the names of images that show no object, or ``'all'``; None for none.
        include: Patterns (``rio_*``) of image names that are taken.
        exclude: Patterns of image names that are not.
        resolution: Metres that a pixel covers.
        group: City or source; the folder's name by default.
        classes: Names, the first being what is no object.
        **kwargs: See ``ChangeDataset``.

    Raises:
        FileNotFoundError: If the folder of the images is not there.
        ValueError: If no image is left, or the ground resolution is not positive.
    """
    METAINFO: ClassVar[dict[str, Any]] = {'task': 'single', 'classes': ('other', 'building'),
                                          'palette': [[0, 0, 0], [230, 60, 50]]}
    TITLE = 'tile dataset'
    ANCHOR = 'tiles-with-masks'

    def __init__(self, data_root: str = '', *, images: str = 'image', masks: str | None = 'label',
                 polygons: str | None = None, other_dates: Sequence[str] = (),
                 series: bool = False, loading: Mapping | None = None,
                 empty: str | None = None,
                 include: Sequence[str] = ('*',), exclude: Sequence[str] = (),
                 resolution: float = 0.5, group: str | None = None,
                 classes: Sequence[str] | None = None, split: str | None = None,
                 metainfo: Mapping | None = None, **kwargs):
        if not resolution > 0:
            raise ValueError(f'resolution={resolution} metres a pixel must be positive')
        self.images, self.masks, self.polygons, self.empty = images, masks, polygons, empty
        self.other_dates, self.series = tuple(other_dates), series
        self._load = LoadFrames(**(loading or {}))
        self.include, self.exclude, self.resolution = tuple(include), tuple(exclude), resolution
        self.group = group or Path(data_root).name
        told: dict[str, Any] = {'no_change_captions': [], 'ground_resolution': resolution}
        if classes is not None:
            told['classes'] = tuple(classes)
        super().__init__(data_root, split=split, metainfo={**told, **(metainfo or {})}, **kwargs)

    # ---- annotations -------------------------------------------------------------------------

    def load_data_list(self) -> list[dict]:
        """List the images that have a mask, polygons, or are known to be empty."""
        folder = Path(self.data_root) / self.images
        if not folder.is_dir():
            raise FileNotFoundError(
                f"{self.TITLE}: no folder of images at '{folder}' (data_root='{self.data_root}', "
                f"images='{self.images}'). Set --data-root or RSCC_DATA: "
                f'docs/en/datasets.md#{self.ANCHOR}')
        found = sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS)
        chosen = [path for path in found if self._wanted(path.name)]
        empty = self._empty_names(chosen)
        samples = [item for path in chosen if (item := self._describe(path, empty))]
        if not samples:
            raise ValueError(
                f"{self.TITLE} '{folder}': none of {len(found)} images is left "
                f'(include={list(self.include)}, exclude={list(self.exclude)}); {len(chosen)} '
                f"match, and none of them has a mask in '{self.masks}', polygons in "
                f"'{self.polygons}', or is named in empty='{self.empty}'")
        self._metainfo['image_size'] = self.image_size(samples)
        return self.examined(samples, {})

    def _wanted(self, name: str) -> bool:
        return (any(fnmatch(name, pattern) for pattern in self.include)
                and not any(fnmatch(name, pattern) for pattern in self.exclude))

    def _empty_names(self, chosen: Sequence[Path]) -> set[str]:
        """Return the names of images without any object."""
        if self.empty is None:
            return set()
        names = {path.name for path in chosen}
        if self.empty == 'all':
            return names
        listed = Path(self.data_root) / self.empty
        self.need_file(listed, 'list of images without objects')
        told = set(listed.read_text(encoding='utf-8').split())
        if not told & names:
            raise ValueError(f"'{listed}' names {len(told)} images, and none of them is among the "
                             f"{len(names)} in '{self.images}' (first: {min(told, default='')})."
                             f"{did_you_mean(min(told, default=''), sorted(names))}")
        return told

    def _describe(self, path: Path, empty: set[str]) -> dict | None:
        """Return the item of an image, or None where nothing is known about its objects."""
        item = {'sample_id': path.stem, 'split': self.split or 'all', 'img_path': str(path),
                'language': self.language, 'gt_captions': []}
        mask = self._beside(path, self.masks, ENDINGS)
        shapes = self._beside(path, self.polygons, POLYGONS)
        if mask is not None:
            item['seg_map_path'] = str(mask)
        if shapes is not None:
            item['polygons'] = str(shapes)
        return item if mask or shapes or path.name in empty else None

    def _beside(self, path: Path, folder: str | None, endings: Sequence[str]) -> Path | None:
        """Return the file of the image's stem in another folder."""
        places = [] if folder is None else [
            (Path(self.data_root) / folder / path.stem).with_suffix(ending) for ending in endings]
        return next((place for place in places if place.is_file()), None)

    def files_of(self, item: Mapping) -> list[str]:
        """Return the paths of an item; all were found in folders."""
        return [item['img_path']]

    # ---- samples -----------------------------------------------------------------------------

    def attach(self, item: dict) -> dict:
        """Add the mask of images whose objects are polygons, or that show none."""
        item = super().attach(item)
        shape = header_size(item['img_path'])
        if shape is None or ('seg_map_path' in item and 'polygons' not in item):
            return item  # the loading transforms read the mask, or say what is wrong with the image
        mask = np.zeros(shape, np.uint8)
        if 'seg_map_path' in item:
            mask = LoadChangeMask()({**item, 'ori_shape': shape})['gt_sem_seg']
        if 'polygons' in item:
            mask = np.maximum(mask, draw_file(item['polygons'], item['img_path'], shape))
        return {**item, 'gt_sem_seg': mask}

    def tiles(self) -> list[Tile]:
        """Return all images with their masks and other dates: of a series, one tile in all.

        Raises:
            FileNotFoundError: If an image has no fellow in a folder of ``other_dates``.
        """
        found = [self.tile(index) for index in range(len(self))]
        if self.series:
            first, *rest = found
            return [with_dates(first, [other.image for other in rest])]
        return [with_dates(tile, self._others(index)) for index, tile in enumerate(found)]

    def tile(self, index: int) -> Tile:
        """Return one image with its mask, read as every other route reads it."""
        item = LoadChangeMask()(self._load(self.attach(self.get_data_info(index))))
        mask = item['gt_sem_seg']
        if item['nodata'] is not None:
            mask = np.where(item['nodata'], np.uint8(IGNORE), mask)
        return Tile(item['sample_id'], item['frames'][0], mask, self.resolution, self.group)

    def _others(self, index: int) -> list[np.ndarray]:
        """Return the pictures of an image's ground at other dates."""
        item = self.get_data_info(index)
        images = []
        for folder in self.other_dates:
            place = self._beside(Path(item['img_path']), folder, ENDINGS)
            if place is None:
                raise FileNotFoundError(
                    f"{self.TITLE}: '{item['img_path']}' has no image of its name in "
                    f"'{Path(self.data_root) / folder}' (other_dates={list(self.other_dates)})")
            images.append(self._load({**item, 'img_path': str(place)})['frames'][0])
        return images


def with_dates(tile: Tile, others: Sequence[np.ndarray]) -> Tile:
    """Return a tile with pictures of other dates, all cut to their common size.

    Args:
        tile: The tile.
        others: RGB uint8 (H, W, 3) each, upper left corners on one point of the ground.
    """
    height, width = np.min([tile.mask.shape, *(other.shape[:2] for other in others)], axis=0)
    return replace(tile, image=tile.image[:height, :width], mask=tile.mask[:height, :width],
                   other_dates=tuple(other[:height, :width] for other in others))
