"""Tables of an evaluation on real pairs: terminal, documentation, several runs side by side."""
from collections.abc import Mapping, Sequence
from typing import Any

from tools.benchmark.machine import Machine
from tools.benchmark.real_scores import (
    ALL_CAPTIONED,
    ALL_MASKS,
    CONSTANT,
    HITS,
    UNCHANGED,
    headline,
)
from tools.benchmark.real_sets import POOLS, SETS, UNCHANGED_SETS, RealSet
from tools.benchmark.tables import LANGUAGES, Section, Text, say

#: Which sets a group is made of: heads of columns and titles of rows that are no proper names.
_WORDS: dict[str, Text] = {
    ALL_MASKS: ('all sets with masks', '全部有掩膜的集合'),
    ALL_CAPTIONED: ('LEVIR-CC, its figures, LEVIR-MCI', 'LEVIR-CC、其论文插图、LEVIR-MCI'),
    'LEVIR-CC figures': ('LEVIR-CC figures', 'LEVIR-CC 论文插图'),
    UNCHANGED: ('unchanged pairs', '未变化影像对'),
    'building': ('building', '建筑物'), 'road': ('road', '道路'),
    'head': ('flag head', '变化分类头'), 'sentence': ('sentence', '描述句'), 'map': (
        'map: any pixel', '变化图：任意像素'),
    'object': ('object named', '地物命中'), 'direction': ('direction right', '方向正确'),
    'whole_direction': ('whole direction', '方向完整'), 'change': ('change told', '报告了变化'),
    'no_change': ('"no change" told', '报告了“无变化”'),
}
_SCORES: dict[str, Text] = {'F1': 'F1', 'IoU': 'IoU', 'precision': ('precision', '精确率'),
                            'recall': ('recall', '召回率'), 'AP': 'AP'}
#: Words in the names of figures.
_FIGURES = {
    'false area': '误报面积', 'balanced accuracy': '平衡准确率', 'false alarms': '误报率',
    'direction (': '方向正确 (', 'object (': '地物命中 (', '(head)': '(变化分类头)',
    '(sentence)': '(描述句)', '(map)': '(变化图)', 'time, mask': '用时，仅变化图',
    'time, with sentence': '用时，含描述句', ALL_MASKS: '全部有掩膜的集合'}


def sections_of(run: Mapping[str, Any]) -> list[Section]:
    """Return the tables of an evaluation, those that have rows.

    Args:
        run: What ``tools/analysis_tools/real_check.py`` saved: scores, model, machine.
    """
    machine = Machine(**run['machine'])
    # Of every table: one that another model left in the docs must not be taken for this one's.
    model = (f'Model: {run["name"]}, SHA-256 {run["sha256"][:16]}.',
             f'模型：{run["name"]}，SHA-256 {run["sha256"][:16]}。')
    made = (_maps(run), _area(run), _flags(run), _sentences(run))
    return [Section(name, title, columns, rows, machine, notes=[model, *notes],
                    command=run['command'], date=run['date'])
            for name, title, columns, rows, notes in made if rows]


def _maps(run: Mapping[str, Any]) -> tuple:
    columns: list[Text] = [
        ('set (pairs)', '集合（影像对数）'), ('classes that count', '计入的类别'),
        ('changed', '变化占比'), *_SCORES.values(), ('F1, any class', 'F1（任意类别）'),
        ('AP, any class', 'AP（任意类别）'), ('F1, everything changed', 'F1（全部判为变化）')]
    rows = []
    for title, row in run['maps'].items():
        share, every = row['changed'], row.get('any', row)
        rows.append([_set(title, row), _counted(row['counted']),
                     _percent(share), *(_figure(row, name) for name in _SCORES),
                     _figure(every, 'F1'), _figure(every, 'AP'), f'{2 * share / (1 + share):.3f}'])
    return 'real', ('Change maps of real pairs', '真实影像对的变化图'), columns, rows, [
        *_model_notes(run), *_reasons(SETS, run['maps']), *_time_notes(run)]


def _area(run: Mapping[str, Any]) -> tuple:
    columns: list[Text] = [('set (pairs)', '集合（影像对数）'),
                           ('classes that count', '计入的类别'),
                           ('called changed', '判为变化的像素'),
                           ('any class', '任意类别')]
    rows = [[_set(title, row), _counted(row['counted']),
             _percent(row['share']), _percent(row['any'])]
            for title, row in run['false_area'].items()]
    notes: list[Text] = [(
        'Share of the pixels of pairs without a change (an empty mask, sentences that say so, or '
        'two dates of standing buildings) that the model calls changed: the classes that count for '
        'the set, and any class.',
        '未变化影像对（掩膜为空、参考描述如此说明，或两个时相建筑物均在）中被模型判为变化的像素比例：'
        '该集合计入的类别，以及任意类别。'), *_reasons(UNCHANGED_SETS, run['false_area'])]
    return 'real_area', ('False area on unchanged real pairs', '未变化真实影像对的误报面积'), \
        columns, rows, notes


def _flags(run: Mapping[str, Any]) -> tuple:
    columns: list[Text] = [
        ('pairs', '影像对'), ('by', '判断依据'), ('changed + unchanged', '变化 + 未变化'),
        ('balanced accuracy', '平衡准确率'), ('changes found', '变化检出率'),
        ('false alarms', '误报率'), 'AUC']
    rows = []
    for title, row in run['flags'].items():
        group, source = title.rsplit(' / ', 1)
        rows.append([_WORDS.get(group, group), _WORDS[source],
                     f'{row["changed"]} + {row["unchanged"]}',
                     *(_figure(row, name) for name in (
                         'balanced_accuracy', 'hit_rate', 'false_alarms', 'AUC'))])
    notes: list[Text] = [(
        'Changed or not, by the flag head (probability above 0.5), by the sentence, and by the map '
        '(any pixel of any class; AUC by their share). An answer that is always the same has a '
        'balanced accuracy of 0.5.',
        '是否变化：由变化分类头（概率大于 0.5）、描述句、变化图（任意类别的任意像素；AUC 按其占比）'
        '判断。始终给出同一答案时，平衡准确率为 0.5。')]
    title = 'Changed or not, on real pairs', '真实影像对是否变化'
    return 'real_flag', title, columns, rows, notes


def _sentences(run: Mapping[str, Any]) -> tuple:
    columns: list[Text] = [('pairs', '影像对'), ('sentences', '描述句'),
                           *(_WORDS[kind] for kind in HITS)]
    rows = []
    for language, groups in run['sentences'].items():
        name = {'en': ('English', '英文'), 'zh': ('Chinese', '中文')}[language]
        for title, row in groups.items():
            rows.append([_WORDS.get(title, title), name, *_hits(row)])
        for title, row in groups.items():
            if title == ALL_CAPTIONED:
                told = CONSTANT[language]
                rows.append([_WORDS[title], (f'always "{told}"', f'始终回答“{told}”'),
                             *_hits(row['constant'])])
    notes: list[Text] = [(
        'Right out of how many pairs, beside English references. Object: shares an object with any '
        'reference. Direction: tells of something appearing or removed, and of neither that no '
        'reference tells of; whole direction: and of all that half of them tell of.',
        '正确数 / 影像对数，对照英文参考描述。地物：与任一参考描述提到相同地物。'
        '方向：说出出现或移除，且不含任何参考描述都没有说的方向；方向完整：'
        '并且包含半数以上参考描述所说的方向。')]
    return 'real_sentence', ('Sentences on real pairs', '真实影像对的描述句'), columns, rows, notes


def _hits(row: Mapping[str, Any]) -> list[str]:
    return [f'{row[kind]:.2f} ({round(row[kind] * row[f"{kind}_of"])}/{row[f"{kind}_of"]})'
            if kind in row else '' for kind in HITS]


def _model_notes(run: Mapping[str, Any]) -> list[Text]:
    notes: list[Text] = [(
        f'Classes of the model: {", ".join(run["classes"])}. Scores over the pooled pixels of a '
        'set; AP ranks the pixels by the probability of what counts.',
        f'模型的类别：{"、".join(run["classes"])}。分数在集合的全部像素上计算；'
        'AP 按计入类别的概率对像素排序。')]
    for kind, (english, chinese) in dict(
            skipped=('Left out', '未评测'), left_out=('Could not be read', '无法读取')).items():
        if run[kind]:
            notes.append((f'{english}: {"; ".join(run[kind])}.',
                          f'{chinese}：{"；".join(run[kind])}。'))
    return notes


def _reasons(sets: Sequence[RealSet], rows: Mapping[str, Any]) -> list[Text]:
    """Return why classes count in the sets of a table."""
    told = [one for one in sets if one.title in rows]
    return [(' '.join(f'{one.title}: {say(one.reason, "en")}.' for one in told),
             ''.join(f'{one.title}：{say(one.reason, "zh_cn")}。' for one in told))
            ] if told else []


def _time_notes(run: Mapping[str, Any]) -> list[Text]:
    if not run['times']:
        return []
    english = ', '.join(f'{name} {ms:.0f} ms' for name, ms in run['times'].items())
    chinese = '，'.join(
        f'{name.replace("mask", "仅变化图").replace("with sentence", "含描述句")} {ms:.0f} 毫秒'
        for name, ms in run['times'].items())
    threads = run['machine']['threads']
    return [(f'Time of a pair of 256 x 256 pixels, median of {run["rounds"]} on {threads} '
             f'thread{"s" * (threads != 1)}, reading apart: {english}.',
             f'256 x 256 像素影像对的用时（{run["rounds"]} 次的中位数，{threads} 线程，不含读取）：'
             f'{chinese}。')]


def comparison(runs: Sequence[Mapping[str, Any]]) -> Section:
    """Return the figures of several evaluations side by side, a column each.

    Args:
        runs: At least one, the one that was measured last first.
    """
    columns = [dict(_figures(run)) for run in runs]
    names: list[str] = []
    for column in columns:  # what one run alone has stands behind what it stands behind there
        place = 0
        for name in column:
            if name not in names:
                names.insert(place, name)
            place = names.index(name) + 1
    rows: list[list[Text]] = [
        [(name, _in_chinese(name)), *(column.get(name, '') for column in columns)]
        for name in names]
    rows.append(['SHA-256', *(run['sha256'][:12] for run in runs)])
    title = 'Models side by side on real pairs', '各模型在真实影像对上的对比'
    heads: list[Text] = [('figure', '指标'), *(run['name'] for run in runs)]
    return Section('real_compare', title, heads, rows, Machine(**runs[0]['machine']),
                   date=runs[0]['date'], command=runs[0]['command'])


def _in_chinese(name: str) -> str:
    for english, chinese in _FIGURES.items():
        name = name.replace(english, chinese)
    return name


def _figures(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return F1 and AP of every set, and the other figures that goals are about, as text."""
    pools = [*POOLS, ALL_MASKS]
    titles = [*(title for title in run['maps'] if title not in pools and ':' not in title),
              *(title for title in pools if title in run['maps'])]
    maps = [(f'{title}: F1 / AP', f'{_figure(run["maps"][title], "F1")} / '
                                  f'{_figure(run["maps"][title], "AP")}') for title in titles]
    return maps + [(name, _value(name, value)) for name, value in headline(run)
                   if not name.startswith('F1 ')]


def _value(name: str, value: float) -> str:
    """Return a figure of ``headline`` in the unit that its name says."""
    if name.startswith('false area'):
        return _percent(value)
    return f'{value:.0f} ms' if name.startswith('time') else f'{value:.3f}'


def log_line(run: Mapping[str, Any]) -> str:
    """Return one line on an evaluation: when, what, of which hash, where, and its main figures."""
    figures = ', '.join(f'{name} {_value(name, value)}' for name, value in headline(run))
    return (f'{run["date"]} {run["time"]} | {run["name"]} | sha256 {run["sha256"]} | '
            f'{run["root"]}, {len(run["pairs"])} pairs | {figures}\n')


def _set(title: str, row: Mapping[str, Any]) -> Text:
    """Return the title of a set or of a part of one, with its number of pairs, by language."""
    parts = title.split(': ')
    english, chinese = (': '.join(say(_WORDS.get(part, part), language) for part in parts)
                        for language in LANGUAGES)
    return f'{english} ({row["pairs"]})', f'{chinese} ({row["pairs"]})'


def _counted(classes: Sequence[str] | None) -> Text:
    if not classes:
        return ('as above', '同上') if classes is None else ('any', '任意')
    english, chinese = (', '.join(say(_WORDS.get(name, name), language) for name in classes)
                        for language in LANGUAGES)
    return english, chinese


def _figure(row: Mapping[str, Any], name: str) -> str:
    return f'{row[name]:.3f}' if row.get(name) is not None else '–'


def _percent(share: float) -> str:
    return f'{100 * share:.2f} %'
