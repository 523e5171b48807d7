"""Where datasets live: ``$RSCC_DATA``, else ``$CDPATH``, else ``data/``."""
import os
from pathlib import Path


def data_home() -> Path:
    """Return the folder that holds all datasets.

    ``RSCC_DATA`` wins; ``CDPATH`` is honoured because ChangeCLIP's users already set it. A
    ``CDPATH`` with several entries is the shell's own and is ignored.
    """
    if os.environ.get('RSCC_DATA'):
        return Path(os.environ['RSCC_DATA']).expanduser()
    cdpath = os.environ.get('CDPATH', '')
    if cdpath and os.pathsep not in cdpath:
        return Path(cdpath).expanduser()
    return Path('data')


def resolve_data_root(folder: str | os.PathLike, marker: str | None = None) -> Path:
    """Locate one dataset's folder.

    Args:
        folder: The dataset's folder as published (``'LEVIR-CC'``), or an absolute path (kept).
        marker: A file inside the folder (the annotation file). Where ``data_home()/folder`` does
            not hold it but ``data_home()`` itself does, the latter is meant: ``--data-root`` may
            name either the parent or the dataset.

    Returns:
        The folder, which need not exist: the caller knows what to say about that.
    """
    folder = Path(folder).expanduser()
    if folder.is_absolute():
        return folder
    home = data_home()
    nested = home / folder
    if marker and not (nested / marker).exists() and (home / marker).exists():
        return home
    return nested


def resolve_data_file(path: str | os.PathLike) -> Path:
    """Locate one file of a dataset: ``'synth/vocab_en.json'`` below the folder of all datasets.

    An absolute path, or one that exists from the working directory, is kept. Where ``--data-root``
    names the dataset itself, the file is looked for right inside it.

    Args:
        path: Dataset folder and file name, joined by a slash.

    Returns:
        The file, which need not exist.
    """
    path = Path(path).expanduser()
    if path.is_absolute() or path.exists():
        return path
    return resolve_data_root(path.parent, marker=path.name) / path.name
