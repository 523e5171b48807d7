"""Findings of the pair check, and messages of the tools, as the page tells them."""
from collections.abc import Iterable, Mapping
from typing import Any

from rscc.demo.words import Problem, Words


def told_finding(words: Words, finding: Mapping[str, Any]) -> str:
    """Return a finding of the pair check in the language of the page."""
    texts = finding.get('texts') or {}
    return as_fields(words, texts.get(words.language, finding['text']))


def as_fields(words: Words, text: str) -> str:
    """Return a message of the tools with the names of the page's fields in place of flags."""
    for flag, name in (('--bands', 'bands'), ('--scale', 'scale'), ('--align', 'align'),
                       ('--match-histogram', 'match'), ('--force', 'force'),
                       ('--assume-same-grid', 'force')):
        text = text.replace(flag, f'“{words[name]}”')
    return text


def refusal(findings: Iterable[Mapping[str, Any]]) -> Problem:
    """Return the problem of a pair that the check refuses.

    Args:
        findings: Of the check, as JSON has them.
    """
    worries = [dict(finding) for finding in findings if finding['status'] != 'ok']
    return Problem('refused', reasons=lambda words: words['between'].join(
        told_finding(words, finding) for finding in worries))
