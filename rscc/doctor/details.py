"""Details of findings: a form and its values, from which the text of either language is made.

The forms are ``templates/details.json``. Messages of the readers of files are English in both.
"""
import json
import string
from collections.abc import Iterable, Mapping
from typing import Any, Self

from rscc.doctor.kinds import read_template
from rscc.utils import Count

_FORMS: dict[str, dict[str, str]] = read_template('details.json')
_SEPARATORS = {'en': '; ', 'zh': '；'}
Parts = tuple[tuple[str, Mapping[str, Any]], ...]


class Detail(str):
    """The English text of a detail, which knows the other one too.

    Attributes:
        parts: Form and values of each of its sentences; a value may be a detail itself.
    """
    parts: Parts

    @classmethod
    def of(cls, parts: Iterable[tuple[str, Mapping[str, Any]]]) -> Self:
        """Return the detail with some parts."""
        kept = tuple(parts)
        made = cls(_text(kept, 'en'))
        made.parts = kept
        return made

    def text(self, language: str) -> str:
        """Return the text in ``'en'`` or ``'zh'``."""
        return _text(self.parts, language)


def detail(form: str, **values: Any) -> Detail:
    """Return a detail of one part.

    Args:
        form: A name in ``templates/details.json``.
        values: What the form mentions: texts, numbers, details.
    """
    return Detail.of([(form, values)])


def joined(details: Iterable[str]) -> Detail:
    """Return details, or plain texts, as one."""
    return Detail.of(part for one in details for part in _parts(one))


def stored(found: str) -> str:
    """Return a detail as it is kept in a record, see :func:`restored`."""
    return json.dumps(_parts(found), default=str) if found else ''


def restored(text: str) -> Detail:
    """Return the detail that was kept as a text."""
    return Detail.of(_revived(json.loads(text)) if text else ())


def _parts(found: str) -> list[list]:
    """Return form and values of every part as JSON values; a plain text is a form of its own."""
    parts = found.parts if isinstance(found, Detail) else (('plain', {'text': found}),)
    return [[form, {name: {'parts': _parts(value)} if isinstance(value, Detail) else value
                    for name, value in values.items()}] for form, values in parts]


def _revived(parts: Iterable) -> Iterable[tuple[str, dict[str, Any]]]:
    for form, values in parts:
        yield form, {name: Detail.of(_revived(value['parts'])) if isinstance(value, dict) else value
                     for name, value in values.items()}


class _Words(string.Formatter):
    """Fills a form: ``{name!w}`` is a word of the language, whole numbers count their noun."""

    def __init__(self, language: str) -> None:
        self.language = language

    def convert_field(self, value: Any, conversion: str | None) -> Any:
        if conversion == 'w':
            return _FORMS['words'][self.language].get(value, value)
        if isinstance(value, Detail):
            return value.text(self.language)
        if isinstance(value, dict):
            return _text(tuple(_revived(value['parts'])), self.language)
        whole = isinstance(value, int) and not isinstance(value, bool)
        return super().convert_field(Count(value) if whole else value, conversion)


def _text(parts: Parts, language: str) -> str:
    words = _Words(language)
    return _SEPARATORS[language].join(words.vformat(_FORMS[form][language], (), values)
                                      for form, values in parts)
