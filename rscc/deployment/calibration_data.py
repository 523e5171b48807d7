"""Images that an int8 export is calibrated on: those of the config, or others that are named."""
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.registry import DefaultScope

from rscc.config.data import leaves, missing_paths
from rscc.config.files import existing_config
from rscc.config.stored import building
from rscc.inference.inputs import read_images, samples_of
from rscc.inference.model_pass import ModelPass
from rscc.inference.preparation import image_steps
from rscc.registry import DATASETS

#: Windows that are read: half of them calibrate, the other half is compared.
WINDOWS = 64
_STAGES = ('val', 'train')
_GIVE = ('give --calibration: a config whose validation data is here, a folder with A and B, or of '
         'single images their folder')


@dataclass(frozen=True)
class CalibrationData:
    """Windows as a model sees them.

    Attributes:
        windows: Of each its dates, uint8 (h, w, B).
        source: What they are, in a few words.
    """
    windows: Sequence[Sequence[np.ndarray]]
    source: str


def calibration_data(model: ModelPass, data: str | os.PathLike | None = None,
                     count: int = WINDOWS) -> CalibrationData:
    """Read windows by the project's own readers, evenly over what there is.

    Args:
        model: That will answer them.
        data: A config, or a folder: with A and B for pairs, of images for single ones. None for the
            validation data of the model's own config, else its training data.
        count: How many at most.

    Raises:
        FileNotFoundError: If the folder or config is not there.
        ValueError: If there is no image, or it is of another number of bands.
    """
    if data is not None and Path(data).is_dir():
        return _of_folder(model, Path(data), count)
    if data is None:
        return _of_config(model, model.loaded.cfg, f"'{model.loaded.title}'", count)
    if not str(data).endswith('.py') and os.sep in str(data):
        raise FileNotFoundError(f"no folder or config at '{data}' to calibrate on: {_GIVE}")
    cfg = Config.fromfile(existing_config(data))
    return _of_config(model, cfg, f"'{data}'", count)


def _of_folder(model: ModelPass, folder: Path, count: int) -> CalibrationData:
    """Read pairs below A and B of a folder, or single images of one."""
    if model.loaded.meta.get('task') == 'single':
        samples = samples_of(str(folder))
    else:
        missing = [name for name in 'AB' if not (folder / name).is_dir()]
        if missing:
            raise FileNotFoundError(f"'{folder}' has no folder {missing[0]}, and the pairs that "
                                    'int8 is calibrated on lie in A (before) and B (after)')
        samples = samples_of(str(folder / 'A'), str(folder / 'B'))
    windows = [_window(model, read_images([image for image in samples[place] if image],
                                          Path(samples[place][0]).name, model.load)[0])
               for place in _evenly(len(samples), count)]
    return CalibrationData(windows, f'{folder.name}: {len(windows)} of {len(samples)}')


def _of_config(model: ModelPass, cfg: Config, name: str, count: int) -> CalibrationData:
    """Read samples of the first data of a config that is here."""
    reasons = []
    for stage in _STAGES:
        described = (cfg.get(f'{stage}_dataloader') or {}).get('dataset')
        lacking = [problem for where, problem in missing_paths(cfg, [stage])
                   if where.startswith(f'{stage}_dataloader')]
        if not described or lacking:
            reasons += [f'{stage}: {lacking[0]}'] if lacking else []
            continue
        dataset = _built(model, cfg, described)
        windows = [_window(model, dataset[place]['frames'])
                   for place in _evenly(len(dataset), count)]
        kinds = dict.fromkeys(leaf.get('type') for _, leaf in leaves(described, 'dataset'))
        return CalibrationData(windows, f'{", ".join(kinds)}, {stage}: {len(windows)} of '
                               f'{len(dataset)}')
    why = '; '.join(reasons) or 'it names neither validation nor training data'
    raise ValueError(f'int8 is calibrated on images, and those of {name} are not here ({why}): '
                     f'{_GIVE}')


def _built(model: ModelPass, cfg: Config, described: Mapping[str, Any]) -> Any:
    """Build a dataset whose samples are frames as they are stored, or as its cache shrinks them."""
    described = Config(dict(dataset=described)).to_dict()['dataset']
    for _, leaf in leaves(described, 'dataset'):
        own = [step for step in leaf.get('pipeline') or () if step['type'] == 'LoadFrames']
        leaf['pipeline'] = own or image_steps(model.loaded.cfg)[:1]
    with DefaultScope.overwrite_default_scope('rscc'), building(cfg):
        return DATASETS.build(described)


def _evenly(total: int, count: int) -> list[int]:
    if not total:
        raise ValueError(f'int8 is calibrated on images, and there is none: {_GIVE}')
    return sorted({int(place) for place in np.linspace(0, total - 1, min(total, count))})


def _window(model: ModelPass, frames: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the middle of larger frames, as much as the model sees at once."""
    size = model.window.size or frames[0].shape[:2]
    height, width = (min(one, other) for one, other in zip(size, frames[0].shape, strict=False))
    top, left = ((side - own) // 2 for side, own in zip(
        frames[0].shape[:2], (height, width), strict=True))
    return [np.ascontiguousarray(frame[top:top + height, left:left + width]) for frame in frames]
