"""Names in messages: the nearest known one, patterns, and groups of numbered names."""
import difflib
import re
from collections.abc import Iterable, Sequence


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the known name nearest to ``name``, or an empty string.

    Args:
        name: What the user wrote.
        known: Names that would have been accepted.

    Returns:
        A sentence with a leading blank, ready to append to an error message.
    """
    lowered = {str(candidate).lower(): str(candidate) for candidate in known}
    match = difflib.get_close_matches(str(name).lower(), lowered, n=1, cutoff=0.6)
    return f" Did you mean '{lowered[match[0]]}'?" if match else ''


def counted(count: float, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun: ``'1 run'``, ``'2 runs'``, ``'1,234 entries'``.

    Args:
        count: How many; only 1 takes the singular. Fractions are written with one decimal.
        noun: The singular, whose last word is counted.
        plural: Where it is formed otherwise than with -s, -es or -ies.
    """
    if plural is None:
        plural = (f'{noun[:-1]}ies' if re.search('[^aeiou]y$', noun) else
                  f'{noun}es' if re.search('(s|x|z|ch|sh)$', noun) else f'{noun}s')
    number = f'{int(count):,}' if float(count).is_integer() else f'{count:,.1f}'
    return f'{number} {noun if count == 1 else plural}'


class Count(int):
    """A number that a template counts something with: ``'{total:pair}'`` becomes ``'2 pairs'``.

    Without a noun it is the number alone, which suits languages without plural.
    """

    def __format__(self, noun: str) -> str:
        """Return the number, with its noun if one is given."""
        return counted(int(self), noun) if noun else f'{int(self):,}'


def check_choice(name: str, value: object, known: Iterable[str]) -> None:
    """Refuse the value of an option that is not among the known ones.

    Raises:
        ValueError: If it is not; the message lists the known values and names the nearest.
    """
    known = list(known)
    if value not in known:
        raise ValueError(f"{name}='{value}' is unknown: use one of {known}."
                         f'{did_you_mean(str(value), known)}')


class DistinctNames:
    """Names that stay apart: one that comes from another source again gets a number."""

    def __init__(self) -> None:
        self._sources: dict[str, list[object]] = {}

    def of(self, name: str, source: object) -> str:
        """Return the name of what comes from ``source``: ``'1'``, then ``'1#2'``, ..."""
        sources = self._sources.setdefault(name, [])
        if source not in sources:
            sources.append(source)
        number = sources.index(source)
        return f'{name}#{number + 1}' if number else name


def group_names(names: Iterable[str]) -> list[str]:
    """Write names that differ in their numbers only as one, with their count.

    ``blocks.0.ln_1.bias``, ``blocks.0.ln_2.bias``, ``blocks.1.ln_1.bias`` become
    ``blocks.{0-1}.ln_{1-2}.bias (3)``: every number that occurs is shown, not every pairing need.

    Args:
        names: Dotted names, those of a checkpoint for instance.

    Returns:
        One entry a group, in the order of first names.
    """
    groups: dict[str, list[tuple[int, ...]]] = {}
    for name in names:
        numbers = tuple(int(digits) for digits in re.findall(r'\d+', name))
        groups.setdefault(re.sub(r'\d+', '#', name), []).append(numbers)
    return [_render(pattern, rows) for pattern, rows in groups.items()]


def _render(pattern: str, rows: list[tuple[int, ...]]) -> str:
    first, *rest = pattern.split('#')
    slots = [_span(sorted(set(column))) for column in zip(*rows, strict=True)]
    text = first + ''.join(slot + part for slot, part in zip(slots, rest, strict=True))
    return f'{text} ({len(rows)})' if len(rows) > 1 else text


def _span(values: list[int]) -> str:
    """Return ``7``, ``{0-11}`` or ``{0,2,5}``."""
    if len(values) == 1:
        return str(values[0])
    if len(values) == values[-1] - values[0] + 1:
        return f'{{{values[0]}-{values[-1]}}}'
    return '{' + ','.join(map(str, values)) + '}'


def matching_names(names: Iterable[str], patterns: Sequence[str],
                   what: str = 'parameter') -> list[str]:
    """Return the names that any pattern matches, in their order.

    Args:
        names: Dotted names, those of a model's parameters for instance.
        patterns: Regular expressions, searched anywhere in a name.
        what: What is named, for the message.

    Raises:
        ValueError: If a pattern matches nothing; the message gives the nearest part of a name.
    """
    names = list(names)
    for pattern in patterns:
        if not any(re.search(pattern, name) for name in names):
            prefixes = {name.rsplit('.', depth)[0] for name in names for depth in range(1, 9)}
            wish = re.sub(r'\\(.)', r'\1', pattern).strip('^$.*')
            raise ValueError(f"pattern '{pattern}' matches no {what} of the model, whose parts "
                             f"are {sorted({name.split('.')[0] for name in names})}."
                             f'{did_you_mean(wish, prefixes)}')
    return [name for name in names if any(re.search(pattern, name) for pattern in patterns)]
