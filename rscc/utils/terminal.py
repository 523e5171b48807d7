"""Text in the cells of a terminal, of which Chinese characters take two: widths and columns."""
import unicodedata
from collections.abc import Sequence

# Marks that sit on the letter before them, and marks of direction, take no cell of their own.
_NO_CELL = ('Mn', 'Me', 'Cf')


def cells(text: str) -> int:
    """Return how many cells a text takes on a terminal."""
    return sum(0 if unicodedata.category(letter) in _NO_CELL else
               2 if unicodedata.east_asian_width(letter) in 'WF' else 1 for letter in text)


def padded(text: str, width: int, right: bool = False) -> str:
    """Return a text with blanks up to a number of cells.

    Args:
        text: A line of it; one that is wider stays as it is.
        width: In cells.
        right: Put the blanks before the text, as numbers are written.
    """
    blanks = ' ' * (width - cells(text))
    return blanks + text if right else text + blanks


def in_columns(rows: Sequence[Sequence[str]], left: int = 1, gap: str = '  ') -> list[str]:
    """Lay out a table; every column is as wide as its widest cell.

    Args:
        rows: Of equally many cells.
        left: How many columns stand on the left of their place; the rest, numbers, on the right.
        gap: What stands between two columns.

    Returns:
        A line for each row, without blanks at its end.
    """
    widths = [max(map(cells, column)) for column in zip(*rows, strict=True)]
    return [gap.join(padded(cell, width, right=place >= left) for place, (cell, width)
                     in enumerate(zip(row, widths, strict=True))).rstrip() for row in rows]
