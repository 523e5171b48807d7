"""Long lists of numbered names in few words."""
import re
from collections.abc import Iterable


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
