"""Metafiles of methods: paper, configs, weights and results as data, checked when they are read.

``configs/METHOD.yml`` holds one method, or several as documents that ``---`` parts; the datasets
that they name stand in ``configs/datasets.yml``. :data:`METHOD` and :data:`DATASETS` are the whole
form. Figures are text, so that their digits stay as they were written. Those of others are typed in
with their source (``published``), marked ``secondary`` where others than the authors quote them;
our own are never typed in: ``measured`` names the cells of a table that a command wrote.
"""
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from rscc.config.files import WEIGHTS, config_folders, packaged_configs, packaged_weights
from rscc.utils.files import file_hash, read_text
from rscc.utils.forms import check_form
from rscc.utils.licences import check_dataset_name, licence_name
from rscc.utils.logging import warn_once
from rscc.utils.names import check_choice, did_you_mean

#: What a model may be asked for.
TASKS = ('change captioning', 'change detection', 'semantic change', 'image captioning')
#: The same in both languages of the documentation, or one text for each.
TEXT = (str, {'en': str, 'zh': str})
#: Version of the form; a YAML file without it is no metafile and is left alone.
VERSION = {1}
_NORMALISATION = ({'mean': [float], 'std': [float]}, {'with the weights', 'default'})
_ADD_DATASET = '; or add it to configs/datasets.yml'
_MEASURED = {'task': str, 'model': str, 'dataset': str, 'file': str, 'section': str,
             'command': str, 'figures': {str: [str]}, 'note?': TEXT}
_PUBLISHED = {'task': str, 'model': str, 'dataset': str, 'figures': {str: str}, 'source': TEXT,
              'url': str, 'config?': str, 'note?': TEXT, 'secondary?': {True},
              'counting?': {'pooled', 'from-to'}}
#: Form of one document; see :mod:`rscc.utils.forms` and docs/en/model_zoo.md.
METHOD = {
    'metafile': VERSION, 'method': str, 'tasks': [str], 'summary': TEXT,
    'paper?': {'title': str, 'authors?': [str], 'venue': str, 'year': range(1950, 2100),
               'url': str, 'code?': str},
    'pretrained?': {str: {'title': TEXT, 'from': str, 'variable?': str, 'sha256?': str,
                          'licence?': str}},
    'models': [{'variant': TEXT, 'tasks?': [str], 'pretrained?': [str],
                'normalisation': _NORMALISATION, 'input': TEXT, 'extra_inputs?': [TEXT],
                'configs': {str: str}}],
    'commands?': [str],
    'weights?': [{'name': str, 'file': str, 'sha256': str, 'licence': str, 'config': str}],
    'measured?': [_MEASURED], 'published?': [_PUBLISHED], 'notes?': [TEXT]}
#: Form of ``datasets.yml``: metres a pixel, how images become those of the training, its section.
DATASETS = {'metafile': VERSION, 'datasets': {str: {
    'ground_resolution': (float, TEXT), 'images': TEXT, 'tiling?': TEXT, 'section': TEXT,
    'hub?': str}}}
_HEX = re.compile(r'[0-9a-f]{64}')
_FIGURE = re.compile(r'-?\d+(\.\d+)?( ± \d+(\.\d+)?)?')
_HELP = 'docs/en/model_zoo.md explains the form of metafiles'


@dataclass(frozen=True)
class ModelInfo:
    """One entry of the list of models: a config, or weights that come with rscc.

    Attributes:
        name: Of the config or of the weights.
        method: Whose it is.
        tasks: What it answers, of :data:`TASKS`; the first one is the one that it stands under.
        dataset: That it is trained and tested on.
        variant: What tells it from others of its method, in both languages.
        weights: File of its weights; None for a config.
        facts: The part of the metafile that describes it.
        method_facts: The whole document.
    """
    name: str
    method: str
    tasks: tuple[str, ...]
    dataset: str
    variant: str | Mapping[str, str]
    weights: Path | None = None
    facts: Mapping[str, Any] = field(default_factory=dict, repr=False)
    method_facts: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class ModelList:
    """Everything that metafiles tell.

    Attributes:
        methods: One checked document for each method, by name, in the order of the files.
        datasets: Name -> what ``datasets.yml`` tells.
        models: Name -> entry; configs first, then weights, method by method.
    """
    methods: Mapping[str, Mapping[str, Any]]
    datasets: Mapping[str, Mapping[str, Any]]
    models: Mapping[str, ModelInfo]


# ---- reading -----------------------------------------------------------------------------------


def read_metafiles(folders: Sequence[Path] | None = None, skip_wrong: bool = False) -> ModelList:
    """Read and check every metafile.

    Args:
        folders: Where ``*.yml`` are looked for; None for ``configs`` of the working folder and
            those that come with rscc. A file name of an earlier folder hides that of a later one.
        skip_wrong: Leave out what is wrong and warn of it, so that one mistake does not hide all
            other models. Tests and the pages of all models do without.

    Raises:
        ValueError: If one is not of the form, or names a config, dataset, file or hash that is
            not right; the message says what was found, what was expected, and the nearest name.
    """
    folders = [*dict.fromkeys([*config_folders(), packaged_configs()])] if (
        folders is None) else folders
    paths: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.glob('*.yml')):
            paths.setdefault(path.name, path)
    documents: list[tuple[str, Path, dict[str, Any]]] = []
    for path in paths.values():
        with _warning_of_errors(skip_wrong, f"'{path}'"):
            documents += [(where, path, data) for where, data in _documents(path)]
    datasets, lost = _datasets(documents, skip_wrong)
    methods: dict[str, Any] = {}
    models: dict[str, ModelInfo] = {}
    for where, path, data in documents:
        if 'datasets' not in data:
            with _warning_of_errors(skip_wrong, where):
                known = {**datasets, **_named_datasets(data)} if lost else datasets
                check_method(data, where, path.parent, known)
                _add(data, where, methods, models)
                datasets = known
    return ModelList(methods, datasets, models)


@contextmanager
def _warning_of_errors(skip: bool, where: str) -> Iterator[None]:
    """Turn an error inside into a warning, which names the place, if it is to be skipped."""
    try:
        yield
    except (ValueError, OSError) as error:
        if not skip:
            raise
        place = '' if str(error).startswith(where) else f'{where}: '
        warn_once(f'a metafile is skipped, and what it lists is not in the list. {place}{error}')


def _datasets(documents: Sequence[tuple[str, Path, dict[str, Any]]], skip: bool
              ) -> tuple[dict[str, Any], bool]:
    """Return the datasets of all documents, and whether some are lost with a wrong document."""
    datasets: dict[str, Any] = {}
    given = [(where, data) for where, _, data in documents if 'datasets' in data]
    right = 0
    for where, data in given:
        with _warning_of_errors(skip, where):
            _check(data, DATASETS, where)
            for name, told in data['datasets'].items():
                if 'hub' in told:
                    check_dataset_name(told['hub'], f'{where}: {name}: hub')
            datasets |= data['datasets']
            right += 1
    return datasets, skip and (right < len(given) or not given)


def _named_datasets(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the datasets that a document names, of which nothing else is known."""
    groups = data.get('models')
    return {str(name): {} for group in (groups if isinstance(groups, list) else ())
            if isinstance(group, Mapping) and isinstance(group.get('configs'), Mapping)
            for name in group['configs'].values()}


def _add(data: Mapping[str, Any], where: str, methods: dict[str, Any],
         models: dict[str, ModelInfo]) -> None:
    """Add a checked document with its entries; none of them if another document has one."""
    if data['method'] in methods:
        raise ValueError(f"{where}: the method '{data['method']}' has another metafile too; "
                         'put both into one')
    entries = list(_models(data))
    for number, entry in enumerate(entries):
        other = {**models, **{one.name: one for one in entries[:number]}}.get(entry.name)
        if other is not None:
            raise ValueError(f"{where}: '{entry.name}' stands under '{other.method}' too; list it "
                             'once')
    methods[data['method']] = data
    models.update((entry.name, entry) for entry in entries)


def _documents(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (place for messages, content) of every document of a metafile."""
    text = read_text(path, 'metafile')
    try:
        documents = list(yaml.safe_load_all(text))
    except yaml.YAMLError as error:
        mark = getattr(error, 'problem_mark', None)
        line = '' if mark is None else f' in line {mark.line + 1}'
        said = getattr(error, 'problem', None) or str(error).splitlines()[0]
        raise ValueError(f"'{path}' is not valid YAML{line}: {said}. {_HELP}") from error
    for number, data in enumerate(documents, 1):
        if isinstance(data, dict) and 'metafile' in data:
            place = f"'{path}'" if len(documents) == 1 else f"'{path}', document {number}"
            yield place, data


def _models(data: Mapping[str, Any]) -> Iterator[ModelInfo]:
    """Yield the entries of one method: its configs, then its weights."""
    for group in data['models']:
        tasks = tuple(group.get('tasks') or data['tasks'])
        for name, dataset in group['configs'].items():
            yield ModelInfo(name, data['method'], tasks, dataset, group['variant'], None, group,
                            data)
    for weights in data.get('weights', ()):
        group = _group_of(weights['config'], data)
        yield ModelInfo(weights['name'], data['method'], tuple(group.get('tasks') or data['tasks']),
                        group['configs'][weights['config']], group['variant'],
                        weights_file(weights['file']), group, data)


def _group_of(config: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
    return next(group for group in data['models'] if config in group['configs'])


def weights_file(name: str) -> Path:
    """Return the file of weights that a metafile names from the root of a clone.

    Args:
        name: ``rscc/weights/FOLDER/model.safetensors``; an installed package has the same.
    """
    return packaged_weights().parent.parent / name


# ---- checking ----------------------------------------------------------------------------------


def check_method(data: Mapping[str, Any], where: str, folder: Path,
                 datasets: Mapping[str, Any]) -> None:
    """Refuse a document whose form, names, files or hashes are not right.

    Args:
        data: What was read.
        where: Its place, the subject of messages.
        folder: Of its configs.
        datasets: Those that are known.

    Raises:
        ValueError: Naming the first thing that is wrong.
    """
    _check(data, METHOD, where)
    for place, tasks in _tasks(data, where):
        for task in tasks:
            check_choice(f'{place}: task', task, TASKS)
    for number, group in enumerate(data['models'], 1):
        _check_group(group, f'{where}: models {number}', data.get('pretrained', {}), folder,
                     datasets)
    names = {name for group in data['models'] for name in group['configs']}
    for key, weights in data.get('pretrained', {}).items():
        if 'sha256' in weights:
            _check_digest(weights['sha256'], f'{where}: pretrained: {key}')
        if 'licence' in weights:
            licence_name(weights['licence'], f'{where}: pretrained: {key}: licence')
    for weights in data.get('weights', ()):
        _known(weights['config'], names, f"{where}: weights '{weights['name']}': config")
        _check_weights(weights, f"{where}: weights '{weights['name']}'")
        names = names | {weights['name']}
    for result in data.get('measured', ()):
        _known(result['model'], names, f'{where}: measured: model')
        _check_owner(result, where)
        _known(result['dataset'], datasets, f'{where}: measured: dataset', _ADD_DATASET)
        _check_file(result['file'], f'{where}: measured: file')
    for result in data.get('published', ()):
        if 'config' in result:
            _known(result['config'], names, f'{where}: published: config')
        for metric, figure in result['figures'].items():
            if not _FIGURE.fullmatch(figure):
                raise ValueError(f"{where}: published: {metric} is '{figure}'; a number was "
                                 "expected, '85.20' or '91.48 ± 0.10' for instance")


def _check(data: Mapping[str, Any], form: Mapping[str, Any], where: str) -> None:
    _refuse_unknown(data, form, where)  # first: of a misspelt key, the right one lacks too
    check_form(data, form, where, f'Figures are in quotes. {_HELP}')


def _refuse_unknown(data: Any, form: Any, where: str) -> None:
    """Refuse keys that a form does not have; a misspelt one would silently say nothing."""
    if isinstance(form, tuple):
        form = next((one for one in form if isinstance(one, Mapping)), None)
    if isinstance(form, list) and isinstance(data, list):
        for number, item in enumerate(data, 1):
            _refuse_unknown(item, form[0], f'{where}: {number}')
    if not (isinstance(form, Mapping) and isinstance(data, Mapping)):
        return
    if str in form:
        for key, value in data.items():
            _refuse_unknown(value, form[str], f'{where}: {key}')
        return
    known = {key.removesuffix('?'): inner for key, inner in form.items()}
    for key, value in data.items():
        if key not in known:
            raise ValueError(f"{where} has '{key}', which no metafile has."
                             f'{did_you_mean(key, known)} Known are {", ".join(known)}')
        _refuse_unknown(value, known[key], f'{where}: {key}')


def _tasks(data: Mapping[str, Any], where: str) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield (place, tasks) wherever a document names tasks."""
    yield where, data['tasks']
    for number, group in enumerate(data['models'], 1):
        yield f'{where}: models {number}', group.get('tasks', ())
    for key in ('measured', 'published'):
        for number, result in enumerate(data.get(key, ()), 1):
            yield f'{where}: {key} {number}', (result['task'], )


def _check_group(group: Mapping[str, Any], where: str, pretrained: Mapping[str, Any],
                 folder: Path, datasets: Mapping[str, Any]) -> None:
    """Check the names in a group of configs that share everything but their data."""
    for name in group.get('pretrained', ()):
        _known(name, pretrained, f'{where}: pretrained')
    for config, dataset in group['configs'].items():
        beside = [path.stem for path in folder.glob('*.py')]
        if config not in beside:
            raise ValueError(f"{where}: no config '{config}.py' in '{folder}'."
                             f'{did_you_mean(config, beside)} Expected the name of a config '
                             'beside the metafile, without its ending')
        _known(dataset, datasets, f'{where}: {config}: dataset', _ADD_DATASET)


def _known(name: str, known: Mapping | set, where: str, or_else: str = '') -> None:
    if name not in known:
        raise ValueError(f"{where} '{name}' is not known.{did_you_mean(name, known)} Expected "
                         f'one of {", ".join(sorted(known)) or "those that are listed (none is)"}'
                         f'{or_else}')


def _check_digest(digest: str, where: str) -> None:
    if not _HEX.fullmatch(digest):
        raise ValueError(f"{where}: sha256 is '{digest}'; 64 digits 0-9 and a-f were expected")


def _check_owner(result: Mapping[str, Any], where: str) -> None:
    """Refuse cells of which neither the row nor the command says that they are the model's."""
    model = result['model']
    name = re.compile(rf'(?<![\w-]){re.escape(model)}(?![\w-])')
    for metric, place in result['figures'].items():
        if not any(name.search(text) for text in (result['command'], *place[:-1])):
            raise ValueError(
                f"{where}: measured: {metric} of '{model}' is read from the row "
                f"'{' | '.join(place[:-1])}', written by '{result['command']}': neither names "
                f"'{model}', so the figure may be of another model. Expected '{model}' at the "
                'start of the row, or as the config or checkpoint of the command')


def _check_weights(weights: Mapping[str, str], where: str) -> None:
    """Compare name, licence and hash of a file of weights with those of the metafile."""
    _check_digest(weights['sha256'], where)
    licence_name(weights['licence'], f'{where}: licence')
    expected = f'rscc/weights/{weights["name"].replace("-", "_")}/{WEIGHTS}'
    if weights['file'] == expected and '_' in weights['name']:
        raise ValueError(f"{where}: get_model knows '{weights['file']}' by the name "
                         f"'{weights['name'].replace('_', '-')}'. Expected this name: that of the "
                         'folder with hyphens for underscores')
    path = weights_file(weights['file'])
    if not path.is_file():
        known = [str(found.relative_to(weights_file(''))) for found in
                 packaged_weights().glob(f'*/{WEIGHTS}')]
        raise ValueError(f"{where}: no file '{weights['file']}'."
                         f'{did_you_mean(weights["file"], known)} Expected one of {known}')
    if weights['file'] != expected:
        raise ValueError(f"{where}: get_model knows these weights by the name "
                         f"'{path.parent.name.replace('_', '-')}', that of their folder with "
                         f"hyphens for underscores; found name '{weights['name']}' and file "
                         f"'{weights['file']}'. Use that name, or move them to '{expected}'")
    found = file_hash(path)
    if found != weights['sha256']:
        raise ValueError(f"{where}: the SHA-256 of '{weights['file']}' is {found}; "
                         f"{weights['sha256']} was expected. Write the new one into the metafile "
                         'if the weights were meant to change, else restore the file')


def _check_file(name: str, where: str) -> None:
    """Refuse a record that is not there; an installed package has no documentation to look at."""
    root = packaged_configs().parent
    if not (root / 'docs').is_dir() or (root / name).is_file():
        return
    beside = [str(path.relative_to(root)) for path in (root / 'docs').rglob('*.md')]
    raise ValueError(f"{where} '{name}' does not exist.{did_you_mean(name, beside)} Expected a "
                     'page of the documentation that holds the table')
