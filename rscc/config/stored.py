"""Configs stored in checkpoints: read as data, and built of registered classes only.

A checkpoint may come from anywhere, and its config would otherwise be as powerful as a program:
MMEngine resolves any ``type`` to whatever can be imported, ``subprocess.check_call`` among it.
Everything that reads a stored config therefore passes through here, in two steps.
:func:`stored_config` reads the text without running it and refuses what a checkpoint may not ask
for; :func:`building` is the context in which the result is built, where no name is imported.
:func:`settle_sources` says which files and hub models it reads. SECURITY.md says what is trusted
and what is not.
"""
import ast
import contextlib
import importlib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log

from rscc.config.files import hub_folder
from rscc.config.schema import SCOPES, Schema, schema_of
from rscc.utils.files import check_text

_NAMES = {'inf': float('inf'), 'nan': float('nan')}
#: Keys of our own classes that name files, folders or hub models.
_SOURCES = ('pretrained', 'vocab_file', 'vocab_files', 'merges_file', 'tokenizer_file',
            'word_vectors', 'class_names')
#: Hub models that the project's own configs name; no other is fetched for a checkpoint.
PUBLISHED = ('Salesforce/blip-image-captioning-base', 'Salesforce/blip-image-captioning-large',
             'gpt2', 'openai-community/gpt2', 'uer/gpt2-chinese-cluecorpussmall')
#: Strings that classes of other projects may get: no dots, slashes or colons, so no files,
#: addresses or import paths. (A ``class_weight='http://.../x.pkl'`` of a loss of MMSegmentation
#: would be fetched and unpickled.)
_WORD = re.compile(r'[\w+ -]*')
#: The same for fields of transformers' configurations, and for model names of timm.
_DOTTED_WORD = re.compile(r'[\w.+ -]*')
_ADDRESS = re.compile(r'\w[\w+.-]*://|\\\\|//')
_PROJECTS = ('rscc', 'mmengine', 'mmseg', 'mmcv')  # whose modules a registry may import


class StoredConfig(Config):
    """A config out of a checkpoint; see :func:`building`."""


# ---- reading ---------------------------------------------------------------------------------


def stored_config(checkpoint: Mapping, source: str) -> StoredConfig:
    """Return the config that a checkpoint carries, after everything in it has been looked at.

    Weights are those of the checkpoint: where initial ones would come from (``init_cfg``,
    ``load_from``) is left out.

    Args:
        checkpoint: A loaded checkpoint; its ``meta['cfg']`` is ``Config.pretty_text``.
        source: File name for messages.

    Raises:
        ValueError: If there is none, it is not readable, or it asks for what a checkpoint may not
            have: types that are not registered for their place, or strings that may name files and
            addresses where classes of other projects would read them. All are listed.
    """
    meta = checkpoint.get('meta')
    text = meta.get('cfg') if isinstance(meta, Mapping) else None
    if not text:
        raise ValueError(f"checkpoint '{source}' does not hold its config; give the config file it "
                         'was trained with')
    if not isinstance(text, str):
        raise ValueError(f"the config stored in '{source}' is a {type(text).__name__}, expected "
                         'its text. Give the config file instead')
    values = config_from_text(text, source).to_dict()
    if not isinstance(values.get('model'), Mapping):
        raise ValueError(f"the config stored in '{source}' describes no model. Give the config "
                         'file instead')
    values = {key: value for key, value in values.items() if key not in ('load_from', 'resume')}
    _forget_origins(values['model'])
    refused = list(_refused(values))
    if refused:
        raise ValueError(
            f"the config stored in '{source}' asks for what a checkpoint may not have, and nothing "
            'of it was run:\n  ' + '\n  '.join(refused[:10])
            + (f'\n  ... {len(refused) - 10} more' if len(refused) > 10 else '')
            + '\nOnly registered classes are built out of a checkpoint. If these are classes of a '
            'package of yours, import it first, or give the config file beside the checkpoint')
    return StoredConfig(values)


def config_from_text(text: str, source: str) -> Config:
    """Build a config from the text of a dumped one.

    ``Config.fromstring`` would execute the text as Python. Only assignments of plain values, lists
    and ``dict(...)`` are read here; that is all a dumped config holds.

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


# ---- what a checkpoint may not ask for -------------------------------------------------------


def _forget_origins(value: Any) -> None:
    """Leave out, in place, where the initial weights of a model came from.

    Of our own parts ``pretrained`` stays: some read their architecture there, see
    :func:`rscc.models.pretrained.without_pretrained`.
    """
    if isinstance(value, dict):
        kind = str(value.get('type', ''))
        for key in {'init_cfg', 'checkpoint_path'} & set(value):
            del value[key]
        # timm fetches unless it is told not to; other backbones take None as well.
        if kind.endswith('TIMMBackbone') or ('.' in kind and 'pretrained' in value):
            value['pretrained'] = None
    for item in value.values() if isinstance(value, dict) else (
            value if isinstance(value, list | tuple) else ()):
        _forget_origins(item)


def _refused(values: Mapping) -> Iterator[str]:
    """Yield one line for everything in a stored config that is refused."""
    for key, value in values.items():
        schema = schema_of(key)  # None for a config's own variables, of which nothing is built
        if schema is not None:
            yield from _refused_below(value, schema, key, 'ours')
    scope, runner = values.get('default_scope'), values.get('runner_type')
    if scope not in (None, *SCOPES):
        yield f'default_scope: {scope!r} is none of {list(SCOPES)}'
    if runner is not None and Schema('RUNNERS').registered(runner) is None:
        yield f'runner_type: {runner!r} is not registered among the runners'


def _refused_below(value: Any, schema: Schema, where: str, owner: str) -> Iterator[str]:
    """Walk down a value.

    Args:
        value: The value.
        schema: What builds it.
        where: Its dotted key, for the lines.
        owner: Who reads the strings: ``'ours'``, classes of this project; ``'foreign'`` ones; or
            ``'fields'``, a configuration of transformers.
    """
    if isinstance(value, list | tuple | set):
        for index, item in enumerate(value):
            yield from _refused_below(item, schema, f'{where}.{index}', owner)
    elif isinstance(value, str):
        yield from _refused_string(value, schema, where, owner)
    if not isinstance(value, Mapping):
        return
    kind, target = value.get('type', schema.default), None
    if value.get('_scope_') not in (None, *SCOPES):
        yield f"{where}._scope_: {value['_scope_']!r} is none of {list(SCOPES)}"
    if schema.opaque:
        owner = 'fields' if owner == 'ours' and where.startswith('model.') else owner
    elif 'type' in value:
        target = schema.registered(kind)
        if target is None:
            title = schema.registry.lower().replace('_', ' ') or 'names that are built here'
            yield f'{where}.type: {kind!r} is not registered among the {title}'
            return
    elif schema.default is not None:
        target = schema.registered(kind) if isinstance(kind, str) else kind
    if target is not None:
        owner = 'ours' if target.__module__.split('.')[0] == 'rscc' else 'foreign'
    if 'constructor' in value and schema.registry == 'OPTIM_WRAPPERS':
        built = Schema('OPTIM_WRAPPER_CONSTRUCTORS').registered(value['constructor'])
        if built is None:
            yield f"{where}.constructor: {value['constructor']!r} is not registered"
    inside = schema.within(kind) if 'type' in value else schema
    for key, item in value.items():
        if schema.opaque or key not in ('type', '_scope_', 'constructor'):
            yield from _refused_below(item, inside.below(key, target), f'{where}.{key}', owner)


def _refused_string(value: str, schema: Schema, where: str, owner: str) -> Iterator[str]:
    if schema.by_name and schema.registered(value) is None:
        yield f'{where}: {value!r} is not registered among the {schema.registry.lower()}'
    # Other registries build what a training has, of which nothing is built out of a checkpoint.
    if owner == 'ours' or schema.registry not in ('MODELS', 'TRANSFORMS', 'TOKENIZERS', ''):
        return
    allowed = _DOTTED_WORD if owner == 'fields' or schema.key == 'model_name' else _WORD
    if not allowed.fullmatch(value) or schema.key == 'class_weight':  # never a name, but of a file
        yield f'{where}: {value!r} may name a file or an address, and is read by no class of rscc'


# ---- building --------------------------------------------------------------------------------


@contextlib.contextmanager
def building(cfg: Config) -> Iterator[None]:
    """Context in which a config's model and pipeline are built.

    A config file that the user named may do what it likes. One out of a checkpoint gets only what
    is registered, whichever class asks a registry for a name; MMEngine would import others.
    """
    if not isinstance(cfg, StoredConfig):
        yield
        return
    from mmengine.registry import registry as lookups
    imported, resolved = lookups.import_module, lookups.get_object_from_string
    lookups.import_module, lookups.get_object_from_string = _import_known, lambda name: None
    try:
        yield
    finally:
        lookups.import_module, lookups.get_object_from_string = imported, resolved


def _import_known(name: str) -> Any:
    """Import a module that fills a registry of the projects that rscc stands on."""
    if name.split('.')[0] not in _PROJECTS:
        raise ImportError(f"'{name}' is not imported for a checkpoint")
    return importlib.import_module(name)


def settle_sources(cfg: Config) -> None:
    """Say which files and hub models a stored config reads, and keep it from fetching others.

    Hub models are fetched where the project itself names them (``PUBLISHED``); others are taken
    from the local cache. Configs of the user are left alone.

    Args:
        cfg: Edited in place: the name of a cached model becomes its folder.

    Raises:
        ValueError: If it names an address, or a hub model that is neither cached nor one of the
            project's.
    """
    if isinstance(cfg, StoredConfig):
        _settle(cfg.model, 'model')


def _settle(value: Any, where: str) -> None:
    for part, key, place in _sources(value, where):
        # CLIP's weights come from open_clip's own list of names.
        hub = key == 'pretrained' and part.get('type') != 'CLIPPrompts'
        part[key] = _settled(part[key], place, hub)


def named_sources(cfg: Mapping) -> dict[str, str]:
    """Return what a model's config would read beside a checkpoint, by dotted key.

    Args:
        cfg: A whole config.
    """
    return {place: part[key] for part, key, place in _sources(cfg['model'], 'model')}


def _sources(value: Any, where: str) -> Iterator[tuple[dict, str, str]]:
    """Yield (part, key, dotted key) of every name of a file, folder or hub model."""
    if isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _sources(item, f'{where}.{index}')
    for key, item in [*value.items()] if isinstance(value, dict) else ():
        if key in _SOURCES and isinstance(item, str):
            yield value, key, f'{where}.{key}'
        elif key in _SOURCES and isinstance(item, dict):  # one file a language  # a file a language
            yield from ((item, language, f'{where}.{key}.{language}') for language in item)
        else:
            yield from _sources(item, f'{where}.{key}')


def _settled(name: str, where: str, hub: bool) -> str:
    """Return a name as it may be read: a local path, a published model, or its cached folder."""
    if _ADDRESS.match(name):
        raise ValueError(f"the checkpoint's config names the address '{name}' ({where}), which is "
                         'not opened for a checkpoint. Fetch it yourself and set '
                         f'--cfg-options {where}=FILE')
    local = Path(name).expanduser().exists()
    if hub and not local and name not in PUBLISHED and re.fullmatch(r'[\w.-]+(/[\w.-]+)?', name):
        name = _cached(name, where)
    print_log(f"the checkpoint's config reads '{name}' ({where})", 'current')
    return name


def _cached(name: str, where: str) -> str:
    """Return the folder of a hub model in the local cache."""
    folder = hub_folder(name)
    if folder is None:
        raise ValueError(
            f"the checkpoint's config names the hub model '{name}' ({where}), which is not on this "
            'machine, and a checkpoint is no reason to fetch what this project does not name '
            f'itself. If you trust it: hf download {name}, or --cfg-options {where}=FOLDER')
    return str(folder)
