"""Cookies of the web page: who asks, and in which language refusals are told."""
import re
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any

from rscc.demo.words import LANGUAGES, Problem, language_of

#: Set by the page's script: the language that the page is shown in.
LANGUAGE_COOKIE = 'rscc_language'


def cookie_name(host: str | None) -> str:
    """Return the name of the cookie that tells the visitors of a page apart.

    Browsers give the cookies of a host to all its ports: two pages on two ports of one machine
    would take each other's visitors away.

    Args:
        host: Header ``Host`` of a request, as the browser sees the page: ``'localhost:7860'``.

    Returns:
        ``'rscc_visitor_7860'``; without a port ``'rscc_visitor'``.
    """
    port = re.search(r':([0-9]{1,5})$', host or '')
    return f'rscc_visitor_{port[1]}' if port else 'rscc_visitor'


def cookie_of(headers: Mapping[str, str]) -> str | None:
    """Return the visitor's secret that a request shows; None without one.

    Args:
        headers: By their names in small letters.
    """
    return _cookie(headers, cookie_name(headers.get('host')))


def shown_language(headers: Mapping[str, str]) -> str:
    """Return the language of the page that a request comes from, or that its browser prefers.

    Args:
        headers: By their names in small letters.
    """
    chosen = _cookie(headers, LANGUAGE_COOKIE)
    return chosen if chosen in LANGUAGES else language_of(headers.get('accept-language'))


def refusal_of(problem: Problem, headers: Mapping[str, str]) -> dict[str, Any]:
    """Return what a browser is told of a problem, as JSON has it.

    Args:
        problem: The problem.
        headers: Of the request, by their names in small letters.

    Returns:
        ``problem``, the sentence in the language of :func:`shown_language`, and ``problems``,
        language -> sentence, for a page whose language changes later.
    """
    problems = {language: problem.told(language) for language in LANGUAGES}
    return dict(problem=problems[shown_language(headers)], problems=problems)


def _cookie(headers: Mapping[str, str], name: str) -> str | None:
    try:
        found = SimpleCookie(headers.get('cookie', '')).get(name)
    except CookieError:
        return None
    return None if found is None else found.value
