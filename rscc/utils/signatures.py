"""Keywords of constructors and functions, with those that ``**kwargs`` hands to parents."""
import ast
import inspect
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from rscc.utils.logging import renamed_keywords
from rscc.utils.names import did_you_mean


@dataclass
class Keywords:
    """Keywords that a constructor or function accepts.

    Attributes:
        names: Every keyword it names, itself or through its parents.
        required: Those of its own without a default.
        defaults: Default values of its own keywords.
        anything: Whether any other keyword is taken as well.
    """
    names: set[str] = field(default_factory=set)
    required: list[str] = field(default_factory=list)
    defaults: dict[str, Any] = field(default_factory=dict)
    anything: bool = False

    def accepts(self, name: str) -> bool:
        """Return whether ``name`` may be given."""
        return self.anything or name in self.names


def keywords_of(target: Callable) -> Keywords:
    """Find the keywords of a class or a function.

    ``**kwargs`` stands for the parent's keywords where the source hands it to
    ``super().__init__``, and for anything where it is used otherwise.
    """
    found = Keywords()
    if not inspect.isclass(target):
        found.anything = _add(found, target, skip_self=False)
        return found
    for cls in target.__mro__:
        init = vars(cls).get('__init__')
        if init is None:
            continue
        if cls is object or cls.__module__ == 'torch.nn.modules.module':
            return found
        if not _add(found, init, skip_self=True):
            return found
        forwarded, taken = _use_of_kwargs(init)
        found.names |= taken
        if not forwarded:
            found.anything = True
            return found
    return found


def refuse_unknown(given: Iterable[str], target: Callable, owner: str) -> None:
    """Refuse keywords that a class or a function does not take.

    Args:
        given: What was written.
        target: Whose keywords they are to be.
        owner: Name of the target in the message.

    Raises:
        TypeError: Naming the first such keyword and the nearest one that is taken.
    """
    known = keywords_of(target)
    for name in given:
        if not known.accepts(name):
            raise TypeError(f"{owner} has no option '{name}'.{did_you_mean(name, known.names)} "
                            f'Options: {", ".join(sorted(known.names))}')


def _add(found: Keywords, function: Callable, skip_self: bool) -> bool:
    """Add a function's parameters and return whether it takes ``**kwargs``."""
    try:
        parameters = list(inspect.signature(function).parameters.values())[int(skip_self):]
    except (TypeError, ValueError):
        return True
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if not found.names:
        found.required = [p.name for p in named if p.default is p.empty]
        found.defaults = {p.name: p.default for p in named if p.default is not p.empty}
    found.names |= {p.name for p in named} | set(renamed_keywords(function))
    return any(p.kind is p.VAR_KEYWORD for p in parameters)


def _use_of_kwargs(init: Callable) -> tuple[bool, set[str]]:
    """Return whether ``**kwargs`` goes to the parent, and the keys taken out on the way."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(init)))
    except (OSError, TypeError, SyntaxError):
        return False, set()
    name = tree.body[0].args.kwarg.arg
    forwarded, taken = False, set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        spread = any(key.arg is None and isinstance(key.value, ast.Name) and key.value.id == name
                     for key in node.keywords)
        forwarded |= node.func.attr == '__init__' and spread
        if (isinstance(node.func.value, ast.Name) and node.func.value.id == name and node.args
                and isinstance(node.args[0], ast.Constant)):
            taken.add(node.args[0].value)
    return forwarded, taken
