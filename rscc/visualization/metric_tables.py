"""A run's flat metrics as HTML tables."""
from collections.abc import Mapping
from html import escape

#: Metrics shown in their group's table with one decimal, being 100 times a fraction.
_TIMES_100 = ('Bleu_', 'METEOR', 'ROUGE_L', 'CIDEr', 'Sm')
_SUBSETS = {'all': 'all pairs', 'changed': 'changed pairs', 'unchanged': 'unchanged pairs'}
_GROUPS = {'caption': 'Flag and content of the sentences', 'change': 'Change map'}


def show_number(value: float) -> str:
    """Write a number with as many digits as are worth reading."""
    return f'{value:.1f}' if abs(value) >= 10 else f'{value:.3f}'


def metric_tables(metrics: Mapping[str, float]) -> str:
    """Lay out flat metric keys.

    ``caption/<subset>/<metric>`` become rows of one wide table, with the trivial answers of
    ``baseline/...`` as muted rows below; two-part keys (``change/F1_changed``) become one narrow
    table per group.

    Args:
        metrics: Values as ``runner.test()`` returns them.

    Returns:
        HTML; a note where there are no metrics.
    """
    numbers = {key: value for key, value in metrics.items()
               if isinstance(value, int | float) and not isinstance(value, bool)}
    if not numbers:
        return '<p class="note">No metrics were computed for this run.</p>'
    rows, groups = {}, {}
    for key, value in numbers.items():
        *place, name = key.split('/')
        if len(place) > 1:
            rows.setdefault(tuple(place), {})[name] = value
        else:
            groups.setdefault(place[0] if place else 'metrics', {})[name] = value
    tables = [_wide(rows)] if rows else []
    tables += [_narrow(title, values) for title, values in groups.items()]
    return f'<div class="tables">{"".join(tables)}</div>'


def _wide(rows: dict[tuple[str, ...], dict[str, float]]) -> str:
    """Return one row per subset, model before baselines, one column per metric."""
    ordered = sorted(rows.items(), key=lambda item: item[0][0] == 'baseline')
    columns = list(dict.fromkeys(name for _, values in ordered for name in values))
    head = ''.join(f'<th>{escape(name.replace("Bleu_", "BLEU-"))}</th>' for name in columns)
    body = ''.join(_row(place, values, columns) for place, values in ordered)
    note = ''
    if any(place[0] == 'baseline' for place in rows):
        note = ('<p class="note">Baselines (grey) look at no image: they know the true change '
                'flag at most and answer with constant sentences. Compare the changed pairs '
                'first.</p>')
    return (f'<section><h2>Sentences</h2><div class="scroll"><table><thead><tr><th></th>{head}'
            f'</tr></thead><tbody>{body}</tbody></table></div>{note}</section>')


def _row(place: tuple[str, ...], values: dict[str, float], columns: list[str]) -> str:
    cells = ''.join(f'<td>{_cell(name, values[name])}</td>' if name in values else '<td></td>'
                    for name in columns)
    style = ' class=floor' if place[0] == 'baseline' else ''
    origin = '' if place[0] == 'caption' else f'{place[0]}: '
    title = ', '.join(_SUBSETS.get(part, part.replace('_', ' ')) for part in place[1:])
    return f'<tr{style}><th>{escape(origin + title)}</th>{cells}</tr>'


def _narrow(title: str, values: dict[str, float]) -> str:
    body = ''.join(f'<tr><th>{escape(name)}</th><td>{_cell(name, value)}</td></tr>'
                   for name, value in values.items())
    heading = escape(_GROUPS.get(title, title.capitalize()))
    return f'<section><h2>{heading}</h2><table><tbody>{body}</tbody></table></section>'


def _cell(name: str, value: float) -> str:
    return f'{value:.1f}' if name.startswith(_TIMES_100) else show_number(value)
