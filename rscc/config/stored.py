"""Configs stored in checkpoints, read as data without running them."""
import ast
from collections.abc import Iterable
from typing import Any

from mmengine.config import Config

from rscc.utils.files import check_text

_NAMES = {'inf': float('inf'), 'nan': float('nan')}


def config_from_text(text: str, source: str) -> Config:
    """Build a config from the text of a dumped one.

    ``Config.fromstring`` would execute the text as Python. A checkpoint may come from anywhere, so
    only assignments of plain values, lists and ``dict(...)`` are read here; that is all a dumped
    config holds.

    Args:
        text: ``Config.pretty_text`` as saved in ``checkpoint['meta']['cfg']``.
        source: File name for messages.

    Raises:
        ValueError: If the text holds anything else.
    """
    try:
        return Config(_values(ast.parse(check_text(text, 'it')), source))
    except (SyntaxError, RecursionError, MemoryError, KeyError, TypeError) as error:
        # Python refuses unbalanced and deeply nested text in these ways; MMEngine reserves names.
        said = (f'line {error.lineno}: {error.msg}' if isinstance(error, SyntaxError) else
                f'{type(error).__name__} {error}'.strip())
        raise ValueError(f"the config stored in '{source}' is not readable ({said}). Give the "
                         'config file instead') from error
    except ValueError as error:
        if source in str(error):
            raise
        raise ValueError(f"the config stored in '{source}' is not readable: {error}. Give the "
                         'config file instead') from error


def _values(tree: ast.Module, source: str) -> dict[str, Any]:
    """Return the assigned values by name."""
    values = {}
    for node in tree.body:
        if not (isinstance(node, ast.Assign) and len(node.targets) == 1
                and isinstance(node.targets[0], ast.Name)):
            raise _refusal(node, source)
        values[node.targets[0].id] = _value(node.value, source)
    return values


def _value(node: ast.expr, source: str) -> Any:
    """Return the value of a literal, or of ``dict(...)`` with literals inside."""
    if isinstance(node, ast.Dict):
        return _merge(zip(node.keys, node.values, strict=True), source)
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        kind = {ast.List: list, ast.Tuple: tuple, ast.Set: set}[type(node)]
        return kind(_value(item, source) for item in node.elts)
    if _is_dict_call(node):
        # Dumped as dict({'a b': 1}) where a key is no identifier.
        values = _merge(((None, arg) for arg in node.args), source)
        return values | _merge(((key.arg and ast.Constant(key.arg), key.value)
                                for key in node.keywords), source)
    if isinstance(node, ast.Name) and node.id in _NAMES:
        return _NAMES[node.id]
    if isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Name):
        return -_value(node.operand, source)
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise _refusal(node, source) from None


def _is_dict_call(node: ast.expr) -> bool:
    return (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            and node.func.id == 'dict'
            and all(isinstance(arg, ast.Dict) for arg in node.args))


def _merge(entries: Iterable[tuple[ast.expr | None, ast.expr]], source: str) -> dict:
    """Build a dict from key and value nodes; without a key the value is a dict to unpack."""
    merged = {}
    for key, node in entries:
        value = _value(node, source)
        merged.update(value if key is None else {_value(key, source): value})
    return merged


def _refusal(node: ast.AST, source: str) -> ValueError:
    return ValueError(f"the config stored in '{source}' holds more than plain values "
                      f"(line {node.lineno}: '{ast.unparse(node)[:60]}'), which is not run. Give "
                      'the config file instead')
