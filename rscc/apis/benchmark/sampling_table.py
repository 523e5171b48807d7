"""Sampling steps as a table and as a picture: a row and a mark for every way of asking."""
from collections.abc import Sequence
from dataclasses import dataclass

from rscc.apis.benchmark.report import Target, Text
from rscc.visualization.curves import Curve, Panel

#: A ten-step solver of second order is to say what fifty steps say, but for 2 %.
FEW_STEPS = Target(0.98, at_least=True, digits=3)
SOLVER = 'dpmpp_2m'
_FEW, _MANY = 10, 50


@dataclass(frozen=True)
class Point:
    """One model asked in one way.

    Attributes:
        model: Name of its config.
        way: The sampler; how it searches, of a model that writes word by word.
        steps: Sampling steps; None without.
        calls: Calls of the network a batch; 0 where it is not known.
        changed_cider: CIDEr-D of changed samples, x100; None where there are none.
        cider: Of all samples, x100.
        flag_accuracy: Share of sentences that tell rightly whether there is a change.
        equal: Share of the sentences that are those of most steps.
        similarity: Mean similarity to those, 0 to 1.
        agreement: Mean agreement of the sentences drawn for a sample; None of a single one.
        ms: Milliseconds a sample without the image branch.
        image_ms: Of the image branch.
    """
    model: str
    way: str
    steps: int | None
    calls: float
    changed_cider: float | None
    cider: float | None
    flag_accuracy: float | None
    equal: float | None
    similarity: float | None
    agreement: float | None
    ms: float
    image_ms: float


def columns(most: int, samples: int) -> list[Text]:
    """Return the heads of the table, for so many steps at most and sentences drawn for a pair."""
    drawn = [(f'agreement of {samples} sentences', f'{samples} 个句子的一致度')]
    drawn = drawn if samples > 1 else []
    return [('config', '配置'), ('sampler or search', '采样器或搜索'), ('steps', '步数'),
            ('network calls', '网络调用次数'), ('CIDEr, changed pairs', 'CIDEr，有变化'),
            ('CIDEr, all pairs', 'CIDEr，全部'), ('flag accuracy', '有无变化准确率'),
            (f'same caption as {most} steps', f'与 {most} 步句子相同'),
            (f'similarity to {most} steps', f'与 {most} 步的相似度'), *drawn,
            ('ms a pair', '毫秒/对'), ('ms a pair with images', '毫秒/对，含影像分支')]


def row(point: Point, most: int, samples: int) -> list[Text]:
    """Return the cells of a point."""
    def cell(value: float | None, form: str) -> str:
        return '' if value is None else format(value, form)

    judged = (point.way, point.steps, most) == (SOLVER, _FEW, _MANY)
    similarity = FEW_STEPS.judge(point.similarity) if judged else cell(point.similarity, '.3f')
    drawn = [cell(point.agreement, '.3f')] if samples > 1 else []
    return [point.model, point.way, cell(point.steps, 'd'), cell(point.calls or None, 'g'
            if point.steps else '.1f'), cell(point.changed_cider, '.1f'), cell(point.cider, '.1f'),
            cell(point.flag_accuracy, '.3f'), cell(point.equal, '.1%'), similarity, *drawn,
            f'{point.ms:.2f}', f'{point.ms + point.image_ms:.2f}']


def panels(points: Sequence[Point], floor: float | None) -> list[Panel]:
    """Return what the picture shows: quality over steps, likeness over steps, quality over time.

    Args:
        points: Of the table.
        floor: Score of one constant sentence, drawn as a line.
    """
    ways = list(dict.fromkeys((point.model, point.way) for point in points))
    rows = {way: [point for point in points if (point.model, point.way) == way] for way in ways}
    sampled = [way for way in ways if rows[way][0].steps]
    others = [way for way in ways if way not in sampled]

    def curve(way: tuple, label: str, field: str, dashed: bool = False) -> Curve:
        return Curve(label, [point.steps for point in rows[way]], _values(rows[way], field),
                     dashed=dashed, colour=ways.index(way))

    levels = [] if floor is None else [('one constant sentence', floor)]
    beside = [(f'{rows[way][0].model}, {rows[way][0].way}', rows[way][0].changed_cider)
              for way in others if rows[way][0].changed_cider is not None]
    ticks = sorted({point.steps for point in points if point.steps})
    ticks = [tick for tick in ticks if tick != _FEW] if len(ticks) > 6 else ticks
    names = {way: way[1] if len(sampled) > 1 else '' for way in sampled}
    return [
        Panel('CIDEr of changed pairs', 'sampling steps',
              [curve(way, names[way], 'changed_cider') for way in sampled], levels + beside, ticks),
        Panel('Flag accuracy, likeness to most steps', 'sampling steps',
              [curve(way, f'{names[way]} {label}'.strip(), field, dashed)
               for way in sampled for field, label, dashed in
               (('flag_accuracy', 'flag accuracy', False), ('similarity', 'similarity', True))],
              ticks=ticks),
        Panel('CIDEr of changed pairs', 'ms a pair, image branch included',
              [_over_time(way, rows[way], ways.index(way)) for way in ways], levels)]


def _over_time(way: tuple[str, str], points: Sequence[Point], colour: int) -> Curve:
    return Curve(', '.join(way), [point.ms + point.image_ms for point in points],
                 _values(points, 'changed_cider'),
                 [str(point.steps or '') for point in points], colour=colour)


def _values(points: Sequence[Point], field: str) -> list[float]:
    """Return a field of points, NaN where it is not known."""
    return [float('nan') if getattr(point, field) is None else getattr(point, field)
            for point in points]
