"""Strict reader of image and label files: an error where one cannot be read faithfully.

Frames come back as RGB uint8 (H, W, 3); label maps as class indices uint8 (H, W), 255 = ignore.
"""
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from rscc.utils import require

IGNORE = 255
_ORIENTATION = 0x0112
_TIFF_MAGIC = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')
Scale = Sequence[float] | str


def read_rgb(path: str | Path, bands: Sequence[int] | None = None,
             scale: Scale | None = None) -> np.ndarray:
    """Read one frame as RGB: :func:`read_frame`, with grey repeated to three channels.

    Returns:
        uint8 (H, W, 3).

    Raises:
        FileNotFoundError, ValueError: As :func:`read_frame`.
    """
    return as_rgb(read_frame(path, bands, scale))


def read_frame(path: str | Path, bands: Sequence[int] | None = None,
               scale: Scale | None = None) -> np.ndarray:
    """Read one frame in the file's own kind: RGB, or grey (panchromatic, say).

    An 8-bit RGB or grey file is taken as it is; a constant opaque alpha is dropped. Anything else
    needs a mapping.

    Args:
        path: PNG, JPEG, BMP, WebP or (Geo)TIFF.
        bands: The bands that become red, green and blue, counted from 1 as GIS programs do.
        scale: ``(low, high)`` values that become 0 and 255, or ``'percentile'`` for the 2nd and
            98th percentile of each band of this file (which equalises the dates: a brightness
            change of the whole scene is lost).

    Returns:
        uint8 (H, W, 3), or (H, W) where the file is grey.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is truncated or no image, or needs ``bands`` or ``scale``.
    """
    return as_frame(_decode(Path(path), wide=bands is not None), path, bands, scale)


def as_frame(pixels: np.ndarray, path: str | Path, bands: Sequence[int] | None = None,
             scale: Scale | None = None) -> np.ndarray:
    """Turn decoded pixels into a frame, as :func:`read_frame` does with those of a whole file.

    Args:
        pixels: (H, W) or (H, W, C) of any depth, a part of an image for instance.
        path: Where they are from, for the message.
        bands, scale: See :func:`read_frame`.

    Raises:
        ValueError: If they need ``bands`` or ``scale``.
    """
    if bands is not None:
        pixels = _select(pixels, bands, path)
    pixels = _drop_opaque_alpha(pixels)
    if scale is not None:
        pixels = _stretch(pixels, scale)
    if pixels.dtype != np.uint8 or (pixels.ndim == 3 and pixels.shape[2] not in (1, 3)):
        raise ValueError(_say_how(pixels, path))
    return pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels


def header_size(path: str | Path) -> tuple[int, int] | None:
    """Return (H, W) as an image file's header tells, upright; None where it tells nothing."""
    try:
        with Image.open(path) as image:
            turned = image.getexif().get(_ORIENTATION, 1) >= 5
            return image.size if turned else image.size[::-1]
    except (OSError, ValueError, Image.DecompressionBombError):
        return None


def as_rgb(frame: np.ndarray) -> np.ndarray:
    """Repeat a grey frame (H, W) to three channels, which loses nothing; keep an RGB one."""
    return cv2.cvtColor(frame, cv2.COLOR_GRAY2RGB) if frame.ndim == 2 else frame


def _say_how(pixels: np.ndarray, path: str | Path) -> str:
    """Return the message for a file that needs a mapping, with one that suits its depth."""
    count = 1 if pixels.ndim == 2 else pixels.shape[2]
    example = 'bands=(1, 2, 3)' if pixels.dtype == np.uint8 else (
        'scale=(0, 10000)' if count in (1, 3) else 'bands=(3, 2, 1), scale=(0, 10000)')
    return (f"'{path}' has {count} band(s) of {pixels.dtype}; an 8-bit RGB or grey image was "
            f'expected. Say how to show it: LoadFrames({example}), bands counted from 1 in the '
            "order red, green, blue; scale is (low, high) or 'percentile'.")


def read_mask(path: str | Path, label_map: Mapping[int, int] | None = None,
              palette: Sequence[Sequence[int]] | None = None) -> np.ndarray:
    """Read one label map as class indices.

    Grey files are read by value, palette files (mode P) by index, colour files by their first
    channel, or by colour where ``palette`` is given.

    Args:
        path: PNG, BMP or TIFF.
        label_map: File value -> class index. Without it {0, 255} and {0, 1} are recognised as
            unchanged / changed.
        palette: RGB colour of each class, for labels stored as colours.

    Returns:
        uint8 (H, W); 255 where the map sends a value there (ignored by losses and metrics).

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no image or holds an unexpected value; the message lists the values.
    """
    values = _label_values(Path(path), palette)
    if palette is not None:
        label_map = {index: index for index in range(len(palette))}
    present = np.flatnonzero(np.bincount(values.ravel(), minlength=256))
    if label_map is None:
        return _binary_labels(values, present, path)
    table = np.full(256, IGNORE, np.uint8)
    for value, index in label_map.items():
        table[int(value)] = index
    unexpected = sorted(set(present.tolist()) - {int(value) for value in label_map})
    if unexpected:
        raise ValueError(f"label '{path}' holds the values {present.tolist()}; {unexpected} are "
                         f'not in label_map {dict(label_map)}. Name every value (255 = ignore).')
    return table[values]


def _binary_labels(values: np.ndarray, present: np.ndarray, path: str | Path) -> np.ndarray:
    if set(present.tolist()) <= {0, 1}:
        return values
    if set(present.tolist()) <= {0, 255}:
        return (values == 255).astype(np.uint8)
    raise ValueError(
        f"label '{path}' holds the values {present.tolist()[:12]}; without a label_map only "
        '{0, 255} and {0, 1} are recognised. Pass label_map={value: class index, ...}; 255 is '
        'ignored. Labels saved with losses (JPEG): PathListCDDataset(label_threshold=128).')


def _label_values(path: Path, palette: Sequence[Sequence[int]] | None) -> np.ndarray:
    """Read file values (H, W) uint8, or indices into ``palette``."""
    if palette is not None:
        return _match_colours(read_stored(path, 'RGB'), palette, path)
    values = read_stored(path)
    return as_label(values[..., 0] if values.ndim == 3 else values, path)


def read_stored(path: str | Path, mode: str | None = None) -> np.ndarray:
    """Read the values that a label file holds: indices of a palette, grey values, or colours.

    Args:
        path: PNG, BMP, JPEG or TIFF.
        mode: Pillow's name of the kind to convert to, ``'RGB'`` for instance; None converts
            nothing.

    Returns:
        (H, W) or (H, W, C) of the file's own depth.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be decoded or is too large to be decoded at once.
    """
    path = Path(path)
    try:
        with Image.open(io.BytesIO(_bytes(path))) as image:
            return np.asarray(image.convert(mode) if mode else image)
    except Image.DecompressionBombError as error:
        raise _too_large(path) from error
    except (UnidentifiedImageError, OSError) as error:
        raise unreadable(path, str(error)) from error


def as_label(values: np.ndarray, path: str | Path) -> np.ndarray:
    """Return decoded label values of any shape and depth as uint8.

    Raises:
        ValueError: If one is no whole number of 0 to 255; the message names ``path``.
    """
    if values.dtype == bool:
        values = values.astype(np.uint8)
    if values.size and (values.min() < 0 or values.max() > 255 or (values % 1).any()):
        raise ValueError(f"label '{path}' holds values from {values.min()} to {values.max()}"
                         f" ({values.dtype}); class labels, whole numbers of 0 to 255, were "
                         'expected.')
    return values.astype(np.uint8)


def _match_colours(colours: np.ndarray, palette: Sequence[Sequence[int]],
                   path: Path) -> np.ndarray:
    codes = colours.astype(np.int32) @ np.array([65536, 256, 1], np.int32)
    indices = np.full(codes.shape, -1, np.int16)
    for index, (red, green, blue) in enumerate(palette):
        indices[codes == red * 65536 + green * 256 + blue] = index
    if (indices < 0).any():
        strange = np.unique(colours[indices < 0], axis=0)[:5].tolist()
        raise ValueError(f"label '{path}' holds colours outside the palette: {strange}. "
                         'Complete the palette, or pass label_map for grey labels.')
    return indices.astype(np.uint8)


def _bytes(path: Path) -> bytes:
    if not path.is_file():
        raise FileNotFoundError(f"no such image: '{path}'")
    data = path.read_bytes()
    if not data:
        raise unreadable(path, 'the file is empty')
    return data


def unreadable(path: Path, cause: str) -> ValueError:
    """Return the error for a file that cannot be decoded."""
    return ValueError(f"'{path}' cannot be decoded: {cause}. The file is truncated, damaged or no "
                      'image; copy or download it again.')


def _too_large(path: Path) -> ValueError:
    """Return the error for an image of more pixels than Pillow dares to decode (about 179 M)."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with Image.open(path) as image:  # its header only
            width, height = image.size
    finally:
        Image.MAX_IMAGE_PIXELS = limit
    return ValueError(f"'{path}' is too large to be decoded as one sample: {width} x {height}, "
                      f'{width * height / 1e6:.0f} megapixels, at most {2 * limit / 1e6:.0f} were '
                      'expected. Cut it into tiles first: python '
                      'tools/dataset_converters/tiles.py cut --help')


def _decode(path: Path, wide: bool) -> np.ndarray:
    """Decode to the file's own depth, channels in RGB order, (H, W) or (H, W, C)."""
    data = _bytes(path)
    if data[:4] in _TIFF_MAGIC:
        return _decode_tiff(path, data, wide)
    # Decoders may fill the missing part of a truncated file with grey and say nothing.
    tail = data[-4096:]
    if data[:4] == b'\x89PNG' and b'IEND' not in tail:
        raise unreadable(path, 'its end is missing (no IEND)')
    if data[:2] == b'\xff\xd8' and b'\xff\xd9' not in tail:
        raise unreadable(path, 'its end is missing (no end-of-image mark)')
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:  # only of more than 2^30 pixels: anything else is no exception
        raise _too_large(path) from error
    if pixels is None:
        raise unreadable(path, 'the decoder refuses it')
    if pixels.ndim == 3 and pixels.shape[2] == 3:
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        return cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA)
    return pixels


def _decode_tiff(path: Path, data: bytes, wide: bool) -> np.ndarray:
    """Decode a TIFF: Pillow for plain pictures, rasterio for bands and depths it does not know."""
    if not wide:
        try:
            with Image.open(io.BytesIO(data)) as image:
                if image.mode in ('L', 'RGB', 'RGBA'):
                    return np.asarray(image)
                if image.mode in ('P', '1'):  # rasterio would give the palette's numbers as grey
                    return np.asarray(image.convert('RGB'))
        except Image.DecompressionBombError as error:
            raise _too_large(path) from error
        except UnidentifiedImageError:
            pass
        except OSError as error:
            raise unreadable(path, str(error)) from error
    rasterio = require('rasterio', f"reading the bands of '{path}'")
    try:
        with rasterio.Env(GDAL_PAM_ENABLED='NO'), rasterio.io.MemoryFile(data) as memory, \
                memory.open() as file:
            return np.moveaxis(file.read(), 0, -1)
    except rasterio.errors.RasterioError as error:
        raise unreadable(path, str(error)) from error


def _select(pixels: np.ndarray, bands: Sequence[int], path: str | Path) -> np.ndarray:
    count = 1 if pixels.ndim == 2 else pixels.shape[2]
    if len(bands) != 3 or min(bands) < 1 or max(bands) > count:
        raise ValueError(f'bands={tuple(bands)} does not name three bands of '
                         f"'{path}', which has {count} (counted from 1).")
    return pixels.reshape(*pixels.shape[:2], count)[..., [band - 1 for band in bands]]


def _drop_opaque_alpha(pixels: np.ndarray) -> np.ndarray:
    if pixels.ndim == 3 and pixels.shape[2] == 4 and pixels.dtype == np.uint8 and (
            pixels[..., 3] == 255).all():
        return np.ascontiguousarray(pixels[..., :3])
    return pixels


def _stretch(pixels: np.ndarray, scale: Scale) -> np.ndarray:
    values = np.nan_to_num(pixels.astype(np.float32))
    if isinstance(scale, str):
        low, high = np.percentile(values, [2, 98], axis=(0, 1))
    else:
        low, high = np.float32(scale[0]), np.float32(scale[1])
    span = np.maximum(high - low, 1e-6)
    return np.clip((values - low) / span * 255 + 0.5, 0, 255).astype(np.uint8)
