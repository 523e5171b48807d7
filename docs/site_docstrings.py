"""Docstrings as the site reads them: cross-references (``:func:`name```) and examples."""
import re
from collections.abc import Iterator

import griffe

ROLE = re.compile(r':(?:attr|class|data|func|meth|mod):`~?([\w.]+)`')


class Docstrings(griffe.Extension):
    """Turn roles into links, or into plain code where the reference does not show the object."""

    def on_package(self, *, pkg: griffe.Module, **kwargs) -> None:
        """Rewrite every docstring of a package, once all its names are known."""
        for obj in documented(pkg):
            text = re.sub(r'^( *)Example:$', r'\1Examples:', obj.docstring.value, flags=re.M)
            obj.docstring.value = ROLE.sub(lambda found, obj=obj: link(found[1], obj), text)


def documented(obj: griffe.Object) -> Iterator[griffe.Object]:
    """Yield an object and all its members that have a docstring of their own."""
    if obj.docstring:
        yield obj
    for member in obj.members.values():
        if not member.is_alias:
            yield from documented(member)


def link(name: str, obj: griffe.Object) -> str:
    """Return the link to what a docstring of ``obj`` calls ``name``."""
    try:
        target = name if name.startswith('rscc.') else obj.resolve(name)
    except griffe.NameResolutionError:
        target = name
    return f'<autoref optional identifier="{target}"><code>{name}</code></autoref>'
