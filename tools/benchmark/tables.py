"""Tables of measurements: text for the terminal, Markdown for the docs in both languages."""
import datetime
import shlex
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rscc.utils import atomic_write
from rscc.utils.terminal import cells, in_columns
from rscc.visualization.picture_files import save_small
from tools.benchmark.machine import Machine

#: The same in every language, or (English, Chinese).
Text = str | tuple[str, str]
LANGUAGES = ('en', 'zh_cn')
PAGE = 'benchmarks.md'
#: The mark in the pages that holds all sections, and the sections in reading order.
HOME = 'speed'
ORDER = ('model', 'recent', 'text', 'windows', 'captions', 'precision', 'decode', 'language',
         'frozen', 'timm', 'peers', 'earlier', 'int8', 'denoiser', 'sampling', 'scene', 'training',
         'captioners', 'detectors', 'scene_rate', 'loader', 'metric', 'compare', 'diffusion',
         'sampling_masks', 'pretrained', 'ablation', 'real', 'real_area', 'real_flag',
         'real_sentence', 'real_compare', 'finetune')
#: Behind the name of a section that was measured on a GPU: it stands beside that of the CPU.
ON_GPU = '-gpu'
LINE = 100  # characters of a note on the terminal


def say(text: Text, language: str) -> str:
    """Return a text in one of ``LANGUAGES``."""
    return text if isinstance(text, str) else text[LANGUAGES.index(language)]


@dataclass(frozen=True)
class Target:
    """Limit that a figure is meant to keep.

    Attributes:
        limit: The number.
        at_least: Whether more is better.
        digits: Decimal places of the figure.
        unit: Behind the figure, with its leading blank.
    """
    limit: float
    at_least: bool = False
    digits: int = 2
    unit: str = ''

    def met(self, value: float) -> bool:
        """Whether a value is on the right side of the limit."""
        return value >= self.limit if self.at_least else value <= self.limit

    def judge(self, value: float) -> Text:
        """Return the value, the target and whether it was met."""
        sign = '≥' if self.at_least else '≤'
        figure, limit = f'{value:.{self.digits}f}{self.unit}', f'{sign} {self.limit:g}{self.unit}'
        met = self.met(value)
        return (f'{figure} (target {limit}: {"met" if met else "missed"})',
                f'{figure}（目标 {limit}：{"达到" if met else "未达到"}）')


@dataclass(frozen=True)
class Picture:
    """A drawing below a table.

    Attributes:
        name: Of the PNG file in ``docs/en/images``, without ending.
        image: uint8 RGB (H, W, 3).
        alt: What it shows, for those who do not see it.
    """
    name: str
    image: np.ndarray
    alt: Text


@dataclass
class Section:
    """One table of the benchmark page.

    Attributes:
        name: One of ``ORDER``.
        title: Heading.
        columns: Heads of the columns.
        rows: Cells, as many as columns.
        notes: Sentences below the table.
        picture: Drawn below the table, if any; one for both languages.
        machine: What it was measured on.
        command: The command line that makes it again.
        date: ISO date of the measurement.
    """
    name: str
    title: Text
    columns: Sequence[Text]
    rows: Sequence[Sequence[Text]]
    machine: Machine
    notes: Sequence[Text] = ()
    picture: Picture | None = None
    command: str = field(default_factory=lambda: command_line())
    date: str = field(default_factory=lambda: datetime.date.today().isoformat())

    @property
    def mark(self) -> str:
        """Name of the marks in the pages."""
        return self.name if self.machine.gpu is None else self.name + ON_GPU

    def heading(self, language: str) -> str:
        """Return the title, with the kind of device where it is not the CPU."""
        device = '' if self.machine.gpu is None else say((' on a GPU', '（GPU）'), language)
        return say(self.title, language) + device

    def __post_init__(self) -> None:
        ragged = [row for row in self.rows if len(row) != len(self.columns)]
        if ragged:
            raise ValueError(f"a row of section '{self.name}' has {len(ragged[0])} cells, the "
                             f'table {len(self.columns)} columns: {ragged[0]}')


def command_line(arguments: Sequence[str] | None = None) -> str:
    """Return the running command as someone else would type it.

    The interpreter and folders outside the working directory are those of one machine; they are
    left out, the file names stay.
    """
    def portable(word: str) -> str:
        path = Path(word)
        if not path.is_absolute():
            return word
        here = Path.cwd()
        return str(path.relative_to(here)) if path.is_relative_to(here) else f'.../{path.name}'

    words = sys.argv if arguments is None else arguments
    return shlex.join(['python', *map(portable, words)])


def count_rounds(counted: Sequence[int]) -> str:
    """Return how many rounds several comparisons had, such as 20 or 5–20."""
    return '–'.join(map(str, dict.fromkeys((min(counted), max(counted)))))


def how_measured(side: int, batch_size: int, rounds: int | str) -> Text:
    """Return the note that every comparison of steps on one model carries."""
    return (f'Median (fastest to slowest) of {rounds} rounds in turn; {side} x {side} pixels, '
            f'batch size {batch_size}.',
            f'{rounds} 轮轮流测量的中位数（最快至最慢）；{side} x {side} 像素，'
            f'批大小 {batch_size}。')


def to_text(section: Section) -> str:
    """Return a section as a table for the terminal, in English; long heads break over lines."""
    body = [[say(cell, 'en') for cell in row] for row in section.rows]
    heads = [_two_lines(say(head, 'en'), max((cells(row[column]) for row in body), default=0))
             for column, head in enumerate(section.columns)]
    widths = [max(cells(cell) for cell in (*head, *(row[column] for row in body)))
              for column, head in enumerate(heads)]
    height = max(map(len, heads))
    top = zip(*([''] * (height - len(head)) + head for head in heads), strict=True)
    lines = in_columns([*top, ['-' * width for width in widths], *body], left=len(widths))
    notes = [textwrap.fill(say(note, 'en'), LINE, initial_indent='- ', subsequent_indent='  ',
                           break_on_hyphens=False)
             for note in (*section.notes, str(section.machine))]
    return '\n'.join([section.heading('en'), '', *lines, '', *notes])


def _two_lines(head: str, width: int) -> list[str]:
    """Break a head into two lines at most, no wider than ``width`` where that is possible."""
    return next(lines for wide in range(max(width, 1), len(head) + width + 2)
                if len(lines := textwrap.wrap(head, wide, break_long_words=False) or ['']) <= 2)


def to_markdown(section: Section, language: str, picture: str | None = None) -> str:
    """Return a section as Markdown: heading, table, picture, notes, machine, command and date.

    Args:
        section: What was measured.
        language: ``'en'`` or ``'zh_cn'``.
        picture: Where the section's picture lies; by default that of the docs.
    """
    def row(cells: Sequence[Text]) -> str:
        return '| ' + ' | '.join(say(cell, language) for cell in cells) + ' |'

    table = [row(section.columns), row(['---'] * len(section.columns)), *map(row, section.rows)]
    notes = [f'- {say(note, language)}' for note in section.notes]
    label = ('Measured on', '测量环境')[LANGUAGES.index(language)]
    colon, comma = (': ', '; ') if language == 'en' else ('：', '；')
    origin = (f'- {label}{colon}{section.machine.line(language)}{comma}{section.date}{comma}'
              f'`{section.command}`')
    if section.picture is not None:
        link = picture or ('' if language == 'en' else '../en/') + _picture_file(section)
        table += ['', f'![{say(section.picture.alt, language)}]({link})']
    return '\n'.join([f'### {section.heading(language)}', '', *table, '', *notes, origin])


def _picture_file(section: Section) -> str:
    """Return where a section's picture lies, from the English pages."""
    return f"images/{section.picture.name}{'' if section.machine.gpu is None else ON_GPU}.png"


def write_section(section: Section, docs: Path) -> list[Path]:
    """Write a section into the page of every language, and its picture beside them.

    Args:
        section: What was measured.
        docs: Folder with ``en`` and ``zh_cn``.

    Returns:
        The pages, and the picture.

    Raises:
        FileNotFoundError: If a page does not exist; nothing is written then.
        ValueError: If a page lacks the marks; nothing is written then.
    """
    pages = {language: Path(docs) / language / PAGE for language in LANGUAGES}
    texts = {}
    for language, page in pages.items():
        if not page.is_file():
            raise FileNotFoundError(f"no page '{page}' to write to; name the folder of the "
                                    'documentation with --docs')
        texts[page] = place(page.read_text(encoding='utf-8'), section.mark,
                            to_markdown(section, language), page)
    pictures = []
    if section.picture is not None:  # before the pages that show it
        file = Path(docs) / LANGUAGES[0] / _picture_file(section)
        pictures = [save_small(file, section.picture.image)]
    for page, text in texts.items():
        with atomic_write(page) as file:
            file.write(text)
    return [*texts, *pictures]


def place(page: str, name: str, content: str, path: Path) -> str:
    """Put ``content`` between the marks of ``name``.

    A section that is not there yet gets its place among the others between the marks of ``speed``.

    Args:
        page: The whole page.
        name: Mark of a section.
        content: What comes between the marks.
        path: Of the page, for messages.

    Returns:
        The new page.

    Raises:
        ValueError: If marks are missing, unpaired or there twice.
    """
    start, end = _marks(name)
    block = f'{start}\n{content}\n{end}'
    if start in page or end in page:
        _check_marks(page, name, path)
        return page[:page.index(start)] + block + page[page.index(end) + len(end):]
    _check_marks(page, HOME, path)
    order = [mark for section in ORDER for mark in (section, section + ON_GPU)]
    later = [_marks(other)[0] for other in order[order.index(name) + 1:]]
    before = next((mark for mark in later if mark in page), _marks(HOME)[1])
    gap = '\n\n' if before != _marks(HOME)[1] else '\n'
    at = page.index(before)
    lead = '' if page[:at].endswith(f'{_marks(HOME)[0]}\n') or page[:at].endswith('\n\n') else '\n'
    return page[:at] + lead + block + gap + page[at:]


def _marks(name: str) -> tuple[str, str]:
    return f'<!-- benchmark:{name} -->', f'<!-- /benchmark:{name} -->'


def _check_marks(page: str, name: str, path: Path) -> None:
    start, end = _marks(name)
    counts = page.count(start), page.count(end)
    if counts != (1, 1) or page.index(start) > page.index(end):
        raise ValueError(f"'{path}' needs the marks '{start}' and '{end}' once each and in this "
                         f'order; found {counts[0]} and {counts[1]}. Put them where the table '
                         'should stand')
