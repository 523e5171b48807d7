"""Limits of the web page, and what is refused before a decoder sees it.

A stranger's file is told by its first bytes and its header alone: its kind, its size in pixels, and
what decoding it would take. The name that came with it is only ever shown, never opened.
"""
import math
import os
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from rscc.demo.words import Problem
from rscc.rasters.headers import Header, read_header, tiff_images

#: Kind of a file by its first bytes -> endings that it may have; the first is given to others.
ENDINGS = {'PNG': ('.png', ), 'JPEG': ('.jpg', '.jpeg'), 'BMP': ('.bmp', ), 'WEBP': ('.webp', ),
           'GIF': ('.gif', ), 'TIFF': ('.tif', '.tiff')}
_LONGEST_NAME, _LONGEST_SHOWN = 80, 255  # characters: of a name here, of one that was sent
_CHUNK = 2**28  # bytes of a tile or strip of a TIFF that is decoded at once
_DEEPEST = 16  # bytes of a pixel, all bands together, on which the limit of pixels counts


@dataclass(frozen=True)
class Limits:
    """Limits on the files, images and runs of visitors of the web page.

    Attributes:
        megabytes: Of one file.
        megapixels: Of one image.
        side: Pixels of its longer side.
        minutes: After which a run is stopped.
        keep: Seconds after which files are deleted, counted from their last use.
        waiting: Runs that may wait for the model, all visitors together.
        per_visitor: Runs of one visitor that may wait or compute at once.
        visitor_megabytes: Of all files of one visitor.
        total_megabytes: Of all files of all visitors.
        visitors: That are remembered; beyond, those that left nothing are forgotten first.
    """
    megabytes: float = 200
    megapixels: float = 100
    side: int = 30_000
    minutes: float = 30
    keep: float = 3600
    waiting: int = 8
    per_visitor: int = 2
    visitor_megabytes: float = 1000
    total_megabytes: float = 8000
    visitors: int = 2000

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f'{name}={value!r}: expected a number above 0')

    @property
    def file_bytes(self) -> int:
        """Bytes of one file."""
        return int(self.megabytes * 1e6)

    def told(self) -> dict[str, str]:
        """Return the limits as the page states them, by the names in its texts."""
        return dict(megabytes=f'{self.megabytes:g}', megapixels=f'{self.megapixels:g}',
                    side=f'{self.side}', minutes=f'{self.minutes:g}',
                    hours=f'{self.keep / 3600:g}', waiting=str(self.waiting))


def check_size(size: int, name: str, limits: Limits) -> None:
    """Refuse a file of too many bytes.

    Raises:
        Problem: If it is larger than the limit.
    """
    if size > limits.file_bytes:
        raise Problem('file_too_large', name=name, found=f'{size / 1e6:.0f}',
                      megabytes=f'{limits.megabytes:g}')


def check_image(path: Path, name: str, limits: Limits) -> Header:
    """Refuse what is no image, is damaged, or would take too much to decode.

    Args:
        path: The file, as it was received.
        name: What its owner calls it, for messages.
        limits: What is accepted.

    Returns:
        Its header.

    Raises:
        Problem: If it is refused; nothing has been decoded.
    """
    if not path.stat().st_size:
        raise Problem('file_empty', name=name)
    size = _webp_size(path)
    if size is not None:
        _check_pixels(*size, name, limits)
    try:
        header = read_header(path)
    except ValueError as error:
        raise not_readable(error, path, name) from error
    _check_pixels(header.width, header.height, name, limits)
    if header.missing:
        size = path.stat().st_size
        raise Problem('truncated', name=name, found=size, size=size + header.missing)
    if header.kind == 'TIFF':
        _check_tiff(path, name, limits)
    return header


def not_readable(error: ValueError, path: Path, name: str) -> Problem:
    """Return what is told of a file that a reader refuses.

    Args:
        error: Of the reader.
        path: Of the file, which is told nobody.
        name: What its owner calls it.
    """
    return Problem('no_image', name=name, reason=_reason(error, path, name))


def _reason(error: ValueError, path: Path, name: str) -> str:
    """Return what a reader said of a file, without its path and general advice."""
    text = str(error).replace(str(path), name)
    found = re.fullmatch(r"'.*?' cannot be decoded: (.*?)\. The file is truncated.*", text, re.S)
    return f'{found[1]}.' if found else text


def _webp_size(path: Path) -> tuple[int, int] | None:
    """Return (width, height) of a WebP by hand: Pillow reserves its pixels to tell them."""
    with path.open('rb') as stream:
        start = stream.read(32).ljust(32, b'\0')
    if start[:4] != b'RIFF' or start[8:12] != b'WEBP':
        return None
    if start[12:16] == b'VP8X':
        return (int.from_bytes(start[24:27], 'little') + 1,
                int.from_bytes(start[27:30], 'little') + 1)
    if start[12:16] == b'VP8L':
        packed = int.from_bytes(start[21:25], 'little')
        return (packed & 0x3fff) + 1, (packed >> 14 & 0x3fff) + 1
    return (int.from_bytes(start[26:28], 'little') & 0x3fff,
            int.from_bytes(start[28:30], 'little') & 0x3fff)


def _check_pixels(width: int, height: int, name: str, limits: Limits) -> None:
    # Widths and heights of damaged files have hundreds of digits in no message.
    shown = f'{min(width, 10**9)} x {min(height, 10**9)}'
    if width < 1 or height < 1:
        raise Problem('no_pixels', name=name, size=shown)
    if max(width, height) > limits.side:
        raise Problem('side_too_long', name=name, size=shown, side=str(limits.side))
    if width * height > limits.megapixels * 1e6:
        raise Problem('too_many_pixels', name=name, size=shown,
                      found=f'{width * height / 1e6:.0f}', megapixels=f'{limits.megapixels:g}')


def _check_tiff(path: Path, name: str, limits: Limits) -> None:
    """Refuse a TIFF that promises little and holds much: in bands, tiles or reduced images."""
    try:
        images = tiff_images(path)
    except ValueError as error:
        raise not_readable(error, path, name) from error
    for image in images:
        _check_pixels(image.width, image.height, name, limits)
        chunk = image.chunk[0] * image.chunk[1] * image.pixel
        whole = image.width * image.height * image.pixel
        if chunk > _CHUNK or whole > limits.megapixels * 1e6 * _DEEPEST:
            raise Problem('too_much_memory', name=name,
                          found=f'{max(chunk, whole) / 1e6:.0f}')


def clean_name(name: str, kind: str | None = None) -> str:
    """Turn a name that a browser sent into one that is only a name.

    Folders, control and special characters go; letters and punctuation of any script stay. An
    ending that belongs to another kind of file is followed by the right one. A name that changes
    is told, see :func:`name_sent`.

    Args:
        name: As it was sent: a path of any system, empty, or worse.
        kind: Of the file, a key of :data:`ENDINGS`; None leaves the ending as it is.
    """
    text = re.split(r'[/\\]', name.encode(errors='replace').decode(errors='replace'))[-1]
    text = ''.join(letter if _stays(letter) else '\0' for letter in text)
    text = re.sub('\0+', '_', text)
    text = re.sub(r'\s+', ' ', text).strip(' .')
    stem, ending = os.path.splitext(text)
    if kind is not None and ending.lower() not in ENDINGS[kind]:
        stem, ending = text, ENDINGS[kind][0]
    stem = stem[:_LONGEST_NAME].strip(' .') or 'image'
    while len((stem + ending).encode()) > 200:
        stem = stem[:-1]
    return stem + ending[:8]


def _stays(letter: str) -> bool:
    """Tell whether a character may stand in a name.

    Of ASCII few may, of other scripts all that is written, accents and full-width brackets too.
    """
    if letter.isascii():
        return letter.isalnum() or letter in '_ .()+-'
    return unicodedata.category(letter)[0] in 'LMNP'


def name_sent(name: str, kept: str) -> str | None:
    """Return what the owner of a file calls it, where that is not the name that it has here.

    Args:
        name: As a browser sent it.
        kept: From :func:`clean_name`.
    """
    name = name.split('/')[-1][:_LONGEST_SHOWN]
    return None if name in ('', kept) else name
