"""Caption files of a folder: which of its JSON files hold captions, and what ails the others."""
import os
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

from rscc.doctor.details import Detail, detail
from rscc.rasters.tiles import FILE as TILES
from rscc.synth.generator import MARKER
from rscc.utils.json_stream import stream_list

#: Folders of a dataset in which its caption files lie.
_HOMES = ('', 'annotations_rsicd', 'annotations')
#: Names of caption files, published and customary: such a file is meant to be read.
_MEANT = re.compile(r'caption|annotation|^dataset(?!_info)|second-cc', re.I)
# Files of ours that hold something else.
_OTHERS = re.compile(rf'{MARKER}|{TILES}|.*_clipcls_.*')
#: Entries that are looked at to tell what a file holds.
_LOOKED_AT = 50
_STARTS = ((b'version https://git-lfs', 'lfs'), (b'\xff\xfe', 'utf16'), (b'\xfe\xff', 'utf16'))


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
            return captions_expected(state(path) or reason(error, path))
    if not seen:
        return captions_expected(detail('no_images'))
    return captions_expected(
        detail('keys', keys=str(sorted(map(str, seen[0]))[:8])) if isinstance(seen[0], Mapping) else
        detail('first', entry=repr(str(seen[0])[:40])))


def captions_expected(found: str) -> Detail:
    """Return what was found in the place of captions, with what a caption file holds."""
    return detail('captions_expected', found=found)


def has_captions(entry: object) -> bool:
    """Return whether an entry of 'images' is one of a caption file: a name, and sentences."""
    keys = set(entry) if isinstance(entry, Mapping) else set()
    return 'file_name' in keys or ('filename' in keys and bool({'sentences', 'captions'} & keys))


def state(path: Path) -> str:
    """Return why a file is no text: missing, a folder, empty, zeros; else nothing."""
    if path.is_symlink() and not path.exists():
        return detail('broken_link', target=os.readlink(path))
    if not os.path.isfile(path):
        return detail('is_folder' if os.path.isdir(path) else 'no_regular_file')
    try:
        with open(path, 'rb') as file:
            start = file.read(4096)
    except OSError as error:
        return detail('not_opened', why=error.strerror)
    if not start:
        return detail('empty')
    if not start.strip(b'\0'):
        return detail('zeros')
    if not start.strip() and len(start) < 4096:
        return detail('blanks')
    return next((detail(form) for mark, form in _STARTS if start.startswith(mark)), '')


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
