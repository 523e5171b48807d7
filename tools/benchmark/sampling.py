"""Benchmark of diffusion captioning: quality after few sampling steps, and their cost."""
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rscc.text.minimum_bayes_risk import similarity_matrix
from rscc.text.normalisation import split_words
from rscc.visualization.curves import Curve, Panel, draw_curves
from tools.benchmark.machine import describe_machine
from tools.benchmark.requests import Predictions, Requests, TestedModel, load_tested, run_in_turn
from tools.benchmark.tables import Picture, Section, Target, Text
from tools.benchmark.timing import Timing

STEPS = (1, 2, 4, 8, 10, 16, 32, 50)
SOLVER = 'dpmpp_2m'
#: A ten-step solver of second order is to say what fifty steps say, but for 2 %.
FEW_STEPS = Target(0.98, at_least=True, digits=3)
_FEW, _MANY = 10, 50
#: How a head of masks draws, where others have samplers.
MASKS = 'masks'
#: Section, title and picture of the table that begins with noise, and of the one with masks.
TABLES = (
    ('sampling', ('Quality against sampling steps', '质量与采样步数'), 'sampling_steps'),
    ('sampling_masks', ('Quality against passes over masks', '质量与掩码填充的次数'),
     'sampling_steps_masks'))
#: The one request to a head that writes word by word.
_SEARCH: dict[None, dict[str, Any]] = {None: {}}


@dataclass(frozen=True)
class Point:
    """Quality and cost of one request to one model.

    Attributes:
        model: Name of its config.
        way: Sampler; or search, of a model that writes word by word.
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


@dataclass(frozen=True)
class SamplingBenchmark:
    """Points and their table.

    Attributes:
        points: One for every row.
        baseline: CIDEr-D on changed samples of one constant sentence; None where there are none.
        section: The table, with its picture.
    """
    points: list[Point]
    baseline: float | None
    section: Section

    def as_json(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        section = self.section
        return dict(format='rscc sampling steps', date=section.date, command=section.command,
                    machine=str(section.machine), baseline_changed_cider=self.baseline,
                    points=[vars(point) for point in self.points])


def benchmark_sampling(config: str | os.PathLike, checkpoint: str | os.PathLike, *,
                       steps: Sequence[int] = STEPS, samplers: Sequence[str] = (SOLVER,),
                       beside: Sequence[tuple[str, str]] = (), samples: int = 1,
                       batch_size: int = 32, limit: int | None = None, device: str = 'cpu',
                       cfg_options: Mapping[str, Any] | None = None) -> SamplingBenchmark:
    """Predict the test split with every sampler and number of steps; images are encoded once.

    Args:
        config: Path of a config with a caption head that diffuses: ``KarrasCaptionHead`` or
            ``MaskedCaptionHead``.
        checkpoint: Its trained weights.
        steps: Numbers of steps; the captions of the largest are what the others are compared with.
        samplers: Names of samplers, for heads that have some; other decoding options are the
            config's.
        beside: Configs and checkpoints of other captioners on the same data. Those that write word
            by word decode as their configs say.
        samples: Sentences drawn for every image, of which the best is chosen.
        batch_size: Samples a batch.
        limit: Number of samples, evenly spread over the split; None takes all.
        device: ``'cpu'`` or ``'cuda[:i]'``.
        cfg_options: Overrides of ``config``.

    Raises:
        ValueError: If the head does not sample, the other model is tested on other data, or an
            option is impossible.
        KeyError: If a sampler is unknown.
    """
    shared = dict(device=device, batch_size=batch_size, limit=limit)
    tested = load_tested(config, checkpoint, cfg_options=cfg_options, **shared)
    steps = sorted(set(steps))
    requests = [Requests(tested, _options(tested, steps, samplers, samples))]
    if requests[0].options == _SEARCH:
        raise ValueError(f"'{tested.name}' writes word by word (its caption head is "
                         f'{type(tested.model.caption_head).__name__}): name it with --beside, and '
                         'first a config with KarrasCaptionHead or MaskedCaptionHead')
    for names in beside:
        other = load_tested(*names, **shared)
        _check_same_data(tested, other)
        requests.append(Requests(other, _options(other, steps, samplers, samples)))
    run_in_turn(requests)
    points, baseline = _points(requests, steps[-1])
    name, title, picture = TABLES[points[0].way == MASKS]
    section = Section(
        name, title,
        columns(steps[-1], samples),
        [row(point, steps[-1], samples) for point in points], describe_machine(device),
        notes=_notes(requests[0].tested, baseline, samples, batch_size),
        picture=Picture(picture, draw_curves(panels(points, baseline)),
                        ('Quality against sampling steps and time', '质量与采样步数、时间的关系')))
    return SamplingBenchmark(points, baseline, section)


def _options(tested: TestedModel, steps: Sequence[int], samplers: Sequence[str], samples: int
             ) -> dict[tuple[str, int] | None, dict[str, Any]]:
    """Return the decoding options of every sampler and number of steps, checked.

    A head that searches word by word has one request, without a name.
    """
    head = tested.model.caption_head
    known = head.decoding.as_dict()
    if 'steps' not in known:
        return dict(_SEARCH)
    ways = {name: dict(sampler=name) for name in samplers} if 'sampler' in known else {MASKS: {}}
    requests = {(way, count): options | dict(steps=count, num_samples=samples)
                for way, options in ways.items() for count in steps}
    for options in requests.values():
        head.decoding.updated(options)
    return requests


def _check_same_data(tested: TestedModel, other: TestedModel) -> None:
    kinds = [(each.pairs, each.meta.get('dataset_type'), each.meta.get('language'))
             for each in (tested, other)]
    if kinds[0] != kinds[1]:
        raise ValueError(f"'{tested.name}' is tested on {_data(kinds[0])} and '{other.name}' on "
                         f'{_data(kinds[1])}: models beside each other need the same data')


def _data(kind: tuple) -> str:
    return '{} samples of {} in {!r}'.format(*kind)


def _points(requests: Sequence[Requests], most: int) -> tuple[list[Point], float | None]:
    """Score every request; return the points and the constant sentence's score."""
    points: list[Point] = []
    baseline = None
    for each in requests:
        language = each.tested.meta.get('language', 'en')
        for name, predictions in each.predictions.items():
            scores = predictions.scores(each.tested.meta, baselines=not points)
            baseline = baseline if points else scores.get('baseline/changed/CIDEr')
            reference = None if name is None else each.predictions[name[0], most]
            points.append(_point(each, name, scores,
                                 *_likeness(predictions, reference, language)))
    return points, baseline


def _point(requests: Requests, name: tuple[str, int] | None, scores: Mapping[str, float],
           equal: float | None, similarity: float | None) -> Point:
    predictions = requests.predictions[name]
    sampler, steps = name or (_search(requests.tested), None)
    several = requests.options[name].get('num_samples', 1) > 1
    return Point(
        requests.tested.name, sampler, steps, predictions.calls,
        scores.get('caption/changed/CIDEr'), scores.get('caption/all/CIDEr'),
        scores.get('caption/flag_accuracy'), equal, similarity,
        predictions.agreement if several else None, predictions.timing.ms,
        Timing(tuple(requests.encoding)).ms)


def _search(tested: TestedModel) -> str:
    beams = tested.model.caption_head.decoding.as_dict().get('num_beams')
    return '-' if beams is None else 'greedy' if beams == 1 else f'beam {beams}'


def _likeness(predictions: Predictions, reference: Predictions | None, language: str
              ) -> tuple[float | None, float | None]:
    """Return which share of the captions are those of ``reference``, and the mean similarity."""
    if reference is None:
        return None, None
    pairs = list(zip(predictions.captions, reference.captions, strict=True))
    alike = [similarity_matrix([split_words(text, language) for text in pair])[0, 1]
             for pair in pairs]
    return sum(own == other for own, other in pairs) / len(pairs), float(sum(alike) / len(pairs))


def _notes(tested: TestedModel, baseline: float | None, samples: int, batch_size: int
           ) -> list[Text]:
    split = tested.meta.get('split')
    notes: list[Text] = [
        (f'{tested.pairs:,} pairs of the {split} split in batches of {batch_size}; {samples} '
         'sentence(s) drawn a pair. Images are encoded once for all rows of a model; times are '
         'medians over the batches, on which all rows take turns.',
         f'{split} 集 {tested.pairs:,} 对，每批 {batch_size} 对；每对采样 {samples} 个句子。'
         '同一模型的所有行共用一次影像编码；时间为各批的中位数，各行逐批轮流。'),
        ('Flag accuracy: whether the sentence, not a flag head, tells rightly of a change. '
         'Similarity: mean F-score of shared 1- to 4-grams.',
         '有无变化准确率：由句子本身（而非变化分类头）判断。相似度：共有 1 至 4 元组的平均 F 值。')]
    if baseline is not None:
        notes.append(('One constant sentence for all changed pairs scores a CIDEr of '
                      f'{baseline:.1f} there.',
                      f'对所有变化对输出同一句话，其 CIDEr 为 {baseline:.1f}。'))
    return notes


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


def panels(points: Sequence[Point], baseline: float | None) -> list[Panel]:
    """Return the panels of the picture: quality and likeness over steps, quality over time.

    Args:
        points: Of the table.
        baseline: Score of one constant sentence, drawn as a line.
    """
    ways = list(dict.fromkeys((point.model, point.way) for point in points))
    rows = {way: [point for point in points if (point.model, point.way) == way] for way in ways}
    sampled = [way for way in ways if rows[way][0].steps]
    others = [way for way in ways if way not in sampled]

    def curve(way: tuple, label: str, field: str, dashed: bool = False) -> Curve:
        return Curve(label, [point.steps for point in rows[way]], _values(rows[way], field),
                     dashed=dashed, colour=ways.index(way))

    levels = [] if baseline is None else [('one constant sentence', baseline)]
    beside = [(f'{rows[way][0].model}, {rows[way][0].way}', rows[way][0].changed_cider)
              for way in others if rows[way][0].changed_cider is not None]
    ticks = sorted({point.steps for point in points if point.steps})
    ticks = [tick for tick in ticks if tick != _FEW] if len(ticks) > 6 else ticks
    models = len({model for model, _ in sampled}) > 1
    names = {way: ', '.join(way) if models else way[1] if len(sampled) > 1 else ''
             for way in sampled}
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
