"""Fill HTML pages that hold everything they show and need no network.

Reports of test runs, of scenes and of datasets share the base style ``templates/base.css`` and this
way of being filled. Neither torch nor MMEngine is imported.
"""
import json
import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources
from typing import Any

from rscc.text.quantities import decimal_text
from rscc.utils import check_choice
from rscc.visualization.overlays import tint_palette

_SHARED = 'rscc.visualization'
_INDENTED = re.compile(r'\s*\n\s*')


@cache
def page_words(package: str, language: str) -> dict[str, Any]:
    """Return the words of a page in one language.

    Args:
        package: Whose ``templates/words.json`` it is, ``'rscc.visualization'`` for instance.
        language: A key of that file: ``'en'`` or ``'zh'``.

    Raises:
        ValueError: If there is no such language.
    """
    file = resources.files(package) / 'templates' / 'words.json'
    words = json.loads(file.read_text(encoding='utf-8'))
    check_choice('language', language, words)
    return words[language]


def render_page(package: str, template: str, css: Sequence[str], scripts: Sequence[str],
                **values: Any) -> Iterator[str]:
    """Fill a template of a package; everything but our own style and script is escaped.

    Args:
        package: Whose folder ``templates`` holds the template, its style and its script. What is
            not there is taken from ``rscc.visualization``.
        template: File name; it finds style and script as ``css`` and ``script``.
        css: Style sheets, the later over the earlier.
        scripts: Scripts, in order.
        values: What else the template shows. One that it misses is an error.

    Returns:
        The parts of the page, to be written as they come.
    """
    import jinja2  # imported here: drawing and training need no templates
    from markupsafe import Markup

    loader = jinja2.ChoiceLoader([jinja2.PackageLoader(name, 'templates')
                                  for name in dict.fromkeys((package, _SHARED))])
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True)
    environment.filters |= {'number': number_text, 'decimals': decimal_text,
                            'squeeze': lambda text: Markup(_INDENTED.sub('\n', text))}

    def joined(names: Sequence[str]) -> Markup:
        sources = (loader.get_source(environment, name)[0].strip() for name in names)
        return Markup('\n'.join(sources))

    return environment.get_template(template).generate(css=joined(css), script=joined(scripts),
                                                       **values)


def number_text(value: float) -> str:
    """Write a number with as many digits as are worth reading."""
    return decimal_text(value, 1 if abs(value) >= 10 else 3)


def swatches(names: Sequence[str], colours: Sequence) -> list[list[str]]:
    """Return name and colour of every class but the first, which is not drawn.

    Args:
        names: Class names.
        colours: RGB of each, 0 to 255.
    """
    return [[name, '#' + bytes(colour).hex()]
            for name, colour in zip(names[1:], colours[1:], strict=True)]


def class_swatches(classes: Sequence[str], palette: Sequence | None) -> list[list[str]]:
    """Return :func:`swatches` of classes, in colours that can be seen over an image."""
    return swatches(classes, tint_palette(len(classes), palette))
