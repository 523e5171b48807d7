"""Semantic change detection by folders: SECOND, Landsat-SCD, HRSCD, and pairs in their manner."""
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, ClassVar

from rscc.datasets.base import ChangeDataset
from rscc.datasets.checks import SPLITS
from rscc.datasets.transforms.semantic import SemanticLabels, semantic_metainfo
from rscc.registry import DATASETS
from rscc.utils import check_choice, counted, did_you_mean
from rscc.utils.files import read_text
from rscc.utils.paths import SUFFIXES, divided

BINARY = {'classes': ('unchanged', 'changed'), 'palette': [[0, 0, 0], [255, 255, 255]]}
SECOND_LABELS = SemanticLabels(
    ('none', 'water', 'ground', 'low vegetation', 'tree', 'building', 'sports field'),
    ((255, 255, 255), (0, 0, 255), (128, 128, 128), (0, 128, 0), (0, 255, 0), (128, 0, 0),
     (255, 0, 0)), coloured=True, only_changes=True)
#: Kinds of change 0 to 9 in Landsat-SCD's labels -> class of the earlier and of the later date.
LANDSAT_TYPES = ((0, 1, 1, 2, 2, 2, 3, 3, 4, 4), (0, 2, 3, 1, 3, 4, 1, 2, 1, 2))
#: What names of Landsat-SCD's augmented copies contain, in any case.
AUGMENTED = ('rotate', 'crop', 'zhedang')


@dataclass(frozen=True)
class Layout:
    """Folders of one kind of files each, below that of a split or right in the dataset's.

    Attributes:
        img_from, img_to: Images of the earlier and of the later date.
        map_from, map_to: Class maps of the dates; one folder where one file holds both.
        label: Change maps, where there are files of them.
    """

    img_from: str
    img_to: str
    map_from: str
    map_to: str
    label: str | None = None

    def folders(self) -> list[str]:
        """Return the names of all folders, each once."""
        return list(dict.fromkeys(name for name in astuple(self) if name))


@DATASETS.register_module()
class SemanticCDDataset(ChangeDataset):
    """Pairs with a class map for each date, in folders: your own, or tiles cut from large images.

    * Layout: ``A``, ``B``, ``label_A``, ``label_B`` and, where classes are drawn everywhere,
      ``label`` (changed or not), with files of one name each, in a folder of the split or right in
      the dataset's. Names match without ending and case.
    * Class maps: values 0 (no label) to K in grey or palette files; with ``coloured=True`` the
      colours of ``semantic_palette``.
    * Change map: that of the files in ``label`` ({0, 255} or {0, 1}); without them, where
      ``only_changes=True``, what has a label at the earlier date.
    * Captions: none.

    Args:
        data_root: See ``ChangeDataset``.
        split: ``'train'``, ``'val'``, ``'test'``, or None for all.
        layout: Name of one of the class's ``LAYOUTS``; None takes the first whose folders exist.
        ann_file: List of file names to take, one a line, in ``data_root`` or absolute.
        folder: Folder of the split's files in ``data_root``, where it has not the split's name.
        holdout: Share of the folder ``train`` that split ``'val'`` takes where there is no folder
            ``val``; the same files every time, which ``'train'`` then lacks. 0 takes none.
        semantic_classes: ``'none'`` and the names of the classes, over the dataset's own.
        semantic_palette: Colour of each, [red, green, blue].
        coloured: Whether class maps may be stored in these colours.
        only_changes: Whether classes are drawn only where something changed.
        metainfo: See ``ChangeDataset``.
        **kwargs: See ``ChangeDataset``.

    Raises:
        FileNotFoundError: If folders are missing; the message names those that exist.
        ValueError: If files have no partner in another folder, or a map holds what is not in the
            table.
    """
    METAINFO: ClassVar[dict[str, Any]] = {'task': 'pair', **BINARY}
    TITLE = 'semantic change folders'
    ANCHOR = 'semantic-change-folders'
    LAYOUTS: ClassVar[dict[str, Layout]] = {
        'cut': Layout('A', 'B', 'label_A', 'label_B', 'label'),
        'maps': Layout('A', 'B', 'label_A', 'label_B')}
    #: Options of ``ChangeDataset`` that the class sets itself; the check of configs refuses them.
    SET_BY_CLASS: ClassVar[tuple[str, ...]] = ('semantic', )
    #: Shares of the splits of a dataset that is published without any.
    SHARES: ClassVar[dict[str, float] | None] = None

    def __init__(self, data_root: str = '', *, split: str | None = 'train',
                 layout: str | None = None, ann_file: str = '', folder: str | None = None,
                 holdout: float = 0.0, semantic_classes: Sequence[str] | None = None,
                 semantic_palette: Sequence[Sequence[int]] | None = None,
                 coloured: bool | None = None, only_changes: bool | None = None,
                 metainfo: Mapping | None = None, **kwargs):
        if 'semantic' in kwargs:
            raise ValueError(
                f'semantic={kwargs["semantic"]!r} is an option of the built-in dataset; '
                f'{type(self).__name__} always has class maps, which semantic_classes and '
                'semantic_palette describe. A config that inherits from one of another dataset '
                'replaces its dataset: dataset=dict(_delete_=True, type=...)')
        if layout is not None:
            check_choice('layout', layout, self.LAYOUTS)
        if not 0 <= holdout < 1:
            raise ValueError(f'holdout={holdout} must be a share in [0, 1).')
        self.layout, self.folder, self.holdout = layout, folder, holdout
        labels = _labels(self.SEMANTIC, semantic_classes, semantic_palette, coloured, only_changes)
        super().__init__(data_root, ann_file, split=split, semantic=labels,
                         metainfo={'no_change_captions': [], **semantic_metainfo(labels),
                                   **(metainfo or {})}, **kwargs)

    # ---- files -------------------------------------------------------------------------------

    def load_data_list(self) -> list[dict]:
        """Match the files of the folders, describe and check the pairs of the split."""
        splits = [self.split] if self.split else list(filter(self.has_split, SPLITS))
        samples = [self._describe(row, split) for split in splits for row in self.rows(split)]
        self._metainfo['image_size'] = self.image_size(samples)
        # Of lists, only the one that was given is known.
        rest = [] if self.ann_file or not self.split else [
            split for split in filter(self.has_split, SPLITS) if split != self.split]
        others = {split: [[str(row['img_path_from']), str(row['img_path_to'])]
                          for row in self.rows(split)] for split in rest}
        return self.examined(self._unique(samples), others)

    def has_split(self, split: str) -> bool:
        """Tell whether there are files of a split."""
        there = [name for name in SPLITS if (Path(self.data_root) / name).is_dir()]
        held_out = split == 'val' and self.holdout > 0
        return self.SHARES is not None or held_out or split in (there or ['train'])

    def rows(self, split: str) -> list[dict[str, Path | str]]:
        """Return the files of a split's pairs by item key, beside ``name``."""
        root = Path(self.data_root)
        if self.ann_file:
            self.need_file(self.ann_file, 'list of names')
            return self._listed(self._match(self._home(split)))
        if self.SHARES is not None and not (root / split).is_dir():
            return divided(self._match(root), self.SHARES)[split]
        if split in ('train', 'val') and self.holdout and not (root / 'val').is_dir():
            shares = {'train': 1 - self.holdout, 'val': self.holdout}
            return divided(self._match(self._home('train')), shares)[split]
        return self._match(self._home(split))

    def _home(self, split: str) -> Path:
        """Return the folder of a split's folders: its own, else for training the dataset's."""
        root = Path(self.data_root)
        home = root / (self.folder or split)
        whole = self.folder is None and split == 'train' and not home.is_dir()
        return root if whole or (self.SHARES and not home.is_dir()) else home

    def _match(self, home: Path) -> list[dict[str, Path | str]]:
        """Match the files of all folders below a folder by name."""
        layout = self._layout(home)
        files = {folder: self._by_name(home / folder) for folder in layout.folders()}
        names = sorted(set.intersection(*map(set, files.values())))
        alone = sorted(f'{folder}/{path.name}' for folder, found in files.items()
                       for name, path in found.items() if name not in names)
        if alone:
            raise ValueError(
                f"'{home}': {counted(len(alone), 'file')} without a partner of the same name in "
                f'the other folders ({", ".join(files)}); the first: {alone[:3]}. Complete or '
                'remove them')
        keys = ('img_path_from', 'img_path_to', 'map_from', 'map_to', 'label')
        return [{'name': name, **{key: files[folder][name] for key, folder in
                                  zip(keys, astuple(layout), strict=True) if folder}}
                for name in names]

    def _layout(self, home: Path) -> Layout:
        """Return the layout that was asked for, or the first whose folders exist."""
        asked = [self.LAYOUTS[self.layout]] if self.layout else list(self.LAYOUTS.values())
        for layout in asked:
            if all((home / folder).is_dir() for folder in layout.folders()):
                return layout
        there = sorted(path.name for path in home.iterdir())[:8] if home.is_dir() else 'nothing'
        expected = '; or '.join(', '.join(layout.folders()) for layout in asked)
        raise FileNotFoundError(
            f"{self.TITLE}: '{home}' has not the folders {expected}; found {there}. "
            f'{self.how_to_get()}: docs/en/datasets.md#{self.ANCHOR}')

    def how_to_get(self) -> str:
        """Say what to do where the folders are missing."""
        return 'Set RSCC_DATA or pass --data-root; how to get it'

    def _by_name(self, folder: Path) -> dict[str, Path]:
        """Return the images of a folder by what their partners have in common with them."""
        found: dict[str, Path] = {}
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() not in SUFFIXES or path.name.startswith('.'):
                continue
            if self.takes(path.stem) and found.setdefault(path.stem.lower(), path) != path:
                raise ValueError(f"'{found[path.stem.lower()]}' and '{path}' differ in case or "
                                 'ending only; which one is meant? Remove one.')
        return found

    def takes(self, stem: str) -> bool:
        """Tell whether a file of this name, without ending, belongs to the dataset."""
        return True

    def _listed(self, rows: list[dict[str, Path | str]]) -> list[dict[str, Path | str]]:
        """Return the rows that the list names, in its order."""
        known = {row['name']: row for row in rows}
        wanted = [Path(line).stem.lower()
                  for line in read_text(self.ann_file, 'list of names').split('\n') if line.strip()]
        lost = [name for name in wanted if name not in known]
        if lost or not wanted:
            raise ValueError(
                f"'{self.ann_file}' names {counted(len(wanted), 'file')}, {len(lost)} of which "
                f'not in the folders of {self.TITLE}; the first: {lost[:3]}.'
                f'{did_you_mean(lost[0], list(known)) if lost else ""}')
        return [known[name] for name in wanted]

    def _describe(self, row: Mapping[str, Path | str], split: str) -> dict:
        """Turn a row into a dataset item."""
        item = {'sample_id': row['img_path_from'].stem, 'split': split, 'language': self.language,
                'img_path_from': str(row['img_path_from']), 'img_path_to': str(row['img_path_to']),
                'semantic_paths': [str(row['map_from']), str(row['map_to'])]}
        return item | ({'seg_map_path': str(row['label'])} if 'label' in row else {})

    def files_of(self, item: Mapping) -> list[str]:
        """Return the paths of an item; all were found in folders."""
        return [*self.images_of(item), *item['semantic_paths']]


def _labels(own: SemanticLabels | None, names: Sequence[str] | None,
            palette: Sequence[Sequence[int]] | None, coloured: bool | None,
            only_changes: bool | None) -> SemanticLabels:
    """Return what class maps hold: as a dataset's class says, but for what is given."""
    given = dict(names=names and tuple(names), palette=palette and tuple(map(tuple, palette)),
                 coloured=coloured, only_changes=only_changes)
    given = {name: value for name, value in given.items() if value is not None}
    if own is None and not {'names', 'palette'} <= set(given):
        raise ValueError("semantic_classes=['none', ...] and semantic_palette=[[red, green, blue], "
                         '...] say what the class maps hold; give both')
    told = {} if own is None else dict(names=own.names, palette=own.palette, values=own.values,
                                       coloured=own.coloured, only_changes=own.only_changes)
    labels = SemanticLabels(**{**told, **given})
    if len(labels.names) != len(labels.palette):
        raise ValueError(f'semantic_classes has {len(labels.names)} names and semantic_palette '
                         f"{len(labels.palette)} colours; 'none' needs one too")
    return labels


@DATASETS.register_module()
class SECONDDataset(SemanticCDDataset):
    """SECOND, 4,662 pairs with the land cover of both dates where it changed.

    * Pictured: Hangzhou, Chengdu, Shanghai and other Chinese cities from several sensors; 512x512
      RGB, 0.5 to 3 m a pixel.
    * Splits: train 2,968, test 1,694. No val is published: a fifth of train stands for it
      (``holdout=0.2``); ``holdout=0`` trains on all of it.
    * Layouts: ``{train,test}/{im1,im2,label1,label2}/*.png`` as published; the same with
      ``label1_wo_cm`` and ``label2_wo_cm``, which hold class numbers; and
      ``{T1,T2,GT_T1,GT_T2,GT_CD}``, class numbers and a change map of 0 and 255.
    * Classes (colour of the label files): 0 none (white), 1 water (blue), 2 ground (grey), 3 low
      vegetation (dark green), 4 tree (green), 5 building (dark red), 6 sports field (red).
    * Classes are drawn only where something changed, and a place may change within its class, as
      from one building to another. So changed is what has a label at the earlier date
      (``label1 > 0``), never where the two maps differ.
    * Licence: none found. Cite Yang et al., "Asymmetric Siamese Networks for Semantic Change
      Detection in Aerial Images", TGRS 2022 (arXiv 2010.05687).

    See ``SemanticCDDataset`` for the arguments.
    """
    METAINFO: ClassVar[dict] = {'task': 'pair', **BINARY, **semantic_metainfo(SECOND_LABELS),
                                'image_size': (512, 512)}
    TITLE = 'SECOND'
    ANCHOR = 'second'
    SEMANTIC: ClassVar[SemanticLabels] = SECOND_LABELS
    LAYOUTS: ClassVar[dict[str, Layout]] = {
        'colours': Layout('im1', 'im2', 'label1', 'label2'),
        'numbers': Layout('im1', 'im2', 'label1_wo_cm', 'label2_wo_cm'),
        'benchmark': Layout('T1', 'T2', 'GT_T1', 'GT_T2', 'GT_CD')}

    def __init__(self, data_root: str = 'SECOND', *, holdout: float = 0.2, **kwargs):
        super().__init__(data_root, holdout=holdout, **kwargs)


@DATASETS.register_module()
class LandsatSCDDataset(SemanticCDDataset):
    """Landsat-SCD, pairs of Tumushuke (Xinjiang) with one of nine kinds of change at each pixel.

    * Pictured: Landsat scenes of 1990 to 2020, the edge of a desert; 416x416 RGB, 30 m a pixel.
    * Splits: none published. Here 3:1:1 by lot, the same files every time, or by lists of names
      (``ann_file``); other papers draw their own, so compare with care.
    * Layout: ``{A,B,label}/*.png``. Augmented copies lie among the originals; those whose names
      contain rotate, Crop or ZheDang are left out before anything is split. The case of letters
      differs between the folders.
    * Label values (grey): a kind of change, 0 none, 1 farmland to desert, 2 farmland to building,
      3 desert to farmland, 4 desert to building, 5 desert to water, 6 building to farmland,
      7 building to desert, 8 water to farmland, 9 water to desert. Here the classes of both dates
      (1 farmland, 2 desert, 3 building, 4 water) and, from 1 on, changed.
    * No data: pixels that are white in both images; losses and scores ignore them.
    * Licence: CC BY 4.0 (figshare 19946135). Cite Yuan et al., "A transformer-based Siamese network
      and an open optical dataset for semantic change detection of remote sensing images",
      International Journal of Digital Earth 2022.

    See ``SemanticCDDataset`` for the arguments.
    """
    SEMANTIC: ClassVar[SemanticLabels] = SemanticLabels(
        ('none', 'farmland', 'desert', 'building', 'water'),
        ((255, 255, 255), (0, 155, 0), (255, 165, 0), (230, 30, 100), (0, 170, 240)),
        values=tuple(dict(enumerate(classes)) for classes in LANDSAT_TYPES), only_changes=True)
    METAINFO: ClassVar[dict] = {'task': 'pair', **BINARY, **semantic_metainfo(SEMANTIC),
                                'image_size': (416, 416), 'ground_resolution': 30.0}
    TITLE = 'Landsat-SCD'
    ANCHOR = 'landsat-scd'
    NODATA_COLOUR: ClassVar[tuple[int, int, int]] = (255, 255, 255)
    LAYOUTS: ClassVar[dict[str, Layout]] = {'types': Layout('A', 'B', 'label', 'label')}
    SHARES: ClassVar[dict[str, float]] = {'train': 0.6, 'val': 0.2, 'test': 0.2}

    def __init__(self, data_root: str = 'Landsat-SCD', **kwargs):
        super().__init__(data_root, **kwargs)

    def takes(self, stem: str) -> bool:
        """Leave augmented copies out: they would put parts of test images into the training."""
        return not any(word in stem.lower() for word in AUGMENTED)


@DATASETS.register_module()
class HRSCDDataset(SemanticCDDataset):
    """HRSCD, 291 pairs of large aerial images with the land cover of both dates everywhere.

    * Pictured: Rennes and Caen (France) in 2005 or 2006 and 2012; 10,000x10,000 RGB, 0.5 m a pixel.
    * Splits: none published. ``tools/dataset_converters/tiles.py cut ROOT --hrscd`` divides whole
      images 3:1:1 by lot, the same way every time, and cuts them into tiles.
    * Layout: tiles in ``{split}/{A,B,label,label_A,label_B}``, cut from the five published parts
      ``images_2006``, ``images_2012``, ``labels_land_cover_2006``, ``labels_land_cover_2012``,
      ``labels_change``. The images of 2006 come from IGN's BD ORTHO (D14 of 2005, D35 of 2006) and
      must not be passed on.
    * Class values: 0 none, 1 artificial, 2 agricultural, 3 forest, 4 wetland, 5 water.
    * Change map: that of the change layer of the Urban Atlas, 0 and 1, which is not where the two
      land cover maps differ; classes and outlines are coarse.
    * Licence: CC BY-NC-SA (IEEE DataPort). Cite Daudt et al., "Multitask Learning for Large-scale
      Semantic Change Detection", CVIU 2019 (arXiv 1810.08452).

    See ``SemanticCDDataset`` for the arguments.
    """
    SEMANTIC: ClassVar[SemanticLabels] = SemanticLabels(
        ('none', 'artificial', 'agricultural', 'forest', 'wetland', 'water'),
        ((0, 0, 0), (230, 60, 50), (215, 190, 60), (70, 170, 80), (120, 190, 190), (60, 120, 220)))
    METAINFO: ClassVar[dict] = {'task': 'pair', **BINARY, **semantic_metainfo(SEMANTIC),
                                'ground_resolution': 0.5}
    TITLE = 'HRSCD'
    ANCHOR = 'hrscd'
    LAYOUTS: ClassVar[dict[str, Layout]] = {
        'cut': Layout('A', 'B', 'label_A', 'label_B', 'label')}

    def __init__(self, data_root: str = 'HRSCD/tiles', **kwargs):
        super().__init__(data_root, **kwargs)

    def how_to_get(self) -> str:
        """Say how tiles are made of the published parts."""
        return ('Cut the published parts first, python tools/dataset_converters/tiles.py cut '
                'data/HRSCD --hrscd --size 512 --overlap 0 --out data/HRSCD/tiles, or set '
                'RSCC_DATA or --data-root')
