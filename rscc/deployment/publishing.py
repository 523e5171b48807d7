"""Publishing of a trained model: one file that needs no other, its card, its record, its log.

What a training needs and an answer does not is left out: optimizer, trained weights beside their
average, paths of datasets and of starting weights. The file is loaded again as its users will load
it, and must answer rendered pairs as the checkpoint does before anything gets its name.
"""
import copy
import math
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from torch import Tensor

from rscc.config.check import check_overrides, merge_overrides
from rscc.config.files import CARD, FACTS, LOG, STAC_RECORD, WEIGHTS, existing_config
from rscc.config.stored import StoredConfig, config_from_text, named_sources, stored_config
from rscc.deployment.model_card import ModelDescription, fill_card, stac_item
from rscc.deployment.provenance import Provenance, licence_conflicts, provenance
from rscc.engine.checkpoint import FORMAT, read_checkpoint, write_published
from rscc.importers.conversion import load_merged
from rscc.inference.model_pass import ModelPass
from rscc.inference.preparation import image_steps
from rscc.models.change_heads.base import as_change_head
from rscc.models.data_preprocessor import normalisation_record
from rscc.structures import ChangeDataSample
from rscc.synth.generator import plan_pair, render_pair
from rscc.utils import atomic_write, write_json
from rscc.utils.files import file_hash, read_json, read_text
from rscc.utils.forms import check_form
from rscc.utils.licences import check_dataset_name, licence_name
from rscc.utils.names import check_choice

#: Share of the pixels whose class must be that of the checkpoint.
LEAST_EQUAL = 0.999
#: Rendered pairs on which published weights are compared with the checkpoint's.
PAIRS = 16
#: Maps of an answer: of what changed, and of the classes of both dates.
_MAPS = ('pred_sem_seg', 'pred_sem_seg_from', 'pred_sem_seg_to')
_NAME = re.compile(r'[a-z][a-z0-9]*(-[a-z0-9]+)*')
#: Absolute paths, which begin where no other path goes on: in quotes to the end of these, else to
#: the next character that seldom is in a name.
_BEFORE_PATH = r'(?<![\w.~$/\\}-])'
_AFTER_FOLDER = r'(?=[/\s\'",:;)\]]|\.?$|\.\s)'
_START = r'(?:file://)?(?:/(?!/)|[A-Za-z]:[\\/]+)'
_WHOLE_PATH = re.compile(rf'({_START}|~/)\S')
_QUOTED = re.compile(rf'(?P<quote>[\'"])(?P<path>{_START}[^\'"\n]+)(?P=quote)')
_BARE = re.compile(rf'{_BEFORE_PATH}(?P<path>{_START}[^\s\'",:;()\[\]<>|]+)')
#: What JSON keeps of the metadata of a training; the rest tells of the machine or of its state.
_KEPT = ('epoch', 'iter', 'seed', 'experiment_name', 'novelty', 'doubt')


@dataclass(frozen=True)
class PublishOptions:
    """Options of publishing: name, licence and log of a model, precision of its weights.

    Attributes:
        name: By which it is called: small letters, digits and hyphens.
        licence: SPDX name of the licence of the weights, CC-BY-SA-4.0 for instance. That of a
            published model goes with its weights, also into a training that starts from them.
        architecture: Name of the network for people; None for the published model's, else for the
            encoder's as the config has it.
        half: Store floating-point weights in 16 bits.
        force: Publish even if the answers differ, or the weights have another licence.
        log: Log of the training; copied without the folders of this machine.
        overrides: Settings of the config by dotted key, a threshold found after the training say.
        metrics: Name -> score, or a JSON file of such, as ``tools/test.py --out`` writes it; None
            for those of the published model whose weights these are, with the same settings.
        datasets: That it was trained on, as the hub names them; empty for those that the published
            model was.
    """
    name: str
    licence: str
    architecture: str | None = None
    half: bool = False
    force: bool = False
    log: str | os.PathLike | None = None
    overrides: Mapping[str, Any] | None = None
    metrics: Mapping[str, float] | str | os.PathLike | None = None
    datasets: Sequence[str] = ()

    @classmethod
    def of(cls, folder: str | os.PathLike, licence: str, name: str | None = None, **options: Any
           ) -> 'PublishOptions':
        """Return options for a folder, by which a model without a name is called.

        Args:
            folder: Of the model.
            licence: SPDX name.
            name: Of the model; None for the folder's, with hyphens.
            **options: The other attributes.

        Raises:
            ValueError: If there is no such option; the message names the nearest.
        """
        for option in options:
            check_choice('option', option, cls.__dataclass_fields__)
        return cls(name or Path(folder).resolve().name.replace('_', '-'), licence, **options)


@dataclass(frozen=True)
class Agreement:
    """Agreement of the answers of a published file with those of its checkpoint.

    Attributes:
        pairs: Number of rendered pairs that both answered.
        pixels: Share of pixels of the same class, 0 to 1; None without a mask head.
        sentences: Same sentences and all sentences; None without a caption head.
        flag: Largest difference of the probability of a change; None without a flag head.
    """
    pairs: int
    pixels: float | None
    sentences: tuple[int, int] | None
    flag: float | None

    @property
    def good(self) -> bool:
        """Whether the answers are the same, but for single pixels."""
        same = self.sentences is None or self.sentences[0] == self.sentences[1]
        return same and (self.pixels is None or self.pixels >= LEAST_EQUAL)

    def __str__(self) -> str:
        """Say what was the same, in one line."""
        said = [] if self.pixels is None else [f'{self.pixels:.3%} of the pixels of masks equal']
        if self.sentences is not None:
            said.append(f'{self.sentences[0]} of {self.sentences[1]} sentences equal')
        if self.flag is not None:
            said.append(f'flag within {self.flag:.1g}')
        return f'{self.pairs} rendered pairs: {", ".join(said)}'


@dataclass(frozen=True)
class Published:
    """Files of a published model, their description and their agreement with the checkpoint.

    Attributes:
        files: The weights first.
        description: What card and record say of the model.
        agreement: How far its answers are those of the checkpoint.
    """
    files: list[Path]
    description: ModelDescription
    agreement: Agreement


def publish(config: str | os.PathLike | Config | None, checkpoint: str | os.PathLike,
            folder: str | os.PathLike, options: PublishOptions) -> Published:
    """Write a trained model as a folder of weights, config, card, STAC record and log.

    Args:
        config: The config that it was trained with; None for the one in the checkpoint.
        checkpoint: What was trained. Averaged weights, where there are any, are its weights.
        folder: Gets ``model.safetensors``, whose header holds config and metadata;
            ``config.json``, the same without weights; ``README.md``, whose text around the figures
            is kept; ``stac_item.json`` and ``training.log``.
        options: See :class:`PublishOptions`.

    Raises:
        FileNotFoundError: If config, checkpoint or log is not there.
        ValueError: If the model needs files beside its checkpoint, its config names paths of this
            machine, the metrics are no numbers, licence or data sets have no such name, the weights
            have another licence or the published file would answer otherwise than the checkpoint
            (unless forced), or the card has no place for the figures.
    """
    if not _NAME.fullmatch(options.name):
        raise ValueError(f"'{options.name}' is no name of a model: expected small letters, digits "
                         "and hyphens, beginning with a letter, 'rscc-small' for instance")
    folder, log = Path(folder), None
    if options.log is not None:
        log = _portable(options.log, options.name)
    options = _checked(options)
    cfg = _config(config, checkpoint)
    origin = provenance(cfg, checkpoint)
    options = _carried(options, origin)
    if options.overrides:
        problems, accepted = check_overrides(cfg.to_dict(), options.overrides)
        if problems:
            raise ValueError('; '.join(f'{problem.where}: {problem.what}' for problem in problems))
        merge_overrides(cfg, accepted)
    trained = ModelPass.of(cfg, checkpoint, 'cpu', fuse_conv_bn=False)
    state, text, meta = _contents(cfg, trained, checkpoint, options, origin)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix='.publish-', dir=folder) as temporary:
        made = Path(temporary) / WEIGHTS
        write_published(made, state, text, meta)
        published = ModelPass.of(made, None, 'cpu', fuse_conv_bn=False)
        agreement = compare(trained, published, PAIRS)
        if not agreement.good and not options.force:
            remedy = 'Publish without --half' if options.half else 'Use the config of the training'
            raise ValueError(
                f'the published file would answer otherwise than the checkpoint. {agreement}; '
                f'expected at least {LEAST_EQUAL:.1%} of the pixels, and every sentence. {remedy}, '
                'or with --force if that is meant. Nothing was written')
        description = _describe(published, made, options, origin)
        card = fill_card(folder / CARD, description)
        os.replace(made, folder / WEIGHTS)
    write_json(folder / FACTS, {
        'rscc_format': FORMAT, 'weights': WEIGHTS, 'config': _plain(config_from_text(
            text, WEIGHTS).to_dict()), **meta})
    write_json(folder / STAC_RECORD, stac_item(description))
    with atomic_write(folder / CARD) as file:
        file.write(card)
    files = [folder / name for name in (WEIGHTS, FACTS, CARD, STAC_RECORD)]
    if log is not None:
        with atomic_write(folder / LOG) as file:
            file.write(log)
        files.append(folder / LOG)
    return Published(files, description, agreement)


# ---- what is published -------------------------------------------------------------------------


def _config(config: str | os.PathLike | Config | None, checkpoint: str | os.PathLike) -> Config:
    """Return a config that may be edited: the one that is given, else the checkpoint's."""
    if config is None:
        return stored_config(read_checkpoint(checkpoint), str(checkpoint))
    return copy.deepcopy(config) if isinstance(config, Config) else (
        Config.fromfile(existing_config(config)))


def _checked(options: PublishOptions) -> PublishOptions:
    """Return options with the licence as its list writes it and the metrics read."""
    for dataset in options.datasets:
        check_dataset_name(dataset, 'datasets')
    metrics = None if options.metrics is None else _metrics(options.metrics)
    return replace(options, licence=licence_name(options.licence), metrics=metrics)


def _carried(options: PublishOptions, origin: Provenance) -> PublishOptions:
    """Return options with what the published model behind them says of itself.

    Raises:
        ValueError: If its licence is another one, unless forced.
    """
    conflicts = licence_conflicts(origin, options.licence)
    if conflicts and not options.force:
        raise ValueError(
            f'{" and ".join(conflicts)}, and these are its weights or were trained from them; '
            f"found licence '{options.licence}'. Give {', '.join(origin.licences.values())}, or "
            'with --force (force=True) if the rights are yours. Nothing was written')
    same = not options.overrides  # other settings have other scores
    return replace(
        options, architecture=options.architecture or origin.told.get('architecture'),
        metrics=options.metrics if options.metrics is not None else
        dict(origin.metrics) if same else {},
        datasets=tuple(options.datasets or origin.told.get('datasets') or ()))


def _metrics(told: Mapping[str, float] | str | os.PathLike) -> dict[str, float]:
    """Return scores by name: those that are given, or those in a JSON file."""
    where = 'metrics'
    if isinstance(told, str | os.PathLike):
        where, told = f"'{told}'", read_json(told)
        told = told.get('metrics', told) if isinstance(told, Mapping) else told
    told = _plain(told)
    check_form(told, {str: float}, where, 'Expected scores by name, {"F1_changed": 0.8} for '
               'instance, or a predictions file of tools/test.py')
    odd = [name for name, value in told.items() if not math.isfinite(value)]
    if odd:
        raise ValueError(f'{where} holds {told[odd[0]]} for {odd}: leave out what has no value')
    return told


def _paths_in(value: Any, place: str) -> Iterator[str]:
    """Yield (dotted key: path) of every string that is a path of this machine."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _paths_in(item, f'{place}.{key}' if place else str(key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _paths_in(item, f'{place}.{index}')
    elif isinstance(value, str) and _WHOLE_PATH.match(value):
        yield f'{place}: {value}'


def _contents(cfg: Config, trained: ModelPass, checkpoint: str | os.PathLike,
              options: PublishOptions, origin: Provenance
              ) -> tuple[dict[str, Tensor], str, dict[str, Any]]:
    """Return weights, text of the config and metadata of a model, as they are published."""
    kept = StoredConfig(dict(model=cfg.model.to_dict(), test_dataloader=dict(
        dataset=dict(pipeline=_plain(image_steps(cfg))))))
    merged = load_merged(kept, checkpoint)
    # Read as every checkpoint's is: what is refused there must not be published.
    kept = stored_config(dict(meta=dict(cfg=kept.pretty_text)), str(checkpoint))
    needed = {key: name for key, name in named_sources(kept).items()
              if not key.endswith('.class_names') or Path(name).is_file()}
    if needed:
        raise ValueError(f"'{checkpoint}' needs more than its weights: "
                         f'{", ".join(f"{name} ({key})" for key, name in needed.items())}. '
                         'A published model stands alone: train these parts too, or choose others')
    paths = list(_paths_in(kept.to_dict(), ''))
    if paths:
        raise ValueError(f"the config of '{checkpoint}' names paths of this machine: "
                         f'{", ".join(paths)}. A published model stands alone: set them by '
                         '--cfg-options to what others have, or to None')
    state = merged.model.state_dict()
    if options.half:
        state = {key: value.half() if value.dtype in (torch.float32, torch.float64) else value
                 for key, value in state.items()}
    said = dict(name=options.name, licence=options.licence,
                parameters=sum(weight.numel() for weight in merged.model.parameters()),
                architecture=options.architecture or architecture_of(cfg.model))
    said |= {key: value for key, value in dict(
        started_from=origin.started_from, made_from=_made_from(options, origin),
        datasets=list(options.datasets)).items() if value}
    told = {key: value for key, value in (merged.stored.get('meta') or {}).items() if key in _KEPT}
    named = dict(experiment_name=trained.loaded.name) if trained.loaded.name else {}
    meta = told | named | normalisation_record(merged.model) | dict(
        dataset_meta=_facts(trained), published=said,
        **(dict(metrics=dict(options.metrics)) if options.metrics else {}))
    return state, kept.pretty_text, _plain(meta)


def _made_from(options: PublishOptions, origin: Provenance) -> str | None:
    """Return the published model whose weights get another name."""
    if origin.made_from == options.name:
        return origin.told.get('made_from')
    return origin.made_from


def _facts(trained: ModelPass) -> dict[str, Any]:
    """Return what is known of the training data; what an image covered includes its crops."""
    facts = {key: value for key, value in trained.loaded.meta.items()
             if key not in ('dataset_type', 'split', 'name', 'data_root', 'release')}
    return facts | dict(image_size=trained.window.size)


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: tuples and arrays as lists, numbers of NumPy as Python's."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | np.ndarray):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def architecture_of(model: Mapping[str, Any]) -> str:
    """Return the name that a config gives the encoder: timm's, the backbone's or the class."""
    encoder = model.get('encoder') or {}
    backbone = encoder.get('backbone')
    if isinstance(backbone, Mapping):
        kind = str(backbone.get('type', '')).rpartition('.')[2]
        return f'{kind}-{backbone["depth"]}' if 'depth' in backbone else kind
    return str(encoder.get('model') or encoder.get('type') or model.get('type'))


def _describe(published: ModelPass, file: Path, options: PublishOptions, origin: Provenance
              ) -> ModelDescription:
    """Return what card and record say of a published file."""
    loaded, meta = published.loaded, published.loaded.meta
    load, window = published.load, published.window
    state = read_checkpoint(file)['state_dict']
    classes, palette = _date_classes(published)
    return ModelDescription(
        name=options.name, licence=options.licence, file=WEIGHTS, sha256=file_hash(file),
        size=file.stat().st_size, architecture=loaded.published['architecture'],
        parameters=loaded.parameters, heads=tuple(loaded.heads), config=loaded.name,
        half=any(value.dtype == torch.float16 for value in state.values()),
        classes=tuple(meta.get('classes') or ()),
        palette=tuple(map(tuple, meta.get('palette') or ())),
        languages=tuple(_languages(published) or ()), threshold=loaded.threshold,
        normalisation=loaded.normalisation, ground_resolution=meta.get('ground_resolution'),
        bands=load.count, window=window.size, resized=window.resized,
        dates=1 if meta.get('task') == 'single' else 2, rendered=bool(meta.get('rendered')),
        started_from=origin.started_from, made_from=_made_from(options, origin),
        date_classes=classes, date_palette=palette, same_class=loaded.same_class,
        metrics=options.metrics, datasets=tuple(options.datasets))


def _date_classes(published: ModelPass) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
    """Return names and colours of the classes of each date, class 1 first; empty without them."""
    head, meta = published.loaded.model.change_head, published.loaded.meta
    groups = None if head is None else as_change_head(head).groups
    if groups is None:
        return (), ()
    names = list(meta.get('semantic_classes') or ())[1:]
    names += [f'class {number}' for number in range(len(names) + 1, groups[1] + 1)]
    return tuple(names), tuple(map(tuple, meta.get('semantic_palette') or ()))[1:]


def _languages(model_pass: ModelPass) -> Sequence[str] | None:
    """Return the languages that a model writes; None without a caption head."""
    head = model_pass.loaded.caption_head
    if head is None:
        return None
    return getattr(head, 'languages', None) or [model_pass.loaded.meta.get('language') or 'en']


# ---- comparison --------------------------------------------------------------------------------


def compare(one: ModelPass, other: ModelPass, pairs: int) -> Agreement:
    """Have two models of the same task answer rendered pairs, and count what is equal.

    Args:
        one, other: The models; each prepares the images itself.
        pairs: Number of pairs, every second of which changed.
    """
    languages = _languages(one)
    options = [{}] if languages is None or len(languages) == 1 else [
        dict(language=language) for language in languages]
    equal, total, said, same, flags = 0, 0, 0, 0, []
    for number, frames in enumerate(rendered_frames(one, pairs)):
        for decoding in options:
            mine, theirs = (model.answer([model.prepare(frames, f'pair {number}')], decoding)[0]
                            for model in (one, other))
            for key in [key for key in _MAPS if key in mine]:
                matches = mine.get(key).data == theirs.get(key).data
                equal, total = equal + int(matches.sum()), total + matches.numel()
            if 'pred_captions' in mine:
                said += 1
                same += _sentences(mine) == _sentences(theirs)
            if 'pred_change_score' in mine:
                flags.append(abs(float(mine.pred_change_score) - float(theirs.pred_change_score)))
    return Agreement(pairs, equal / total if total else None, (same, said) if said else None,
                     max(flags, default=None))


def _sentences(answer: ChangeDataSample) -> list[str]:
    return [caption.text for caption in answer.pred_captions]


def rendered_frames(model_pass: ModelPass, count: int) -> Iterator[list[np.ndarray]]:
    """Yield rendered images as a model sees them: its dates, its bands, at most its window.

    Args:
        model_pass: The model.
        count: Number of pairs.

    Yields:
        Of each pair its dates, or the earlier one alone, uint8 (H, W, B); bands beyond the third
        repeat the first ones.
    """
    single = model_pass.loaded.meta.get('task') == 'single'
    bands = np.arange(model_pass.load.count) % 3
    height, width = model_pass.window.size or (256, 256)
    for number in range(count):
        frames = render_pair(plan_pair(0, 'test', number))
        yield [np.ascontiguousarray(frame[:height, :width, bands])
               for frame in frames[:1 if single else 2]]


# ---- log ---------------------------------------------------------------------------------------


def _portable(path: str | os.PathLike, name: str) -> str:
    """Return a log without the folders of this machine.

    The work folder becomes ``work_dirs/NAME``, folders in variables of rscc ``$RSCC_...``, the
    working folder ``.`` and the home ``~``. Of any other absolute path the last part alone stays.
    """
    text = read_text(path, 'log')
    folders = {value: f'${variable}' for variable, value in os.environ.items()
               if variable.startswith('RSCC_') and os.path.isabs(value)}
    folders |= {os.getcwd(): '.', str(Path.home()): '~'}
    # As the config in the log has it: a name without folders might be any word of the text.
    folders |= {found: f'work_dirs/{name.replace("-", "_")}'
                for found in re.findall(r"^work_dir = '(.+)'$", text, re.MULTILINE)
                if '/' in found.strip('./')}
    for folder in sorted(folders, key=len, reverse=True):
        if len(folder) > 1:
            whole = re.escape(folder.rstrip('/'))
            text = re.sub(f'{_BEFORE_PATH}{whole}{_AFTER_FOLDER}',
                          lambda _, found=folders[folder]: found, text)
    for kind in (_QUOTED, _BARE):
        text = kind.sub(_last_part, text)
    return text


def _last_part(found: re.Match) -> str:
    """Return ``.../NAME`` for an absolute path; a number after a slash is no path."""
    path = found['path']
    if path[1:].isdigit():
        return found[0]
    last = re.split(r'[/\\]+', path.rstrip('/'))[-1]
    return found[0].replace(path, f'.../{last}')
