"""Findings of the pair check, and messages of the tools, in the language of the page."""
import re
from collections.abc import Iterable, Mapping
from typing import Any

from rscc.demo.words import Problem, Words
from rscc.text.quantities import share_text


def told_finding(words: Words, finding: Mapping[str, Any]) -> str:
    """Return a finding of the pair check in the language of the page.

    English has the check's own words; Chinese those of the page, which say less about numbers.
    """
    name = f"{finding['name']}_{finding['status']}"
    if name not in words:
        return as_fields(words, finding['text'])
    value = finding['value']
    percent = share_text(value, words.language) if isinstance(value, float) else ''
    values = value if isinstance(value, list) else [value]
    shown = '、'.join(dict.fromkeys(words.named('value', str(found)) for found in values))
    command = re.search(r'rio warp [^;]+', finding['text'])
    told = words.told(name, value=shown, percent=percent)
    return told if command is None else told + words.told('resample', command=command[0])


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
