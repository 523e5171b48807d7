"""Caption files of a folder: which of its JSON files hold captions, and what ails the others."""
import os
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

from rscc.rasters.tiles import FILE as TILES
from rscc.synth.generator import MARKER
from rscc.utils.json_stream import stream_list

#: What a caption file holds, in words of a message.
EXPECTED = ("an object with a list 'images', each entry with 'filename' and 'sentences' (or "
            "'captions'), or COCO's 'file_name' with a list 'annotations'")
#: Folders of a dataset in which its caption files lie.
_HOMES = ('', 'annotations_rsicd', 'annotations')
#: Names of caption files, published and customary: such a file is meant to be read.
_MEANT = re.compile(r'caption|annotation|^dataset(?!_info)|second-cc', re.I)
# Files of ours that hold something else.
_OTHERS = re.compile(rf'{MARKER}|{TILES}|.*_clipcls_.*')
#: Entries that are looked at to tell what a file holds.
_LOOKED_AT = 50
_STARTS = ((b'version https://git-lfs', 'it is a pointer of Git LFS, not the file ("git lfs pull" '
            'fetches that)'),
           (b'\xff\xfe', 'it is UTF-16 text; UTF-8 is read'),
           (b'\xfe\xff', 'it is UTF-16 text; UTF-8 is read'))


def caption_files(root: Path) -> tuple[list[Path], dict[str, str], dict[str, str]]:
    """Return the caption files of a folder, and those of its JSON files that cannot be read as one.

    Args:
        root: The folder.

    Returns:
        The files with captions; files that by their name or their list 'images' should have some
        and have none, each with what was found and expected; other JSON files without captions,
        likewise.
    """
    usable, faulty, others = [], {}, {}
    for path in _json_files(root):
        if _OTHERS.fullmatch(path.name):
            continue
        found = ailment(path)
        if not found:
            usable.append(path)
        elif _MEANT.search(path.name) or _names_images(path):
            faulty[str(path)] = found
        else:
            others[str(path)] = found
    return usable, faulty, others


def _json_files(root: Path) -> Iterator[Path]:
    for home in _HOMES:
        try:
            names = sorted(os.listdir(root / home))
        except OSError:
            continue
        for name in names:
            if name.lower().endswith(('.json', '.json.gz')) and not name.startswith('.'):
                yield root / home / name


def ailment(path: Path) -> str:
    """Return what was found in the place of captions, and what was expected; else nothing.

    One readable entry among the first fifty makes a caption file: others are counted one by one.
    """
    seen: list[object] = []
    try:
        for entry in islice(stream_list(path, 'images'), _LOOKED_AT):
            if has_captions(entry):
                return ''
            seen.append(entry)
    except (ValueError, OSError) as error:
        if not seen:
            return f'{state(path) or reason(error, path)}; expected {EXPECTED}'
    if not seen:
        return f"its list 'images' is empty; expected {EXPECTED}"
    found = (f'has the keys {sorted(map(str, seen[0]))[:8]}' if isinstance(seen[0], Mapping) else
             f'is {str(seen[0])[:40]!r}')
    return f'its first entry {found}; expected {EXPECTED}'


def has_captions(entry: object) -> bool:
    """Return whether an entry of 'images' is one of a caption file: a name, and sentences."""
    keys = set(entry) if isinstance(entry, Mapping) else set()
    return 'file_name' in keys or ('filename' in keys and bool({'sentences', 'captions'} & keys))


def state(path: Path) -> str:
    """Return why a file is no text: missing, a folder, empty, zeros; else nothing."""
    if path.is_symlink() and not path.exists():
        return f"it is a broken link to '{os.readlink(path)}'"
    if not os.path.isfile(path):
        return 'it is a folder' if os.path.isdir(path) else 'it is no regular file'
    try:
        with open(path, 'rb') as file:
            start = file.read(4096)
    except OSError as error:
        return f'it cannot be opened ({error.strerror})'
    if not start:
        return 'it is empty (0 bytes)'
    if not start.strip(b'\0'):
        return 'it holds nothing but zero bytes'
    if not start.strip() and len(start) < 4096:
        return 'it holds nothing but blanks'
    return next((what for mark, what in _STARTS if start.startswith(mark)), '')


def reason(error: Exception, path: str | Path) -> str:
    """Return the words of an error without the name of the file, which stands before them."""
    text = (getattr(error, 'strerror', None) or str(error)).rstrip('.')
    return re.sub('^(?=is |has |holds )', 'it ', text.removeprefix(f"'{path}'").lstrip(': '))


def _names_images(path: Path) -> bool:
    """Return whether a file begins like a list of images, whatever is wrong with it."""
    try:
        with open(path, 'rb') as file:
            return b'"images"' in file.read(1 << 16)
    except OSError:
        return False
