"""The parts of the HTML report that show how sentences came out of noise."""
from html import escape

from rscc.structures import SampledCaption, ScoredCaption
from rscc.visualization.denoising_trajectory import Row, Run, denoising_rows
from rscc.visualization.fonts import has_cjk

#: Tag of a word by (final, new); words that are neither need none.
_TAGS = {(True, False): 'b', (True, True): 'mark', (False, True): 'u'}


def sampled_caption(sample: dict) -> SampledCaption | None:
    """Return the sentence of a sample of the predictions file, None unless it was drawn."""
    return SampledCaption.told(ScoredCaption(sample.get('prediction') or '', 0.0), sample)


def agreement_html(caption: SampledCaption, words: dict) -> str:
    """Return how much the sentences drawn agree, as a bar with its number.

    Args:
        caption: The sentence.
        words: Labels of the report's language.

    Returns:
        HTML; nothing where only one sentence was drawn.
    """
    if caption.drawn < 2:
        return ''
    doubt = ' doubt' if caption.abstained else ''
    return (f'<p class="agreement{doubt}">{words["agreement"].format(caption.drawn)} '
            f'<span class="gauge" style="--share:{caption.agreement:.3f}"></span> '
            f'<b>{caption.agreement:.2f}</b></p>')


def strip_html(caption: SampledCaption, words: dict, opened: bool = False) -> str:
    """Return the denoising strip: a row for every change of the sentence, noisiest first.

    Args:
        caption: The sentence with its strip.
        words: Labels of the report's language.
        opened: Whether the rows show without a click.

    Returns:
        HTML; nothing where there is no strip.
    """
    if not caption.strip:
        return ''
    rows = ''.join(_row(row, words) for row in denoising_rows(caption.strip, caption.text))
    looks = ((False, False), (True, False), (True, True), (False, True))
    legend = ''.join(f'<span>{_run(Run(name, *look))}</span>' for name, look in
                     zip(words['kinds'], looks, strict=True))
    steps = words['steps'].format(len(caption.strip))
    return (f'<details class="strip"{" open" * opened}><summary>{words["strip"]} · {steps}'
            f'</summary><p class="kinds">{legend}</p><ol>{rows}</ol></details>')


def _row(row: Row, words: dict) -> str:
    steps = f'<small>{words["steps"].format(row.steps)}</small>' if row.steps > 1 else ''
    blank = '' if any(has_cjk(run.text) for run in row.runs) else ' '
    said = blank.join(map(_run, row.runs)) or '—'
    return (f'<li><span class="sigma">σ {row.label}{steps}</span>'
            f'<i style="--noise:{row.noise:.2f}"></i><p>{said}</p></li>')


def _run(run: Run) -> str:
    tag = _TAGS.get((run.final, run.new))
    return f'<{tag}>{escape(run.text)}</{tag}>' if tag else escape(run.text)
