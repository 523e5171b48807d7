"""Texts of the web page in English and Chinese, and problems that are told as sentences."""
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from rscc.utils import Count, check_choice

#: Languages of the page -> what a reader of each calls it.
LANGUAGES = {'en': 'English', 'zh': '中文'}
TEMPLATES = Path(__file__).with_name('templates')


@cache
def _texts() -> dict[str, dict[str, str]]:
    return json.loads((TEMPLATES / 'words.json').read_text(encoding='utf-8'))


class Words(Mapping):
    """The texts of the page in one language, by name.

    Example:
        >>> Words('en')['run']
        'Describe the change'
        >>> Words('zh').told('waiting_runs', ahead=2)

    Args:
        language: ``'en'`` or ``'zh'``.
    """

    def __init__(self, language: str) -> None:
        check_choice('language', language, tuple(LANGUAGES))
        self.language, self._own = language, _texts()[language]

    def __getitem__(self, name: str) -> str:
        return self._own[name]

    def __iter__(self) -> Iterable[str]:
        return iter(self._own)

    def __len__(self) -> int:
        return len(self._own)

    def told(self, name: str, /, **values: Any) -> str:
        """Return a text with its values filled in; ``{count:run}`` counts runs, whole numbers."""
        return self._own[name].format(**{key: Count(value) if type(value) is int else value
                                         for key, value in values.items()})

    def named(self, group: str, name: str) -> str:
        """Return the text of one of many alike (``'check_shift'``); its plain name where unknown.

        Args:
            group: First part of the text's name.
            name: Second part.
        """
        return self._own.get(f'{group}_{name}', name.replace('_', ' '))


class Problem(Exception):
    """Something to tell a visitor in a sentence, in the language of the page.

    Args:
        name: Of the sentence among the texts.
        **values: What it mentions; functions are given the texts, and return what they tell.
    """

    def __init__(self, name: str, /, **values: Any) -> None:
        self.name, self.values = name, values
        super().__init__(self.told('en'))

    def told(self, language: str) -> str:
        """Return the sentence."""
        words = Words(language)
        return words.told(self.name, **{name: value(words) if callable(value) else value
                                        for name, value in self.values.items()})


def language_of(accepted: str | None) -> str:
    """Return the page's language that a browser prefers.

    Args:
        accepted: Its header ``Accept-Language``, such as ``'zh-CN,zh;q=0.9,en;q=0.8'``.
    """
    wishes = []
    for place, wish in enumerate((accepted or '').split(',')[:20]):
        name, _, quality = wish.strip().partition(';q=')
        try:
            weight = float(quality or 1)
        except ValueError:
            weight = 0.0
        wishes.append((-weight, place, name.split('-')[0].lower()))
    return next((name for _, _, name in sorted(wishes) if name in LANGUAGES), 'en')
