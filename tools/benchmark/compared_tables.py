"""Table, CSV and drawing of a comparison of models, made from the result files of its runs."""
import csv
import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rscc.utils import atomic_write, read_json
from rscc.visualization.curves import Curve, Panel, draw_curves
from tools.benchmark.compared_runs import BASELINE, COMPARE, FAILURE, PLAN, RESULT
from tools.benchmark.machine import Machine
from tools.benchmark.tables import ON_GPU, Picture, Section, Text, say
from tools.benchmark.trainings import cells

#: Titles of the comparisons by their names, those of section, picture and CSV file.
TITLES: dict[str, Text] = {
    'compare': ('Models on the same data', '相同数据上的模型比较'),
    'diffusion': ('Sentences at once and word by word', '整句生成与逐词生成的比较'),
}
MISSING = '–'


@dataclass(frozen=True)
class Column:
    """One column of the table.

    Attributes:
        key: Its name in the CSV file.
        title: Heading.
        of: From a result to the value; None where a run has none.
        digits: Decimal places in the table.
        spread: Whether mean and standard deviation of the seeds are shown, or their median.
        shown: Whether the table has it, or the CSV file alone.
    """
    key: str
    title: Text
    of: Callable[[Mapping[str, Any]], float | None]
    digits: int = 3
    spread: bool = True
    shown: bool = True


def _score(key: str) -> Callable[[Mapping[str, Any]], float | None]:
    return lambda result: result['scores'].get(key)


def _fact(key: str, unit: float = 1.0) -> Callable[[Mapping[str, Any]], float | None]:
    return lambda result: None if result.get(key) is None else result[key] / unit


COLUMNS = (
    Column('CIDEr_changed', ('CIDEr, changed pairs', 'CIDEr（有变化）'),
           _score('caption/changed/CIDEr'), 1),
    Column('BLEU4_changed', ('BLEU-4, changed pairs', 'BLEU-4（有变化）'),
           _score('caption/changed/Bleu_4'), 1),
    Column('flag_accuracy', ('flag accuracy', '变化判断准确率'), _score('caption/flag_accuracy')),
    Column('reversible', ('reversible sentences', '语句可逆'), _score('reversal/reversible')),
    Column('F1_changed', ('F1_changed', 'F1_changed'), _score('change/F1_changed')),
    Column('mask_IoU', ('map, dates exchanged: IoU', '时相交换后变化图 IoU'),
           _score('reversal/mask_IoU')),
    Column('SeK_pooled', ('SeK, dates pooled', 'SeK（合并计）'), _score('semantic/SeK_pooled')),
    Column('SeK_from_to', ('SeK, from-to', 'SeK（转变计）'), _score('semantic/SeK_from_to')),
    Column('parameters_M', ('parameters, M', '参数量，M'), _fact('parameters', 1e6), 2, False),
    Column('GFLOP', ('GFLOP', 'GFLOP'), _fact('gflop'), 2, False),
    Column('steps', ('steps', '步数'), _fact('steps'), 0, False),
    Column('train_minutes', ('training, min', '训练，分钟'), _fact('train_seconds', 60), 1, False),
    Column('trained_per_s', ('pairs/s trained', '训练，对/秒'), _fact('trained_per_s'), 1, False),
    Column('answered_per_s', ('pairs/s answered', '推理，对/秒'), _fact('answered_per_s'), 1,
           False),
    Column('train_MiB', ('memory, train, MiB', '训练内存，MiB'), _fact('train_bytes', 2**20), 0,
           False),
    Column('batch_size', ('pairs a step', '每步对数'), _fact('batch_size'), 0, False, shown=False),
)
#: Figures of a run by the keys of the columns; None where the run has none.
Figures = Mapping[str, float | None]


def figures_of(result: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the figures of a run out of its result file."""
    return {column.key: column.of(result) for column in COLUMNS}


@dataclass
class Row:
    """One config of a comparison.

    Attributes:
        name: Of the config.
        results: Seed -> figures of its run.
        failures: Seed -> why its run failed.
        logs: Seed -> the file that has all that the failed step printed, where there is one.
        seeds: How many runs were asked for.
    """
    name: str
    results: dict[int, Figures] = field(default_factory=dict)
    failures: dict[int, str] = field(default_factory=dict)
    logs: dict[int, str] = field(default_factory=dict)
    seeds: int = 0

    def values(self, key: str) -> list[float]:
        """Return the values of a column of the seeds that have one."""
        found = (figures[key] for _, figures in sorted(self.results.items()))
        return [float(value) for value in found if value is not None]

    def mean(self, key: str) -> float | None:
        """Return the mean of a column over the seeds, None where none has it."""
        values = self.values(key)
        return sum(values) / len(values) if values else None

    def median(self, key: str) -> float | None:
        """Return the median of a column over the seeds, None where none has it."""
        values = self.values(key)
        return statistics.median(values) if values else None

    @property
    def state(self) -> Text:
        """How many seeds are there, and why others are not."""
        done = f'{len(self.results)}/{self.seeds}'
        causes: dict[str, list[int]] = {}
        for seed, cause in sorted(self.failures.items()):
            causes.setdefault(cause.replace('|', '/').replace('\n', ' '), []).append(seed)
        if not causes:
            return done
        told = [(', '.join(map(str, seeds)), cause, self._logs(seeds))
                for cause, seeds in causes.items()]
        return ('; '.join([done, *(f'seed {seeds} failed: {cause}' + (f' (log: {logs})' if logs
                                   else '') for seeds, cause, logs in told)]),
                '；'.join([done, *(f'种子 {seeds} 失败：{cause}' + (f'（日志：{logs}）' if logs
                                  else '') for seeds, cause, logs in told)]))

    def _logs(self, seeds: Sequence[int]) -> str:
        """Name the logs of failed runs."""
        return ', '.join(self.logs[seed] for seed in seeds if seed in self.logs)


def read_study(folder: Path, earlier: Mapping[tuple[str, int], Figures] | None = None
               ) -> tuple[dict[str, Any], list[Row]]:
    """Return what a folder of runs was made with (and ``baseline``, its scores), and its rows.

    Args:
        folder: The work folder.
        earlier: Figures of runs by config and seed that were done elsewhere; those of rows that
            the folder lacks make rows, too.

    Raises:
        FileNotFoundError: If it holds no comparison.
    """
    if not (folder / PLAN).is_file():
        raise FileNotFoundError(f"'{folder}' holds no comparison ({PLAN}): run one without "
                                '--report-only, or name its folder with --work-dir')
    plan, rows = dict(name=COMPARE) | read_json(folder / PLAN), []
    if (folder / BASELINE).is_file():
        plan['baseline'] = read_json(folder / BASELINE)
    earlier = earlier or {}
    plan['earlier'] = 0
    seeds = max([plan['seeds'], *(seed + 1 for _, seed in earlier)])
    for name in dict.fromkeys([*plan['rows'], *(name for name, _ in earlier)]):
        row = Row(name, seeds=seeds)
        for seed in range(seeds):
            run = folder / f'{name}_seed{seed}'
            if (run / RESULT).is_file() and not (run / FAILURE).is_file():
                row.results[seed] = figures_of(read_json(run / RESULT))
            elif (name, seed) in earlier:
                row.results[seed] = earlier[name, seed]
                plan['earlier'] += 1
            elif (run / FAILURE).is_file():
                failure = read_json(run / FAILURE)
                row.failures[seed] = failure['cause']
                if failure.get('log'):
                    row.logs[seed] = failure['log']
        rows.append(row)
    return plan, rows


def read_runs(path: str | os.PathLike) -> dict[tuple[str, int], Figures]:
    """Return the finished runs of a CSV file of :func:`write_csv`, by config and seed.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is of another form.
    """
    with open(path, encoding='utf-8', newline='') as file:
        lines = csv.DictReader(file)
        absent = [name for name in ('config', 'seed', 'state', *(column.key for column in COLUMNS))
                  if name not in (lines.fieldnames or ())]
        if absent:
            raise ValueError(f"'{path}' has no column {', '.join(absent)}: expected the CSV file "
                             'of a comparison of models')
        try:
            return {(line['config'], int(line['seed'])): {
                column.key: float(line[column.key]) if line[column.key] else None
                for column in COLUMNS} for line in lines if line['state'] == 'done'}
        except ValueError as error:
            raise ValueError(f"'{path}', line {lines.line_num}: {error}") from error


def csv_name(plan: Mapping[str, Any]) -> str:
    """Return the name of the CSV file, another one for runs on a GPU."""
    return f'{plan["name"]}{"" if plan["machine"]["gpu"] is None else ON_GPU}.csv'


def table_of(plan: Mapping[str, Any], rows: Sequence[Row]) -> Section:
    """Return the table of a comparison: a row each, failing ones with their cause.

    The last row is the trivial baseline, in the columns that have one.
    """
    seen = [column for column in COLUMNS
            if column.shown and any(row.values(column.key) for row in rows)]
    heads: list[Text] = [('config', '配置'), *(column.title for column in seen),
                         ('seeds', '随机种子')]
    body = [[row.name, *(_cell(row, column) for column in seen), row.state] for row in rows]
    baseline = _baseline(plan)
    if baseline is not None:
        name = ('*baseline: everything changed, one sentence*', '*平凡基线：全部变化，固定语句*')
        body.append([name,
                     *(_cell(baseline, column) for column in seen), MISSING])
    return Section(plan['name'], TITLES[plan['name']], heads, body, Machine(**plan['machine']),
                   notes=_notes(plan, rows), picture=_picture(plan, rows),
                   command=plan['command'], date=plan['date'])


def _baseline(plan: Mapping[str, Any]) -> Row | None:
    """Return the row of the trivial baseline, None where it was not scored."""
    if not plan.get('baseline'):
        return None
    return Row('baseline', {0: figures_of(dict(scores=plan['baseline']))})


def _cell(row: Row, column: Column) -> str:
    values = row.values(column.key)
    if not values:
        return MISSING
    scores = values if column.spread else [statistics.median(values)]
    return cells([[value] for value in scores], digits=column.digits)[0]


def _notes(plan: Mapping[str, Any], rows: Sequence[Row]) -> list[Text]:
    budget, sizes = plan['budget'], sorted({
        figures['batch_size'] for row in rows for figures in row.results.values()
        if figures['batch_size'] is not None})
    pairs = '/'.join(f'{size:g}' for size in sizes) or MISSING
    table = csv_name(plan)
    length = ((f'{budget["steps"]} optimiser steps', f'{budget["steps"]} 步') if budget['steps']
              else (f'as many steps as fit into {budget["minutes"]:g} minutes',
                    f'{budget["minutes"]:g} 分钟内所能完成的步数'))
    side, runs = (plan['jobs'], plan['threads']), sum(len(row.results) for row in rows)
    elsewhere = [(f'{plan["earlier"]} of {runs} runs were done earlier or on another machine, with '
                  'the same steps: times and memory are of theirs.',
                  f'{runs} 次训练中有 {plan["earlier"]} 次在此前或其他机器上完成，步数相同；'
                  '其时间与内存为当时的测量值。')] if plan['earlier'] else []
    return [
        (f'Every training: {length[0]}, {pairs} pairs a step, on the same training split; the last '
         'weights answer the whole test split, no validation chooses among them. Mean ± standard '
         f'deviation over the seeds, of times and memory the median; [every seed]({table}). Runs '
         f'side by side: {side[0]}; threads of each: {side[1]}.',
         f'每次训练：{length[1]}，每步 {pairs} 对，训练集相同；由最后的权重回答整个测试集，'
         f'不用验证集挑选。数值为各随机种子的均值 ± 标准差，时间与内存为中位数，'
         f'[各种子的数值](../en/{table})。'
         f'同时进行的训练数：{side[0]}，各用 {side[1]} 线程。'),
        ('Sentences are reversible if those on a pair and on the exchanged pair mirror each other. '
         'GFLOP: one pair with all heads and one sentence. Memory: of the whole process on a CPU, '
         'of the tensors on a GPU. Captions are searched as the config says.',
         '语句可逆：对一对影像及其交换时相后的影像对所写的语句互为镜像。GFLOP：一对影像连同所有头和'
         '一个句子。内存：CPU 上为整个进程，GPU 上为张量。语句按配置中的方式搜索。'),
        *elsewhere]


def _picture(plan: Mapping[str, Any], rows: Sequence[Row]) -> Picture | None:
    """Draw quality against time: what training took, or an answer takes where all trained alike."""
    by_steps = bool(plan['budget']['steps'])
    label = 'minutes of training' if by_steps else 'ms to answer a pair'
    panels = []
    for key, title in (('CIDEr_changed', 'CIDEr, changed pairs'), ('F1_changed', 'F1_changed')):
        points = [(number, row.name, _time(row, by_steps), row.mean(key))
                  for number, row in enumerate(rows)]
        curves = [Curve('', [x], [y], notes=[name.removesuffix('_synth')], colour=number)
                  for number, name, x, y in points if x is not None and y is not None]
        if curves:
            panels.append(Panel(title, label, curves, linear=True))
    if not panels:
        return None
    return Picture(plan['name'], draw_curves(panels, height=460), (
        f'Scores of the models over {label}', '各模型的得分与' + (
            '训练时间（分钟）' if by_steps else '回答一对影像所需的毫秒数')))


def _time(row: Row, by_steps: bool) -> float | None:
    if by_steps:
        return row.median('train_minutes')
    rate = row.median('answered_per_s')
    return 1000 / rate if rate else None


def write_csv(path: str | os.PathLike, rows: Sequence[Row], plan: Mapping[str, Any]) -> Path:
    """Write a line for each run: config, seed, state, cause, log, values at full precision.

    The last line is the trivial baseline of the plan, with neither seed nor cause.
    """
    with atomic_write(path) as file:
        table = csv.writer(file, lineterminator='\n')
        table.writerow(['config', 'seed', 'state', 'cause', 'log',
                        *(column.key for column in COLUMNS)])
        for row in rows:
            for seed in range(row.seeds):
                figures, cause = row.results.get(seed), row.failures.get(seed, '')
                state = 'done' if figures is not None else 'failed' if cause else 'missing'
                table.writerow([row.name, seed, state, cause, row.logs.get(seed, ''),
                                *_plain(figures)])
        baseline = _baseline(plan)
        if baseline is not None:
            table.writerow([baseline.name, '', 'baseline', '', '', *_plain(baseline.results[0])])
    return Path(path)


def _plain(figures: Figures | None) -> list[str]:
    """Return the figures of one run for the CSV file."""
    values = [None if figures is None else figures[column.key] for column in COLUMNS]
    return ['' if value is None else f'{value:.6g}' for value in values]


def states(rows: Sequence[Row]) -> list[str]:
    """Return a line for each row that is not whole, for the terminal."""
    return [f'{row.name}: {say(row.state, "en")}' for row in rows if len(row.results) < row.seeds]
