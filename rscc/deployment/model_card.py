"""Description of a published model: its card with front matter for the hub, and a STAC record.

The record follows the Machine Learning Model extension of STAC (MLM), whose package ``stac-model``
reads it: https://github.com/stac-extensions/mlm. A model has no place or time of its own, so its
footprint is the whole earth at any time.
"""
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml

from rscc.config.files import CARD
from rscc.deployment.provenance import RANDOM
from rscc.utils.files import read_text
from rscc.utils.licences import HUB
from rscc.version import __version__

#: Between which the figures of a card stand.
BEGIN, END = '<!-- figures -->', '<!-- /figures -->'
_EXTENSIONS = ('mlm/v1.6.0', 'file/v2.1.0', 'raster/v2.0.0', 'eo/v2.0.0', 'classification/v2.0.0')
#: Names of the first three bands; the others are numbered.
_BANDS = ('red', 'green', 'blue')
_LANGUAGES = {'en': 'English', 'zh': 'Chinese'}
#: Between lines of three hyphens at the top of a card: what the hub reads.
_FRONT = re.compile(r'\A---\n(.*?)\n---\n+', re.S)
#: Licences that the hub knows by the small letters of their SPDX names; others are named beside it.
_HUB_LICENCES = frozenset((
    'apache-2.0', 'mit', 'bsd-2-clause', 'bsd-3-clause', 'cc0-1.0', 'cc-by-4.0', 'cc-by-sa-4.0',
    'cc-by-nc-4.0', 'cc-by-nc-sa-4.0', 'cc-by-nc-nd-4.0', 'gpl-3.0', 'lgpl-3.0', 'agpl-3.0'))


@dataclass(frozen=True)
class ModelDescription:
    """Facts about a published model, for its card and its record.

    Attributes:
        name: By which it is called.
        licence: SPDX name of the licence of the weights.
        file: Name of the file of weights.
        sha256: Its hash, 64 hex digits.
        size: Its bytes.
        architecture: Name of the network.
        parameters: Number of them.
        heads: Of ``change_head``, ``caption_head``, ``flag_head``.
        config: Name of the config that it was trained with; empty where not known.
        half: Whether weights are stored in 16 bits.
        classes: Of the map, class 0 first.
        palette: Red, green, blue of every class, 0 to 255.
        languages: That it writes.
        threshold: P(changed) above which a pixel of a single-channel map is changed.
        normalisation: ``mean``, ``std`` (0-1 scale) and ``source``; None where not known.
        ground_resolution: Metres a pixel in training; None where not known.
        bands: Bands of an image; red, green and blue first.
        window: (H, W) in pixels that it sees at once; None for any.
        resized: (H, W) that a window is resized to; None if it stays.
        dates: Images of a sample, 1 or 2.
        rendered: Whether it was trained on rendered images alone.
        started_from: Weights that the encoder started from, or ``'random weights'``; None where not
            known.
        made_from: Published model whose weights these are under another name; None for new ones.
        date_classes: Of the class map of each date, class 1 first; empty without such maps.
        date_palette: Red, green, blue of each of these.
        same_class: Whether a changed pixel may have one class at both dates.
        metrics: Name -> score, as it was measured.
        datasets: That it was trained on, as the hub names them.
    """
    name: str
    licence: str
    file: str
    sha256: str
    size: int
    architecture: str
    parameters: int
    heads: tuple[str, ...]
    config: str
    half: bool
    classes: tuple[str, ...]
    palette: tuple[tuple[int, ...], ...]
    languages: tuple[str, ...]
    threshold: float
    normalisation: Mapping[str, Any] | None
    ground_resolution: float | None
    bands: int
    window: tuple[int, int] | None
    resized: tuple[int, int] | None
    dates: int
    rendered: bool
    started_from: str | None
    made_from: str | None = None
    date_classes: tuple[str, ...] = ()
    date_palette: tuple[tuple[int, ...], ...] = ()
    same_class: bool = True
    metrics: Mapping[str, float] = field(default_factory=dict)
    datasets: tuple[str, ...] = ()

    @property
    def band_names(self) -> list[str]:
        """Names of the bands, in the order in which they are read."""
        return [_BANDS[number] if number < 3 else f'band-{number + 1}'
                for number in range(self.bands)]


# ---- card --------------------------------------------------------------------------------------


def fill_card(path: Path, model: ModelDescription) -> str:
    """Return a card with the front matter of a model, and its figures between their marks.

    Args:
        path: The card; where there is none, one with the figures alone is begun. What else stands
            in it is kept, other entries of its front matter too.
        model: Whose figures.

    Raises:
        ValueError: If the marks are missing, unpaired or there twice, or the front matter is none.
    """
    figures = f'{BEGIN}\n{_table(model)}\n{END}'
    if not path.is_file():
        return f'{front_matter(model)}\n# {model.name}\n\n{figures}\n'
    kept, card = _split(read_text(path, 'card'), path)
    if (card.count(BEGIN), card.count(END)) != (1, 1) or card.index(BEGIN) > card.index(END):
        raise ValueError(f"'{path}' needs the marks '{BEGIN}' and '{END}' once each and in this "
                         f'order; found {card.count(BEGIN)} and {card.count(END)}. Put them where '
                         'the figures should stand')
    return (f'{front_matter(model, kept)}\n' + card[:card.index(BEGIN)] + figures
            + card[card.index(END) + len(END):])


def front_matter(model: ModelDescription, kept: Mapping[str, Any] | None = None) -> str:
    """Return what the hub reads at the top of a card: licence, tags, data, metrics, results.

    Args:
        model: Whose.
        kept: Entries that stood there before; those of the same name are replaced.
    """
    licence = model.licence.lower()
    known = {'license': licence} if licence in (*_HUB_LICENCES, *HUB) else {
        'license': 'other', 'license_name': licence}
    told = {
        **known, 'library_name': 'rscc', 'pipeline_tag': _pipeline(model), 'tags': _tags(model),
        'language': [*model.languages], 'datasets': [*model.datasets],
        'metrics': [*model.metrics], 'model-index': _results(model)}
    values = {**(kept or {}), **{key: value for key, value in told.items() if value}}
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100)
    return f'---\n{text}---\n'


def _split(card: str, path: Path) -> tuple[dict[str, Any], str]:
    """Return the entries of the front matter of a card, and the card behind it."""
    found = _FRONT.match(card)
    if found is None:
        return {}, card
    try:
        kept = yaml.safe_load(found[1])
    except yaml.YAMLError as error:
        raise ValueError(f"the front matter of '{path}' is not valid YAML: "
                         f'{str(error).splitlines()[0]}. Correct it, or remove it with both of '
                         'its lines of hyphens: it is written anew') from error
    if not isinstance(kept, dict):
        raise ValueError(f"the front matter of '{path}' is {type(kept).__name__}; entries such as "
                         "'license: mit' were expected")
    return kept, card[found.end():]


def _pipeline(model: ModelDescription) -> str:
    """Return the task by which the hub lists a model: that of its first head."""
    named = dict(change_head='image-segmentation', caption_head='image-to-text',
                 flag_head='image-classification')
    return next((task for head, task in named.items() if head in model.heads), 'other')


def _tags(model: ModelDescription) -> list[str]:
    pair = 'change-' if model.dates == 2 else 'image-'
    return ['remote-sensing',
            *([f'{pair}detection' if model.dates == 2 else 'image-segmentation']
              if 'change_head' in model.heads else []),
            *(['semantic-change-detection'] if model.date_classes else []),
            *([f'{pair}captioning'] if 'caption_head' in model.heads else [])]


def _results(model: ModelDescription) -> list[dict[str, Any]]:
    """Return scores in the hub's form, which wants the dataset that they were measured on."""
    if not (model.metrics and len(model.datasets) == 1):
        return []
    scores = [{'type': name, 'value': value} for name, value in model.metrics.items()]
    return [{'name': model.name, 'results': [{
        'task': {'type': _pipeline(model)},
        'dataset': {'type': model.datasets[0], 'name': model.datasets[0]}, 'metrics': scores}]}]


def _table(model: ModelDescription) -> str:
    rows = {
        'name': f'`{model.name}`',
        'file': f'`{model.file}`, {model.size / 1e6:.1f} MB, '
                f'{"16" if model.half else "32"}-bit floating point',
        'SHA-256': f'`{model.sha256}`',
        'architecture': f'{model.architecture}, {model.parameters / 1e6:.2f} M parameters',
        'answers': ', '.join(_answers(model)),
        'classes': ', '.join(f'{number} {name}' for number, name in enumerate(model.classes)),
        'classes of each date': ', '.join(
            f'{number} {name}' for number, name in enumerate(model.date_classes, 1)),
        'transitions': _transitions(model),
        'languages': ', '.join(_LANGUAGES.get(name, name) for name in model.languages),
        'input': _input(model),
        'normalisation': _normalisation(model),
        'ground resolution': '' if model.ground_resolution is None else
                             f'{model.ground_resolution:g} m a pixel in training',
        'threshold': f'{model.threshold:g}' if len(model.classes) == 2 else '',
        'training images': 'rendered only' if model.rendered else '',
        'datasets': ', '.join(model.datasets),
        'metrics': ', '.join(f'{name} {value:g}' for name, value in model.metrics.items()),
        'encoder started from': model.started_from or 'unknown',
        'weights of': '' if model.made_from is None else
                      f'`{model.made_from}`, whose card tells of its training data and limits',
        'config': f'`{model.config}`' if model.config else '',
        'licence of the weights': model.licence}
    lines = [f'| {name} | {value} |' for name, value in rows.items() if value]
    return '\n'.join(['| | |', '| --- | --- |', *lines])


def _answers(model: ModelDescription) -> list[str]:
    maps = 'map of classes'
    if model.date_classes:
        maps = 'change map, class map of each date, transitions between the classes'
    said = dict(change_head=maps, caption_head='sentences', flag_head='probability of a change')
    return [words for head, words in said.items() if head in model.heads]


def _transitions(model: ModelDescription) -> str:
    """Return how many pairs of an earlier and a later class a changed pixel may have."""
    count = len(model.date_classes)
    if not count:
        return ''
    kinds = 'changes within a class among them' if model.same_class else 'none within a class'
    return (f'{count * count if model.same_class else count * (count - 1)} from a class of the '
            f'earlier date to one of the later date, {kinds}; unchanged pixels have one class at '
            'both dates')


def _input(model: ModelDescription) -> str:
    what = 'two dates' if model.dates == 2 else 'one image'
    size = '' if model.window is None else f', windows of {model.window[0]} x {model.window[1]}'
    resized = '' if model.resized is None else (f' resized to {model.resized[0]} x '
                                                f'{model.resized[1]}')
    return f'{what}, bands {", ".join(model.band_names)}{size}{resized}'


def _normalisation(model: ModelDescription) -> str:
    told = model.normalisation
    if told is None:
        return ''
    mean, std = (', '.join(f'{value:.4g}' for value in told[key]) for key in ('mean', 'std'))
    return f'mean ({mean}), standard deviation ({std}) of values from 0 to 1'


# ---- STAC --------------------------------------------------------------------------------------


def stac_item(model: ModelDescription) -> dict[str, Any]:
    """Return the STAC item of a model, a GeoJSON feature; the same for the same weights."""
    west, south, east, north = box = [-180.0, -90.0, 180.0, 90.0]
    corners = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {
        'type': 'Feature', 'stac_version': '1.1.0', 'id': model.name,
        'stac_extensions': [f'https://stac-extensions.github.io/{name}/schema.json'
                            for name in _EXTENSIONS],
        'geometry': {'type': 'Polygon', 'coordinates': [corners]}, 'bbox': box,
        'properties': {
            'title': model.name, 'license': model.licence,
            'description': f'{model.name} of rscc {__version__}: {", ".join(_answers(model))} '
                           f'about {"two dates" if model.dates == 2 else "one image"} of a place '
                           f'seen from above',
            'datetime': None, 'start_datetime': '1900-01-01T00:00:00Z',
            'end_datetime': '9999-12-31T23:59:59Z', 'bands': _bands(model), **_mlm(model)},
        'links': [], 'assets': _assets(model)}


def _mlm(model: ModelDescription) -> dict[str, Any]:
    outputs = _outputs(model)
    return {
        'mlm:name': model.name, 'mlm:architecture': model.architecture,
        'mlm:tasks': sorted({task for output in outputs for task in output['tasks']}),
        'mlm:framework': 'PyTorch', 'mlm:framework_version': torch.__version__.split('+')[0],
        'mlm:total_parameters': model.parameters, **_start(model),
        'mlm:accelerator_constrained': False,
        'mlm:hyperparameters': {'threshold': model.threshold,
                                **({} if model.window is None else {'window': [*model.window]})},
        'mlm:input': [_stac_input(model)], 'mlm:output': outputs}


def _start(model: ModelDescription) -> dict[str, Any]:
    """Return what the encoder started from; nothing where that is not known."""
    if model.started_from is None:
        return {}
    random = model.started_from == RANDOM
    return {'mlm:pretrained': not random,
            'mlm:pretrained_source': None if random else model.started_from}


def _stac_input(model: ModelDescription) -> dict[str, Any]:
    sides = model.resized or model.window or (-1, -1)
    told = model.normalisation
    # The weights' statistics are of values from 0 to 1; images come in 8 bits.
    scaling = [] if told is None else [
        {'type': 'z-score', 'mean': round(255 * mean, 6), 'stddev': round(255 * std, 6)}
        for mean, std in zip(told['mean'], told['std'], strict=True)]
    return {
        'name': 'two dates of one place' if model.dates == 2 else 'image',
        'description': 'Values of 8 bits'
                       + (', the earlier date first' if model.dates == 2 else '')
                       + ('; larger images in overlapping windows' if model.window else ''),
        'bands': model.band_names,
        'input': {'shape': [-1, model.dates, model.bands, *sides], 'data_type': 'uint8',
                  'dim_order': ['batch', 'time', 'bands', 'height', 'width']},
        **({'value_scaling': scaling} if scaling else {}),
        'resize_type': None if model.resized is None else 'interpolation-area'}


def _outputs(model: ModelDescription) -> list[dict[str, Any]]:
    """Return one output for every head; of a head with class maps, one for each map."""
    outputs = []
    if 'change_head' in model.heads:
        outputs.append(_map_output('change map', model.classes, model.palette))
        outputs += [_map_output(f'class map of the {date} date', ('none', *model.date_classes),
                                ((0, 0, 0), *model.date_palette), description=(
                                    f'What was there at the {date} date. Pixels that the change '
                                    'map calls unchanged have one class at both dates; at the '
                                    'others both maps tell from what to what'))
                    for date in ('earlier', 'later') if model.date_classes]
    if 'caption_head' in model.heads:
        written = ' and '.join(_LANGUAGES.get(name, name) for name in model.languages)
        outputs.append(_output('sentences', 'image-captioning', [], 'other', [],
                               description=f'Text in {written}'))
    if 'flag_head' in model.heads:
        outputs.append(_output('change flag', 'scene-classification', [], 'float32', [],
                               description='Probability that anything changed, 0 to 1'))
    return outputs


def _map_output(name: str, classes: Sequence[str], palette: Sequence[tuple[int, ...]],
                **more: Any) -> dict[str, Any]:
    return _output(name, 'semantic-segmentation', ['height', 'width'], 'uint8', [-1, -1], **more,
                   **{'classification:classes': _classes(classes, palette)})


def _output(name: str, task: str, axes: list[str], data_type: str, shape: list[int],
            **more: Any) -> dict[str, Any]:
    return {'name': name, 'tasks': [task],
            'result': {'shape': [-1, *shape], 'dim_order': ['batch', *axes],
                       'data_type': data_type}, **more}


def _classes(names: Sequence[str], palette: Sequence[tuple[int, ...]]) -> list[dict[str, Any]]:
    """Return the classes; their names have no blanks there, their descriptions have."""
    classes = []
    for value, name in enumerate(names):
        plain = re.sub(r'[^0-9A-Za-z_-]+', '-', name).strip('-') or f'class-{value}'
        colour = palette[value] if value < len(palette) else None
        classes.append({'value': value, 'name': plain, 'description': name,
                        **({} if colour is None else
                           {'color_hint': ''.join(f'{part:02X}' for part in colour)})})
    return classes


def _bands(model: ModelDescription) -> list[dict[str, Any]]:
    """Return the bands that the input names, with the ground resolution of the training."""
    resolution = {} if model.ground_resolution is None else {
        'raster:spatial_resolution': model.ground_resolution}
    return [{'name': name, 'data_type': 'uint8', **resolution,
             **({'eo:common_name': name} if name in _BANDS else {})}
            for name in model.band_names]


def _assets(model: ModelDescription) -> dict[str, Any]:
    return {
        'model': {
            'href': f'./{model.file}', 'title': f'Weights of {model.name} with their config',
            # STAC 1.1 wants bands at an asset, MLM at the item.
            'type': 'application/octet-stream; framework=pytorch', 'bands': _bands(model),
            'roles': ['mlm:model', 'mlm:weights', 'data'], 'mlm:artifact_type': 'safetensors',
            'file:size': model.size,
            # A multihash: 0x12 is SHA-256, 0x20 its 32 bytes.
            'file:checksum': f'1220{model.sha256}'},
        'card': {'href': f'./{CARD}', 'title': 'Model and data card', 'type': 'text/markdown',
                 'roles': ['metadata']}}
