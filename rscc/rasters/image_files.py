"""Strict reader of images: an error where one cannot be read faithfully.

Frames come back upright, as RGB uint8 (H, W, 3) or grey (H, W), or with the B bands that were
chosen, uint8 (H, W, B), of which pictures show the first three. Labels: ``rscc.rasters.labels``.
"""
import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from rscc.rasters.headers import (
    Header,
    check_end,
    pixel_limit,
    read_header,
    unreadable,
    upright,
)
from rscc.rasters.scales import Scale, advised_scale, scale_limits
from rscc.utils import counted, require
from rscc.utils.logging import warn_once


class NeedsMapping(ValueError):
    """Error for pixels that are no 8-bit RGB or grey image, and how to show them.

    Args:
        pixels: (H, W) or (H, W, C).
        path: Where they are from.
        chosen: Whether their bands were chosen.
        empty: Where they hold no data, bool (H, W); None where all do.

    Attributes:
        flags: The same advice for a command line.
        facts: What was found and is advised: ``path``, ``count`` of bands, ``kind`` of values, the
            ``ends`` of their range (None of 8 bits and without data), ``flags``.
    """

    def __init__(self, pixels: np.ndarray, path: str | Path, chosen: bool = False,
                 empty: np.ndarray | None = None):
        count = 1 if pixels.ndim == 2 else pixels.shape[2]
        bands = (1, 2, 3) if pixels.dtype == np.uint8 else (3, 2, 1)
        bands = None if chosen or count in (1, 3) else bands
        scale, ends, values = None, None, ''
        if pixels.dtype != np.uint8:
            scale, ends = advised_scale(pixels if empty is None else pixels[~empty])
            values = (f' with values from {ends[0]} to {ends[1]}' if ends else
                      ', none of them with data')
        options = {name: value for name, value in (('bands', bands), ('scale', scale)) if value}
        found = f"'{path}' has {counted(count, 'band')} of {pixels.dtype}{values}"
        what = f'{found}; an 8-bit RGB or grey image was expected. Say how to show it: '
        example = ', '.join(f'{name}={value!r}' for name, value in options.items())
        more = '' if bands is None else ', then any others that the encoder takes'
        super().__init__(f'{what}LoadFrames({example}), bands counted from 1 in the order red, '
                         f"green, blue{more}; scale is (low, high), one such pair for each band, "
                         "or 'percentile'.")
        flags = ' '.join(
            f"--{name} {value if isinstance(value, str) else ' '.join(map(str, value))}"
            for name, value in options.items())
        self.flags = what + flags
        self.facts = dict(path=str(path), count=count, kind=str(pixels.dtype), ends=ends,
                          flags=flags)


def read_rgb(path: str | Path, bands: Sequence[int] | None = None,
             scale: Scale | None = None) -> np.ndarray:
    """Read one frame as it is shown: :func:`read_frame`, then :func:`as_rgb`.

    Returns:
        uint8 (H, W, 3).

    Raises:
        FileNotFoundError, ValueError: As :func:`read_frame`.
    """
    return as_rgb(read_frame(path, bands, scale))


def read_frame(path: str | Path, bands: Sequence[int] | None = None,
               scale: Scale | None = None) -> np.ndarray:
    """Read one frame in the file's own kind: RGB, or grey (panchromatic, say).

    An 8-bit RGB or grey file is taken as it is; an alpha channel is dropped, and where it is fully
    transparent there is no data. Anything else needs a mapping.

    Args:
        path: PNG, JPEG, BMP, WebP, GIF or (Geo)TIFF.
        bands: The B bands that are read, counted from 1 as GIS programs do: those that become red,
            green and blue, then any others.
        scale: ``(low, high)`` values that become 0 and 255, one such pair for each band, or
            ``'percentile'`` for the 2nd and 98th percentile of each band of this file (which
            equalises the dates: a brightness change of the whole scene is lost). Pixels without
            data count in neither.

    Returns:
        uint8 (H, W, B) of chosen bands; else (H, W, 3), or (H, W) where the file is grey.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is truncated, no image or too large, needs ``bands`` or ``scale``, or
            lacks one of the bands.
    """
    return read_frame_and_nodata(path, bands, scale)[0]


def read_frame_and_nodata(path: str | Path, bands: Sequence[int] | None = None,
                          scale: Scale | None = None) -> tuple[np.ndarray, np.ndarray | None]:
    """Read one frame and where it has no data.

    Returns:
        The frame, see :func:`read_frame`, and a bool mask (H, W) of the pixels that hold the file's
        nodata value, no finite number, or are fully transparent; None where there are none.
    """
    path = Path(path)
    data, header = _bytes(path)
    pixels = _decode(path, data, header, bands)
    if bands is not None and header.kind != 'TIFF':
        pixels = _select(pixels, bands, path)
    return frame_and_nodata(pixels, path, None, scale, header.nodata, chosen=bands is not None,
                            alpha=header.alpha)


def read_nodata(path: str | Path) -> np.ndarray | None:
    """Return where an image has no data in any band, see :func:`read_frame_and_nodata`."""
    data, header = _bytes(Path(path))
    pixels, clear = _without_alpha(_decode(Path(path), data, header, None), header.alpha)
    return _either(nodata_mask(pixels, header.nodata), clear)


def as_frame(pixels: np.ndarray, path: str | Path, bands: Sequence[int] | None = None,
             scale: Scale | None = None, alpha: bool = False) -> np.ndarray:
    """Turn decoded pixels into a frame, as :func:`read_frame` does with those of a whole file.

    Args:
        pixels: (H, W) or (H, W, C) of any depth, a part of an image for instance.
        path: Where they are from, for the message.
        bands, scale: See :func:`read_frame`.
        alpha: Whether the last of 2 or 4 bands is an alpha channel.

    Raises:
        NeedsMapping: If they need ``bands`` or ``scale``.
    """
    return frame_and_nodata(pixels, path, bands, scale, alpha=alpha)[0]


def frame_and_nodata(pixels: np.ndarray, path: str | Path, bands: Sequence[int] | None = None,
                     scale: Scale | None = None, nodata: float | None = None,
                     chosen: bool = False, alpha: bool = False
                     ) -> tuple[np.ndarray, np.ndarray | None]:
    """Turn decoded pixels into a frame and a mask, see :func:`read_frame_and_nodata`.

    Args:
        pixels, path, bands, scale: See :func:`as_frame`.
        nodata: Value of pixels without data.
        chosen: Whether ``pixels`` (H, W, B) are chosen bands already, so that all are meant.
        alpha: Whether the last of 2 or 4 bands is an alpha channel; chosen bands are what they are.
    """
    if bands is not None:
        pixels, chosen = _select(pixels, bands, path), True
    pixels, clear = (pixels, None) if chosen else _without_alpha(pixels, alpha)
    empty = _either(nodata_mask(pixels, nodata), clear)
    if scale is not None:
        pixels = _stretch(pixels, scale, empty, path)
    count = 1 if pixels.ndim == 2 else pixels.shape[2]
    if pixels.dtype != np.uint8 or not (chosen or count in (1, 3)):
        raise NeedsMapping(pixels, path, chosen, empty)
    grey = pixels.ndim == 3 and count == 1 and not chosen
    return pixels[..., 0] if grey else pixels, empty


def header_size(path: str | Path) -> tuple[int, int] | None:
    """Return (H, W) as an image file's header tells, upright; None where it tells nothing."""
    try:
        header = read_header(path)
    except (OSError, ValueError):
        return None
    return header.height, header.width


def as_rgb(frame: np.ndarray) -> np.ndarray:
    """Return what pictures show of a frame: its first three bands, or its first one as grey.

    Args:
        frame: uint8 (H, W, B) or (H, W).

    Returns:
        uint8 (H, W, 3); of one or two bands the first, repeated.
    """
    if frame.ndim == 3 and frame.shape[2] == 3:
        return frame
    if frame.ndim == 3 and frame.shape[2] > 3:
        return np.ascontiguousarray(frame[..., :3])
    first = frame if frame.ndim == 2 else np.ascontiguousarray(frame[..., 0])
    return cv2.cvtColor(first, cv2.COLOR_GRAY2RGB)


def as_bands(frame: np.ndarray) -> np.ndarray:
    """Repeat a grey frame (H, W) to three bands, which loses nothing; keep one (H, W, B)."""
    return as_rgb(frame) if frame.ndim == 2 else frame


def nodata_mask(pixels: np.ndarray, nodata: float | None) -> np.ndarray | None:
    """Return where pixels (H, W) or (H, W, C) hold no data, bool (H, W); None where all do.

    A pixel has none where all its bands hold the nodata value, or one of them no finite number.
    """
    bands = pixels if pixels.ndim == 3 else pixels[..., None]
    mask = None
    if nodata is not None and not np.isnan(nodata):
        mask = (bands == nodata).all(2)
    if np.issubdtype(pixels.dtype, np.floating):
        lacking = ~np.isfinite(bands).all(2)
        mask = lacking if mask is None else mask | lacking
    return mask if mask is not None and mask.any() else None


# ---- decoding --------------------------------------------------------------------------------


def _bytes(path: Path) -> tuple[bytes, Header]:
    """Return the content of a file that is small enough to be decoded at once, and its header."""
    if not path.is_file():
        raise FileNotFoundError(f"no such image: '{path}'")
    data = path.read_bytes()
    header = read_header(data, path)
    check_end(header, path)
    if header.width * header.height > pixel_limit():
        raise too_large(path, header)
    return data, header


def too_large(path: Path, header: Header) -> ValueError:
    """Return the error for an image of more pixels than are decoded at once."""
    width, height = header.width, header.height
    return ValueError(f"'{path}' is too large to be decoded as one sample: {width} x {height}, "
                      f'{width * height / 1e6:.0f} megapixels, at most {pixel_limit() / 1e6:.0f} '
                      'were expected (less of many bands or little memory). Cut it into tiles '
                      'first: python tools/dataset_converters/tiles.py cut --help')


@contextmanager
def decoding(path: Path, header: Header, what: str = '') -> Iterator[None]:
    """Turn whatever a decoder raises into ValueError with the file's name.

    Args:
        path: The file.
        header: Its header.
        what: Part that is decoded, ``'rows 0 to 255: '`` for instance.
    """
    try:
        yield
    except (MemoryError, Image.DecompressionBombError) as error:
        raise too_large(path, header) from error
    except ImportError:
        raise
    except Exception as error:
        # Decoders of damaged files raise anything, struct.error and SyntaxError among them.
        if isinstance(error, ValueError) and str(path) in str(error):
            raise
        raise unreadable(path, f'{what}{error}') from error


@contextmanager
def opened(path: Path) -> Iterator[tuple[Image.Image, Header]]:
    """Open a picture of moderate size with Pillow, decoded, and its header.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is of no known format, damaged or too large.
    """
    data, header = _bytes(path)
    with decoding(path, header), Image.open(io.BytesIO(data), formats=[header.kind]) as image:
        image.load()
        yield image, header


def upright_pixels(image: Image.Image, header: Header, mode: str | None = None) -> np.ndarray:
    """Return the pixels of a decoded picture, upright; Pillow itself turns TIFFs.

    Args:
        image: As :func:`opened` yields it.
        header: Its header.
        mode: Pillow's name of the kind to convert to; None converts nothing.
    """
    pixels = np.asarray(image.convert(mode) if mode else image)
    return pixels if header.kind == 'TIFF' else upright(pixels, header.orientation)


def _decode(path: Path, data: bytes, header: Header, bands: Sequence[int] | None) -> np.ndarray:
    """Decode to the file's own depth, upright, channels in RGB order, (H, W) or (H, W, C)."""
    if header.kind == 'TIFF':
        return _decode_tiff(path, data, header, bands)
    # Decoders fill the missing part of a truncated file with grey and say nothing.
    if header.kind == 'JPEG' and b'\xff\xd9' not in data[-4096:]:
        raise unreadable(path, 'its end is missing (no end-of-image mark)')
    with decoding(path, header):
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise unreadable(path, 'the decoder refuses it')
    if pixels.ndim == 3 and pixels.shape[2] in (3, 4):
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB if pixels.shape[2] == 3
                              else cv2.COLOR_BGRA2RGBA)
        if header.grey:  # the decoder repeats grey beside an alpha channel
            pixels = pixels[..., [0, -1]] if pixels.shape[2] == 4 else pixels[..., 0]
    return upright(pixels, header.orientation)


def _decode_tiff(path: Path, data: bytes, header: Header, bands: Sequence[int] | None
                 ) -> np.ndarray:
    """Decode a TIFF: Pillow for plain pictures, rasterio for bands and depths it does not know."""
    if bands is None:
        with decoding(path, header):
            plain = _plain_tiff(data)
        if plain is not None:
            return plain
    rasterio = require('rasterio', f"reading the bands of '{path}'")
    # Most training images have no place on the map, and need none.
    warnings.filterwarnings('ignore', category=rasterio.errors.NotGeoreferencedWarning)
    with decoding(path, header), rasterio.Env(GDAL_PAM_ENABLED='NO'), \
            rasterio.io.MemoryFile(data) as memory, memory.open(driver='GTiff') as file:
        if bands is not None:
            check_bands(bands, file.count, path)
        wanted = list(bands or file.indexes)
        if header.width * header.height * len(wanted) > 4 * pixel_limit():
            raise MemoryError
        pixels = np.moveaxis(file.read(wanted), 0, -1)
    return from_gdal(pixels, header)


def _plain_tiff(data: bytes) -> np.ndarray | None:
    """Return the pixels of a TIFF that Pillow shows as it is; None where it does not know it."""
    try:
        image = Image.open(io.BytesIO(data), formats=['TIFF'])
    except Image.UnidentifiedImageError:
        return None
    with image:
        if image.mode not in ('L', 'RGB', 'RGBA', 'P', '1'):
            return None
        # rasterio would give the palette's numbers as grey; Pillow turns TIFFs upright itself
        return np.asarray(image.convert('RGB') if image.mode in ('P', '1') else image)


def from_gdal(pixels: np.ndarray, header: Header) -> np.ndarray:
    """Turn what GDAL reads of a file so that it stands upright and 0 is black, as Pillow does."""
    if header.inverted and np.issubdtype(pixels.dtype, np.unsignedinteger):
        pixels = pixels.dtype.type(2**header.bits - 1) - pixels
    return upright(pixels, header.orientation)


def check_bands(bands: Sequence[int], count: int, path: str | Path) -> None:
    """Refuse bands that a file does not have.

    Raises:
        ValueError: If one is not among 1 to ``count``.
    """
    check_band_numbers(bands)
    if max(bands) > count:
        raise ValueError(f'bands={tuple(bands)} asks for band {max(bands)} of '
                         f"'{path}', which has {count} (counted from 1).")


def check_band_numbers(bands: Sequence[int]) -> None:
    """Refuse what names no bands.

    Raises:
        ValueError: If there is none, one is no whole number from 1, or one stands twice (three
            times alone it stands for a grey picture).
    """
    if not len(bands) or any(isinstance(band, bool) or not isinstance(band, Integral) or band < 1
                             for band in bands):
        raise ValueError(f'bands={tuple(bands)}: expected whole numbers of bands, counted from 1, '
                         'for example (3, 2, 1) or (3, 2, 1, 4)')
    twice = sorted({band for band in bands if list(bands).count(band) > 1})
    if twice and tuple(bands) != 3 * (bands[0], ):
        raise ValueError(f'bands={tuple(bands)} names band {", ".join(map(str, twice))} twice: '
                         'give each once, or one three times for a grey picture of it')


def _select(pixels: np.ndarray, bands: Sequence[int], path: str | Path) -> np.ndarray:
    count = 1 if pixels.ndim == 2 else pixels.shape[2]
    check_bands(bands, count, path)
    return pixels.reshape(*pixels.shape[:2], count)[..., [band - 1 for band in bands]]


def _without_alpha(pixels: np.ndarray, alpha: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """Return pixels without their alpha channel, and where it is fully transparent.

    Args:
        pixels: (H, W) or (H, W, C).
        alpha: Whether the last of 2 or 4 bands is known to be one; else a fourth band that is
            opaque everywhere is taken for one.
    """
    if pixels.ndim < 3 or pixels.shape[2] not in (2, 4):
        return pixels, None
    opacity = pixels[..., -1]
    opaque = np.issubdtype(pixels.dtype, np.integer) and bool(
        (opacity == np.iinfo(pixels.dtype).max).all())
    if not (alpha or (opaque and pixels.dtype == np.uint8 and pixels.shape[2] == 4)):
        return pixels, None
    if not opaque:
        warn_once('an alpha channel is dropped: colours are read as they are stored, and pixels '
                  'that are fully transparent count as without data', level=20)
    colours = np.ascontiguousarray(pixels[..., :-1])
    clear = opacity == 0
    return colours[..., 0] if colours.shape[2] == 1 else colours, clear if clear.any() else None


def _either(one: np.ndarray | None, other: np.ndarray | None) -> np.ndarray | None:
    return other if one is None else one if other is None else one | other


def _stretch(pixels: np.ndarray, scale: Scale, empty: np.ndarray | None, path: str | Path
             ) -> np.ndarray:
    """Map values to 0 to 255; pixels without data enter no percentile and become black."""
    values = pixels.astype(np.float32)
    if isinstance(scale, str):
        seen = values.reshape(*values.shape[:2], -1)
        seen = seen.reshape(-1, seen.shape[2]) if empty is None else seen[~empty]
        low, high = np.percentile(seen, [2, 98], axis=0) if len(seen) else (0.0, 1.0)
    else:
        low, high = scale_limits(scale)
        count = 1 if pixels.ndim == 2 else pixels.shape[2]
        if low.ndim and len(low) != count:
            raise ValueError(f'scale={scale!r} has {counted(len(low), "pair")}, and '
                             f"{counted(count, 'band')} of '{path}' would be read: give one "
                             '(low, high) for all, or one for each band.')
        if low.ndim and pixels.ndim == 2:
            low, high = low[0], high[0]
        if pixels.dtype == np.uint8 and np.max(high) > 255:
            raise ValueError(f"'{path}' holds bytes, 0 to 255, and scale={scale!r} is for values "
                             f'up to {np.max(high):g}: they are no values of that kind. Give the '
                             'file with the measured values, or a scale up to 255')
    span = np.maximum(high - low, 1e-6)
    if empty is not None:
        values[empty] = 0
    shown = np.clip((values - low) / span * 255 + 0.5, 0, 255).astype(np.uint8)
    if empty is not None:
        shown[empty] = 0
    return shown
