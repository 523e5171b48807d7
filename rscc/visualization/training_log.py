"""The log of a training, as curves: losses and learning rate, and scores of the validations.

MMEngine gives every run a folder in the work folder: ``<time>/vis_data/scalars.json`` holds a JSON
object a line, ``<time>/<time>.log`` is for people. A published model has only the latter.
"""
import json
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rscc.visualization.curves import Curve, Panel

#: Points of a curve at most; of more, means of neighbours are drawn.
_MOST_POINTS = 240
#: Names of the scores that are drawn, those on a scale of 100 and fractions apart.
_SCORES = ('caption/changed/CIDEr', 'caption/all/CIDEr', 'caption/changed/Bleu_4')
_FRACTIONS = ('change/F1_changed', 'change/IoU_changed', 'change/mIoU', 'caption/flag_accuracy',
              'caption/object_F1', 'caption/direction_accuracy')
_NO_SCORES = ('time', 'data_time', 'step', 'epoch', 'iter')
_LINE = re.compile(r'(?:Epoch|Iter)\((train|val)\)\s+(?:\[\s*(\d+)\]\s*)?'
                   r'\[\s*(\d+)/\s*(\d+)\]\s+(.*)')
_NUMBER = re.compile(r'(\S+): (-?(?:\d[\d.]*(?:e[+-]?\d+)?|nan|inf))(?=\s|$)')


class LogEntry(NamedTuple):
    """One line of a log.

    Attributes:
        step: Iteration that it was written after.
        stage: ``'train'`` or ``'val'``.
        numbers: Values by name.
    """
    step: int
    stage: str
    numbers: dict[str, float]


def read_training_log(folder: str | Path) -> list[LogEntry]:
    """Read the log of the training that a work folder holds.

    Where it was interrupted and resumed, or started anew, the later log counts from the iteration
    with which it begins.

    Args:
        folder: A work folder, or that of a published model.

    Returns:
        Entries in order of iterations; none where the folder holds no log of a training.
    """
    folder, entries = Path(folder), []
    runs = [_scalars(path) for path in sorted(folder.glob('*/vis_data/scalars.json'))]
    if not any(runs):
        runs = [_lines(path) for path in sorted([*folder.glob('*/*.log'), *folder.glob('*.log')])]
    for run in runs:
        if any(entry.stage == 'train' for entry in run):
            entries = [entry for entry in entries if entry.step < run[0].step] + run
    return entries


def _scalars(path: Path) -> list[LogEntry]:
    """Read a file of JSON lines; the last one may be cut short."""
    entries, step = [], 0
    for line in path.read_text(encoding='utf-8', errors='replace').splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        numbers = {name: float(value) for name, value in found.items()
                   if isinstance(value, int | float) and name not in _NO_SCORES}
        if 'iter' in found:
            step = int(found['iter'])
            entries.append(LogEntry(step, 'train', numbers))
        elif numbers:
            # A validation notes its epoch alone; it follows the iterations before it.
            entries.append(LogEntry(step, 'val', numbers))
    return entries


def _lines(path: Path) -> list[LogEntry]:
    """Read a log that was written for people."""
    entries, step = [], 0
    for line in path.read_text(encoding='utf-8', errors='replace').splitlines():
        match = _LINE.search(line)
        if match is None:
            continue
        stage, epoch, done, total, rest = match.groups()
        numbers = {name: float(value) for name, value in _NUMBER.findall(rest)
                   if name not in _NO_SCORES}
        if stage == 'train':
            step = int(done) + ((int(epoch) - 1) * int(total) if epoch else 0)
        entries.append(LogEntry(step, stage, numbers))
    return entries


def training_panels(entries: Sequence[LogEntry], words: Mapping[str, str],
                    called: Callable[[str], str] = str) -> list[Panel]:
    """Return what is drawn of a log: losses, scores, fractions and the learning rate.

    Args:
        entries: Of :func:`read_training_log`.
        words: Titles: ``loss``, ``scores``, ``fractions``, ``rate``, and ``iteration`` for the
            axis.
        called: From the key of a loss or score to its name in the legend.
    """
    trained, tested = (_by_name(entries, stage) for stage in ('train', 'val'))
    losses = [name for name in trained if 'loss' in name]
    known = [[name for name in group if name in tested] for group in (_SCORES, _FRACTIONS)]
    if not any(known):  # a config with metrics of its own
        known = [[], list(tested)[:4]]
    # The total is drawn alone where it is that of one loss.
    losses = ['loss'] if len(losses) == 2 and 'loss' in losses else losses
    wanted = [('loss', trained, losses), ('scores', tested, known[0]),
              ('fractions', tested, known[1]),
              ('rate', trained, ['lr'] if 'lr' in trained else [])]
    return [Panel(words[title], words['iteration'], list(_curves(found, names, called)))
            for title, found, names in wanted if names]


def _by_name(entries: Sequence[LogEntry], stage: str) -> dict[str, list[tuple[int, float]]]:
    found = defaultdict(list)
    for entry in entries:
        for name, value in entry.numbers.items():
            if entry.stage == stage and math.isfinite(value):
                found[name].append((entry.step, value))
    return found


def _curves(found: Mapping[str, list[tuple[int, float]]], names: Sequence[str],
            called: Callable[[str], str]) -> Iterator[Curve]:
    for colour, name in enumerate(names[:5]):
        points = found[name]
        # Neighbours become their mean where there are more points than pixels.
        size = -(-len(points) // _MOST_POINTS)
        bins = [points[start:start + size] for start in range(0, len(points), size)]
        steps, values = ([sum(point[axis] for point in part) / len(part) for part in bins]
                         for axis in (0, 1))
        yield Curve(called(name), steps, values, colour=colour)
