"""Check of a whole config before anything is built."""
import copy
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rscc.config.data import band_problems, class_problems, given_problems, missing_paths
from rscc.config.schema import BUILDER_KEYS, Schema, loader_keywords, runner_keys, schema_of
from rscc.utils import counted
from rscc.utils.names import did_you_mean

if TYPE_CHECKING:
    from mmengine.config import Config

STAGES = ('train', 'val', 'test')


@dataclass
class Problem:
    """One thing to correct: the dotted key and what is the matter there."""
    where: str
    what: str


def check_config(cfg: Any, *, overrides: Mapping[str, Any] | None = None,
                 stages: Sequence[str] = STAGES) -> None:
    """Look up every type, keyword, override and path of a config.

    Args:
        cfg: The config as read (a ``Config`` or a dict), before overrides are merged; not changed.
        overrides: ``--cfg-options``: dotted keys and values. One that creates a key nobody reads is
            a problem; one that a constructor takes is not.
        stages: Whose data must be on the disk: of ``'train'``, ``'val'``, ``'test'``.

    Raises:
        ValueError: With all problems numbered, each with its key, what was found, what was
            expected and the nearest name.
    """
    from mmengine.config import Config
    name = getattr(cfg, 'filename', None) or 'given'
    merged = copy.deepcopy(cfg) if isinstance(cfg, Config) else Config(copy.deepcopy(dict(cfg)))
    problems, accepted = check_overrides(merged.to_dict(), overrides or {})
    if accepted:
        merge_overrides(merged, accepted)
    merged = merged.to_dict()
    problems += [problem for key, value in merged.items()
                 for problem in _check(value, schema_of(key), key)]
    problems += [Problem(where, what) for where, what in (
        *given_problems(merged, stages), *class_problems(merged, stages),
        *band_problems(merged, stages), *missing_paths(merged, stages))]
    if problems:
        raise ValueError(_summary(problems, name))


def _summary(problems: Sequence[Problem], name: str) -> str:
    """Number the problems; what is wrong in several places the same way counts once."""
    places: dict[str, list[str]] = {}
    for problem in problems:
        places.setdefault(problem.what, []).append(problem.where)
    lines = [f"{number}. {', '.join(where)}: {what}"
             for number, (what, where) in enumerate(places.items(), 1)]
    return f"{counted(len(lines), 'problem')} in the config '{name}':\n  " + '\n  '.join(lines)


def check_overrides(cfg: Mapping, overrides: Mapping[str, Any]
                    ) -> tuple[list[Problem], dict[str, Any]]:
    """Sort overrides into those that make no sense (as problems) and the others.

    Types come first: what a part of another type takes may be given beside the type.
    """
    problems, accepted = [], {}
    types = {key: value for key, value in overrides.items() if key.split('.')[-1] == 'type'}
    told = _with_types(cfg, types)
    for key, value in overrides.items():
        what = _override_problem(cfg if key in types else told, key)
        if what is None:
            accepted[key] = value
        else:
            problems.append(Problem(key, f'{what} (given by --cfg-options)'))
    return problems, accepted


def _with_types(cfg: Mapping, types: Mapping[str, Any]) -> Mapping:
    """Return a config whose parts have the types of these overrides, where they make sense."""
    from mmengine.config import Config
    sound = {key: kind for key, kind in types.items() if _override_problem(cfg, key) is None}
    if not sound:
        return cfg
    other = Config(copy.deepcopy(dict(cfg)))
    other.merge_from_dict(sound)
    return other.to_dict()


def merge_overrides(cfg: 'Config', overrides: Mapping[str, Any] | None) -> None:
    """Set settings of a config by their dotted keys.

    A dict whose keys are numbers, of label values say, takes the place of the one that is there;
    MMEngine, which merges others key by key, has no way for these.
    """
    numbered = {key: {'_delete_': True, **value} for key, value in (overrides or {}).items()
                if isinstance(value, Mapping) and not all(isinstance(name, str) for name in value)}
    # Empty first: what is not there yet would keep the mark.
    cfg.merge_from_dict({key: None if key in numbered else value
                         for key, value in (overrides or {}).items()})
    cfg.merge_from_dict(numbered)


def _override_problem(cfg: Mapping, dotted: str) -> str | None:
    """Walk down a dotted key; say where it leaves what exists, unless someone takes that name."""
    node, schema = cfg, None
    for depth, part in enumerate(dotted.split('.')):
        if isinstance(node, list | tuple):
            if not part.isdigit() or int(part) >= len(node):
                return f"no item '{part}' in a list of {len(node)}"
            node = node[int(part)]
            continue
        if not isinstance(node, Mapping):
            parent = '.'.join(dotted.split('.')[:depth])
            return f"'{parent}' is {reprlib.repr(node)}, which has no keys"
        target = _target(node, schema)
        known = _known_keys(node, schema, target, top=depth == 0)
        if part not in node:
            if known is None or part in known:
                return None
            return (f"no such key '{part}', expected one of {_shown(known - BUILDER_KEYS)}."
                    f'{did_you_mean(part, known)}')
        schema = schema_of(part) if depth == 0 else (schema or Schema()).below(part, target)
        node = node[part]
    return None


def _target(node: Mapping, schema: Schema | None) -> Any | None:
    """Return the class or function that takes the keys of a dict, or None where none does."""
    return None if schema is None else schema.find(node.get('type') or schema.default)


def _known_keys(node: Mapping, schema: Schema | None, target: Any | None, top: bool
                ) -> set[str] | None:
    """Return the keys that make sense in a dict, or None where anything does."""
    if top:
        return set(node) | runner_keys()
    if schema is None:
        return set(node)
    if schema.loader:
        return set(node) | loader_keywords()
    if target is None:
        return set(node)
    keywords = schema.keywords(target)
    return None if keywords.anything else set(node) | keywords.names | BUILDER_KEYS


def _check(value: Any, schema: Schema | None, where: str) -> Iterator[Problem]:
    """Yield the problems of a value and of everything inside it."""
    if schema is None or schema.opaque:
        return
    if isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _check(item, schema, f'{where}.{index}')
    if isinstance(value, str) and schema.by_name and schema.find(value) is None:
        yield Problem(where, schema.not_found(value))
    if not isinstance(value, Mapping):
        return
    inside, target = schema, None
    if schema.loader:
        yield from _unknown(value, set(value) & {'type'} | loader_keywords(), where, 'DataLoader')
    elif 'type' in value or schema.default:
        kind = value.get('type') or schema.default
        target = schema.find(kind)
        if 'constructor' in value:
            builder = Schema('OPTIM_WRAPPER_CONSTRUCTORS')
            if builder.find(value['constructor']) is None:
                yield Problem(f'{where}.constructor', builder.not_found(value['constructor']))
        if target is None:
            if not schema.lenient:
                yield Problem(f'{where}.type', schema.not_found(kind))
            return
        yield from _check_keywords(value, schema, target, where)
        inside = schema.within(kind)
    for key, item in value.items():
        if key not in ('type', 'constructor'):
            yield from _check(item, inside.below(key, target), f'{where}.{key}')


def _check_keywords(value: Mapping, schema: Schema, target: Any, where: str) -> Iterator[Problem]:
    keywords = schema.keywords(target)
    name = getattr(target, '__name__', str(target))
    if not keywords.anything:
        yield from _unknown(value, keywords.names | BUILDER_KEYS, where, name)
    if schema.complete:
        for missing in keywords.required:
            if missing not in value:
                yield Problem(where, f"{name} needs '{missing}', found only "
                              f'{_shown(set(value) - BUILDER_KEYS)}')


def _unknown(value: Mapping, known: set[str], where: str, name: str) -> Iterator[Problem]:
    for key in value:
        if key not in known:
            yield Problem(f'{where}.{key}', f'{name} takes no such keyword, expected one of '
                          f'{_shown(known - BUILDER_KEYS)}.{did_you_mean(key, known)}')


def _shown(names: set[str]) -> str:
    """List names, at most twelve."""
    names = sorted(names)
    more = f', ... {len(names) - 12} more' if len(names) > 12 else ''
    return ', '.join(names[:12]) + more if names else 'nothing'
