"""Check of the files and folders that a config names."""
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rscc.config.schema import Schema
from rscc.utils.names import did_you_mean
from rscc.utils.paths import data_home, resolve_data_file, resolve_data_root
from rscc.utils.signatures import keywords_of

_WEIGHTS = ('.pth', '.pt', '.bin', '.safetensors', '.ckpt')
_FILE_KEYS = ('vocab_file', 'merges_file', 'tokenizer_file', 'word_vectors')
#: What writes a vocabulary, by the beginning of its name.
_WRITERS = {'word_encoding': 'tools/dataset_converters/levircc.py --word-encode',
            'vocab_scene': 'tools/dataset_converters/synth.py',
            'vocab': 'tools/dataset_converters/vocabulary.py'}
_HELP = 'Set RSCC_DATA or pass --data-root (see docs/en/datasets.md)'


def missing_paths(cfg: Mapping, stages: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield (dotted key, what is missing) for data, vocabularies and weights.

    Args:
        cfg: The whole config.
        stages: Whose dataloaders count.
    """
    for stage in stages:
        loader = cfg.get(f'{stage}_dataloader')
        if loader and isinstance(loader.get('dataset'), Mapping):
            yield from _dataset(loader['dataset'], f'{stage}_dataloader.dataset')
    if cfg.get('load_from'):
        yield from _weights(cfg['load_from'], 'load_from')
    yield from _inside_model(cfg.get('model'), 'model')


def _dataset(dataset: Mapping, where: str) -> Iterator[tuple[str, str]]:
    """Check a dataset's folder and annotation file, as the dataset itself will look for them."""
    for key in ('dataset', 'datasets'):
        inner = dataset.get(key)
        many = isinstance(inner, list | tuple)
        for index, item in enumerate(inner if many else [inner]):
            if isinstance(item, Mapping):
                yield from _dataset(item, f'{where}.{key}' + (f'.{index}' if many else ''))
    target = Schema('DATASETS').find(dataset.get('type'))
    values = {**(keywords_of(target).defaults if target else {}), **dataset}
    root, annotations = values.get('data_root'), values.get('ann_file')
    if not isinstance(root, str) or not root:
        return
    marker = annotations if isinstance(annotations, str) and annotations else None
    if annotations is None and hasattr(target, 'published'):
        marker = _published(target, values)
    folder = resolve_data_root(root, marker)
    if not folder.is_dir():
        home = data_home()
        beside = [p.name for p in home.iterdir() if p.is_dir()] if home.is_dir() else []
        yield (f'{where}.data_root', f"no folder '{folder}'. {_HELP}."
               f'{did_you_mean(Path(root).name, beside)}')
    elif marker and not (folder / marker).exists():
        beside = [p.name for p in folder.iterdir()]
        yield (f'{where}.ann_file', f"no file '{folder / marker}'. {_HELP}."
               f'{did_you_mean(Path(marker).name, beside)}')


def _published(target: Any, values: Mapping) -> str | None:
    """Return the name under which a dataset will find annotations that the config leaves to it."""
    options = {key: values[key] for key in ('release', 'language') if key in values}
    try:
        names = target.published(**options)
    except ValueError:  # the dataset says it better
        return None
    root = values['data_root']
    return next((name for name in names if (resolve_data_root(root, name) / name).is_file()),
                names[0])


def _inside_model(value: Any, where: str) -> Iterator[tuple[str, str]]:
    """Check vocabularies and weights anywhere below the model."""
    if isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _inside_model(item, f'{where}.{index}')
    if not isinstance(value, Mapping):
        return
    for key, item in value.items():
        if key in _FILE_KEYS and isinstance(item, str):
            if not resolve_data_file(item).is_file():
                yield f'{where}.{key}', f"no file '{item}'. {_writer(item)}{_HELP}"
        elif key in ('checkpoint', 'pretrained', 'weights') and isinstance(item, str):
            yield from _weights(item, f'{where}.{key}')
        else:
            yield from _inside_model(item, f'{where}.{key}')


def _writer(name: str) -> str:
    """Say what writes a vocabulary, where its name tells."""
    tool = next((tool for start, tool in _WRITERS.items() if Path(name).name.startswith(start)), '')
    return f'python {tool} writes it. ' if tool else ''


def _weights(name: str, where: str) -> Iterator[tuple[str, str]]:
    """Check what is clearly a local file of weights; hub names and addresses are left alone."""
    path = Path(name).expanduser()
    if '://' in name or path.exists() or not name.endswith(_WEIGHTS):
        return
    beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    yield where, f"no checkpoint at '{name}'.{did_you_mean(path.name, beside)}"
