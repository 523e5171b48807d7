"""Scores as a table for the terminal."""
from collections.abc import Mapping

_COLUMNS = {'Bleu_1': 'B1', 'Bleu_2': 'B2', 'Bleu_3': 'B3', 'Bleu_4': 'B4', 'METEOR': 'M',
            'METEOR_id': 'M_id', 'ROUGE_L': 'R', 'CIDEr': 'C', 'Sm': 'Sm'}
_ROWS = {
    'caption/all': 'all', 'caption/changed': 'changed', 'caption/unchanged': 'unchanged', '': '',
    'baseline/all': 'floor: true flag + one sentence',
    'baseline/changed': 'floor on changed: one sentence',
    'baseline/no_change': 'floor: always "no change"',
}
_SHARES = {
    'flag_accuracy': 'flag accuracy', 'flag_F1': 'flag F1', 'object_F1': 'object F1',
    'direction_accuracy': 'appear/remove', 'distinct_1': 'distinct-1', 'distinct_2': 'distinct-2',
}
_CHANGE = ('F1_changed', 'IoU_changed', 'precision_changed', 'recall_changed', 'mF1', 'mIoU', 'OA',
           'Kappa')
_WIDTH = 88


def format_table(metrics: Mapping[str, float]) -> str:
    """Lay out flat scores for reading.

    Args:
        metrics: Keys as ``CaptionMetric`` and ``ChangeMetric`` name them; parts may be absent and
            unknown keys are listed at the end.

    Returns:
        Lines without a final line break; ``'no scores'`` where there are none.
    """
    left = {key: float(value) for key, value in metrics.items()
            if isinstance(value, int | float) or hasattr(value, '__float__')}
    blocks = [_caption_block(left), _pairs_block(left, 'caption', _SHARES),
              _pairs_block(left, 'change', {name: name for name in _CHANGE}), _classes_block(left),
              _flow('other', left)]
    return '\n\n'.join(block for block in blocks if block) or 'no scores'


def _caption_block(left: dict[str, float]) -> str:
    """Take the caption rows out of ``left`` and return them as a table, x100."""
    found = {row: {name: left.pop(f'{row}/{name}') for name in _COLUMNS if f'{row}/{name}' in left}
             for row in _ROWS if row}
    columns = [name for name in _COLUMNS if any(name in row for row in found.values())]
    if not columns:
        return ''
    first = max(len(_ROWS[row]) for row, values in found.items() if values)
    first = max(first, len('captions (x100)'))
    head = 'captions (x100)'.ljust(first) + ''.join(f'{_COLUMNS[name]:>8}' for name in columns)
    lines = [head, '-' * len(head)]
    for row, label in _ROWS.items():
        if row and found[row]:
            cells = (f'{found[row][name]:8.2f}' if name in found[row] else f'{"-":>8}'
                     for name in columns)
            lines.append(label.ljust(first) + ''.join(cells))
        elif not row and any(found[name] for name in found if name.startswith('baseline')):
            lines.append('')
    return '\n'.join(lines)


def _pairs_block(left: dict[str, float], group: str, names: Mapping[str, str]) -> str:
    found = {label: left.pop(f'{group}/{name}') for name, label in names.items()
             if f'{group}/{name}' in left}
    title = 'what captions say (0 to 1)' if group == 'caption' else 'change map (0 to 1)'
    return _flow(title, found)


def _classes_block(left: dict[str, float]) -> str:
    found = {key.removeprefix('change/IoU_'): left.pop(key) for key in list(left)
             if key.startswith('change/IoU_')}
    return _flow('IoU by class (0 to 1)', found)


def _flow(title: str, values: Mapping[str, float]) -> str:
    """Return a title and ``name value`` cells, as many a line as fit."""
    if not values:
        return ''
    width = max(map(len, values)) + 1
    cells = [f'{name:<{width}}{value:8.4f}' for name, value in values.items()]
    a_line = max(1, (_WIDTH + 3) // (len(cells[0]) + 3))
    lines = ['   '.join(cells[i:i + a_line]) for i in range(0, len(cells), a_line)]
    return '\n'.join([title, '-' * max(map(len, lines)), *lines])
