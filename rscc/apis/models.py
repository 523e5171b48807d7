"""Models by name: which there are, one ready to answer, its config, and saving it to share."""
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmengine.config import Config

from rscc.config.files import config_names, find_config
from rscc.config.metafiles import TASKS, ModelInfo, read_metafiles
from rscc.utils.names import did_you_mean

if TYPE_CHECKING:
    from rscc.apis.inferencer import ChangeInferencer
    from rscc.deployment.publishing import Published


def list_models(task: str | None = None, dataset: str | None = None,
                weights: bool = False) -> list[str]:
    """Return the names of the models that rscc has: configs, and weights that come with it.

    Args:
        task: One of ``'change captioning'``, ``'change detection'``, ``'semantic change'``,
            ``'image captioning'``; hyphens and underscores in place of blanks are fine. A model
            that answers several is listed for each.
        dataset: Its name as in the documentation, ``'LEVIR-CC'`` for instance, in any case.
        weights: Only models whose weights come with rscc.

    Raises:
        ValueError: If there is no such task or dataset; the message names the nearest.
    """
    return [info.name for info in model_infos(task, dataset)
            if info.weights is not None or not weights]


def model_infos(task: str | None = None, dataset: str | None = None) -> list[ModelInfo]:
    """Return what metafiles tell of the models of :func:`list_models`.

    A metafile with a mistake is left out with a warning that names file and mistake.

    Args:
        task: As there.
        dataset: As there.
    """
    models = read_metafiles(skip_wrong=True)
    if task is not None:
        task = _named('task', task, TASKS)
    if dataset is not None:
        dataset = _named('dataset', dataset, models.datasets)
    return [info for info in models.models.values()
            if task in (None, *info.tasks) and dataset in (None, info.dataset)]


def _named(what: str, asked: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    """Return the known name that differs from the one asked for in case and joints at most."""
    plain = {_plain(name): name for name in known}
    if _plain(asked) not in plain:
        raise ValueError(f"no {what} is named '{asked}'.{did_you_mean(asked, known)} There are "
                         f'{", ".join(known)}')
    return plain[_plain(asked)]


def _plain(name: str) -> str:
    """Return small letters and digits; the plus of LEVIR-CD+ tells it from LEVIR-CD."""
    return re.sub(r'[^\w+]|_', '', name.lower())


def get_model(name: str | os.PathLike, device: str | None = None, **options: Any
              ) -> 'ChangeInferencer':
    """Return a model that is ready to answer images.

    Args:
        name: A model that comes with rscc (``'rscc-small'``), a checkpoint, a folder that
            :func:`save_model` or a training wrote, a hub repository in the local cache
            (``'owner/name'``), or a config that was trained in this folder.
        device: ``'cpu'``, ``'cuda'``, ...; None takes the best one here.
        **options: Others of :class:`rscc.apis.ChangeInferencer`.

    Raises:
        FileNotFoundError: If there is none of this name, or a config has no weights yet; the
            message names the nearest, and how weights are made.
        ValueError: If the name is empty, the weights do not fit, or an option is unknown.
    """
    from rscc.apis.inferencer import ChangeInferencer  # imports torch and all models
    try:
        return ChangeInferencer(name, device=device, **options)
    except FileNotFoundError as error:
        if str(name) not in config_names():
            raise
        said = str(error).rstrip('.')
        raise FileNotFoundError(f"{said}. get_config('{name}') returns the config alone") from error


def get_config(name: str | os.PathLike) -> Config:
    """Return the config of a model, whether it was trained or not.

    Args:
        name: A config's file or name; or what :func:`get_model` takes, of which the stored config
            is returned, read as data.

    Raises:
        FileNotFoundError: If there is none of this name; the message names the nearest.
    """
    if str(name) in config_names() or Path(name).suffix == '.py':
        return Config.fromfile(find_config(name))
    from rscc.config.stored import stored_config
    from rscc.engine.checkpoint import read_checkpoint
    from rscc.inference.loading import resolve_model
    config, checkpoint = resolve_model(name)
    return Config.fromfile(config) if config is not None else (
        stored_config(read_checkpoint(checkpoint), str(checkpoint)))


def save_model(model: 'str | os.PathLike | ChangeInferencer', folder: str | os.PathLike, *,
               licence: str, name: str | None = None, **options: Any) -> 'Published':
    """Write a model as a folder that can be loaded, shared and put on the hub.

    It holds weights (safetensors), config, normalisation, metrics and a card with the front matter
    of the hub; it answers as the model does, which is tried out first.

    Args:
        model: As in :func:`get_model`, or an inferencer.
        folder: Where; ``get_model(folder)`` loads it again.
        licence: SPDX name of the licence of the weights, ``'CC-BY-SA-4.0'`` for instance.
        name: Of the model, small letters, digits and hyphens; None for the folder's.
        **options: Others of :class:`rscc.deployment.publishing.PublishOptions`: ``metrics``
            (scores by name, or a JSON file of them), ``datasets``, ``half``, ``log``, ...

    Raises:
        FileNotFoundError: If there is no such model.
        ValueError: If the model needs other files to answer, or an option is wrong; nothing is
            written then.
    """
    if not isinstance(model, str | os.PathLike):
        return model.save_pretrained(folder, licence=licence, name=name, **options)
    from rscc.deployment.publishing import PublishOptions, publish
    from rscc.inference.loading import resolve_model
    config, checkpoint = resolve_model(model)
    return publish(config, checkpoint, folder,
                   PublishOptions.of(folder, licence, name, **options))

