"""Headers of image files: format, size, orientation, nodata value and place on the map.

Formats are told by the first bytes of a file, never by its name, and nothing but the formats named
here is ever handed to a decoder: a "label.png" that is PostScript, say, would start Ghostscript.
"""
import io
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from rscc.utils import counted

#: Pillow's name of each format -> GDAL's driver.
FORMATS = {'PNG': 'PNG', 'JPEG': 'JPEG', 'BMP': 'BMP', 'WEBP': 'WEBP', 'GIF': 'GIF',
           'TIFF': 'GTiff'}
_MAGIC = {b'\x89PNG\r\n\x1a\n': 'PNG', b'\xff\xd8\xff': 'JPEG', b'BM': 'BMP', b'GIF8': 'GIF',
          b'II*\0': 'TIFF', b'MM\0*': 'TIFF', b'II+\0': 'TIFF', b'MM\0+': 'TIFF'}
_ORIENTATION = 274  # the same number in EXIF and TIFF
# TIFF tags: what stands in an image's directory under which number.
_TAGS = {256: 'width', 257: 'height', 262: 'photometric', _ORIENTATION: 'orientation',
         258: 'bits', 277: 'bands', 278: 'rows', 322: 'tile_width', 323: 'tile_height',
         259: 'compression', 273: 'starts', 279: 'lengths', 284: 'planes', 324: 'starts',
         325: 'lengths',
         330: 'children', 33550: 'scale', 33922: 'tie', 34264: 'matrix', 34735: 'keys',
         34736: 'doubles', 34737: 'text', 42113: 'nodata', 338: 'extra'}
# Where strips and tiles begin, and how long they are.
_PLACES = (273, 279, 324, 325)
_TYPES = {1: 'B', 2: 's', 3: 'H', 4: 'I', 6: 'b', 8: 'h', 9: 'i', 11: 'f', 12: 'd', 13: 'I',
          16: 'Q', 18: 'Q'}
_EARTH = 6378137.0  # radius in metres
_LARGEST_DEGREES = 0.05  # of a pixel whose coordinates could be degrees: 5 km
_MOST_BYTES = 2**20  # of one tag's value
# Keys of a GeoTIFF: code of a projected and of a geographic system; whether pixels are points.
_PROJECTED, _GEOGRAPHIC, _RASTER_TYPE, _USER_DEFINED = 3072, 2048, 1025, 32767

#: Last words of the message on a file that cannot be decoded.
DAMAGED = '. The file is truncated, damaged or no image; copy or download it again.'


@dataclass(frozen=True)
class Header:
    """What an image file says of itself.

    Attributes:
        kind: Pillow's name of the format, a key of :data:`FORMATS`.
        width, height: Pixels of the upright image.
        orientation: EXIF / TIFF orientation, 1 (stored upright) to 8.
        grey: Whether it is stored as grey, of any depth.
        inverted: Whether 0 is white (some TIFFs).
        bits: Of a TIFF's values; of other formats 16, or 8 where the decoder sees to it.
        nodata: Value of pixels without data (GeoTIFFs), None where there is none.
        crs: ``'EPSG:32633'`` or, where the system has no code, its definition; None without.
        transform: Affine coefficients (a, b, c, d, e, f), x = a * column + b * row + c and
            y = d * column + e * row + f; None without.
        missing: Bytes of a TIFF's pixels that lie beyond its end. Readers of parts do without them;
            decoders of the whole may fill them in silence, see :func:`check_end`.
        alpha: Whether its last band says how opaque pixels are, or single colours are transparent.
    """

    kind: str
    width: int
    height: int
    orientation: int = 1
    grey: bool = False
    inverted: bool = False
    bits: int = 8
    nodata: float | None = None
    crs: str | None = None
    transform: tuple[float, ...] | None = None
    missing: int = 0
    alpha: bool = False


def pixel_limit() -> float:
    """Return how many pixels are decoded at once, frames and labels alike: about 179 million.

    It is Pillow's: who sets ``PIL.Image.MAX_IMAGE_PIXELS`` sets half of ours.
    """
    return math.inf if Image.MAX_IMAGE_PIXELS is None else 2 * Image.MAX_IMAGE_PIXELS


def read_header(source: str | Path | bytes, path: str | Path | None = None) -> Header:
    """Read the header of an image.

    Args:
        source: The file, or its bytes.
        path: Name for messages where bytes are given.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is of no known format, damaged, or georeferenced and yet stored turned,
            which programs read differently.
    """
    if isinstance(source, bytes):
        return _header(io.BytesIO(source), Path(path or 'image'))
    path = Path(source)
    if not path.is_file():
        raise FileNotFoundError(f"no such image: '{path}'")
    with path.open('rb') as stream:
        return _header(stream, path)


def check_end(header: Header, path: str | Path) -> None:
    """Refuse a file whose end is missing.

    Raises:
        ValueError: If some of its pixels are not there.
    """
    if header.missing:
        raise unreadable(path, f'its end is missing ({counted(header.missing, "byte")})')


def pixel_side(header: Header) -> float | None:
    """Return about how many metres a pixel covers, from the header alone; None where unknown.

    Degrees and Web Mercator are brought to metres at the place of the image; other projections
    count as true, in metres. For exact sizes see :func:`rscc.scenes.ground.ground_resolution`.
    """
    if header.transform is None or header.crs is None:
        return None
    a, b, c, d, e, f = header.transform
    side = math.sqrt(abs(a * e - b * d))
    y = d * header.width / 2 + e * header.height / 2 + f
    if header.crs in ('EPSG:3857', 'EPSG:900913'):
        return side / math.cosh(y / _EARTH) or None
    if side < _LARGEST_DEGREES and abs(c) <= 360 and abs(y) <= 90:
        return side * math.radians(1) * _EARTH * math.sqrt(math.cos(math.radians(y))) or None
    return side or None


class UnreadableImage(ValueError):
    """Error for a file that is truncated, damaged or no image at all."""


def unreadable(path: str | Path, cause: object) -> UnreadableImage:
    """Return the error for a file that cannot be decoded."""
    return UnreadableImage(f"'{path}' cannot be decoded: {cause}{DAMAGED}")


def _header(stream: IO[bytes], path: Path) -> Header:
    start = stream.read(32)
    if not start:
        raise unreadable(path, 'the file is empty')
    kind = next((kind for magic, kind in _MAGIC.items() if start.startswith(magic)), None)
    if start[:4] == b'RIFF' and start[8:12] == b'WEBP':
        kind = 'WEBP'
    if kind is None:
        raise unreadable(path, f'it begins with {start[:8]!r} and is no PNG, JPEG, BMP, WebP, GIF '
                         'or TIFF')
    try:
        if kind == 'TIFF':
            return _tiff(stream, path)
        header = _png(stream, start) if kind == 'PNG' else None
        return header or _by_pillow(stream, kind)
    except Exception as error:
        # Of damaged files, Pillow raises anything, SyntaxError among them.
        if isinstance(error, ValueError) and str(path) in str(error):
            raise
        cut = isinstance(error, struct.error)
        raise unreadable(path, 'its header is cut off' if cut else error) from error


def _png(stream: IO[bytes], start: bytes) -> Header | None:
    """Read a PNG's header by hand, which is quick, where no EXIF asks for more."""
    width, height, depth, colour = struct.unpack('>IIBB', start[16:26])
    kinds = list(_chunks(stream))
    if kinds[-1:] != [b'IEND']:
        raise ValueError('its end is missing (no IEND)')
    if {b'eXIf', b'zTXt', b'tEXt', b'iTXt'} & set(kinds):
        return None
    return Header('PNG', width, height, grey=colour in (0, 4), bits=max(depth, 8),
                  alpha=colour in (4, 6) or b'tRNS' in kinds)


def _chunks(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield the kinds of a PNG's chunks, as far as they lie within the file."""
    end, place = stream.seek(0, io.SEEK_END), 8
    while place + 12 <= end:
        stream.seek(place)
        head = stream.read(8)
        place += int.from_bytes(head[:4], 'big') + 12
        if place <= end:
            yield head[4:]


def _by_pillow(stream: IO[bytes], kind: str) -> Header:
    stream.seek(0)
    limit = pixel_limit()
    with Image.open(stream, formats=[kind]) as image:
        turn, (width, height) = 1, image.size
        # Pillow decodes a PNG to look for EXIF behind its pixels: not one that nobody can decode.
        if kind in ('JPEG', 'WEBP') or (kind == 'PNG' and width * height <= limit):
            try:
                turn = image.getexif().get(_ORIENTATION, 1)
            except Exception:
                turn = 1  # a damaged remark on a good picture; viewers pass over it too
        header = Header(kind, width, height, turn if turn in range(1, 9) else 1,
                        image.mode in ('1', 'L', 'LA', 'I;16', 'I', 'F'),
                        bits=16 if image.mode in ('I;16', 'I') else 8,
                        alpha=image.has_transparency_data)
    return replace(header, width=height, height=width) if header.orientation > 4 else header


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn pixels (H, W, ...) as they are stored so that they stand upright.

    Args:
        pixels: As stored.
        orientation: EXIF / TIFF orientation, 1 to 8; 1 changes nothing.
    """
    if orientation == 1:
        return pixels
    if orientation > 4:
        pixels = pixels.swapaxes(0, 1)
    rows = slice(None, None, -1) if orientation in (3, 4, 7, 8) else slice(None)
    columns = slice(None, None, -1) if orientation in (2, 3, 6, 7) else slice(None)
    return np.ascontiguousarray(pixels[rows, columns])


# ---- TIFF ------------------------------------------------------------------------------------


def _tiff(stream: IO[bytes], path: Path) -> Header:
    tags = _directory(stream)
    width, height, turn = (int(tags[name][0]) if name in tags else default for name, default in (
        ('width', 0), ('height', 0), ('orientation', 1)))
    if width < 1 or height < 1:
        raise unreadable(path, f'its size is {width} x {height} pixels')
    photometric = int(tags.get('photometric', (1,))[0])
    missing = _missing_bytes(stream, tags, width, height)
    crs, transform = _crs(tags), _transform(tags)
    if turn not in range(1, 9):
        turn = 1
    if turn != 1 and (crs or transform):
        raise ValueError(f"'{path}' has a place on the map and is stored turned (orientation "
                         f'{turn}), which programs read differently. Write it anew without the '
                         f"tag: gdal_translate -co PROFILE=GeoTIFF '{path}' upright.tif")
    if turn > 4:
        width, height = height, width
    return Header('TIFF', width, height, turn, int(tags.get('bands', (1,))[0]) == 1
                  and photometric in (0, 1), photometric == 0, int(tags.get('bits', (1,))[0]),
                  _nodata(tags), crs, transform, missing,
                  (tags.get('extra') or (0,))[-1] in (1, 2))


def _missing_bytes(stream: IO[bytes], tags: dict[str, Any], width: int, height: int) -> int:
    """Return how far the strips or tiles of a TIFF reach beyond its end."""
    starts, lengths = tags.get('starts', ()), tags.get('lengths', ())
    if not starts or len(starts) != len(lengths):
        return 0  # too many to be looked at, or a form of its own: the decoder tells
    place, length = max(zip(starts, lengths, strict=True))
    if tags.get('compression', (1,))[0] == 1 and 'tile_width' not in tags:
        # Some programs give the last strip the length of a whole one.
        planes = 1 if tags.get('planes', (1,))[0] == 2 else int(tags.get('bands', (1,))[0])
        row = math.ceil(width * planes * int(max(tags.get('bits', (1,)))) / 8)
        rows = min(int(tags.get('rows', (height,))[0]), height)
        length = min(length, row * (height % rows or rows))
    return max(0, place + length - stream.seek(0, io.SEEK_END)) if length else 0


def _directory(stream: IO[bytes]) -> dict[str, Any]:
    """Read the tags of a TIFF's first image, classic or BigTIFF."""
    return _read_directory(stream, *_tiff_start(stream))[0]


def _tiff_start(stream: IO[bytes]) -> tuple[str, bool, int]:
    """Return the byte order of a TIFF, whether it is a BigTIFF, and where its first image is."""
    stream.seek(0)
    head = stream.read(16)
    order, big = '<' if head[:2] == b'II' else '>', 43 in (head[2], head[3])
    offset = struct.unpack(order + 'Q', head[8:16])[0] if big else struct.unpack(
        order + 'I', head[4:8])[0]
    return order, big, offset


def _read_directory(stream: IO[bytes], order: str, big: bool, offset: int
                    ) -> tuple[dict[str, Any], int]:
    """Return the tags of the image at a place in a TIFF, and the place of the next, 0 for none."""
    stream.seek(offset)
    count = struct.unpack(order + ('Q' if big else 'H'), stream.read(8 if big else 2))[0]
    size = 20 if big else 12
    entries = stream.read(min(count, 4096) * size)
    if len(entries) < size:
        raise ValueError('no directory of the image')
    link = stream.read(8 if big else 4)
    following = struct.unpack(order + ('Q' if big else 'I'), link)[0] if (
        len(link) == (8 if big else 4)) else 0
    tags = {}
    for place in range(0, len(entries) - size + 1, size):
        number, kind, length = struct.unpack_from(order + ('HHQ' if big else 'HHI'), entries, place)
        if number in _PLACES and length * struct.calcsize(order + _TYPES.get(kind, 'Q')) > (
                _MOST_BYTES):
            continue  # of huge images; only to be compared with the end of the file
        if number in _TAGS and kind in _TYPES:
            tags[_TAGS[number]] = _value(stream, order, _TYPES[kind], length,
                                         entries[place + size - (8 if big else 4):place + size])
    return tags, following


@dataclass(frozen=True)
class TiffImage:
    """What one image of a TIFF takes in memory, as its directory says.

    Attributes:
        width, height: In pixels.
        chunk: (height, width) in pixels of what is decoded at once: a tile, or some rows.
        pixel: Bytes of a pixel, all bands together.
    """
    width: int
    height: int
    chunk: tuple[int, int]
    pixel: int


def tiff_images(path: str | Path, most: int = 64) -> list[TiffImage]:
    """Return every image of a TIFF: the first, reduced ones, masks and what else is in it.

    Programs open the reduced ones by themselves, so that a harmless first image is no promise.

    Args:
        path: The file, a TIFF.
        most: Images from which on the file is refused.

    Raises:
        ValueError: If a directory is damaged, or there are too many.
    """
    found, seen = [], set()
    with Path(path).open('rb') as stream:
        try:
            order, big, first = _tiff_start(stream)
            waiting = [first]
            while waiting:
                offset = waiting.pop()
                if not offset or offset in seen:
                    continue
                seen.add(offset)
                if len(seen) > most:
                    raise ValueError(f'more than {most} images in one file')
                tags, following = _read_directory(stream, order, big, offset)
                waiting += [following, *map(int, tags.get('children', ()))]
                found.append(_tiff_image(tags))
        except struct.error as error:
            raise unreadable(path, 'its header is cut off') from error
        except (OverflowError, OSError, ValueError) as error:
            raise unreadable(path, error) from error
    return found


def _tiff_image(tags: dict[str, Any]) -> TiffImage:
    width, height = (int(tags.get(name, (0, ))[0]) for name in ('width', 'height'))
    bits = max(map(int, tags.get('bits', (1, ))))
    rows = int(tags.get('rows', (height, ))[0])
    chunk = (int(tags['tile_height'][0]), int(tags['tile_width'][0])) if (
        'tile_width' in tags and 'tile_height' in tags) else (min(rows, height), width)
    return TiffImage(width, height, chunk,
                     int(tags.get('bands', (1, ))[0]) * math.ceil(bits / 8))


def _value(stream: IO[bytes], order: str, letter: str, length: int, inline: bytes) -> tuple:
    size = struct.calcsize(order + letter) * length
    if size > _MOST_BYTES:
        raise ValueError(f'a tag of {size} bytes')
    if size > len(inline):
        stream.seek(struct.unpack(order + ('Q' if len(inline) == 8 else 'I'), inline)[0])
        inline = stream.read(size)
    return struct.unpack(f'{order}{length}{letter}', inline[:size])


def _nodata(tags: dict[str, Any]) -> float | None:
    try:
        return float(tags['nodata'][0].decode('ascii').strip(' \0')) if 'nodata' in tags else None
    except ValueError:
        return None


def _geo_keys(tags: dict[str, Any]) -> dict[int, int]:
    """Return the short GeoTIFF keys that stand in the directory itself."""
    keys = tags.get('keys', ())
    return {keys[i]: keys[i + 3] for i in range(4, len(keys) - 3, 4) if keys[i + 1] == 0}


def _crs(tags: dict[str, Any]) -> str | None:
    keys = _geo_keys(tags)
    for key in (_PROJECTED, _GEOGRAPHIC):
        if keys.get(key, _USER_DEFINED) != _USER_DEFINED:
            return f'EPSG:{keys[key]}'
    told = {key: value for key, value in keys.items() if key not in (1024, _RASTER_TYPE)}
    return f'user-defined {sorted(told.items())} {tags.get("doubles", ())}' if told else None


def _transform(tags: dict[str, Any]) -> tuple[float, ...] | None:
    """Return the affine coefficients, of pixel corners whatever the file counts from."""
    if len(tags.get('matrix', ())) == 16:
        m = tags['matrix']
        a, b, c, d, e, f = m[0], m[1], m[3], m[4], m[5], m[7]
    elif len(tags.get('scale', ())) >= 2 and len(tags.get('tie', ())) >= 6:
        (a, height), (column, row, _, x, y, _) = tags['scale'][:2], tags['tie'][:6]
        b, d, e = 0.0, 0.0, -height
        c, f = x - column * a, y - row * e
    else:
        return None
    if _geo_keys(tags).get(_RASTER_TYPE) == 2:  # pixels are points: the corner is half one away
        c, f = c - (a + b) / 2, f - (d + e) / 2
    return (a, b, c, d, e, f)
