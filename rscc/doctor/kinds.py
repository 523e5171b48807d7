"""Kinds of findings: how grave each is, whether it costs a sample its place, and its words.

The table is ``templates/kinds.json``: text, JSON and page all show it, in both languages.
"""
import json
from dataclasses import dataclass
from importlib.resources import files

#: How grave a finding is, the gravest first.
SEVERITIES = ('error', 'warning', 'note')


@dataclass(frozen=True)
class Kind:
    """A kind of finding.

    Attributes:
        severity: One of :data:`SEVERITIES`.
        drops: Whether a list of clean samples leaves such a sample out.
        en, zh: What such samples are or do, and what to do about it (empty where it is plain).
    """
    severity: str
    drops: bool
    en: tuple[str, str]
    zh: tuple[str, str]

    def text(self, language: str) -> str:
        """Return what such samples are or do, in ``'en'`` or ``'zh'``."""
        return (self.zh if language == 'zh' else self.en)[0]

    def advice(self, language: str) -> str:
        """Return what to do about it, in ``'en'`` or ``'zh'``."""
        return (self.zh if language == 'zh' else self.en)[1]


def read_template(name: str) -> dict:
    """Return what a JSON file in ``templates`` holds."""
    return json.loads((files('rscc.doctor') / 'templates' / name).read_text(encoding='utf-8'))


#: Name of a kind -> the kind; files, images, masks, contradictions and captions in this order.
KINDS: dict[str, Kind] = {
    name: Kind(found['severity'], found['drops'], tuple(found['en']), tuple(found['zh']))
    for name, found in read_template('kinds.json').items()}
#: Language -> words of text and page.
WORDS: dict[str, dict] = read_template('words.json')
