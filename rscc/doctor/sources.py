"""Samples of any dataset as its files tell them, one at a time, whatever is wrong with them.

A dataset class refuses faulty files when it is built; a check-up has to go on and count them. So
annotation files, path lists and folders are read here again, leniently and in constant memory, by
the templates and options of a dataset that is not loaded. What has neither (HDF5 files, classes of
your own) is asked for its items, if it can be loaded.
"""
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rscc.doctor.annotations import captions_expected, reason, state
from rscc.doctor.details import detail
from rscc.rasters.labels import read_mask
from rscc.text.caption_files import read_images, text_of
from rscc.utils.files import check_path, check_text
from rscc.utils.json_stream import stream_list
from rscc.utils.paths import SUFFIXES, listed_pair, sample_name

if TYPE_CHECKING:
    from rscc.datasets.base import ChangeDataset
    from rscc.datasets.semantic_cd import SemanticCDDataset
    from rscc.datasets.transforms.semantic import SemanticLabels

SPLITS = ('train', 'val', 'test')
#: Characters of a line of a list from which on the file is taken for no list.
_LONGEST_LINE = 1 << 16


@dataclass
class Sample:
    """One sample as the files tell it.

    Attributes:
        name: Its id.
        split: As written; empty where there is none.
        images: Paths of its dates, the earliest first.
        label: Path of its mask, None where the dataset has none.
        maps: Paths of the class maps of both dates, empty where the dataset has none.
        captions: As written; None where the dataset has none.
        flag: Whether it is said to be changed, None where nothing says so.
        number: The annotation's ``imgid``.
        place: Samples of one place may look alike (both dates of a pair as single images).
        fault: What is wrong with its entry, empty where nothing is.
        rivals: Files of one name and different endings, of which any could be meant.
        item: The dataset's own item, where the samples come from a loaded dataset.
    """
    name: str
    split: str
    images: tuple[str, ...] = ()
    label: str | None = None
    maps: tuple[str, ...] = ()
    captions: tuple[str, ...] | None = None
    flag: bool | None = None
    number: int | str | None = None
    place: str = ''
    fault: str = ''
    rivals: str = ''
    item: dict | None = None


@dataclass
class Part:
    """Samples that share their options: a dataset, or a split of one.

    Attributes:
        samples: Starts reading them from the beginning, in an order that is always the same.
        title: Name of the dataset.
        root: Its folder.
        files: What the samples are read from; if one changes, a check-up begins anew.
        splits: Only those of them that are read; empty where all are.
        single: Whether samples have one image each.
        language: Of the captions.
        stock: Sentences that deny a change.
        classes, palette: Of the masks; None where they are not known.
        bands, scale: How images are read, see ``rscc.rasters.image_files.read_frame``.
        load: Frames and mask of samples that are not in image files.
        read_mask: Class indices of a mask file.
        semantic: What class maps of the dates hold; None without any.
        rules: How masks, captions and paths are understood, in words of the options.
        tokens_of: Tokens that a caption head makes of a sentence; None without a head.
        max_tokens: Most that the head learns, start and end not counted.
        unreadable: Folders and files that could not be read, with the reason. Filled on the way.
        faulty: Annotation files that cannot be used, or not to their end, with what was found and
            expected. Filled on the way.
        unread: JSON files beside the images that hold no captions, with what was found.
        estimate: About how many samples there are, for the progress bar.
    """
    samples: Callable[[], Iterator[Sample]]
    title: str = ''
    root: str = ''
    files: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    single: bool = False
    language: str = 'en'
    stock: tuple[str, ...] = ()
    classes: tuple[str, ...] | None = None
    palette: Sequence | None = None
    bands: Sequence[int] | None = None
    scale: Any = None
    load: Callable[[Sample], dict] | None = None
    read_mask: Callable[[str], np.ndarray] = read_mask
    semantic: 'SemanticLabels | None' = None
    rules: str = ''
    tokens_of: Callable[[str], int] | None = None
    max_tokens: int | None = None
    unreadable: dict[str, str] = field(default_factory=dict)
    faulty: dict[str, str] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    estimate: int | None = None


# ---- dataset classes -------------------------------------------------------------------------


def of_dataset(dataset: 'ChangeDataset', splits: Sequence[str] | None = None) -> Part:
    """Describe a dataset that was built without being loaded (``lazy_init=True``).

    Args:
        dataset: Its options are used; ``split`` of it, or None for all.
        splits: Only these; None takes that of the dataset.
    """
    from rscc.datasets.base import ChangeDataset
    from rscc.datasets.dubai_cc import PARTS, DubaiCCDataset
    from rscc.datasets.path_list_cd import PathListCDDataset
    from rscc.datasets.semantic_cd import SemanticCDDataset
    kind = type(dataset)
    chosen = set(splits or ([dataset.split] if dataset.split else ()))
    faulty: dict[str, str] = {}
    if isinstance(dataset, PathListCDDataset):
        part = _of_path_lists(dataset)
    elif isinstance(dataset, SemanticCDDataset):
        part = Part(lambda: _of_class_maps(dataset, faulty), files=(dataset.ann_file,))
    elif isinstance(dataset, DubaiCCDataset) and '{part}' in dataset.ann_file:
        files = [dataset.ann_file.replace('{part}', name) for split, name in PARTS.items()
                 if not chosen or split in chosen]
        part = Part(lambda: (one for file in files
                             for one in _of_captions(dataset, file, faulty)),
                    files=tuple(files))
    elif kind.read_records is ChangeDataset.read_records and (
            kind.load_data_list is ChangeDataset.load_data_list):
        part = Part(lambda: _of_captions(dataset, dataset.ann_file, faulty),
                    files=(dataset.ann_file,))
    else:
        part = Part(lambda: _of_items(dataset, faulty), files=(dataset.ann_file,),
                    load=lambda sample: dataset.attach(
                        dict(sample.item, rng=np.random.default_rng(0))))
    part.faulty = part.faulty or faulty
    if chosen:
        every = part.samples
        part.samples = lambda: (one for one in every() if not one.split or one.split in chosen)
        part.splits = tuple(sorted(chosen))
    _take_options(part, dataset)
    for file in part.files:
        if file and not os.path.lexists(file):
            dataset.need_file(file)
    # Of a file with several splits nobody knows how many are of one before they are read.
    listed_alone = all(file.endswith('.txt') for file in part.files)
    part.estimate = _count(part.files) if listed_alone or not chosen else None
    return part


def _take_options(part: Part, dataset: 'ChangeDataset') -> None:
    """Copy from a dataset what is told of its images, masks and captions."""
    from rscc.datasets.transforms.loading import LoadChangeMask, LoadFrames
    steps = dataset.loaders()
    frames = next((step for step in steps if isinstance(step, LoadFrames)), LoadFrames())
    masks = next((step for step in steps if isinstance(step, LoadChangeMask)), LoadChangeMask())
    label_map, palette = masks.label_map, masks.palette
    if label_map is None and palette is None:
        label_map = dataset.label_map
    meta = dataset.metainfo
    part.title, part.root, part.language = dataset.TITLE, dataset.data_root, dataset.language
    part.single, part.stock = meta['task'] == 'single', tuple(meta['no_change_captions'] or ())
    part.classes, part.palette = meta.get('classes'), meta.get('palette')
    part.bands, part.scale = frames.bands, frames.scale
    part.read_mask = lambda path: read_mask(path, label_map, palette)
    part.semantic = dataset.semantic_labels
    part.rules = repr((label_map, palette, dataset.text_from, dataset.templates)
                      + ((part.semantic,) if part.semantic else ()))


def _of_captions(dataset: 'ChangeDataset', file: str, faulty: dict[str, str]
                 ) -> Iterator[Sample]:
    """Read a caption file of Karpathy style entry by entry, or one of COCO style at once.

    Where it breaks off, or holds nothing, ``faulty`` gets the file and what was found.
    """
    place = -1
    try:
        for place, entry in enumerate(_entries(file)):
            yield _of_entry(dataset, entry, place, file)
    except (ValueError, OSError) as error:
        why = state(Path(file)) or reason(error, file)
        faulty[file] = captions_expected(
            why if place < 0 else detail('after', count=place + 1, why=why))
        return
    if place < 0:
        faulty[file] = captions_expected(detail('no_images'))


def _entries(file: str) -> Iterator[Any]:
    """Yield the images of a caption file; COCO's captions stand apart, and are joined in memory."""
    first = next(stream_list(file, 'images'), None)
    if isinstance(first, Mapping) and 'filename' not in first and 'file_name' in first:
        yield from read_images(file)
    else:
        yield from stream_list(file, 'images')


def _of_entry(dataset: 'ChangeDataset', entry: Any, place: int, file: str) -> Sample:
    from rscc.datasets.annotations import inside
    filename = entry.get('filename') if isinstance(entry, Mapping) else None
    if not isinstance(filename, str) or not filename:
        split = str(entry.get('split') or '') if isinstance(entry, Mapping) else ''
        return Sample(f'entry {place}', split, fault=detail('no_filename', entry=str(entry)[:80]))
    filename = filename.replace('\\', '/')
    split, flag = entry.get('split'), entry.get('changeflag')
    sample = Sample(sample_name(filename), str(split or ''), place=filename,
                    number=entry.get('imgid'), flag=None if flag is None else bool(flag))
    record = {'filename': filename, 'split': split, 'filepath': entry.get('filepath')}
    sentences = entry.get('sentences', entry.get('captions'))
    sentences = sentences if isinstance(sentences, list) else []
    texts = [text_of(sentence, dataset.language, dataset.text_from) for sentence in sentences]
    sample.captions = tuple(text if isinstance(text, str) else '' for text in texts)
    try:
        check_path(inside(filename, filename, file), "'filename'")
        for text in (filename, *sample.captions):
            check_text(text, 'it')
        paths = dataset.paths_of(record)
    except ValueError as error:
        sample.fault, paths = reason(error, file), {}
    sample.label = paths.pop('seg_map_path', None)
    sample.maps = tuple(paths.pop('semantic_paths', ()))
    sample.images = tuple(paths.values())
    return sample


def _of_items(dataset: 'ChangeDataset', faulty: dict[str, str]) -> Iterator[Sample]:
    """Take the items of a dataset that has annotations of its own kind.

    Where it cannot be loaded, ``faulty`` gets its annotation file and the reason.
    """
    dataset.check_images = dataset.check_masks = False
    dataset.faults = 'drop'
    try:
        dataset.full_init()
    except FileNotFoundError:
        raise
    except (ValueError, OSError, KeyError) as error:
        file = dataset.ann_file or dataset.data_root
        faulty[file] = (dataset.ann_file and state(Path(file))) or (
            str(error.args[0]) if isinstance(error, KeyError) else reason(error, file))
        return
    for row in range(len(dataset)):
        item = dataset.get_data_info(row)
        captions, images = item.get('gt_captions'), tuple(dataset.images_of(item))
        place = Path(images[0]).stem if images and '::' not in images[0] else ''
        yield Sample(item['sample_id'], str(item.get('split') or ''),
                     images, item.get('seg_map_path'), tuple(item.get('semantic_paths', ())),
                     tuple(captions) if captions else None, item.get('gt_change_flag'),
                     item.get('imgid'), place, item=item)


def _of_class_maps(dataset: 'SemanticCDDataset', faulty: dict[str, str]) -> Iterator[Sample]:
    """Match the folders of a dataset with a class map for each date.

    A split whose folders cannot be matched goes to ``faulty`` with the reason.
    """
    for split in [dataset.split] if dataset.split else filter(dataset.has_split, SPLITS):
        try:
            rows = dataset.rows(split)
        except ValueError as error:
            faulty[dataset.ann_file or f'{dataset.data_root} ({split})'] = str(error)
            continue
        for row in rows:
            images = (str(row['img_path_from']), str(row['img_path_to']))
            label = str(row['label']) if 'label' in row else None
            yield Sample(Path(images[0]).stem, split, images, label,
                         (str(row['map_from']), str(row['map_to'])))


def _of_path_lists(dataset: Any) -> Part:
    """Read the list of a split line by line, or match folders where there is none."""
    root, file = Path(dataset.data_root), Path(dataset.ann_file)
    split = dataset.split or 'all'
    if not dataset.ann_file:
        file = root / f'{split}.txt'
        if not file.is_file():
            home = root / split if (root / split).is_dir() else root
            return folder_part(home, split if home != root else 'train',
                               'label' if dataset.has_label else None)
    part = Part(lambda: listed(file, root, split, dataset.has_label, part.faulty),
                files=(str(file),))
    return part


def listed(file: Path, root: Path, split: str, label: bool, faulty: dict[str, str]
           ) -> Iterator[Sample]:
    """Yield the pairs of a path list, one a line.

    Args:
        file: The list.
        root: Folder that its paths start from.
        split: Its name.
        label: Whether every line names a label.
        faulty: Gets the file and what was found, where it is no text or holds nothing.
    """
    base: Path | None = None
    try:
        for number, line in _lines(file):
            try:
                pair = listed_pair(number, check_text(line, f'line {number}'), file, label)
            except ValueError as error:
                yield Sample(f'line {number}', split, fault=_line_fault(error, number, file))
                continue
            if base is None:  # as datasets do: the first line decides for all
                base = next((one for one in (root, Path()) if (one / pair.img_from).exists()), root)
            yield Sample(sample_name(pair.img_from), split,
                         (str(base / pair.img_from), str(base / pair.img_to)),
                         str(base / pair.label) if label else None)
    except (ValueError, OSError) as error:
        faulty[str(file)] = detail('labels_expected' if label else 'pairs_expected',
                                   found=state(file) or reason(error, file))


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    """Yield number and text of the lines of a list that are not empty; bytes of none are marked.

    Raises:
        ValueError: If the file is no text, or has no line.
        OSError: If it cannot be read.
    """
    number, found = 0, False
    # Bytes that are no UTF-8 become half characters, which no correct file holds.
    with open(file, encoding='utf-8-sig', errors='surrogateescape') as text:
        while line := text.readline(_LONGEST_LINE):
            number += 1
            if '\0' in line or len(line) == _LONGEST_LINE:
                raise ValueError(f'line {number} holds zero bytes or is endless: it is no text')
            if line.strip():
                found = True
                yield number, line
    if not found:
        raise ValueError('it has no line')


def _line_fault(error: ValueError, number: int, file: Path) -> str:
    words = re.sub(f'^(it )?line {number} ', 'it ', reason(error, file))
    return words if 'holds half a character' not in words else (
        detail('not_utf8'))


# ---- plain folders ---------------------------------------------------------------------------


def folder_part(home: Path, split: str, label: str | None = 'label') -> Part:
    """Match the files of ``A``, ``B`` and ``label`` by name; what lacks a partner is a sample too.

    Args:
        home: Folder of the folders.
        split: Name of the split.
        label: Folder of the masks, None where there are none.
    """
    columns = ['A', 'B'] + ([label] if label else [])
    part = Part(lambda: iter(()), root=str(home), title=home.name)

    def samples() -> Iterator[Sample]:
        found = [_by_stem(home / name, part.unreadable) for name in columns]
        for stem in sorted(set().union(*found)):
            paths = [column.get(stem, [home / name / f'{stem}.png'])
                     for name, column in zip(columns, found, strict=True)]
            yield Sample(stem, split, tuple(str(path[0]) for path in paths[:2]),
                         str(paths[2][0]) if label else None, rivals=_rivals(paths))

    part.samples = samples
    return part


def single_part(root: Path, images: Path | None = None, label: Path | None = None) -> Part:
    """List all images below a folder, each a sample, or those of one folder with their masks.

    Splits are those of the folders ``train``, ``val`` and ``test`` right in the root.
    """
    part = Part(lambda: iter(()), root=str(root), title=root.name, single=True)

    def samples() -> Iterator[Sample]:
        masks = _by_stem(label, part.unreadable) if label else {}
        inside = {} if images is None else _by_stem(images, part.unreadable)
        for path in (walk(root, part.unreadable) if images is None else
                     (path for _, paths in sorted(inside.items()) for path in paths)):
            name = path.relative_to(root)
            split = name.parts[0] if name.parts[0] in SPLITS else ''
            beside = masks.get(path.stem, [label / f'{path.stem}.png']) if label else []
            rivals = '' if label is None else _rivals([inside.get(path.stem, []), beside])
            yield Sample(sample_name(name.as_posix()), split, (str(path),),
                         str(beside[0]) if label else None, rivals=rivals)

    part.samples = samples
    return part


def _by_stem(folder: Path, unreadable: dict[str, str]) -> dict[str, list[Path]]:
    """Return the images right in a folder by their names without ending, broken links too."""
    found: dict[str, list[Path]] = {}
    try:
        for name in sorted(os.listdir(folder)):
            path = folder / name
            if path.suffix.lower() in SUFFIXES and not name.startswith('.'):
                found.setdefault(path.stem, []).append(path)
    except OSError as error:
        unreadable[str(folder)] = state(folder) if folder.is_symlink() else (
            error.strerror or str(error))
    return found


def _rivals(columns: Iterable[Sequence[Path]]) -> str:
    """Return the files of one folder that differ in their endings only, empty for none."""
    return '; '.join(' and '.join(f"'{path}'" for path in paths) for paths in columns
                     if len(paths) > 1)


def noting(unreadable: dict[str, str], root: Path) -> Callable[[OSError], None]:
    """Return what ``os.walk`` tells of folders that cannot be read, which notes them."""
    def note(error: OSError) -> None:
        unreadable[str(error.filename or root)] = error.strerror or str(error)

    return note


def walk(root: Path, unreadable: dict[str, str]) -> Iterator[Path]:
    """Yield all image files below a folder, folder by folder, in the order of their names.

    Links to folders are followed, each folder once.
    """
    seen = set()
    for folder, inside, names in os.walk(root, onerror=noting(unreadable, root), followlinks=True):
        place = os.path.realpath(folder)
        if place in seen:
            inside.clear()
            continue
        seen.add(place)
        inside.sort()
        for name in sorted(names):
            path = Path(folder, name)
            if name.startswith('.'):
                continue
            if path.suffix.lower() in SUFFIXES:
                yield path
            elif not path.suffix and path.is_symlink() and not path.exists():
                unreadable[str(path)] = state(path)  # a folder, most likely


def _count(files: Iterable[str]) -> int | None:
    """Return about how many samples annotation files name: lines, or occurrences of a file name."""
    total = 0
    for file in files:
        path = Path(file)
        if not path.is_file() or path.suffix == '.gz':
            return None
        word = b'\n' if path.suffix == '.txt' else b'"filename"'
        with open(path, 'rb') as data:
            while block := data.read(1 << 22):
                total += block.count(word)
    return total or None
