"""Real pairs with labels: the sets, what their labels tell of, and how their folders are read.

A set is a folder with ``A`` (earlier) and ``B`` (later), images of one name each, and, beside them,
``label`` (masks of the same names), ``captions.json`` (either style of the datasets), both or none.
It may have splits between (``train/A``, ...). Sizes and numbers of pairs come from the files.
"""
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from itertools import combinations
from pathlib import Path

import numpy as np

from rscc.datasets.annotations import Record, read_captions
from rscc.evaluation.functional.content import says_no_change
from rscc.rasters.image_files import read_frame
from rscc.rasters.labels import read_stored
from rscc.utils.paths import SUFFIXES
from tools.benchmark.tables import Text

#: Grey values from here on are changed: labels are 0 and 255, LEVIR-MCI's roads 128.
CHANGED_FROM = 128
_LOSSY = ('.jpg', '.jpeg', '.webp')


@dataclass(frozen=True)
class RealSet:
    """A folder of real pairs, and what its labels tell of.

    Attributes:
        folder: Name below the root.
        title: Short name in tables.
        counted: Classes that its masks label; a predicted pixel of another class counts as
            unchanged there, because the labels do not tell of it. Empty: any change is labelled.
        reason: Why these classes.
        values: Grey value of each class of ``counted``, where the masks tell them apart.
        series: Whether it is a folder of dates of one place, of which every two are a pair.
        unchanged: Whether nothing that could be called changed has changed in any pair.
        include: Patterns of the names of earlier images (dates, of a series) that are taken.
    """
    folder: str
    title: str
    counted: tuple[str, ...] = ()
    reason: Text = ('nothing is known of its labels', '其标注内容未知')
    values: Mapping[str, int] = field(default_factory=dict)
    series: bool = False
    unchanged: bool = False
    include: tuple[str, ...] = ('*', )


#: Below ``$RSCC_SAMPLES``, in the order of the tables.
SETS = (
    RealSet('levir_cd_samples', 'LEVIR-CD', ('building',), (
        'labels new and removed buildings alone: a new road beside them is right and unlabelled',
        '只标注新建和拆除的建筑物：旁边新修的道路即使判对也没有标注')),
    RealSet('levir_mci_figure_crops', 'LEVIR-MCI', ('building', 'road'), (
        'labels buildings and roads; parking lots are labelled as road in one picture and not at '
        'all in another, vegetation and water never',
        '标注建筑物和道路；停车场在有的图中标为道路，有的图中未标；植被和水体从不标注'),
        {'building': 255, 'road': 128}),
    RealSet('egy_bcd_samples', 'EGY-BCD', ('building',), (
        'labels buildings alone, their outlines widened', '只标注建筑物，轮廓有所外扩')),
    RealSet('dsifn_samples', 'DSIFN', (), (
        'labels roads, buildings, farmland and water, without telling them apart',
        '标注道路、建筑物、农田和水体的变化，不区分类别')),
    RealSet('sztaki_airchange_samples', 'SZTAKI', (), (
        'labels new built-up areas, building sites, planted forest and fresh plough-land, without '
        'telling them apart', '标注新建成区、施工地、新造林和新开垦耕地，不区分类别')),
    RealSet('cdd_sample', 'CDD', (), (
        'labels what appeared or disappeared, from cars to buildings, and not the season',
        '标注出现或消失的物体（从汽车到建筑物），不含季节变化')),
    RealSet('levir_cc_samples', 'LEVIR-CC'),
    RealSet('levir_cc_figure_crops', 'LEVIR-CC figures'),
    RealSet('dubai_cc_figure_crops', 'DUBAI-CC'),
)
#: Below ``$RSCC_TRAIN``: pairs in which nearly nothing changed but light, season and water. The
#: others of these folders have trained rscc-small (configs/_base_/datasets/rscc_small.py).
UNCHANGED_SETS = (
    RealSet('spacenet8_pairs', 'SpaceNet 8', ('building',), (
        'before and after a flood, 0.5 to 0.8 m, the pair that trains nothing: nearly all '
        'buildings stand; water, mud and wet ground are true changes of other kinds',
        '洪水前后，0.5 至 0.8 米，不参与训练的一对：几乎所有建筑物仍在；'
        '水、泥和湿地面是其他类型的真实变化'),
        unchanged=True, include=('sn8_2.*', )),
    RealSet('naip_nd_timeseries', 'NAIP', ('building',), (
        'one place at the three dates that train nothing, 5 m a pixel, answered at these pixels '
        'without resampling: no building anywhere; crops and the level of ponds do change',
        '同一地点不参与训练的三个时相，5 米分辨率，不重采样直接推理：'
        '没有任何建筑物；作物和池塘水位有变化'),
        series=True, unchanged=True, include=('*_2018*', '*_2019*', '*_2020*')),
)
#: Title of what is pooled -> the titles of its sets.
POOLS = {'LEVIR-CD + LEVIR-MCI': ('LEVIR-CD', 'LEVIR-MCI'),
         'EGY + DSIFN + SZTAKI': ('EGY-BCD', 'DSIFN', 'SZTAKI')}
#: Captioned sets in the manner of LEVIR-CC, over which flags and sentences are pooled.
CAPTIONED_POOL = ('LEVIR-CC', 'LEVIR-CC figures', 'LEVIR-MCI')


@dataclass(frozen=True)
class RealPair:
    """Two dates and what is known of them.

    Attributes:
        name: Below the root, folders included, without ending.
        img_from: Earlier image.
        img_to: Later image.
        label: Mask, if there is one.
        references: Sentences, normalised; empty where there are none.
        changed: Whether anything changed, by the sentences or the set; None where the mask tells,
            or nothing does.
        cut: Whether the dates are cut to their common size and to three bands.
    """
    name: str
    img_from: Path
    img_to: Path
    label: Path | None = None
    references: tuple[str, ...] = ()
    changed: bool | None = None
    cut: bool = False

    def images(self) -> tuple[str | np.ndarray, str | np.ndarray]:
        """Return both dates as an inferencer takes them.

        Raises:
            FileNotFoundError: If an image is not there.
            ValueError: If one that is read here cannot be read.
        """
        if not self.cut:
            return str(self.img_from), str(self.img_to)
        frames = [read_frame(path, bands=(1, 2, 3)) for path in (self.img_from, self.img_to)]
        height, width = (min(frame.shape[axis] for frame in frames) for axis in (0, 1))
        return tuple(np.ascontiguousarray(frame[:height, :width]) for frame in frames)

    def mask(self, values: Mapping[str, int] | None = None) -> np.ndarray | None:
        """Return what changed, bool (H, W), None without a label.

        Args:
            values: Only these grey values count as changed; by default all that are not dark.

        Raises:
            FileNotFoundError: If the label is not there.
            ValueError: If it cannot be read.
        """
        if self.label is None:
            return None
        if not values:
            return changed_of(self.label)
        return np.isin(_grey(self.label), list(values.values()))


def changed_of(label: Path) -> np.ndarray:
    """Return what changed, bool (H, W), of a label of grey values.

    Values of 128 and more are changed, and so is 1 where a file saved without losses holds 0 and 1
    alone.
    """
    values = _grey(label)
    if Path(label).suffix.lower() not in _LOSSY and values.max(initial=0) == 1:
        return values == 1
    return values >= CHANGED_FROM


def _grey(label: Path) -> np.ndarray:
    values = read_stored(label)
    return values if values.ndim == 2 else values.max(axis=2)


def sets_below(root: Path, known: Sequence[RealSet]) -> tuple[list[RealSet], list[str]]:
    """Return the sets whose folders are below a root, and why others are left out.

    Folders that are not known and hold pairs become sets of their own, in which any change counts.

    Args:
        root: Folder of the sets.
        known: Sets that are expected there.

    Raises:
        FileNotFoundError: If the root is not there.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"no folder '{root}': expected one that holds sets of pairs "
                                f'({known[0].folder}, ...)')
    found = [one for one in known if (root / one.folder).is_dir()]
    missing = [f"{one.title}: no folder '{one.folder}'" for one in known if one not in found]
    names = {one.folder for one in known}
    own = [RealSet(folder.name, folder.name) for folder in sorted(root.iterdir())
           if folder.is_dir() and folder.name not in names and any(_dates(folder))]
    return found + own, missing


def _dates(folder: Path) -> Iterator[Path]:
    """Yield the folders of earlier images that have later ones beside them."""
    yield from sorted(path for path in folder.rglob('A')
                      if path.is_dir() and path.with_name('B').is_dir())


def pairs_of(root: Path, one: RealSet) -> list[RealPair]:
    """Return the pairs of a set, in the order of their names.

    Raises:
        FileNotFoundError: If it holds no pair.
        ValueError: If its captions cannot be read.
    """
    folder = Path(root) / one.folder
    pairs = _series(folder, one) if one.series else [
        pair for dates in _dates(folder) for pair in _side_by_side(dates, one, root)]
    if not pairs:
        expected = 'two dates of one place' if one.series else 'images in A and B'
        raise FileNotFoundError(f"'{folder}' holds no pair: {expected} were expected")
    return pairs


def _images(folder: Path, one: RealSet) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES
                  and any(fnmatch(path.name, pattern) for pattern in one.include))


def _series(folder: Path, one: RealSet) -> list[RealPair]:
    """Pair every date with every later one; names end in the date, so that they sort by it."""
    dates = _images(folder, one)
    return [RealPair(f'{one.folder}/{earlier.stem}_{later.stem.rpartition("_")[2]}', earlier, later,
                     changed=False if one.unchanged else None, cut=True)
            for earlier, later in combinations(dates, 2)]


def _side_by_side(dates: Path, one: RealSet, root: Path) -> Iterator[RealPair]:
    """Yield the pairs of the folders ``A`` and ``B``, with the labels and captions beside them."""
    home = dates.parent
    captions = _captions(home / 'captions.json')
    for earlier in _images(dates, one):
        record = captions.get(earlier.name)
        label = home / 'label' / earlier.name
        if not label.is_file():  # the mask of a JPEG may be a PNG
            label = next((other for other in sorted((home / 'label').glob(f'{earlier.stem}.*'))
                          if other.suffix.lower() in SUFFIXES), None)
        yield RealPair(
            earlier.relative_to(root).with_suffix('').as_posix().replace('/A/', '/'), earlier,
            home / 'B' / earlier.name, label, tuple(record['captions']) if record else (),
            False if one.unchanged else None if record is None else _tells_change(record))


def _captions(path: Path) -> dict[str, Record]:
    """Return the records of a caption file by file name, none where there is no file."""
    if not path.is_file():
        return {}
    return {Path(record['filename']).name: record for record in read_captions(path)}


def _tells_change(record: Record) -> bool:
    """Return whether captions tell of a change: what the file says, else its sentences."""
    if record['changeflag'] is not None:
        return record['changeflag']
    return not all(says_no_change(text) for text in record['captions'])
