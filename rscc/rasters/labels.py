"""Strict reader of label maps: class indices, and an error where a label's meaning is not clear.

A label is read by its form: grey files by value, palette files by index, colours by a palette that
is given. Labels are uint8 (H, W), upright, 255 = ignored by losses and metrics. 253 and 254 tell of
a pixel in part what it is, for losses that know them (``absent`` of ``rscc.CrossEntropyLoss``).
"""
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from rscc.rasters.image_files import nodata_mask, opened, upright_pixels
from rscc.utils import read_json, write_json
from rscc.utils.forms import check_form

IGNORE = 255
#: File in a dataset's folder that says what the values of its labels mean.
CLASSES_FILE = 'rscc_classes.json'
_BYTE = range(256)
_CLASSES = {'classes': [str], 'palette': [[_BYTE, _BYTE, _BYTE]], 'label_map': {str: _BYTE},
            'ground_resolution?': (float, None)}
#: Labels of partly known pixels: changed, of a kind that nobody told; and of none of the kinds that
#: were labelled, whatever else it may be. All from the first one on are no classes.
SOME_CHANGE, NONE_LABELLED = PARTLY_KNOWN = 253, 254
#: Largest difference between the channels of a grey label: JPEG and WebP tint what is grey.
_TINT = {'JPEG': 24, 'WEBP': 24}
#: Pillow's kinds of pictures with an alpha, and those whose channels are no colours of a screen.
_ALPHA, _PRINT = ('RGBA', 'LA', 'PA', 'RGBa', 'La'), ('CMYK', 'YCbCr', 'LAB', 'HSV')


def read_mask(path: str | Path, label_map: Mapping[int, int] | None = None,
              palette: Sequence[Sequence[int]] | None = None) -> np.ndarray:
    """Read one label map as class indices.

    Grey files are read by value and palette files (mode P) by index. Colour files need ``palette``
    unless they are grey in three channels, and so do those with transparent pixels. The nodata
    value of a GeoTIFF is ignored where it is no value of the label.

    Args:
        path: PNG, BMP, JPEG, WebP, GIF or TIFF.
        label_map: File value -> class index. Without it {0, 255} and {0, 1} are recognised as
            unchanged / changed, where no palette contradicts: index 0 must not be the brighter.
        palette: Colour of each class, [red, green, blue] or [red, green, blue, alpha], for labels
            stored as colours. A ``label_map`` beside it maps places in the palette.

    Returns:
        uint8 (H, W); 255 where the map sends a value there (ignored by losses and metrics).

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no image, or it is not clear what it means; the message lists the
            values or colours, and the option that says it.
    """
    path, empty = Path(path), None
    if palette is not None:
        values = _match_colours(path, palette)
        label_map = label_map or {index: index for index in range(len(palette))}
    else:
        values, empty = _read_values(path, label_map)
    present = np.flatnonzero(np.bincount(values.ravel(), minlength=256)).tolist()
    mask = (_binary_labels(values, present, path) if label_map is None else
            _mapped(values, present, label_map, path))
    if empty is not None:
        mask[empty] = IGNORE
    return mask


def read_class_map(path: str | Path, names: Sequence[str], values: Mapping[int, int],
                   palette: Sequence[Sequence[int]] | None = None) -> np.ndarray:
    """Read what one date shows: colours by a palette, grey and palette files by value.

    Args:
        path: The file.
        names: ``'none'`` and the names of the K classes.
        values: File value -> class, for files without colours of their own.
        palette: Colour of each class, [red, green, blue]; None where files must not be coloured.

    Returns:
        uint8 (H, W): 0 no label (a nodata value too), 1 to K the classes.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no image, or holds a colour or value that is not in the table.
    """
    path = Path(path)
    with opened(path) as (image, _):
        coloured = len(image.getbands()) >= 3
    if coloured and palette is not None:
        return _match_colours(path, palette, names)
    classes = read_mask(path, values)
    classes[classes == IGNORE] = 0
    return classes


def shows_change(mask: Any) -> Any:
    """Return where a mask shows a change: a class, or 253, a change of a kind that nobody told.

    Args:
        mask: Labels, an array or a tensor.

    Returns:
        Booleans of its shape. 0, 254 (none of the labelled kinds) and 255 (ignored) are none.
    """
    return (mask > 0) & (mask < NONE_LABELLED)


def changed_pixels(mask: np.ndarray) -> int:
    """Return how many pixels of a mask show a change, see :func:`shows_change`."""
    return int(shows_change(mask).sum())


def write_classes(folder: str | Path, classes: Sequence[str], palette: Sequence[Sequence[int]],
                  ground_resolution: float | None) -> Path:
    """Write what the labels of a dataset mean: class numbers, and 255 for what is ignored.

    Args:
        folder: Of the dataset.
        classes: Names by number, the first being "unchanged".
        palette: RGB of each.
        ground_resolution: Metres of a pixel; None where unknown.
    """
    path = Path(folder) / CLASSES_FILE
    values = {str(value): value for value in (*range(len(classes)), IGNORE)}
    write_json(path, {'classes': list(classes), 'palette': [list(colour) for colour in palette],
                      'label_map': values, 'ground_resolution': ground_resolution})
    return path


def read_classes(folder: str | Path) -> dict[str, Any]:
    """Read what :func:`write_classes` wrote; an empty dict where a folder has no such file.

    Returns:
        ``classes``, ``palette``, ``label_map`` (file value -> class index) and, where it is known,
        ``ground_resolution``.

    Raises:
        ValueError: If the file is damaged.
    """
    path = Path(folder) / CLASSES_FILE
    if not path.is_file():
        return {}
    data, where = read_json(path), f"classes of a dataset '{path}'"
    check_form(data, _CLASSES, where, 'Make the dataset again, or remove the file')
    if len(data['palette']) != len(data['classes']) or not all(
            value.isascii() and value.isdigit() for value in data['label_map']):
        raise ValueError(f'{where}: {len(data["classes"])} classes, {len(data["palette"])} colours '
                         f'and the label values {list(data["label_map"])[:9]} do not fit each '
                         'other. Make the dataset again, or remove the file')
    found = {'classes': tuple(data['classes']), 'palette': data['palette'],
             'label_map': {int(value): index for value, index in data['label_map'].items()}}
    resolution = data.get('ground_resolution')
    return found if resolution is None else found | {'ground_resolution': resolution}


def read_stored(path: str | Path) -> np.ndarray:
    """Read a label's values, uint8 (H, W), or (H, W, 3) where it is stored in three channels.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no label, or a palette contradicts its indices, which alone are kept.
    """
    path = Path(path)
    with opened(path) as (image, header):
        values, colours = upright_pixels(image, header), _palette_of(image)
    return stored_values(values, colours, path)


def stored_values(values: np.ndarray, colours: np.ndarray | None, path: Path) -> np.ndarray:
    """Return decoded label values as :func:`read_stored` does; an alpha is no label."""
    if values.ndim == 3:
        values = values[..., :3] if values.shape[2] >= 3 else values[..., 0]
    values = as_label(values, path)
    if colours is not None and values.ndim == 2:
        check_palette_order(values, colours, path, 'Save it as grey first, 0 unchanged and 255 '
                            'changed.')
    return values


def as_label(values: np.ndarray, path: str | Path) -> np.ndarray:
    """Return decoded label values of any shape and depth as uint8.

    Raises:
        ValueError: If one is no whole number of 0 to 255; the message names ``path``.
    """
    if values.dtype in (bool, np.uint8):
        return values.astype(np.uint8)
    if not ((values >= 0) & (values <= 255) & (values % 1 == 0)).all():
        raise ValueError(f"label '{path}' holds values from {values.min()} to {values.max()}"
                         f" ({values.dtype}); class labels, whole numbers of 0 to 255, were "
                         'expected.')
    return values.astype(np.uint8)


def check_palette_order(values: np.ndarray, colours: np.ndarray, path: str | Path,
                        remedy: str | None = None) -> None:
    """Refuse a label of two colours whose index 0, "unchanged", is the brighter one.

    Args:
        values: Indices (H, W).
        colours: Of the palette, (256, 3).
        path: The label, for the message.
        remedy: What to do, for the message; by default the options of a dataset.
    """
    used = sorted({0, *np.unique(values).tolist()})
    used = [0, 1] if used == [0] else used
    if used not in ([0, 1], [0, IGNORE]):
        return
    first, second = (colours[index].tolist() for index in used)
    if sum(first) > sum(second):
        options = (f'Say what is meant: label_map={{0: 1, {used[1]}: 0}} (or {{0: 0, {used[1]}: '
                   f'1}}), or by colour LoadChangeMask(palette=[{second}, {first}]), "unchanged" '
                   'first.')
        raise ValueError(
            f"label '{path}' is a palette file whose index 0 is the bright colour {first} and "
            f'index {used[1]} the dark one {second}: by index it is inverted. {remedy or options}')


def _mapped(values: np.ndarray, present: list[int], label_map: Mapping[int, int],
            path: Path) -> np.ndarray:
    table = np.full(256, IGNORE, np.uint8)
    for value, index in label_map.items():
        table[int(value)] = index
    unexpected = sorted(set(present) - {int(value) for value in label_map})
    if unexpected:
        raise ValueError(f"label '{path}' holds the values {present}; {unexpected} are "
                         f'not in label_map {dict(label_map)}. Name every value (255 = ignore).')
    return table[values]


def _binary_labels(values: np.ndarray, present: list[int], path: Path) -> np.ndarray:
    if set(present) <= {0, 1}:
        return values
    if set(present) <= {0, 255}:
        return (values == 255).astype(np.uint8)
    raise ValueError(
        f"label '{path}' holds the values {present[:12]}; without a label_map only "
        '{0, 255} and {0, 1} are recognised. Pass label_map={value: class index, ...} (a dataset '
        'class: LABEL_MAP); 255 is ignored. Labels saved with losses (JPEG): '
        'PathListCDDataset(label_threshold=128).')


def _read_values(path: Path, label_map: Mapping[int, int] | None
                 ) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the values of a grey or palette file, uint8 (H, W), and where it has no data."""
    with opened(path) as (image, header):
        mode, colours, values = image.mode, _palette_of(image), upright_pixels(image, header)
        clear = mode in _ALPHA or 'transparency' in image.info
        clear = clear and bool((upright_pixels(image, header, 'RGBA')[..., 3] != 255).any())
    if mode in _ALPHA:
        values = values[..., 0] if values.shape[2] == 2 else values[..., :3]
    if values.ndim == 3:
        spread = values.max(2).astype(int) - values.min(2)
        if mode in _PRINT or spread.max(initial=0) > _TINT.get(header.kind, 0):
            raise _coloured(path, values)
        values = values[..., 0]
    if clear and (label_map is None or colours is None):
        raise ValueError(
            f"label '{path}' has transparent pixels, and nobody says what they mean; its values "
            f'are {np.unique(values).tolist()[:12]}. Save it without transparency, or name all '
            'colours with their alpha: LoadChangeMask(palette=[[red, green, blue, alpha], ...]).')
    empty = _without_data(values, header.nodata, label_map, path)
    values = as_label(values if empty is None else np.where(empty, 0, values), path)
    if colours is not None and label_map is None:
        check_palette_order(values, colours, path)
    return values, empty


def _without_data(values: np.ndarray, nodata: float | None, label_map: Mapping[int, int] | None,
                  path: Path) -> np.ndarray | None:
    """Return the pixels of a nodata value that is no value of the label."""
    if nodata is not None and nodata in (label_map or (0, 1)):
        nodata = None
    if label_map is None and nodata == IGNORE and not (values == 1).any() and (
            values == IGNORE).any():
        raise ValueError(f"label '{path}' holds 255 and says that 255 is its nodata value: changed "
                         'or unknown? Say label_map={0: 0, 255: 1}, or {0: 0, 255: 255} (ignored).')
    return nodata_mask(values, nodata)


def _coloured(path: Path, values: np.ndarray) -> ValueError:
    """Return the error for a label in colours, with the commonest of them."""
    codes, counts = np.unique(_codes(values), return_counts=True)
    found = codes[:, None].view(np.uint8)[:, :values.shape[2]]
    shown = ', '.join(f'{found[i].tolist()} ({100 * counts[i] / counts.sum():.1f} %)'
                      for i in counts.argsort()[::-1][:6])
    return ValueError(
        f"label '{path}' is coloured: {len(found)} colours, {shown}. Say which colour is which "
        'class, "unchanged" first: LoadChangeMask(palette=[[red, green, blue], ...]).')


def _codes(colours: np.ndarray) -> np.ndarray:
    """Return colours uint8 (..., 3 or 4) as one number each, uint32."""
    packed = np.zeros((*colours.shape[:-1], 4), np.uint8)
    packed[..., :colours.shape[-1]] = colours
    return packed.view(np.uint32)[..., 0]


#: What to do about colours that a palette lacks: of the user's, and of class maps.
_MORE_COLOURS = ('Complete the palette, or pass label_map for grey labels. Colours beside those of '
                 'the palette come from JPEG or a smooth resize: save labels as PNG and resize '
                 'them by nearest neighbour.')
_OTHER_COLOURS = ('A published dataset has no other colours: JPEG or a smooth resize makes them, '
                  'so take its files as they were published, or resize labels by nearest '
                  'neighbour and save them as PNG. Of class maps of your own, complete '
                  'semantic_palette and semantic_classes.')


def _match_colours(path: Path, palette: Sequence[Sequence[int]],
                   names: Sequence[str] | None = None) -> np.ndarray:
    """Read a label as places in a palette of colours with or without alpha.

    Args:
        path: The file.
        palette: The colours.
        names: Of the colours, for messages.
    """
    depth = max(len(colour) for colour in palette)
    with opened(path) as (image, header):
        colours = upright_pixels(image, header, 'RGBA')
    codes = _codes(colours)
    if depth < 4 and (colours[..., 3] != 255).any():
        found = np.unique(codes)[:6, None].view(np.uint8).tolist()
        raise ValueError(f"label '{path}' has transparent pixels: give the colours of the palette "
                         f'with their alpha, [red, green, blue, alpha]. Found {found}.')
    indices = np.full(codes.shape, -1, np.int16)
    for index, colour in enumerate(palette):
        indices[codes == _codes(np.array([*colour, 255][:4], np.uint8))] = index
    if (indices < 0).any():
        raise ValueError(f"label '{path}' holds colours outside the palette: "
                         f'{_strange_colours(colours[..., :depth], indices < 0, palette, names)}. '
                         f'{_MORE_COLOURS if names is None else _OTHER_COLOURS}')
    return indices.astype(np.uint8)


def _strange_colours(colours: np.ndarray, strange: np.ndarray, palette: Sequence[Sequence[int]],
                     names: Sequence[str] | None) -> str:
    """List the first three colours that a palette lacks: where they are, and what is nearest.

    Args:
        colours: Of all pixels, uint8 (H, W, D).
        strange: Which of them the palette lacks, bool (H, W).
        palette: Its colours.
        names: Their names.
    """
    rows, columns = np.nonzero(strange)
    found = _codes(colours[rows, columns])
    first = np.sort(np.unique(found, return_index=True)[1])
    known = np.array([[*colour, 255][:colours.shape[2]] for colour in palette], int)
    listed = []
    for place in first[:3]:
        row, column = int(rows[place]), int(columns[place])
        colour = colours[row, column].astype(int)
        nearest = int(((known - colour) ** 2).sum(1).argmin())
        name = repr(names[nearest]) if names else f'number {nearest}'
        listed.append(f'{colour.tolist()} at row {row}, column {column} (nearest: {name} '
                      f'{known[nearest].tolist()})')
    more = f' and {len(first) - 3} more' if len(first) > 3 else ''
    return f"{', '.join(listed)}{more}; pixels in all: {len(rows):,}"


def _palette_of(image: Image.Image) -> np.ndarray | None:
    """Return the colours of a palette picture, uint8 (256, 3)."""
    if image.mode != 'P':
        return None
    found = np.array(image.getpalette('RGB'), np.uint8).reshape(-1, 3)[:256]
    return np.concatenate([found, np.zeros((256 - len(found), 3), np.uint8)])


def refuse_other_meaning(label_map: Mapping[int, int], told: Mapping[str, Any],
                         classes: Sequence[str], root: Path) -> None:
    """Refuse a label map that contradicts what the folder says of its labels.

    Classes may be left out (0), known in part or ignored, but not taken for one another.
    """
    names = {value: 'ignored' if index == IGNORE else told['classes'][index]
             for value, index in told['label_map'].items()}
    for value, index in label_map.items():
        name, meant = names.get(int(value)), classes[index] if 0 < index < len(classes) else None
        if index != IGNORE and (name == 'ignored' or (meant and name in classes
                                                      and name != meant)):
            listed = ', '.join(f'{number} {text}' for number, text in sorted(names.items()))
            raise ValueError(
                f"label_map={dict(label_map)} takes {value} in the labels of '{root}' for "
                f"{repr(meant) if meant else index}, and '{CLASSES_FILE}' there says that it is "
                f"'{name}' (all values: {listed}). Give a label_map of these values: the one that "
                'tools/dataset_converters/scene_pairs.py printed for training fits')
