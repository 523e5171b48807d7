"""Line charts of measured curves, over steps or time: as pictures, or as lines for a page."""
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rscc.utils import require

_COLOURS = ('#0c62a8', '#b3361b', '#2f7d4f', '#7a4fa3', '#a87400')
_INK, _SOFT, _GRID = '#1c2026', '#6f7781', '#e3e6ea'
#: Mark of the notes among the texts of a panel, and where they may stand: offset in points from
#: their point, and how they are aligned there, best first.
_NOTE = 'note'
_BESIDE = (((0, 5), 'center', 'bottom'), ((7, 0), 'left', 'center'), ((-7, 0), 'right', 'center'),
           ((0, -6), 'center', 'top'), ((6, 6), 'left', 'bottom'), ((6, -6), 'left', 'top'))


@dataclass(frozen=True)
class Curve:
    """Points that belong together; NaN leaves one out.

    Attributes:
        label: For the legend; empty for none.
        x: Positions.
        y: Values, as many.
        notes: Written beside the points; as many, or none.
        dashed: A thinner, broken line, for what is compared with.
        colour: Number of its colour; curves of one thing in several panels share it.
        dots: Whether its points are marked.
    """
    label: str
    x: Sequence[float]
    y: Sequence[float]
    notes: Sequence[str] = ()
    dashed: bool = False
    colour: int = 0
    dots: bool = True


@dataclass(frozen=True)
class Panel:
    """One pair of axes.

    Attributes:
        title: What is shown, the unit with it.
        x_label: What is on the horizontal axis.
        curves: What is drawn; a curve of one point is a mark.
        levels: Label and height of horizontal lines.
        ticks: Places of marks on the horizontal axis; None chooses some.
        linear: Whether the horizontal axis is linear, not logarithmic.
    """
    title: str
    x_label: str
    curves: Sequence[Curve]
    levels: Sequence[tuple[str, float]] = ()
    ticks: Sequence[float] | None = None
    linear: bool = False


def draw_curves(panels: Sequence[Panel], width: int = 1200, height: int = 380) -> np.ndarray:
    """Draw panels side by side; horizontal axes are logarithmic unless a panel says otherwise.

    Args:
        panels: One or more.
        width: In pixels.
        height: In pixels.

    Returns:
        uint8 RGB (height, width, 3).

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If there is no panel.
    """
    if not panels:
        raise ValueError('draw_curves got no panel; expected at least one')
    agg = require('matplotlib.backends.backend_agg', 'drawing curves')
    figures = require('matplotlib.figure', 'drawing curves')
    figure = figures.Figure(figsize=(width / 100, height / 100), dpi=100, layout='constrained')
    canvas = agg.FigureCanvasAgg(figure)
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _draw(axes, panel)
    if any(curve.notes for panel in panels for curve in panel.curves):
        figure.draw_without_rendering()  # sizes are known from here on
        for axes in figure.axes:
            _spread_notes(axes, canvas.get_renderer())
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _draw(axes: 'object', panel: Panel) -> None:
    """Fill one pair of matplotlib's axes."""
    axes.set_title(panel.title, fontsize=10.5, color=_INK, loc='left')
    axes.set_xlabel(panel.x_label, fontsize=9.5, color=_SOFT)
    if not panel.linear:
        axes.set_xscale('log', base=2 if panel.ticks else 10)
    for curve in panel.curves:
        _draw_curve(axes, curve)
    for label, level in panel.levels:
        axes.axhline(level, color=_SOFT, linewidth=1, linestyle=':')
        axes.annotate(label, (0.99, level), xycoords=('axes fraction', 'data'), ha='right',
                      va='bottom', fontsize=8, color=_SOFT)
    axes.minorticks_off()
    ticker = require('matplotlib.ticker', 'drawing curves')
    # Within less than a decade 1, 2 and 5 may be a single mark.
    low, high = axes.get_xlim()
    even = panel.linear or high < 5 * low
    some = ticker.MaxNLocator(6) if even else ticker.LogLocator(subs=(1, 2, 5))
    axes.xaxis.set_major_locator(ticker.FixedLocator(panel.ticks) if panel.ticks else some)
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f'{value:g}'))
    axes.grid(color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8.5, colors=_SOFT, length=0)
    axes.margins(x=0.08, y=0.12)
    for side, spine in axes.spines.items():
        spine.set(visible=side in ('left', 'bottom'), color=_GRID)
    if any(curve.label for curve in panel.curves):
        axes.legend(fontsize=8.5, edgecolor='none', framealpha=0.85, labelcolor=_INK)


def _draw_curve(axes: 'object', curve: Curve) -> None:
    colour = _COLOURS[curve.colour % len(_COLOURS)]
    single = len(curve.x) == 1
    marker = 'D' if single else 'o' if curve.dots else ''
    axes.plot(curve.x, curve.y, color=colour, label=curve.label or None,
              marker=marker, markersize=6 if single else 4,
              linewidth=1.2 if curve.dashed else 1.8, linestyle='--' if curve.dashed else '-')
    for x, y, note in zip(curve.x, curve.y, curve.notes, strict=bool(curve.notes)):
        axes.annotate(note, (x, y), xytext=_BESIDE[0][0], textcoords='offset points', fontsize=8,
                      ha='center', color=_SOFT, gid=_NOTE)


def _spread_notes(axes: 'object', renderer: 'object') -> None:
    """Put each note above, beside or below its point, where it covers no other and no point."""
    transforms = require('matplotlib.transforms', 'drawing curves')
    points = np.concatenate([np.empty((0, 2)), *(
        axes.transData.transform(line.get_xydata()) for line in axes.lines if line.get_marker())])
    taken = [transforms.Bbox.from_bounds(x - 4, y - 4, 8, 8) for x, y in points]
    for note in (text for text in axes.texts if text.get_gid() == _NOTE):
        boxes = [_put(note, place, renderer) for place in _BESIDE]
        clash = [sum(box.overlaps(other) for other in taken)
                 + 9 * (box.x0 < axes.bbox.x0 or box.x1 > axes.bbox.x1) for box in boxes]
        taken.append(_put(note, _BESIDE[int(np.argmin(clash))], renderer))


def _put(note: 'object', place: tuple, renderer: 'object') -> 'object':
    """Put a note to one of the places beside its point, and return the box that it fills."""
    note.xyann, across, along = place
    note.set(ha=across, va=along)
    return note.get_window_extent(renderer)


@dataclass(frozen=True)
class Chart:
    """A panel in the coordinates of a drawing, for an SVG.

    Attributes:
        title, x_label: As of the panel.
        width, height: Of the drawing.
        left, bottom: Where the axes cross.
        x_ticks, y_ticks: Place and text of the marks on the axes.
        lines: Label, number of the colour, and points (x, y, text) of every curve.
    """
    title: str
    x_label: str
    width: int
    height: int
    left: int
    bottom: int
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    lines: list[tuple[str, int, list[tuple[float, float, str]]]]


def lay_out(panel: Panel, width: int = 420, height: int = 240) -> Chart | None:
    """Put a panel's curves into a drawing with linear axes.

    Args:
        panel: What is shown; notes and levels are left out.
        width, height: Of the drawing, in pixels.

    Returns:
        The chart; None where no curve has a finite value.
    """
    curves = [(curve, [(float(x), float(y)) for x, y in zip(curve.x, curve.y, strict=True)
                       if math.isfinite(x) and math.isfinite(y)]) for curve in panel.curves]
    points = [point for _, found in curves for point in found]
    if not points:
        return None
    left, bottom, top, right = 46, height - 34, 10, width - 14
    x_ticks = _round_steps(min(0.0, *(x for x, _ in points)), max(x for x, _ in points))
    y_ticks = _round_steps(min(y for _, y in points), max(y for _, y in points))
    # A line may go beyond the last mark, which is below the largest value.
    low_x, high_x = x_ticks[0], max(x_ticks[-1], *(x for x, _ in points))
    low_y, high_y = y_ticks[0], max(y_ticks[-1], *(y for _, y in points))

    def place(x: float, y: float) -> tuple[float, float]:
        return (round(left + (right - left) * (x - low_x) / (high_x - low_x), 1),
                round(bottom - (bottom - top) * (y - low_y) / (high_y - low_y), 1))

    return Chart(
        panel.title, panel.x_label, width, height, left, bottom,
        [(place(x, low_y)[0], _short(x)) for x in x_ticks],
        [(place(low_x, y)[1], _short(y)) for y in y_ticks],
        [(curve.label, curve.colour % len(_COLOURS),
          [(*place(x, y), f'{_short(x)}: {y:.4g}') for x, y in found])
         for curve, found in curves if found])


def _round_steps(low: float, high: float) -> list[float]:
    """Return 3 to 6 marks in steps of 1, 2 or 5 times a power of ten, the first at most ``low``."""
    span = high - low or abs(high) or 1.0
    rough = span / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(factor for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first = math.floor(low / step + 1e-9)
    count = max(1, math.floor((high - first * step) / step + 1e-9))
    return [round((first + number) * step, 12) for number in range(count + 1)]


def _short(value: float) -> str:
    """Write a mark of an axis: 20k for 20000."""
    if abs(value) >= 10000:
        return f'{value / 1000:g}k'
    return f'{value:.6g}'
