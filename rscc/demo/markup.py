"""Parts of the web page as HTML: where images are given, answers, progress, problems."""
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, FileSystemLoader
from markupsafe import escape

from rscc.demo.answers import Answer
from rscc.demo.findings import as_fields, told_finding
from rscc.demo.jobs import Progress
from rscc.demo.limits import Limits
from rscc.demo.words import TEMPLATES, Problem, Words
from rscc.evaluation.doubt import Doubt
from rscc.rasters.image_files import NeedsMapping
from rscc.scenes.wording import doubt_sentence
from rscc.text.doubts import grade_text, no_reason_text, reason_kind, risk_text
from rscc.text.land_cover import class_text
from rscc.text.quantities import decimal_text, share_text
from rscc.version import __version__


@cache
def _templates() -> Environment:
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True,
                              trim_blocks=True, lstrip_blocks=True)
    environment.filters['decimals'] = decimal_text
    return environment


def zones(words: Words, dates: Sequence[str], images: Mapping[str, Mapping[str, Any]],
          examples: Sequence[str], limits: Limits, turns: Sequence[str] = ()) -> str:
    """Return the part that takes images.

    Args:
        words: Texts.
        dates: ``'from'``, ``'to'``, or ``'image'``.
        images: Date -> ``name``, ``width``, ``height`` and ``picture`` (an address or None) of the
            image that is there.
        examples: Names of examples.
        limits: What is accepted.
        turns: Numbers of what the page's script has asked for and is shown here.
    """
    return _templates().get_template('zones.html.j2').render(
        words=words, dates=dates, images=images, examples=examples, most=limits.file_bytes,
        megabytes=f'{limits.megabytes:g}', limits=limits.told(), turns=turns)


def head(words: Words, both: bool = False) -> str:
    """Return title and introduction; ``both``: of a page that describes single images, too."""
    intro = words['intro_both' if both else 'intro']
    return (f'<div class="rscc" lang="{words["html"]}"><h1>{escape(words["title"])}</h1>'
            f'<p class="soft">{escape(intro)}</p></div>')


def foot(words: Words) -> str:
    """Return the last line of the page."""
    text = escape(words.told('footer', version=__version__))
    return f'<div class="rscc"><p class="soft" style="text-align:center">{text}</p></div>'


def waiting_view(words: Words, frames: Sequence[str], size: tuple[int, int] | None,
                 single: bool = False) -> str:
    """Return what stands where the answer will be: the dates that are there, or how it works."""
    return _templates().get_template('answer.html.j2').render(
        words=words, answer=None, frames=frames, size=size or (1, 1), single=single,
        classes=(), empty=words['empty_single' if single else 'empty'])


def answer_view(words: Words, answer: Answer, frames: Sequence[str], layer: str | None,
                files: Mapping[str, str], single: bool = False) -> str:
    """Return an answer.

    Args:
        words: Texts.
        answer: The answer.
        frames: Addresses of the pictures of the dates.
        layer: Address of the map; None without one.
        files: Kind of download -> address.
        single: Whether it is about one image.
    """
    language = words.language
    classes = [(class_text(name, language), colour, share_text(share, language))
               for name, colour, share in answer.classes]
    findings = [dict(finding, told=told_finding(words, finding)) for finding in answer.check]
    return _templates().get_template('answer.html.j2').render(
        words=words, answer=answer, lead=answer.lead.get(language, ()),
        doubt=_doubt(words, answer), frames=frames, layer=layer, classes=classes, files=files,
        worries=[row for row in findings if row['status'] != 'ok'],
        passed=[row for row in findings if row['status'] == 'ok'], single=single)


def _doubt(words: Words, answer: Answer) -> dict[str, Any] | None:
    """Return grade, words and reasons of the doubt about an answer; None where nothing is known."""
    language = words.language
    if answer.scene_doubt is not None:
        found = answer.scene_doubt
        rows = [(reason_kind(row['input'], language), words.told('windows', count=row['windows']))
                for row in found['reasons']]
        known = found['mean'] is not None
        text = doubt_sentence(found, language)
        where = f' {words["unsure_where"]}' if found['grades']['high'] else ''
        return dict(grade=None if known else 'uncalibrated', mark=None if known else
                    grade_text('uncalibrated', language), text=text + where, value=found['mean'],
                    reasons=rows, nothing=None)
    if answer.doubt is None:
        return None
    doubt = Doubt.from_json(answer.doubt)
    grade = doubt.grade
    return dict(grade=grade, mark=grade and grade_text(grade, language), value=doubt.value,
                text=grade and risk_text(doubt.value, grade, language),
                reasons=[(reason_kind(reason.input or reason.name, language),
                          reason.texts.get(language, reason.text)) for reason in doubt.reasons],
                nothing=no_reason_text(grade, language))


def progress(words: Words, progress: Progress, ahead: int | None = None) -> str:
    """Return how far a run is.

    Args:
        words: Texts.
        progress: Of the run.
        ahead: Runs before it where it still waits.
    """
    share, lines = None, []
    if ahead is not None:
        lines.append(words.told('waiting_runs', ahead=ahead) if ahead else words['starting'])
    else:
        lines.append(words[progress.stage])
        if progress.total > 1:
            share = min(1.0, progress.done / progress.total)
            lines.append(words.told('steps', done=progress.done, total=progress.total))
        if progress.total > 1 and progress.remaining is not None:
            lines.append(words.told('remaining', time=_time(words, progress.remaining)))
    known = share is not None
    value = f' aria-valuenow="{100 * share:.0f}"' if known else ''
    width = f' style="width: {100 * share:.1f}%"' if known else ' class="unknown"'
    label = escape(' · '.join(lines))
    return (f'<div class="rscc" lang="{words["html"]}"><div class="card">'
            f'<p role="status">{label}</p><div class="rscc-meter" role="progressbar" '
            f'aria-label="{label}" aria-valuemin="0" aria-valuemax="100"{value}><i{width}></i>'
            '</div></div></div>')


def _time(words: Words, seconds: float) -> str:
    if seconds < 90:
        return words.told('seconds', count=max(1, round(seconds)))
    return words.told('minutes', count=round(seconds / 60))


def problem(words: Words, error: Exception) -> str:
    """Return what went wrong as sentences."""
    return (f'<div class="rscc" lang="{words["html"]}"><div class="card rscc-alert" role="alert">'
            f'<h2>{escape(words["error"])}</h2><p>{escape(told(words, error))}</p></div></div>')


def told(words: Words, error: Exception) -> str:
    """Return an error as a sentence in the language of the page.

    Errors of the tools speak of flags; the page has fields of the same meaning.
    """
    if isinstance(error, Problem):
        return error.told(words.language)
    if isinstance(error, OSError | ValueError | ImportError):
        name = 'needs_values' if _needs_values(error) else 'explained'
        return words.told(name, reason=as_fields(words, str(error)))
    return words.told('failed', reason=(str(error) or type(error).__name__).splitlines()[0][:300])


def _needs_values(error: BaseException | None) -> bool:
    """Tell whether bands or values have to be chosen, whatever the error became on its way."""
    while error is not None and not isinstance(error, NeedsMapping):
        error = error.__cause__
    return error is not None


def note(words: Words, name: str) -> str:
    """Return a short remark."""
    return (f'<div class="rscc"><div class="card" role="status">{escape(words[name])}'
            '</div></div>')
