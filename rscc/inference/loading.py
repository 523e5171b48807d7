"""A trained model out of a checkpoint, a config, or a name."""
import copy
import os
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeGuard

import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from rscc.config.check import check_overrides, merge_overrides
from rscc.config.files import (
    FACTS,
    GET_CHECKPOINT,
    STAC_RECORD,
    WEIGHT_ENDINGS,
    WEIGHTS,
    config_names,
    existing_config,
    find_checkpoint,
    is_hub_name,
    published_names,
    refuse_empty,
)
from rscc.config.schema import Schema
from rscc.config.stored import building, settle_sources, stored_config
from rscc.engine.checkpoint import (
    PUBLISHED,
    load_weights,
    misfit,
    read_checkpoint,
    training_name,
)
from rscc.engine.compiling import compile_parts
from rscc.inference.preparation import image_steps, tested_dataset, trained_dataset
from rscc.models.caption_heads.base import CaptionHead, restore_vocabulary
from rscc.models.change_heads.base import as_change_head
from rscc.models.data_preprocessor import normalisation_record, restore_normalisation
from rscc.models.encoders.timm_encoder import TimmEncoder
from rscc.models.novelty import restore_novelty
from rscc.models.pretrained import without_pretrained
from rscc.registry import DATASETS, MODELS
from rscc.text.normalisation import LANGUAGES
from rscc.utils import did_you_mean
from rscc.utils.forms import check_form

#: Value of the decoding option ``language`` that asks for a sentence in each.
BOTH = 'both'


class HasHeads(Protocol):
    """What inference asks of a model besides ``test_step`` and ``predict``: its heads by name.

    ``ChangeInterpreter`` has them. A model of one's own without these attributes is answered
    likewise; only decoding options, and the threshold of a single-channel map, have no place there.
    """
    change_head: nn.Module | None
    caption_head: CaptionHead | None
    flag_head: nn.Module | None


def has_heads(model: nn.Module) -> TypeGuard[HasHeads]:
    """Return whether a model has its heads by name, be they None.

    ``isinstance`` with a protocol overlooks submodules since Python 3.12.
    """
    return all(hasattr(model, f'{name}_head') for name in ('change', 'caption', 'flag'))


@dataclass
class LoadedModel:
    """A model ready to answer.

    Attributes:
        model: In evaluation mode, on its device.
        cfg: Its config.
        meta: Classes, palette, language, task, and what else the checkpoint tells of its data.
        source: The checkpoint as it was named: a path, or the name of a published model.
        name: Of the config it was trained with; empty where it is not known.
        overrides: Settings of the config by dotted key that were given over it.
        published: What a published model says of itself: name, licence, architecture, parameters.
        parameters: Number of its parameters.
        calibration: Language -> calibration of doubt as plain values; empty where the checkpoint
            has none.
    """
    model: nn.Module
    cfg: Config
    meta: dict[str, Any]
    source: str
    name: str = ''
    overrides: Mapping[str, Any] = field(default_factory=dict)
    published: Mapping[str, Any] = field(default_factory=dict)
    parameters: int = 0
    calibration: Mapping[str, Any] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        """The checkpoint's file."""
        return Path(find_checkpoint(self.source))

    @property
    def title(self) -> str:
        """Name of a model that comes with rscc or from the hub; else of its file, or folder too."""
        path = Path(self.source)
        if self.file != path:
            return self.source
        return f'{path.parent.name}/{path.name}' if path.name == WEIGHTS else path.name

    def __str__(self) -> str:
        """Say in one line which model this is: name, architecture or config, size, licence."""
        told = self.published
        # SPDX's names of Creative Commons as their deeds write them: CC BY-SA 4.0.
        licence = re.sub(r'^CC-([A-Z-]+)-([\d.]+)$', r'CC \1 \2', told.get('licence', ''))
        # Anybody may write a name into a file: only one that was found by its name bears it alone.
        words = ['' if told.get('name') == self.title else told.get('name'),
                 told.get('architecture') or self.name,
                 f'{self.parameters / 1e6:.1f} M parameters', licence]
        return f'{self.title} ({", ".join(filter(None, words))})'

    @property
    def heads(self) -> list[str]:
        """Names of the heads that the model has."""
        if not has_heads(self.model):
            return []
        known = dict(change_head=self.model.change_head, caption_head=self.model.caption_head,
                     flag_head=self.model.flag_head)
        return [name for name, head in known.items() if head is not None]

    @property
    def caption_head(self) -> CaptionHead | None:
        """The caption head, if there is one."""
        return self.model.caption_head if has_heads(self.model) else None

    def speak(self, asked: str | Sequence[str] | None = None) -> tuple[str | None, ...]:
        """Return the languages of an answer, first the one that counts where one is enough.

        Args:
            asked: The decoding option ``language``: one, several, ``'both'`` for all, or None for
                the config's, else that of the training data.

        Raises:
            ValueError: If the caption head does not know one of them; it names what it knows.
        """
        head, trained = self.caption_head, self.meta.get('language')
        if not isinstance(head, CaptionHead):  # a model of the user's own
            return (trained, ) if asked is None else _named(asked, LANGUAGES)
        first = trained
        if len(head.languages) > 1:
            first = head.tokenizer.choose(head.decoding.language or trained)
        if asked is None:
            return (first, )
        every = dict.fromkeys((first or head.languages[0], *head.languages, *LANGUAGES))
        return tuple(map(head.tokenizer.choose, _named(asked, every)))

    @property
    def normalisation(self) -> dict[str, Any] | None:
        """Statistics that images are standardised by (mean, std, source); None where unknown."""
        return (normalisation_record(self.model).get('normalisation')
                if isinstance(self.model, BaseModel) else None)

    @property
    def threshold(self) -> float:
        """P(changed) above which a pixel of a single-channel map is changed."""
        head = self.model.change_head if has_heads(self.model) else None
        own = None if head is None else as_change_head(head).threshold
        return 0.5 if own is None else own

    @property
    def same_class(self) -> bool:
        """Whether a changed pixel may have one class at both dates."""
        head = self.model.change_head if has_heads(self.model) else None
        return head is None or as_change_head(head).same_class


def _named(asked: str | Sequence[str], every: Iterable[str]) -> tuple[str, ...]:
    """Return the languages that an option names, 'both' being all of them."""
    if asked == BOTH:
        return tuple(every)
    return (asked, ) if isinstance(asked, str) else tuple(dict.fromkeys(asked))


def load_model(model: str | os.PathLike | Config | None, checkpoint: str | os.PathLike | None,
               device: torch.device, overrides: Mapping[str, Any] | None = None,
               fuse_conv_bn: bool = True) -> LoadedModel:
    """Build a model with the weights of a checkpoint.

    Args:
        model: Config file or name, ``Config``, or None for the config in the checkpoint. Without a
            checkpoint: the checkpoint itself, the name of a published model, a folder of either,
            a hub repository in the local cache, or a config's path or name, of which the
            checkpoint in ``work_dirs`` is taken.
        checkpoint: A file or address that ``tools/train.py`` wrote, or a published model's name.
        device: Where it computes.
        overrides: Settings of the config by dotted key. ``compile=True`` compiles the model's parts
            (:mod:`rscc.engine.compiling`), which one that was trained so does not ask for.
        fuse_conv_bn: Compute batch norms inside the convolutions before them.

    Raises:
        FileNotFoundError: If config or checkpoint is not there.
        ValueError: If they do not fit each other, or an override names no setting.
    """
    config, checkpoint = (model, checkpoint) if checkpoint is not None else resolve_model(model)
    stored = read_checkpoint(checkpoint)
    cfg = _config(config, stored, str(checkpoint))
    if overrides:
        problems, accepted = check_overrides(cfg.to_dict(), overrides)
        if problems:
            raise ValueError('; '.join(f'{problem.where}: {problem.what}' for problem in problems))
        merge_overrides(cfg, accepted)
    restore_vocabulary(cfg, stored)
    with DefaultScope.overwrite_default_scope('rscc'), building(cfg):
        without_pretrained(cfg.model, stored)
        settle_sources(cfg)
        try:
            built = MODELS.build(cfg.model)
        except TypeError as error:  # a setting of another type than its part expects
            raise ValueError(f"the model of '{checkpoint}' cannot be built with these settings"
                             f'{f" ({dict(overrides)})" if overrides else ""}: {error}') from error
    report = load_weights(built, stored)
    if not report.exact:
        raise ValueError(misfit(f"checkpoint '{checkpoint}' does not fit the model of this config",
                                stored, report))
    if isinstance(built, BaseModel):
        restore_normalisation(built, stored)
        restore_novelty(built, stored)
    built.to(device).eval()
    parameters = sum(weight.numel() for weight in built.parameters())
    if fuse_conv_bn:
        fuse_batch_norms(built)
    compile_parts(built, (overrides or {}).get('compile'), device.type)
    return LoadedModel(built, cfg, _dataset_meta(cfg, stored), str(checkpoint),
                       _name(cfg, stored), dict(overrides or {}),
                       _published(stored), parameters,
                       dict((stored.get('meta') or {}).get('doubt') or {}))


@torch.no_grad()
def fuse_batch_norms(model: nn.Module) -> None:
    """Compute batch norms inside the convolutions right before them, in place, for inference.

    Batch norms of timm hold the activation behind them, which stays (``mmcv.cnn.fuse_conv_bn``
    would drop it). Some of its models run their layers in another order than they list them: those
    are left as they were.
    """
    left = set()
    for encoder in [part for part in model.modules() if isinstance(part, TimmEncoder)]:
        plain, before = encoder.model, encoder.try_out()
        encoder.model = copy.deepcopy(plain)
        _fuse(encoder.model, left)
        if not all(torch.allclose(one, other, atol=1e-3 * float(one.abs().max()), rtol=1e-3)
                   for one, other in zip(before, encoder.try_out(), strict=True)):
            encoder.model = plain
        left.add(encoder.model)
    _fuse(model, left)


def _fuse(module: nn.Module, left: Container[nn.Module]) -> None:
    """Fuse what is below a module, except below those in ``left``."""
    before = None
    for name, child in list(module.named_children()):
        fits = isinstance(before, nn.Conv2d) and isinstance(child, _BatchNorm) and (
            child.affine and child.track_running_stats
            and child.num_features == before.out_channels)
        if fits:
            scale = child.weight / torch.sqrt(child.running_var + child.eps)
            shift = child.bias - child.running_mean * scale
            if before.bias is not None:
                shift += before.bias * scale
            before.weight = nn.Parameter(before.weight * scale[:, None, None, None])
            before.bias = nn.Parameter(shift)
            behind = [getattr(child, part) for part in ('drop', 'act') if hasattr(child, part)]
            setattr(module, name, nn.Sequential(*behind) if behind else nn.Identity())
        elif child not in left:
            _fuse(child, left)
        before = child


def training_data(model: str | os.PathLike) -> dict[str, Any]:
    """Return what a checkpoint tells of its training images; no model is built.

    Args:
        model: A checkpoint that holds its config, the name of a published model, a work folder, or
            the name of a config, see :func:`load_model`.

    Returns:
        The metadata of the dataset (``ground_resolution``, ``classes``, ...), and ``bands`` and
        ``scale`` as frames are loaded with.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged or does not hold its config.
    """
    _, checkpoint = resolve_model(model)
    stored = read_checkpoint(checkpoint)
    cfg = _config(None, stored, str(checkpoint))
    load = image_steps(cfg)[0]
    bands, scale = load.get('bands'), load.get('scale')
    return _dataset_meta(cfg, stored) | dict(
        bands=None if bands is None else tuple(bands), scale=scale)


def resolve_model(model: str | os.PathLike | Config | None
                  ) -> tuple[str | os.PathLike | None, str | os.PathLike]:
    """Return config and checkpoint behind a single argument.

    Args:
        model: As in :func:`load_model` without a checkpoint.

    Returns:
        The config, None for the one in the checkpoint; and the checkpoint.

    Raises:
        FileNotFoundError: If nothing has this name; the message names the nearest.
        ValueError: If it is None, an empty name, or a config that was read.
    """
    if model is None or isinstance(model, Config):
        raise ValueError(f'no checkpoint is given. {GET_CHECKPOINT}')
    refuse_empty(model, 'checkpoint', GET_CHECKPOINT)
    path = Path(model)
    if str(model) in published_names():
        return None, model
    if path.suffix == '.py':
        return existing_config(path), _checkpoint_in(Path('work_dirs') / path.stem, str(model))
    if path.is_dir():
        return None, _checkpoint_in(path, str(model))
    if path.is_file() or path.suffix in WEIGHT_ENDINGS or '://' in str(model) or (
            find_checkpoint(model) != model):
        return None, model
    try:
        config = existing_config(path)
    except FileNotFoundError as error:
        hub = (f' As a hub repository it is not in the local cache either: hf download '
               f'{str(model).partition("@")[0]}.') if is_hub_name(str(model)) else ''
        raise FileNotFoundError(
            f"'{model}' is no checkpoint, work folder or config.{hub}"
            f'{did_you_mean(path.name, [*published_names(), *config_names()])} Expected a file '
            'such as work_dirs/blip_synth/epoch_8.pth, the name of a published model '
            f'({", ".join(published_names())}), or the name of a trained config') from error
    return config, _checkpoint_in(Path('work_dirs') / config.stem, str(model))


def _checkpoint_in(folder: Path, asked: str) -> Path:
    """Return the best checkpoint of a work folder, else the last one, else a published model."""
    for pattern in ('best_*.pth', '*.pth', WEIGHTS):
        found = sorted(folder.glob(pattern), key=lambda path: path.stat().st_mtime)
        if found:
            return found[-1]
    if (folder / FACTS).is_file() and (folder / STAC_RECORD).is_file():
        raise FileNotFoundError(
            f"the saved model '{asked}' lacks its weights: no '{WEIGHTS}' in '{folder}', only what "
            'describes them. Copy or download that file again, or save the model again')
    named = folder.name.replace('_', '-')
    meant = f" The published weights of this config are named '{named}'." if (
        named in published_names()) else ''
    raise FileNotFoundError(f"'{asked}' has no checkpoint in '{folder}'; give its file.{meant} "
                            f'{GET_CHECKPOINT}')


def _config(config: str | os.PathLike | Config | None, checkpoint: Mapping, source: str) -> Config:
    """Return a config that may be edited."""
    if isinstance(config, Config):
        return copy.deepcopy(config)
    if config is not None:
        return Config.fromfile(existing_config(config))
    return stored_config(checkpoint, source)


def _name(cfg: Config, checkpoint: Mapping) -> str:
    """Return the config's name: of its file, else what the runner called the training."""
    return Path(cfg.filename).stem if cfg.filename else training_name(checkpoint)


def _published(checkpoint: Mapping) -> dict[str, Any]:
    """Return what a published model says of itself; nothing of another one.

    Raises:
        ValueError: If that is damaged.
    """
    told = (checkpoint.get('meta') or {}).get('published') or {}
    if told:
        check_form(told, PUBLISHED, 'what the checkpoint says of itself')
    return told


def _dataset_meta(cfg: Config, checkpoint: Mapping) -> dict[str, Any]:
    """Return what is known of the training data: the checkpoint's words over the dataset class's.

    Checkpoints of earlier versions lack some entries, which the class of their dataset knows.
    """
    stored = dict((checkpoint.get('meta') or {}).get('dataset_meta') or {})
    trained, tested = trained_dataset(cfg), tested_dataset(cfg)
    kind = stored.get('dataset_type')
    if kind:  # a name out of a checkpoint: nothing is imported for it
        known = Schema('DATASETS').registered(kind)
    else:
        kind = trained.get('type') or tested.get('type')
        known = DATASETS.get(kind) if isinstance(kind, str) else kind
    language = {} if stored else {'language': tested.get('language', 'en')}
    facts = known.METAINFO if isinstance(known, type) and issubclass(known, BaseDataset) else {}
    return {**facts, **language, **stored}
