"""Origin of the weights of a model: the licence that binds them, and what they started from.

A training writes its config into its checkpoint, and a published model says what it is in its
header and in the STAC record beside it. What neither tells stays unknown; nothing is guessed.
"""
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config

from rscc.config.files import STAC_RECORD, find_checkpoint
from rscc.config.stored import config_from_text
from rscc.engine.checkpoint import PUBLISHED, read_checkpoint
from rscc.utils.files import read_json
from rscc.utils.forms import check_form

#: What a record says of an encoder that no weights were loaded into before the training.
RANDOM = 'random weights'


@dataclass(frozen=True)
class Provenance:
    """Origin of weights that are about to be published.

    Attributes:
        licences: Published model -> its licence: the model itself, or the one that its training
            started from.
        started_from: Weights that the encoder started from, :data:`RANDOM`, or None if unknown.
        made_from: Name of the published model whose weights these are; None if they are new.
        told: What that model says of itself.
        metrics: Its scores.
    """
    licences: Mapping[str, str]
    started_from: str | None
    made_from: str | None = None
    told: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)


def provenance(cfg: Config, checkpoint: str | os.PathLike) -> Provenance:
    """Return what is known of the origin of a checkpoint.

    Args:
        cfg: The config that it is published with.
        checkpoint: A file, address, or name of a published model.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
    """
    stored = read_checkpoint(checkpoint)
    meta = stored.get('meta') or {}
    told = _published(meta)
    if told:
        return Provenance({told['name']: told['licence']}, _recorded(told, checkpoint),
                          told['name'], told, meta.get('metrics') or {})
    trained = _trained(meta, checkpoint) or cfg
    start = trained.get('load_from') or cfg.get('load_from')
    if start:
        return _of_start(start)
    encoders = [(one.get('model') or {}).get('encoder') for one in (cfg, trained)]
    named = next((found for encoder in encoders for found in _named(encoder)), None)
    known = any(isinstance(encoder, Mapping) for encoder in encoders) and not (
        {'converted_from', 'merged_from'} & set(meta))
    return Provenance({}, _portable(named) if named else RANDOM if known else None)


def _published(meta: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a published model says of itself; nothing of another one."""
    told = meta.get('published') or {}
    if told:
        check_form(told, PUBLISHED, 'what the checkpoint says of itself')
    return told


def _trained(meta: Mapping[str, Any], checkpoint: str | os.PathLike) -> Config | None:
    """Return the config that a training wrote into its checkpoint, as data; None without one."""
    try:
        return config_from_text(meta['cfg'], str(checkpoint))
    except (LookupError, TypeError, ValueError):  # an old file, or one with another's config
        return None


def _of_start(start: str) -> Provenance:
    """Return the origin of a training that went on from the weights of a whole model."""
    try:
        # Only what is here: an address is not fetched for its licence.
        told = {} if '://' in start else _published(read_checkpoint(start).get('meta') or {})
    except (OSError, ValueError):
        told = {}
    return Provenance({told['name']: told['licence']} if told else {},
                      told['name'] if told else _portable(start))


def _recorded(told: Mapping[str, Any], checkpoint: str | os.PathLike) -> str | None:
    """Return what the encoder of a published model started from, by its header or its record."""
    if told.get('started_from'):
        return told['started_from']
    try:
        record = read_json(Path(find_checkpoint(checkpoint)).with_name(STAC_RECORD))
        # "Not pretrained" is not believed: before the header told of it, it also meant "unknown".
        return record['properties'].get('mlm:pretrained_source')
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def _named(encoder: Mapping[str, Any] | None) -> Iterator[str | bool]:
    """Yield the weights that the config of an encoder, or of the network in it, names."""
    for part in (encoder or {}, (encoder or {}).get('backbone') or {}):
        if isinstance(part, Mapping):
            yield from filter(None, (part.get('pretrained'),
                                     (part.get('init_cfg') or {}).get('checkpoint')))


def _portable(named: str | bool) -> str:
    """Return a name without the folders of this machine; True stands for timm's own weights."""
    if named is True:
        return 'timm'
    return Path(named).name if os.path.isabs(named) or named.startswith('~') else str(named)


def licence_conflicts(origin: Provenance, licence: str) -> list[str]:
    """Return (model, its licence) in words for every source that another licence binds.

    Args:
        origin: Of the weights.
        licence: That they are about to be given.
    """
    return [f"'{name}' is licensed under {own}" for name, own in origin.licences.items()
            if own.lower() != licence.lower()]
