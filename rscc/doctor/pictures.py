"""Examination of one sample's images and mask: readable, of one form and grid, blank, shifted."""
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

import cv2
import numpy as np

from rscc.doctor.annotations import state
from rscc.doctor.details import Detail, detail, joined
from rscc.doctor.sources import Part, Sample
from rscc.rasters.headers import DAMAGED, Header, check_end, read_header
from rscc.rasters.image_files import NeedsMapping, as_rgb, read_frame_and_nodata
from rscc.rasters.labels import PARTLY_KNOWN, changed_pixels, read_mask
from rscc.rasters.pair_check import DifferentGrids, check_grids
from rscc.scenes.shift import edge_axes

#: Shifts of fewer pixels count as none: shadows alone move that far between two rendered dates.
LEAST_SHIFT = 4.0
#: Share of an image that is of one colour, or without data, from which on it counts as blank.
BLANK = 0.98
#: Images whose shorter side has fewer pixels show nothing that can be told: an encoder with patches
#: of 16 pixels has not one whole patch of them.
SMALLEST_SIDE = 16
# Windows that agree on a shift lie this close to their median, in pixels. All five have to: where
# buildings lean and shadows turn, most windows follow them, and the one on open ground does not.
_AGREE, _AGREEING = 2.0, 5
_WINDOW, _SMALLEST = 128, 48
# A picture whose thumbnail varies by less grey levels looks like any other of its kind.
_LEAST_CONTRAST = 4.0


@dataclass
class Look:
    """What a sample's files show.

    Attributes:
        found: Kind of finding -> detail; several of one kind are joined.
        sizes: (H, W) of the images that can be read.
        forms: ``'3 x uint8'`` and the like.
        digests: Of each image's pixels, 8 bytes; None where it is blank or cannot be read.
        prints: Of each image's look, 16 bytes (see :func:`fingerprint`); None where it has none.
        classes: Mask class -> pixels; None without a mask.
        changed: Share of the known pixels that changed; None without a mask.
    """
    found: dict[str, str] = field(default_factory=dict)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    forms: list[str] = field(default_factory=list)
    digests: list[bytes | None] = field(default_factory=list)
    prints: list[bytes | None] = field(default_factory=list)
    classes: dict[int, int] | None = None
    changed: float | None = None

    def note(self, kind: str, found: str = '') -> None:
        """Add a finding; details of one kind are joined."""
        known = self.found.get(kind)
        self.found[kind] = found if not known else joined([known, found])


def look_at(sample: Sample, part: Part, pixels: bool = True) -> Look:
    """Examine the files of one sample.

    Args:
        sample: Its paths, or its item where frames are not in files.
        part: How they are read.
        pixels: Whether they are decoded; else headers alone are read.
    """
    look = Look()
    if sample.fault:
        look.note('bad_entry', sample.fault)
        return look
    if sample.rivals:
        look.note('same_stem', sample.rivals)
    if part.load is not None:
        frames = _loaded(sample, part, look) if pixels else []
    else:
        headers = _headers(sample, look)
        frames = _decoded(sample, part, look, headers) if pixels else []
        if pixels and sample.label is not None and 'missing_mask' not in look.found:
            _mask_file(sample.label, part, look, headers)
        _class_maps(sample, part, look, pixels)
    for frame, empty in frames:
        _image(look, frame, empty)
    if len(frames) == 2 and frames[0][0].shape == frames[1][0].shape:
        _pair(look, frames[0][0], frames[1][0])
    return look


# ---- files -----------------------------------------------------------------------------------


def _headers(sample: Sample, look: Look) -> dict[Path, Header]:
    """Read the headers of all files; compare sizes, forms and places."""
    headers: dict[Path, Header] = {}
    for path in map(Path, sample.images):
        if not os.path.isfile(path):
            look.note('missing_image', _missing(path))
            continue
        try:
            headers[path] = read_header(path)
            check_end(headers[path], path)
        except (ValueError, OSError) as error:
            headers.pop(path, None)
            look.note('unreadable_image', _words(error))
    look.sizes = [(header.height, header.width) for header in headers.values()]
    _small(look)
    if len(set(look.sizes)) > 1:
        look.note('size_differs', _sizes(look.sizes))
    if len({header.grey for header in headers.values()}) > 1:
        one, other = ('grey' if header.grey else 'RGB' for header in [*headers.values()][:2])
        look.note('form_differs', detail('pair', one=one, other=other))
    if sample.label is not None and not os.path.isfile(sample.label):
        look.note('missing_mask', _missing(Path(sample.label)))
    elif sample.label is not None:
        _label_header(Path(sample.label), look, headers)
    _places(look, headers)
    return headers


def _small(look: Look) -> None:
    for size in sorted({size for size in look.sizes if min(size) < SMALLEST_SIDE}):
        look.note('small_image', _sizes([size]))


def _label_header(path: Path, look: Look, headers: dict[Path, Header]) -> None:
    try:
        header = read_header(path)
        check_end(header, path)
    except (ValueError, OSError) as error:
        look.note('unreadable_mask', _words(error))
        return
    size = (header.height, header.width)
    if look.sizes and len(set(look.sizes)) == 1 and size != look.sizes[0]:
        look.note('mask_size_differs', _sizes([*look.sizes[:1], size]))
    headers[path] = header


def _places(look: Look, headers: dict[Path, Header]) -> None:
    """Compare georeferences; masks without one are common, and are no finding."""
    placed = [path for path, header in headers.items() if header.transform]
    images = list(headers)[:len(look.sizes)]
    without = [path.name for path in images if path not in placed]
    if without and len(without) < len(images):
        look.note('place_missing', ', '.join(without))
    if len(set(look.sizes)) == 1 and 'mask_size_differs' not in look.found:
        try:
            check_grids(headers)
        except DifferentGrids as error:
            look.note('grid_differs', _apart(error))


def _apart(error: DifferentGrids) -> Detail:
    """Return which files lie on different grids, and how these differ."""
    (one, other), systems = error.facts['files'], error.facts['systems']
    why = (detail('systems', one=systems[0], other=systems[1]) if systems else
           detail('corners', pixels=error.facts['apart']))
    return detail('grids', one=str(one), other=str(other), why=why)


def _values(error: NeedsMapping) -> Detail:
    """Return which bands and values a file has, and the flags that show it."""
    found, ends = error.facts, error.facts['ends']
    kind = found['kind'] if ends is None else detail(
        'range', kind=found['kind'], low=ends[0], high=ends[1])
    return detail('bands_of', path=found['path'], count=found['count'], kind=kind,
                  flags=found['flags'])


def _sizes(sizes: Sequence[tuple[int, int]]) -> str:
    return ', '.join(f'{width} x {height}' for height, width in sizes)


def _decoded(sample: Sample, part: Part, look: Look, headers: dict[Path, Header]
             ) -> list[tuple[np.ndarray, np.ndarray | None]]:
    frames = []
    for path in map(Path, sample.images):
        if path not in headers:
            continue
        try:
            frame, empty = read_frame_and_nodata(path, part.bands, part.scale)
        except NeedsMapping as error:
            look.note('needs_mapping', _values(error))
        except (ValueError, OSError) as error:
            look.note('unreadable_image', _words(error))
        else:
            frames.append((frame, empty))
            if part.bands is None and headers[path].alpha:
                look.note('alpha_dropped', str(path))
    return frames


def _missing(path: Path) -> str:
    """Return the path of a file that is not there, and what is in its place."""
    there = state(path) if os.path.lexists(path) else ''
    return detail('at', path=str(path), why=there) if there else str(path)


def _words(error: Exception) -> str:
    """Return what is wrong with a file; the advice of the kind says what to do."""
    return str(error).removesuffix(DAMAGED)


def _loaded(sample: Sample, part: Part, look: Look) -> list[tuple[np.ndarray, None]]:
    """Ask a dataset for frames and mask that are not in image files."""
    from rscc.datasets.transforms.loading import LoadChangeMask, LoadFrames
    try:
        item = LoadChangeMask()(LoadFrames(part.bands, part.scale)(part.load(sample)))
    except (ValueError, OSError) as error:
        look.note('unreadable_image', str(error))
        return []
    look.sizes = [frame.shape[:2] for frame in item['frames']]
    _small(look)
    if 'gt_sem_seg' in item:
        _mask(item['gt_sem_seg'], part, look)
    return [(frame, None) for frame in item['frames']]


def _mask_file(label: str, part: Part, look: Look, headers: dict[Path, Header]) -> None:
    if Path(label) not in headers:
        return
    try:
        mask = part.read_mask(label)
    except (ValueError, OSError) as error:
        look.note(_mask_fault(label), str(error).removeprefix(f"label '{label}' "))
        return
    _mask(mask, part, look)


def _class_maps(sample: Sample, part: Part, look: Look, pixels: bool) -> None:
    """Examine the class maps of both dates, and whether they agree with the change map.

    Where no file gives the change map, it is what has a label at the earlier date.
    """
    found = [_class_map(path, date, part, look) if pixels else None
             for date, path in enumerate(sample.maps) if _is_there(path, look)]
    if len(found) < 2 or any(classes is None for classes in found):
        return
    change = (found[0] > 0).astype(np.uint8)
    if sample.label is None:
        _mask(change, part, look)
    elif look.classes is None:
        return  # the change map itself cannot be read
    else:
        change = part.read_mask(sample.label)
    if any(classes.shape != change.shape for classes in found):
        look.note('class_map_size_differs', _sizes([one.shape for one in (change, *found)]))
        return
    wrong = part.semantic.disagreement(change, *found)
    if wrong:
        look.note('class_maps_disagree', detail('pixels', count=int(wrong)))


def _is_there(path: str, look: Look) -> bool:
    if not os.path.isfile(path):
        look.note('missing_class_map', _missing(Path(path)))
        return False
    return True


def _class_map(path: str, date: int, part: Part, look: Look) -> np.ndarray | None:
    try:
        classes = part.semantic.read(path, date)
    except (ValueError, OSError) as error:
        look.note('class_map_values', str(error).removeprefix('label '))
        return None
    if len(set(look.sizes)) == 1 and classes.shape != look.sizes[0]:
        look.note('class_map_size_differs', _sizes([*look.sizes[:1], classes.shape]))
        return None
    return classes


def _mask_fault(label: str) -> str:
    """Return why a label cannot be read: damaged, of a form that says nothing, or strange values.

    A label that can be read where any value may stand has strange values.
    """
    from rscc.rasters.image_files import opened
    try:
        with opened(Path(label)):
            pass
    except (ValueError, OSError):
        return 'unreadable_mask'
    try:
        read_mask(label, {value: value for value in range(256)})
    except ValueError:
        return 'mask_form'
    # Two colours of a palette in the wrong order are refused by index alone.
    return 'mask_form' if _inverted(label) else 'mask_values'


def _inverted(label: str) -> bool:
    try:
        read_mask(label)
    except ValueError as error:
        return 'inverted' in str(error)
    return False


def _mask(mask: np.ndarray, part: Part, look: Look) -> None:
    """Count the classes of a mask."""
    counts = np.bincount(mask.ravel(), minlength=256)
    look.classes = {int(value): int(counts[value]) for value in np.flatnonzero(counts)}
    strange = [value for value in look.classes
               if part.classes is not None and len(part.classes) <= value < PARTLY_KNOWN[0]]
    if strange:
        look.note('mask_values', detail('strange_classes', found=str(strange),
                                        known=len(part.classes)))
    known = int(counts[:255].sum())
    if not known and mask.size:
        look.note('mask_unknown')
        return
    look.changed = changed_pixels(mask) / known


# ---- pixels ----------------------------------------------------------------------------------


def _image(look: Look, frame: np.ndarray, empty: np.ndarray | None) -> None:
    """Describe one frame: its form, its digest, its look, and whether there is anything on it."""
    bands = 1 if frame.ndim == 2 else frame.shape[2]
    look.forms.append(f'{bands} x {frame.dtype}')
    grey = cv2.cvtColor(as_rgb(frame), cv2.COLOR_RGB2GRAY)
    share = np.bincount(grey.ravel(), minlength=256).max() / grey.size
    without = 0.0 if empty is None else float(empty.mean())
    if max(share, without) >= BLANK:
        look.note('blank_image', detail('no_data' if without >= share else 'one_colour',
                                        percent=100 * float(max(share, without))))
        look.digests.append(None)
        look.prints.append(None)
        return
    header = f'{frame.shape}{frame.dtype}'.encode()
    look.digests.append(blake2b(np.ascontiguousarray(frame), digest_size=8, key=header).digest())
    look.prints.append(fingerprint(grey))


def fingerprint(grey: np.ndarray) -> bytes | None:
    """Return 128 bits that change little when an image is compressed, resized or brightened.

    The difference hash: whether each cell of a thumbnail is brighter than its neighbour, 64 times
    to the right and 64 times downwards.

    Args:
        grey: uint8 (H, W).

    Returns:
        16 bytes, or None where the image varies too little to be told from others.
    """
    right = cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA).astype(int)
    down = cv2.resize(grey, (8, 9), interpolation=cv2.INTER_AREA).astype(int)
    if right.std() < _LEAST_CONTRAST:
        return None
    bits = np.concatenate([(np.diff(right, axis=1) > 0).ravel(), (np.diff(down, axis=0) > 0)
                           .ravel()])
    return np.packbits(bits).tobytes()


def _pair(look: Look, earlier: np.ndarray, later: np.ndarray) -> None:
    """Compare two dates: one image for both, or shifted."""
    if np.array_equal(earlier, later):
        if 'blank_image' not in look.found:
            look.note('same_dates')
        return
    moved = shift_of(*(cv2.cvtColor(as_rgb(frame), cv2.COLOR_RGB2GRAY)
                       for frame in (earlier, later)))
    if moved is not None:
        look.note('shifted', detail('moved', columns=_moved(moved[0], 'column'),
                                  rows=_moved(moved[1], 'row')))


def _moved(by: float, noun: str) -> Detail:
    return detail(noun if round(abs(by)) == 1 else f'{noun}s', by=by)


def shift_of(earlier: np.ndarray, later: np.ndarray) -> tuple[float, float] | None:
    """Return how far the later date lies from the earlier one, where that is sure and matters.

    Directions of edges are correlated (see ``rscc.scenes.shift``), first of the whole image at half
    its size, which acquits most pairs, then of five windows, all of which have to agree.

    Args:
        earlier, later: uint8 (H, W).

    Returns:
        (columns, rows) in pixels, right and down; None if it is less than :data:`LEAST_SHIFT`, or
        unsure.
    """
    height, width = earlier.shape
    if min(height, width) < _SMALLEST:
        return None
    half = [cv2.resize(_middle(grey, 512), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
            for grey in (earlier, later)]
    if np.hypot(*_correlate(*half)) < 1:
        return None
    side = min(_WINDOW, max(_SMALLEST, min(height, width) // 2))
    places = [(0, 0), (0, width - side), (height - side, 0), (height - side, width - side),
              ((height - side) // 2, (width - side) // 2)]
    found = np.array([_correlate(earlier[top:top + side, left:left + side],
                                 later[top:top + side, left:left + side])
                      for top, left in places])
    middle = np.median(found, axis=0)
    agreeing = (np.hypot(*(found - middle).T) <= _AGREE).sum()
    if agreeing < _AGREEING or np.hypot(*middle) < LEAST_SHIFT:
        return None
    return float(middle[0]), float(middle[1])


def _middle(grey: np.ndarray, most: int) -> np.ndarray:
    height, width = grey.shape
    top, left = max(0, (height - most) // 2), max(0, (width - most) // 2)
    return grey[top:top + most, left:left + most]


def _correlate(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return where the second image shows things relative to the first, whole (columns, rows)."""
    height, width = one.shape
    taper = np.outer(np.hanning(height), np.hanning(width)).astype(np.float32)
    first, second = (np.fft.fft2(edge_axes(grey) * taper) for grey in (one, other))
    peak = np.fft.ifft2(second * first.conj()).real
    row, column = np.unravel_index(int(peak.argmax()), peak.shape)
    return np.array([(column + width // 2) % width - width // 2,
                     (row + height // 2) % height - height // 2], float)
