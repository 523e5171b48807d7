"""What the options of all caption heads share: changing them by name."""
from dataclasses import asdict, fields, replace
from typing import Any, Self

from rscc.utils import did_you_mean


class DecodingOptions:
    """Base of the frozen dataclasses that say how a caption head writes."""

    def updated(self, options: dict[str, Any]) -> Self:
        """Return a copy with ``options`` changed.

        Args:
            options: New values by name.

        Raises:
            TypeError: If an option does not exist; the nearest name is given.
            ValueError: If a value is impossible.
        """
        known = [field.name for field in fields(self)]
        for name in options:
            if name not in known:
                raise TypeError(f"decoding has no option '{name}'.{did_you_mean(name, known)} "
                                f'Options: {", ".join(known)}')
        return replace(self, **options)

    def as_dict(self) -> dict[str, Any]:
        """Return the options, for reports."""
        return asdict(self)
