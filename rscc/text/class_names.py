"""Lists of class names: those that come with the package, and a user's own files.

A list is a UTF-8 text file, one class a line: ``english, chinese``, the second column optional.
"""
import re
from importlib.resources import files
from pathlib import Path

from rscc.utils import check_choice, did_you_mean
from rscc.utils.files import read_text

LANGUAGES = {'en': 0, 'zh': 1}
#: ChangeCLIP calls the 56 names by this file; its users' commands keep working.
_ALIASES = {'rscls': 'remote_sensing_56', 'rscls.txt': 'remote_sensing_56'}


def class_names(name_or_path: str, language: str = 'en') -> list[str]:
    """Return the names of a list, in the order of its file.

    Args:
        name_or_path: ``'remote_sensing_56'`` (the 56 scene and object classes of ChangeCLIP, Dong
            et al., ISPRS JPRS 2024), or a text file. A file of that name goes first.
        language: ``'en'`` for the first column, ``'zh'`` for the second.

    Raises:
        FileNotFoundError: If there is no such list and no such file.
        ValueError: If the file is not UTF-8, is empty, lacks names of that language or repeats one.
    """
    check_choice('language', language, LANGUAGES)
    rows = _rows(_read(name_or_path))
    if not rows:
        raise ValueError(f"class list '{name_or_path}' is empty; expected lines 'english, chinese'")
    column = LANGUAGES[language]
    lacking = [number for number, row in rows if len(row) <= column or not row[column]]
    if lacking:
        raise ValueError(f"class list '{name_or_path}' has no '{language}' name on line(s) "
                         f"{lacking[:3]}; expected lines 'english, chinese'")
    _refuse_repeats(name_or_path, [(number, row[column]) for number, row in rows])
    return [row[column] for _, row in rows]


def _read(name_or_path: str) -> str:
    path = Path(name_or_path).expanduser()
    if not path.is_file():
        path = files('rscc.text') / 'data' / f'{_ALIASES.get(name_or_path, name_or_path)}.txt'
    if not path.is_file():
        known = sorted(entry.name.removesuffix('.txt')
                       for entry in (files('rscc.text') / 'data').iterdir())
        raise FileNotFoundError(
            f"no class list '{name_or_path}': expected a text file or one of {known}."
            f'{did_you_mean(name_or_path, known)}')
    return read_text(path, 'class list')


def _rows(text: str) -> list[tuple[int, list[str]]]:
    """Return (line number, columns) of every line that is not blank; ``#`` begins a comment."""
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        content = re.split(r'(?:^|\s)#', line, maxsplit=1)[0].strip()
        if content:
            rows.append((number, [part.strip() for part in re.split('[,，]', content, maxsplit=1)]))
    return rows


def _refuse_repeats(source: str, named: list[tuple[int, str]]) -> None:
    """Refuse two classes of one name, which no prediction could tell apart."""
    first: dict[str, int] = {}
    for number, name in named:
        if name in first:
            raise ValueError(f"class list '{source}' names '{name}' on lines {first[name]} and "
                             f'{number}; remove one')
        first[name] = number
