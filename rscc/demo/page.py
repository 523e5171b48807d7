"""The web page itself: what stands where, and what happens when a visitor does something."""
import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rscc.demo import markup
from rscc.demo.answers import Answer, Models
from rscc.demo.cookies import cookie_of
from rscc.demo.examples import PAIRS, SINGLES, Examples
from rscc.demo.jobs import Job, Jobs
from rscc.demo.limits import Limits
from rscc.demo.visitors import Tab, Visitor, Visitors, address
from rscc.demo.wishes import Asked, parse_bands, parse_scale
from rscc.demo.words import LANGUAGES, TEMPLATES, Problem, Words, language_of
from rscc.utils import require

gr = require('gradio', 'the web page')

POLL = 0.4  # seconds between two looks at a run
_WAITING_EVENTS = 64  # clicks of all visitors that the framework keeps in line
_MOST_SENTENCES = 5
_ZONES_JS = 'window.rsccZones(element, trigger)'


@dataclass(frozen=True)
class Side:
    """One of the two tabs of the page.

    Attributes:
        name: ``'pair'`` or ``'single'``.
        dates: Which images it takes.
        examples: Names of its examples.
    """
    name: str
    dates: tuple[str, ...]
    examples: tuple[str, ...]

    @property
    def single(self) -> bool:
        """Whether it is about one image."""
        return self.name == 'single'


PAIR, SINGLE = Side('pair', ('from', 'to'), PAIRS), Side('single', ('image', ), SINGLES)


@dataclass(frozen=True)
class Shown:
    """An answer with the addresses of its pictures and files."""
    answer: Answer
    frames: tuple[str, ...]
    layer: str | None
    files: dict[str, str]


def look() -> dict[str, Any]:
    """Return colours, fonts, style sheet and script, as the framework takes them."""
    fonts = ['system-ui', '-apple-system', 'Segoe UI', 'PingFang SC', 'Microsoft YaHei',
             'Noto Sans CJK SC', 'WenQuanYi Micro Hei', 'sans-serif']
    theme = gr.themes.Base(primary_hue='teal', neutral_hue='slate', font=fonts,
                           font_mono=['ui-monospace', 'DejaVu Sans Mono', 'monospace'])
    return dict(theme=theme, css=(TEMPLATES / 'page.css').read_text(encoding='utf-8'),
                head='<script src="rscc/page.js"></script>')


class Page:
    """Web page of two tabs: its components, and what clicks and uploads do.

    Args:
        models, visitors, jobs: See the modules of these names.
        uploads: Takes copies of examples, see :class:`rscc.demo.server.Uploads`.
        examples: What there is to try.
        limits: Stated on the page.
    """

    def __init__(self, models: Models, visitors: Visitors, jobs: Jobs, uploads: Any,
                 examples: Examples, limits: Limits) -> None:
        self._models, self._visitors, self._jobs = models, visitors, jobs
        self._uploads, self._examples, self._limits = uploads, examples, limits
        self._texts: list[tuple[Any, dict[str, str]]] = []  # component -> property -> text

    # ---- what stands where -------------------------------------------------------------------

    def build(self) -> Any:
        """Return the page as the framework's ``Blocks``."""
        words = Words('en')
        with gr.Blocks(title='rscc', analytics_enabled=False, fill_width=True) as blocks:
            sides = [PAIR] + ([SINGLE] if self._models.of_task('single') else [])
            with gr.Row(elem_id='rscc-head'):
                head = gr.HTML(markup.head(words, len(sides) > 1), padding=False,
                               elem_id='rscc-title')
                language = self._said(gr.Radio(
                    [(name, key) for key, name in LANGUAGES.items()], value='en', scale=0,
                    show_label=False, container=False, elem_id='rscc-language', min_width=10),
                    label='page_language')
            parts = {}
            if len(sides) == 1:
                parts[PAIR] = self._side(PAIR, words, language)
            else:
                with gr.Tabs():
                    for side in sides:
                        tab = gr.Tab(words[f'tab_{side.name}'], id=side.name)
                        with self._said(tab, label=f'tab_{side.name}'):
                            parts[side] = self._side(side, words, language)
            foot = gr.HTML(markup.foot(words), padding=False, elem_id='rscc-foot')
            self._wire_language(blocks, language, head, foot, parts)
            blocks.unload(self._leave)
        return blocks.queue(max_size=_WAITING_EVENTS, default_concurrency_limit=8,
                            api_open=False)

    def _said(self, component: Any, **texts: str) -> Any:
        """Give a component its English texts, and remember which they are."""
        self._texts.append((component, texts))
        for prop, key in texts.items():
            setattr(component, prop, Words('en')[key])
        return component

    def _side(self, side: Side, words: Words, language: Any) -> dict[str, Any]:
        """Lay out a tab and return its parts by name."""
        parts: dict[str, Any] = {}
        names = self._models.of_task(side.name)
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=300):
                parts['zones'] = gr.HTML(
                    markup.zones(words, side.dates, {}, side.examples, self._limits),
                    padding=False, js_on_load=_ZONES_JS, elem_id=f'rscc-zones-{side.name}')
                parts['model'] = self._said(gr.Dropdown(
                    names, value=names[0], visible=len(names) > 1), label='model')
                self._options(side, parts, names)
                with gr.Row():
                    parts['run'] = self._said(gr.Button(
                        '', variant='primary', elem_id=f'rscc-run-{side.name}', min_width=120),
                        value='run_single' if side.single else 'run')
                    parts['stop'] = self._said(gr.Button(
                        '', variant='stop', visible=False, elem_id=f'rscc-stop-{side.name}',
                        min_width=100), value='stop')
            with gr.Column(scale=7, min_width=300):
                parts['message'] = gr.HTML('', padding=False, elem_id=f'rscc-message-{side.name}')
                parts['answer'] = gr.HTML(
                    markup.waiting_view(words, (), None, side.single), padding=False,
                    elem_id=f'rscc-answer-{side.name}')
        self._wire(side, parts, language)
        return parts

    def _options(self, side: Side, parts: dict[str, Any], names: Sequence[str]) -> None:
        choices = [(LANGUAGES[key], key) for key in self._models.languages(names[0])]
        parts['speak'] = self._said(gr.Radio(
            choices or [(LANGUAGES['en'], 'en')], value='en', visible=bool(choices),
            elem_id=f'rscc-speak-{side.name}'), label='speak')
        parts['nbest'] = self._said(gr.Slider(1, _MOST_SENTENCES, 3, step=1), label='nbest',
                                    info='nbest_info')
        label = 'reading_single' if side.single else 'reading'
        with self._said(gr.Accordion('', open=False), label=label):
            parts['bands'] = self._said(gr.Textbox('', max_length=200), label='bands',
                                        info='bands_info')
            parts['scale'] = self._said(gr.Textbox('', max_length=200), label='scale',
                                        info='scale_info')
            for name in ('align', 'match', 'force'):
                parts[name] = self._said(gr.Checkbox(False, visible=not side.single), label=name)

    # ---- what happens ------------------------------------------------------------------------

    def _wire(self, side: Side, parts: dict[str, Any], language: Any) -> None:
        quiet = dict(show_progress='hidden', api_visibility='private')
        shown = [parts[name] for name in ('zones', 'message', 'answer')]

        def taken(language: str, event: gr.EventData, request: gr.Request) -> tuple:
            return self._changed(side, language, event, request, lambda visitor, tab: (
                self._place(side, visitor, tab, {str(event.date): str(event.token)})))

        def example(language: str, event: gr.EventData, request: gr.Request) -> tuple:
            def place(visitor: Visitor, tab: Tab) -> None:
                if event.name not in side.examples:
                    raise Problem('unknown_example')
                files = self._examples.files(event.name)
                tokens = {date: self._uploads.copy(visitor, file)
                          for date, file in zip(side.dates, files, strict=True)}
                self._place(side, visitor, tab, tokens)

            return self._changed(side, language, event, request, place)

        async def run(language: str, model: str, speak: str, nbest: float, bands: str, scale: str,
                      align: bool, match: bool, force: bool, request: gr.Request
                      ) -> AsyncIterator[tuple]:
            def asked() -> Asked:
                return Asked(str(speak), min(max(int(nbest or 1), 1), _MOST_SENTENCES),
                             parse_bands(bands), parse_scale(scale), bool(align), bool(match),
                             bool(force))

            async for update in self._run(side, language, model, asked, request):
                yield update

        def stop(language: str, request: gr.Request) -> None:
            job = self._who(request)[1].jobs.get(side.name)
            if job is not None:
                job.cancel()

        # The page's script tells one thing after the other; by default those in haste are dropped.
        placing = dict(quiet, trigger_mode='multiple')
        parts['zones'].upload(taken, [language], shown, **placing)
        parts['zones'].select(example, [language], shown, **placing)
        wishes = [parts[name] for name in ('model', 'speak', 'nbest', 'bands', 'scale', 'align',
                                           'match', 'force')]
        parts['run'].click(run, [language, *wishes], [
            parts['message'], parts['answer'], parts['run'], parts['stop']],
            concurrency_limit=None, trigger_mode='once', **quiet)
        parts['stop'].click(stop, [language], None, **quiet)
        parts['model'].input(self._languages_of, [parts['model'], language], parts['speak'],
                             **quiet)

    def _languages_of(self, model: str, language: str) -> Any:
        """Return the choice of languages of another model."""
        try:
            known = self._models.languages(model)
        except Problem:
            known = ()
        return gr.update(choices=[(LANGUAGES[key], key) for key in known or ('en', )],
                         visible=bool(known), value=language if language in known else 'en')

    def _changed(self, side: Side, language: str, event: gr.EventData, request: gr.Request,
                 change: Callable[[Visitor, Tab], None]) -> tuple:
        """Do something to the images of a visitor, and return what the tab shows then."""
        words, error, turn = words_of(language), None, turn_of(event)
        try:
            visitor, tab = self._who(request)
        except Problem as problem:
            zones = markup.zones(words, side.dates, {}, side.examples, self._limits, [turn])
            return zones, markup.problem(words, problem), gr.skip()
        tab.turns[side.name].append(turn)
        try:
            change(visitor, tab)
        except (Problem, OSError, ValueError, AttributeError, TypeError) as found:
            error = markup.problem(words, found)
        return (self._zones(side, words, visitor, tab), error or '',
                self._answer(side, words, visitor, tab))

    def _place(self, side: Side, visitor: Visitor, tab: Tab, tokens: dict[str, str]) -> None:
        """Put images where the answer of the earlier ones goes away, and a run on them ends."""
        for date, token in tokens.items():
            if date not in side.dates or not visitor.file(token).facts.get('upload'):
                raise Problem('file_gone')
            tab.dates[date] = token
        tab.answers.pop(side.name, None)
        if side.name in tab.jobs:
            tab.jobs[side.name].cancel()

    async def _run(self, side: Side, language: str, model: str, asked: Callable[[], Asked],
                   request: gr.Request) -> AsyncIterator[tuple]:
        """Start a run, tell how far it is, and show its answer, in the page's language by then."""
        idle, words = (gr.update(interactive=True), gr.update(visible=False)), words_of(language)
        try:
            visitor, tab = self._who(request)
            job = self._start(side, visitor, tab, model, asked())
        except (Problem, ValueError) as error:
            yield markup.problem(words, error), gr.skip(), *idle
            return
        busy = gr.update(interactive=False), gr.update(visible=True)
        try:
            while not (job.finished or job.cancelled):
                progress = job.ask()
                ahead = self._jobs.ahead(job) if job.state == 'waiting' else None
                words = words_of(tab.language or language)
                yield markup.progress(words, progress, ahead), gr.skip(), *busy
                await asyncio.sleep(POLL)
        finally:
            job.cancel()  # of a run that has ended this changes nothing
        words = words_of(tab.language or language)
        if job.state == 'done':
            tab.answers[side.name] = _kept(visitor, job.result)
            yield '', self._answer(side, words, visitor, tab), *idle
        elif job.state == 'failed':
            yield markup.problem(words, job.error), gr.skip(), *idle
        else:  # stopped, though a step that has begun may still be under way
            yield markup.note(words, 'stopped'), gr.skip(), *idle

    def _start(self, side: Side, visitor: Visitor, tab: Tab, model: str, asked: Asked) -> Job:
        """Put a run in line for the images that are there."""
        for date in side.dates:
            if date not in tab.dates:
                raise Problem(f'missing_{date}')
        given = [visitor.file(tab.dates[date]) for date in side.dates]
        images: list[Path] = [stored.path for stored in given]
        renamed = tuple((stored.facts['sent'], stored.name) for stored in given
                        if stored.facts.get('sent'))
        if model not in self._models.of_task(side.name):
            raise Problem('unknown_model', name=str(model)[:80])

        def work(job: Job) -> Answer:
            answer = self._models.answer(model, images, asked, visitor.make_folder(), job)
            return replace(answer, renamed=renamed) if renamed else answer

        tab.jobs[side.name] = self._jobs.start(work, visitor)
        return tab.jobs[side.name]

    def _leave(self, request: gr.Request) -> None:
        """Stop the runs of a page that was closed."""
        try:
            tab = self._who(request)[1]
        except Problem:
            return
        for job in tab.jobs.values():
            job.cancel()

    # ---- what is shown -----------------------------------------------------------------------

    def _wire_language(self, blocks: Any, language: Any, head: Any, foot: Any,
                       parts: dict[Side, dict[str, Any]]) -> None:
        def redraw(chosen: str, request: gr.Request) -> dict[Any, Any]:
            words = words_of(chosen)
            texts = {component: {prop: words[key] for prop, key in texts.items()}
                     for component, texts in self._texts}
            texts[language]['value'] = words.language
            updates = {component: gr.update(**values) for component, values in texts.items()}
            updates |= {head: markup.head(words, len(parts) > 1), foot: markup.foot(words)}
            for side, own in parts.items():
                updates |= self._redrawn(side, own, words, texts, request)
            return updates

        def first(request: gr.Request) -> dict[Any, Any]:
            return redraw(language_of(request.headers.get('accept-language')), request)

        outputs = [head, foot, *(component for component, _ in self._texts)]
        outputs += [own[name] for own in parts.values() for name in ('zones', 'answer', 'message')]
        quiet = dict(show_progress='hidden', api_visibility='private')
        language.input(redraw, [language], outputs, **quiet)
        blocks.load(first, None, outputs, **quiet)

    def _redrawn(self, side: Side, own: dict[str, Any], words: Words, texts: dict[Any, dict],
                 request: gr.Request) -> dict[Any, Any]:
        """Return a tab's own parts in another language; its sentences follow where they can."""
        try:
            visitor, tab = self._who(request)
        except Problem as problem:
            return {own['message']: markup.problem(words, problem)}
        tab.language = words.language
        updates = {own['zones']: self._zones(side, words, visitor, tab),
                   own['answer']: self._answer(side, words, visitor, tab)}
        if not tab.busy:
            updates[own['message']] = ''
        if words.language in [key for _, key in own['speak'].choices]:
            updates[own['speak']] = gr.update(**texts[own['speak']], value=words.language)
        return updates

    def _who(self, request: gr.Request) -> tuple[Visitor, Tab]:
        """Return who asks, and what its open page holds.

        Raises:
            Problem: If the browser is not known.
        """
        visitor = self._visitors.find(cookie_of(request.headers))
        return visitor, visitor.tab(request.session_hash or '')

    def _zones(self, side: Side, words: Words, visitor: Visitor, tab: Tab) -> str:
        images = {}
        for date in side.dates:
            stored = self._stored(visitor, tab, date)
            if stored is not None:
                images[date] = dict(name=stored.name, **stored.facts)
        return markup.zones(words, side.dates, images, side.examples, self._limits,
                            tab.turns[side.name])

    def _stored(self, visitor: Visitor, tab: Tab, date: str) -> Any:
        try:
            return visitor.file(tab.dates[date])
        except (KeyError, Problem):
            tab.dates.pop(date, None)
            return None

    def _answer(self, side: Side, words: Words, visitor: Visitor, tab: Tab) -> str:
        shown: Shown | None = tab.answers.get(side.name)
        if shown is not None:
            return markup.answer_view(words, shown.answer, shown.frames, shown.layer, shown.files,
                                      side.single)
        stored = [self._stored(visitor, tab, date) for date in side.dates]
        pictures = [found.facts['picture'] for found in stored if found is not None]
        if len(pictures) < len(side.dates) or None in pictures:
            return markup.waiting_view(words, (), None, side.single)
        size = stored[0].facts['width'], stored[0].facts['height']
        return markup.waiting_view(words, pictures, size, side.single)


def turn_of(event: gr.EventData) -> str:
    """Return the number that the page's script gave to what it asked for; nothing of others."""
    try:
        return str(event.turn)[:20]
    except (AttributeError, TypeError):
        return ''


def words_of(language: str) -> Words:
    """Return the texts of a language; English of one that a stranger made up."""
    return Words(language if language in LANGUAGES else 'en')


def _kept(visitor: Visitor, answer: Answer) -> Shown:
    """Give a visitor's browser addresses of the pictures and files of an answer."""
    def keep(path: Path) -> str:
        return address(visitor.keep(path, path.name), path.name)

    return Shown(answer, tuple(map(keep, answer.frames)),
                 None if answer.layer is None else keep(answer.layer),
                 {kind: keep(path) for kind, path in answer.files.items()})
