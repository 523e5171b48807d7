"""Check of what a config says about data: files, folders, numbers of classes and of bands."""
import inspect
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rscc.config.files import find_checkpoint, published_names
from rscc.config.schema import Schema
from rscc.rasters.labels import IGNORE, PARTLY_KNOWN, read_classes
from rscc.utils.names import did_you_mean
from rscc.utils.paths import data_home, resolve_data_file, resolve_data_root
from rscc.utils.signatures import keywords_of

_WEIGHTS = ('.pth', '.pt', '.bin', '.safetensors', '.ckpt')
_FILE_KEYS = ('vocab_file', 'merges_file', 'tokenizer_file', 'word_vectors')
#: Command of rscc that writes a file, and tool, by the beginning of the file's name.
_WRITERS = {'word_encoding': 'levircc --word-encode, or python '
                             'tools/dataset_converters/levircc.py --word-encode',
            'vocab_scene': 'synth, or python tools/dataset_converters/synth.py',
            'tokenizer': 'vocabulary --byte-pairs, or python '
                         'tools/dataset_converters/vocabulary.py --byte-pairs',
            'teacher': 'distil --weights, or python tools/dataset_converters/distil_captions.py '
                       'CONFIG CHECKPOINT --num 10 --closest --weights',
            'vocab': 'vocabulary, or python tools/dataset_converters/vocabulary.py'}
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
    if stages and cfg.get('load_from'):  # nobody starts from it who only builds the model
        yield from _start(str(cfg['load_from']))
    yield from _inside_model(cfg.get('model'), 'model')


def _dataset(dataset: Mapping, where: str) -> Iterator[tuple[str, str]]:
    """Check a dataset's folder and annotation file, as the dataset itself will look for them."""
    for key in ('dataset', 'datasets'):
        inner = dataset.get(key)
        many = isinstance(inner, list | tuple)
        for index, item in enumerate(inner if many else [inner]):
            if isinstance(item, Mapping):
                yield from _dataset(item, f'{where}.{key}' + (f'.{index}' if many else ''))
    folder, marker = _folder_of(dataset)
    if folder is None:
        return
    if not folder.is_dir():
        home = data_home()
        beside = [p.name for p in home.iterdir() if p.is_dir()] if home.is_dir() else []
        yield (f'{where}.data_root', f"no folder '{folder}'. {_HELP}."
               f'{did_you_mean(folder.name, beside)}')
    elif marker and not (folder / marker).exists():
        beside = [p.name for p in folder.iterdir()]
        yield (f'{where}.ann_file', f"no file '{folder / marker}'. {_HELP}."
               f'{did_you_mean(Path(marker).name, beside)}')


def _folder_of(dataset: Mapping) -> tuple[Path | None, str | None]:
    """Return the folder that a dataset will read, None without one, and its annotation file."""
    target = Schema('DATASETS').find(dataset.get('type'))
    values = {**(keywords_of(target).defaults if target else {}), **dataset}
    root, annotations = values.get('data_root'), values.get('ann_file')
    if not isinstance(root, str) or not root:
        return None, None
    marker = annotations if isinstance(annotations, str) and annotations else None
    if annotations is None and hasattr(target, 'published'):
        marker = _published(target, values)
    return resolve_data_root(root, marker), marker


def _published(target: Any, values: Mapping) -> str | None:
    """Return the name under which a dataset will find annotations that the config leaves to it."""
    options = {key: values[key] for key in ('release', 'language') if key in values}
    if 'zh' in (values.get('languages') or ()):  # whose file has the English captions too
        options['language'] = 'zh'
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
            yield from _file(item, f'{where}.{key}')
        elif key == 'vocab_files' and isinstance(item, Mapping):
            for language, file in item.items():
                yield from _file(file, f'{where}.{key}.{language}')
        elif key in ('checkpoint', 'pretrained', 'weights') and isinstance(item, str):
            yield from _weights(item, f'{where}.{key}')
        else:
            yield from _inside_model(item, f'{where}.{key}')


def _file(name: Any, where: str) -> Iterator[tuple[str, str]]:
    """Check a file of words."""
    if isinstance(name, str) and not resolve_data_file(name).is_file():
        yield where, f"no file '{name}'. {_writer(name)}{_HELP}"


def _writer(name: str) -> str:
    """Say what writes a file, where its name tells."""
    tool = next((tool for start, tool in _WRITERS.items() if Path(name).name.startswith(start)), '')
    return f'rscc {tool} writes it. ' if tool else ''


def _start(name: str) -> Iterator[tuple[str, str]]:
    """Check what a training starts from: a published model, an address or a local file."""
    try:
        path = Path(find_checkpoint(name)).expanduser()
    except FileNotFoundError as error:
        yield 'load_from', str(error)
        return
    if '://' in name or path.exists() or name.endswith(_WEIGHTS):
        yield from _weights(name, 'load_from')
        return
    yield ('load_from', f"'{name}' is no checkpoint.{did_you_mean(name, published_names())} "
           f'Expected a file, an address, or one of {published_names()}')


def _weights(name: str, where: str) -> Iterator[tuple[str, str]]:
    """Check what is clearly a local file of weights; hub names and addresses are left alone."""
    path = Path(name).expanduser()
    if '://' in name or path.exists() or not name.endswith(_WEIGHTS):
        return
    beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    told = f"no checkpoint at '{name}'.{did_you_mean(path.name, beside)} {_writer(name)}"
    yield where, told.rstrip()


def class_problems(cfg: Mapping, stages: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield (dotted place, problem) where labels hold more classes than the change head has.

    Args:
        cfg: The merged config.
        stages: Whose datasets are looked at: of ``'train'``, ``'val'``, ``'test'``.
    """
    head = (cfg.get('model') or {}).get('change_head')
    if not isinstance(head, Mapping):
        return
    count = head.get('num_classes', _default(head.get('type'), 'num_classes'))
    if not isinstance(count, int):
        return
    losses = head.get('loss_decode') or ()
    for loss in [losses] if isinstance(losses, Mapping) else losses:
        weights = loss.get('class_weight')
        if isinstance(weights, list | tuple) and len(weights) != count:
            yield ('model.change_head.loss_decode.class_weight',
                   f'{len(weights)} weights, and change_head.num_classes is {count}: give one '
                   'weight a class')
    known = {int(label) for loss in ([losses] if isinstance(losses, Mapping) else losses)
             for label in loss.get('absent') or ()}
    datasets: dict[tuple[int, str], list[str]] = {}
    for stage in stages:
        dataset = (cfg.get(f'{stage}_dataloader') or {}).get('dataset')
        for place, leaf in leaves(dataset, f'{stage}_dataloader.dataset'):
            datasets.setdefault(_classes_of(leaf), []).append(place)
            partly = {*(_label_map(leaf) or {}).values()} & {*PARTLY_KNOWN} - known
            if partly and stage == 'train':
                yield (f'{place}.label_map', f'{min(partly)} stands for what is known in part, and '
                       'no loss of the change head knows it: set model.change_head.loss_decode='
                       f'dict(type="rscc.CrossEntropyLoss", absent={{{min(partly)}: (...)}})')
    for (labels, names), places in datasets.items():
        if labels > count:
            yield ('model.change_head.num_classes',
                   f'{count}, and the labels of {", ".join(places)} hold {labels} classes, 0 to '
                   f'{labels - 1}{names}. Set model.change_head.num_classes={labels}, or map the '
                   'values of the files to fewer: label_map={value: class, ...} in the dataset '
                   '(255 = ignore)')
    yield from _semantic_problems(cfg, stages, head)


def given_problems(cfg: Mapping, stages: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield (dotted place, problem) where a dataset gets an option that its class sets itself.

    Mostly the option comes from the dataset of a base config, with which this one was merged.

    Args:
        cfg: The merged config.
        stages: Whose datasets are looked at: of ``'train'``, ``'val'``, ``'test'``.
    """
    for stage in stages:
        dataset = (cfg.get(f'{stage}_dataloader') or {}).get('dataset')
        for place, leaf in leaves(dataset, f'{stage}_dataloader.dataset'):
            kind = _dataset_class(leaf)
            for name in getattr(kind, 'SET_BY_CLASS', ()):
                if name in leaf:
                    yield (f'{place}.{name}',
                           f'{kind.__name__} sets {name} itself and takes no such option. If it '
                           'comes from the dataset of a base config, replace that one: '
                           'dataset=dict(_delete_=True, type=...)')


def _semantic_problems(cfg: Mapping, stages: Sequence[str], head: Mapping
                       ) -> Iterator[tuple[str, str]]:
    """Yield where a head tells other classes of the two dates than the datasets have."""
    count = head.get('num_semantic_classes')
    for stage in stages if isinstance(count, int) else ():
        dataset = (cfg.get(f'{stage}_dataloader') or {}).get('dataset')
        for place, leaf in leaves(dataset, f'{stage}_dataloader.dataset'):
            names = _semantic_names(leaf)
            if names and len(names) != count:
                yield ('model.change_head.num_semantic_classes',
                       f'{count}, and the class maps of {place} have {len(names)} classes '
                       f'({", ".join(names)}): set model.change_head.num_semantic_classes='
                       f'{len(names)}')


def _semantic_names(dataset: Mapping) -> tuple[str, ...]:
    """Return the names of the classes 1 to K that a dataset brings for each date, if it does."""
    kind = _dataset_class(dataset)
    labels = getattr(kind, 'SEMANTIC', None)
    steps = [step.get('type') for step in dataset.get('pipeline') or ()
             if isinstance(step, Mapping)]
    if labels is None or 'LoadSemanticMaps' not in steps:
        return ()
    told = dataset.get('semantic_classes') or (dataset.get('metainfo') or {}).get(
        'semantic_classes')
    # Of the built-in dataset they are an option, off by default.
    wanted = dataset.get('semantic', keywords_of(kind).defaults.get('semantic')) is not False
    return tuple(told or labels.names)[1:] if wanted else ()


def band_problems(cfg: Mapping, stages: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield (dotted place, problem) where images are read with other bands than the encoder takes.

    Args:
        cfg: The merged config.
        stages: Whose datasets are looked at: of ``'train'``, ``'val'``, ``'test'``.
    """
    encoder = (cfg.get('model') or {}).get('encoder') or {}
    kind = Schema('MODELS').find(encoder.get('type')) if encoder.get('type') else None
    # An option of some encoders, 3 of all others; a backbone by scope has no such attribute.
    wanted = encoder.get('bands') or _default(encoder.get('type'), 'bands') or getattr(
        kind, 'bands', None)
    if not isinstance(wanted, int):
        return
    for stage in stages:
        dataset = (cfg.get(f'{stage}_dataloader') or {}).get('dataset')
        for place, leaf in leaves(dataset, f'{stage}_dataloader.dataset'):
            for number, step in enumerate(leaf.get('pipeline') or ()):
                if not isinstance(step, Mapping) or step.get('type') != 'LoadFrames':
                    continue
                found = len(step.get('bands') or (0, 0, 0))
                if found != wanted:
                    yield (f'{place}.pipeline.{number}.bands',
                           f'{found} bands are read, and {encoder["type"]} takes {wanted}: choose '
                           f'{wanted} bands here, or set model.encoder.bands={found}')


def _default(kind: Any, name: str) -> Any:
    """Return the default of a constructor's argument, None where it has none."""
    target = Schema('MODELS').find(kind) if kind else None
    found = inspect.signature(target).parameters.get(name) if target else None
    return None if found is None or found.default is found.empty else found.default


def leaves(dataset: Any, place: str) -> Iterator[tuple[str, Mapping]]:
    """Yield the datasets inside wrappers that repeat or join them."""
    if not isinstance(dataset, Mapping):
        return
    if isinstance(dataset.get('dataset'), Mapping):
        yield from leaves(dataset['dataset'], f'{place}.dataset')
    elif isinstance(dataset.get('datasets'), list | tuple):
        for number, inner in enumerate(dataset['datasets']):
            yield from leaves(inner, f'{place}.datasets.{number}')
    else:
        yield place, dataset


def _classes_of(dataset: Mapping) -> tuple[int, str]:
    """Return how many classes the labels of a dataset have, and their names for a message."""
    loader, kind = _mask_loader(dataset), _dataset_class(dataset)
    if loader is None or kind is None:
        return 0, ''
    if dataset.get('semantic'):  # classes are in maps of their own, of change is said yes or no
        return 2, ''
    if loader.get('label_map') is None and loader.get('palette') is not None:
        return len(loader['palette']), ''
    label_map = _label_map(dataset)
    if label_map is None:
        return 2, ''
    names = dataset.get('classes') or _told(dataset).get('classes') or getattr(
        kind, 'METAINFO', {}).get('classes')
    labels = 1 + max((index for index in label_map.values()
                      if index not in (*PARTLY_KNOWN, IGNORE)), default=0)
    return labels, f' ({", ".join(names)})' if names and len(names) == labels else ''


def _label_map(dataset: Mapping) -> Mapping | None:
    """Return file value -> label of a dataset whose masks are loaded by one; None of others."""
    loader, kind = _mask_loader(dataset), _dataset_class(dataset)
    found = None if loader is None or dataset.get('label_threshold') is not None else (
        loader.get('label_map') or dataset.get('label_map') or _told(dataset).get('label_map')
        or getattr(kind, 'LABEL_MAP', None))
    return found if isinstance(found, Mapping) else None


def _told(dataset: Mapping) -> Mapping[str, Any]:
    """Return what a dataset's folder says about the values of its labels."""
    folder, _ = _folder_of(dataset)
    return {} if folder is None else read_classes(folder)


def _mask_loader(dataset: Mapping) -> Mapping | None:
    steps = [step for step in dataset.get('pipeline') or () if isinstance(step, Mapping)]
    return next((step for step in steps if step.get('type') == 'LoadChangeMask'), None)


def _dataset_class(dataset: Mapping) -> type | None:
    return Schema('DATASETS').find(dataset['type']) if dataset.get('type') else None
