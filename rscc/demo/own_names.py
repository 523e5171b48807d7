"""Names of files as their owner knows them, in every text that a visitor is given.

The tools name files by their paths. On the page those are folders of the machine that serves it,
which mean nothing to a visitor and are nobody's business.
"""
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from markupsafe import escape

#: Files of an answer that are text.
_TEXTS = ('.json', '.geojson', '.html', '.qml')


class OwnNames:
    """Takes the folders of this machine out of texts.

    Args:
        images: The files of the dates; each lies in a folder of its own.
        folder: Of the answer.
    """

    def __init__(self, images: Sequence[Path], folder: Path) -> None:
        places = dict.fromkeys(f'{place}/' for place in (*(path.parent for path in images), folder))
        # As they stand in a text, in JSON, and in HTML.
        self._places = tuple(dict.fromkeys(written for place in places for written in (
            place, json.dumps(place)[1:-1], str(escape(place)))))

    def text(self, text: str) -> str:
        """Return a text without the folders."""
        for place in self._places:
            text = text.replace(place, '')
        return text

    def values(self, value: Any) -> Any:
        """Return JSON values without the folders."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {name: self.values(part) for name, part in value.items()}
        return [self.values(part) for part in value] if isinstance(value, list | tuple) else value

    def files(self, files: Mapping[str, Path]) -> dict[str, Path]:
        """Take the folders out of the files that are text, and return all of them by kind."""
        for path in files.values():
            if path.suffix in _TEXTS:
                path.write_text(self.text(path.read_text(encoding='utf-8')), encoding='utf-8')
        return dict(files)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Let errors name the files so.

        Raises:
            ValueError, ImportError: In place of the tools' own.
        """
        try:
            yield
        except ImportError as error:
            raise ImportError(self.text(str(error))) from error
        except (ValueError, OSError) as error:
            raise ValueError(self.text(str(error))) from error
