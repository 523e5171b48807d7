"""Configs and published models by path or name: those at hand, and those that come with rscc.

A clone has the configs in ``configs`` beside the package, an installed package in ``rscc/configs``;
models that are published with rscc lie in ``rscc/weights``, a folder each::

    find_config('configs/blip_synth.py')  # this file, if the working folder has it
    find_config('blip_synth')             # the same, else the file that comes with rscc
    find_checkpoint('rscc-small')         # .../rscc/weights/rscc_small/model.safetensors
    find_checkpoint('me/my-model')        # of a hub repository in the local cache
"""
import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path

import rscc
from rscc.utils.files import file_hash, read_json
from rscc.utils.logging import warn_deprecated_config, warn_once
from rscc.utils.names import did_you_mean

#: Endings of the files that MMEngine reads as configs.
ENDINGS = ('.py', '.json', '.yaml', '.yml')
#: Endings of files that hold weights.
WEIGHT_ENDINGS = ('.pth', '.pt', '.ckpt', '.bin', '.safetensors')
#: Where a checkpoint comes from, for messages about an absent one.
GET_CHECKPOINT = (
    "'rscc-small' names the model that comes with rscc. For another one train it (rscc train "
    'CONFIG, in a clone python tools/train.py CONFIG), or convert the checkpoint of an original '
    '(rscc convert, in a clone tools/model_converters); a config that was trained in this folder '
    'is enough by its name.')
#: The model that answers pairs where no checkpoint is named.
SHIPPED = 'rscc-small'
#: Files of a published model in its folder.
WEIGHTS, CARD, STAC_RECORD, LOG = 'model.safetensors', 'README.md', 'stac_item.json', 'training.log'
#: What the header of the weights tells, for readers and programs that do not know rscc.
FACTS = 'config.json'
_SWAPPED = 'CONFIG comes first and CKPT second: the two seem to be swapped'
#: Repository of the hub, and a revision of it behind an @.
_HUB_NAME = re.compile(r'(?P<repository>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?')
_NO_REPOSITORY = ('.py', '.pth', '.pt', '.safetensors')


def packaged_configs() -> Path:
    """Return the folder of the configs that come with this package."""
    package = Path(rscc.__file__).resolve().parent
    inside = package / 'configs'
    return inside if inside.is_dir() else package.parent / 'configs'


def config_folders() -> list[Path]:
    """Return the folders in which configs are found by name, those that have any.

    The working folder's ``configs`` comes first; in a clone it is the package's own.
    """
    own, packaged = Path('configs'), packaged_configs()
    folders = [own] if own.resolve() == packaged else [own, packaged]
    return [folder for folder in folders if any(folder.glob('*.py'))]


def config_names() -> list[str]:
    """Return the names of the configs that can be given by name."""
    return sorted({path.stem for folder in config_folders() for path in folder.glob('*.py')})


def find_config(config: str | os.PathLike) -> Path:
    """Return the file of a config.

    Args:
        config: A file; or a name such as ``blip_synth``, with or without ``configs/`` before it and
            ``.py`` after it, which is looked for in ``configs`` of the working folder, then among
            the configs that come with the package.

    Raises:
        FileNotFoundError: If there is none; names the nearest.
    """
    path = Path(config)
    if path.is_file():
        return path
    name = path if path.suffix in ENDINGS else Path(f'{path}.py')
    if name.parts[:1] == ('configs',):
        name = name.relative_to('configs')
    elif len(name.parts) > 1:
        beside = [str(found) for found in sorted(path.parent.glob('*.py'))]
        raise FileNotFoundError(f"no config at '{path}'.{did_you_mean(str(path), beside)}")
    for folder in config_folders():
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"no config at '{path}'.{_nearest(path)} Expected a file, or a "
                            'name that "rscc configs" lists')


def refuse_empty(name: str | os.PathLike, what: str, remedy: str) -> None:
    """Refuse a name without a letter, which as a path would stand for the working folder.

    Args:
        name: As somebody gave it, out of a variable that is not set for instance.
        what: That was to be named.
        remedy: What to give, a sentence without its full stop.

    Raises:
        ValueError: If it is empty or blank.
    """
    if isinstance(name, str) and not name.strip():
        raise ValueError(f"no {what} is given: the name is '{name}', perhaps of a variable that is "
                         f'not set. {remedy.removesuffix(".")}.')


def _nearest(path: Path) -> str:
    """Name the nearest known config as ``path`` was written: bare, or as a file of ``configs``."""
    bare = len(path.parts) == 1 and path.suffix not in ENDINGS
    before = '' if len(path.parts) == 1 else 'configs/'
    return did_you_mean(str(path), [name if bare else f'{before}{name}.py'
                                    for name in config_names()])


def existing_config(config: str | os.PathLike) -> Path:
    """Return the file of a config that is about to be read, and tell what the user should know.

    One line is logged where the file is not the one that was named but comes with the package, and
    one where the config has a new name.

    Args:
        config: As in :func:`find_config`.

    Raises:
        FileNotFoundError: If there is none; names the nearest.
        ValueError: If it is a checkpoint.
    """
    if Path(config).suffix in WEIGHT_ENDINGS:
        raise ValueError(f"'{config}' holds weights, and a config was expected there: a file "
                         f'ending in {", ".join(ENDINGS)}, or a name that "rscc configs" lists. '
                         f'{_SWAPPED}')
    path = find_config(config)
    if path.is_absolute() and path != Path(config):
        warn_once(f"'{config}' is not in this folder; reading the config that comes with rscc: "
                  f'{path}', 20)
    warn_deprecated_config(path)
    return path


def refuse_config(checkpoint: str | os.PathLike) -> None:
    """Refuse a config where weights are about to be read.

    Raises:
        ValueError: If the file is a config by its ending.
    """
    if Path(checkpoint).suffix in ENDINGS:
        raise ValueError(f"'{checkpoint}' is a config, and a checkpoint was expected there: a file "
                         f'ending in {", ".join(WEIGHT_ENDINGS)}, or the name of a published '
                         f'model. {_SWAPPED}')


def packaged_weights() -> Path:
    """Return the folder of the models that are published with this package."""
    return Path(rscc.__file__).resolve().parent / 'weights'


def published_folder(name: str) -> Path:
    """Return the folder that a model published with this package has, or would have."""
    return packaged_weights() / name.replace('-', '_')


def published_names() -> list[str]:
    """Return the names of the models that can be given by name."""
    found = packaged_weights().glob(f'*/{WEIGHTS}')
    return sorted({SHIPPED, *(path.parent.name.replace('_', '-') for path in found)})


def find_checkpoint(checkpoint: str | os.PathLike) -> str | os.PathLike:
    """Return the file of a published model that is named; anything else as it is.

    A file that is no longer the one of the STAC record beside it is warned of, once.

    Args:
        checkpoint: A file, folder or address; the name of a published model, of which a folder is
            meant by ``./NAME``; or, where no file or folder has this name, a repository of the
            hub, ``OWNER/NAME`` or ``OWNER/NAME@REVISION``, that is in the local cache.

    Raises:
        FileNotFoundError: If the weights of a published model are not in this installation, or
            those of a repository are no model of rscc.
        ValueError: If the name is empty.
    """
    refuse_empty(checkpoint, 'checkpoint', GET_CHECKPOINT)
    name = str(checkpoint)
    if name not in published_names():
        found = _hub_weights(name) or checkpoint
        if Path(found).name == WEIGHTS:
            _warn_of_changes(Path(found))
        return found
    path = published_folder(name) / WEIGHTS
    if not path.is_file():
        raise FileNotFoundError(
            f"the weights of '{name}' are not in this installation of rscc: no '{path}'. Install "
            'rscc from a wheel or clone that has them (in a clone: git checkout -- rscc/weights), '
            f"name another CKPT, or train the config '{name.replace('-', '_')}' and publish it: "
            f'rscc convert published CKPT --name {name} --out {path.parent}')
    _warn_of_changes(path)
    return path


def is_hub_name(name: str) -> bool:
    """Return whether a name may be a repository's: its form is one, and nothing here has it."""
    return (_HUB_NAME.fullmatch(name) is not None and not name.endswith(_NO_REPOSITORY)
            and name.partition('/')[0] not in ('.', '..', 'configs', 'work_dirs')
            and not Path(name).exists())


def hub_folder(name: str) -> Path | None:
    """Return the folder of a repository in the local cache of the hub; nothing is downloaded.

    Args:
        name: ``OWNER/NAME``, or ``NAME`` alone as old ones have it; a revision behind an ``@``.
    """
    from huggingface_hub import snapshot_download  # takes a moment, and few ask for it
    repository, _, revision = name.partition('@')
    try:
        return Path(snapshot_download(repository, revision=revision or None,
                                      local_files_only=True))
    except (OSError, ValueError):  # not there, or no name that the hub allows
        return None


def _hub_weights(name: str) -> Path | None:
    """Return the weights of a repository that is in the local cache."""
    folder = hub_folder(name) if is_hub_name(name) else None
    if folder is None:
        return None
    if not (folder / WEIGHTS).is_file():
        held = sorted(path.name for path in folder.iterdir())
        raise FileNotFoundError(
            f"the hub repository '{name}' in the local cache ('{folder}') holds no '{WEIGHTS}' "
            f'but {", ".join(held) or "nothing"}. Expected a model that rscc saved; if the '
            f'download was cut short: hf download {name.partition("@")[0]}')
    return folder / WEIGHTS


def _warn_of_changes(path: Path) -> None:
    """Compare the hash of a published file with that in the record beside it."""
    record = path.with_name(STAC_RECORD)
    if not (record.is_file() and path.is_file()):
        return
    found = file_hash(path)
    try:
        recorded = str(read_json(record)['assets']['model']['file:checksum'])
    except (ValueError, KeyError, TypeError):
        recorded = 'none that can be read'
    # A multihash: 0x12 is SHA-256, 0x20 its 32 bytes.
    if recorded.removeprefix('1220') != found:
        warn_once(f"'{path}' is not the file that was published: its SHA-256 is {found}, that in "
                  f"'{record.name}' {recorded.removeprefix('1220')}. Its answers are not those of "
                  'the model card; install rscc or download the model again, or publish it again '
                  'if the change is yours')


def bases_of(path: Path) -> Iterator[Path]:
    """Yield the files that a Python config inherits from, at any depth, each once.

    Raises:
        ValueError: If one of them computes its bases, or is not valid Python.
    """
    seen: set[Path] = set()
    rest = [path.resolve()]
    while rest:
        file = rest.pop()
        try:
            node = assigned(file, '_base_')
            bases = [] if node is None else ast.literal_eval(node)
        except (SyntaxError, ValueError) as error:
            raise ValueError(f"what '{file}' inherits from cannot be read: {error}. Expected a "
                             "path, or a list of paths, as its _base_") from error
        for base in [bases] if isinstance(bases, str) else bases:
            found = (file.parent / base).resolve()
            if found not in seen:
                seen.add(found)
                rest.append(found)
                yield found


def assigned(path: Path, name: str) -> ast.expr | None:
    """Return what a Python config assigns to a name, as the parser sees it; None without it."""
    for node in ast.parse(path.read_text(encoding='utf-8')).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return node.value
    return None
