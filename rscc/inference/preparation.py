"""Preparation of images: the pipeline of a config, batches of files, the device."""
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import torch
from mmengine.config import Config
from mmengine.device import get_device
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from rscc.rasters.image_files import read_rgb
from rscc.rasters.scales import Scale
from rscc.registry import TRANSFORMS
from rscc.utils import progress

#: Transforms that look at annotations, which new images do not have.
_NEED_ANSWERS = ('LoadChangeMask', 'PickCaptions')


def tested_dataset(cfg: Config) -> dict:
    """Return the test dataset's config, inside whatever wraps it; empty where there is none."""
    return _innermost(cfg.get('test_dataloader'))


def trained_dataset(cfg: Config) -> dict:
    """Return the training dataset's config, inside whatever wraps it; empty where there is none."""
    return _innermost(cfg.get('train_dataloader'))


def _innermost(loader: dict | None) -> dict:
    dataset = (loader or {}).get('dataset') or {}
    while 'pipeline' not in dataset and ('dataset' in dataset or dataset.get('datasets')):
        dataset = dataset['dataset'] if 'dataset' in dataset else dataset['datasets'][0]
    return dataset


def image_steps(cfg: Config, bands: Sequence[int] | None = None,
                scale: Scale | None = None, factor: int = 1
                ) -> list[dict[str, Any]]:
    """Return the test pipeline's steps for an image without annotations.

    The resizing of the dataset's cache is among them: frames that it stores smaller are what the
    model was trained on.

    Args:
        cfg: A model's config.
        bands: Bands that are read, in place of the config's.
        scale: Values that become 0 and 255, in place of the config's.
        factor: By which windows are larger than in training: fixed sizes grow with them, so that a
            pixel still covers what it covered.

    Raises:
        ValueError: If they do not begin with LoadFrames and end with PackChangeInputs.
    """
    steps = [dict(step) for step in tested_dataset(cfg).get('pipeline') or ()
             if step['type'] not in _NEED_ANSWERS]
    kinds = [step['type'] for step in steps]
    if kinds[:1] != ['LoadFrames'] or kinds[-1:] != ['PackChangeInputs']:
        raise ValueError('test_dataloader.dataset.pipeline of the config must begin with '
                         f'LoadFrames and end with PackChangeInputs; found {kinds}')
    given = dict(bands=bands, scale=scale)
    steps[0] |= {key: value for key, value in given.items() if value is not None}
    size = (tested_dataset(cfg).get('cache') or {}).get('size')
    if size is not None:
        steps.insert(1, {'type': 'FramesResize', 'size': tuple(size)})
    for step in steps if factor != 1 else ():
        if step['type'] == 'FramesResize' and not step.get('keep_ratio'):
            size = step['size']
            step['size'] = size * factor if isinstance(size, int) else tuple(
                side * factor for side in size)
    return steps


def image_pipeline(cfg: Config, bands: Sequence[int] | None = None,
                   scale: Scale | None = None, factor: int = 1
                   ) -> tuple[Callable[[dict], dict], list[Callable[[dict], dict]]]:
    """Build the loading transform and the steps after it, see :func:`image_steps`."""
    load, *rest = [TRANSFORMS.build(step) for step in image_steps(cfg, bands, scale,
                                                                       factor)]
    return load, rest


def existing_device(device: str | None) -> torch.device:
    """Return the named device, or the best one of this machine.

    Args:
        device: ``'cpu'``, ``'cuda'``, ``'cuda:1'``, ...; None chooses.

    Raises:
        ValueError: If there is no such device.
    """
    try:
        found = torch.device(device or get_device())
    except RuntimeError as error:
        raise ValueError(f"device '{device}' is unknown; use 'cpu', 'cuda' or 'cuda:N'"
                         ) from error
    if found.type == 'cuda' and (found.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device '{device}' is not there: torch sees "
                         f'{torch.cuda.device_count()} CUDA devices; use --device cpu')
    return found


@dataclass(frozen=True)
class BatchOptions:
    """How images are read and computed.

    Attributes:
        batch_size: Images per forward pass.
        num_workers: Processes that read images; 0 reads in this one.
        amp: Reduced precision where it pays.
        bands: Bands that become red, green and blue, counted from 1; None for 8-bit RGB or grey.
        scale: Values that become 0 and 255; None for 8-bit files.
    """
    batch_size: int = 32
    num_workers: int = 2
    amp: bool = False
    bands: Sequence[int] | None = None
    scale: Sequence[float] | None = None


@dataclass(frozen=True)
class PictureReader:
    """Reads an image as 8-bit RGB and prepares it as a PIL picture.

    Attributes:
        transform: Preparation: pixels (3, S, S).
        options: Which bands are shown, on which scale.
    """
    transform: Any
    options: BatchOptions

    def __call__(self, path: str) -> Tensor:
        """Return the pixels (3, S, S) of a file; OSError or ValueError where it cannot be read."""
        pixels = read_rgb(path, self.options.bands, self.options.scale)
        return self.transform(Image.fromarray(pixels))


def image_batches(paths: Sequence[str], read: Callable[[str], Tensor], options: BatchOptions,
                  device: torch.device, title: str
                  ) -> Iterator[tuple[list[str], Tensor | None, list[str]]]:
    """Read images in order, with a progress bar.

    Args:
        paths: The files.
        read: File -> pixels (3, H, W) of one size; OSError or ValueError where it cannot be read.
            Worker processes get a copy.
        options: How to batch.
        device: Where the pixels are wanted.
        title: What is being done.

    Yields:
        Paths of the images that could be read, their pixels (M, 3, H, W) or None where there is
        not one, and the messages about the others.
    """
    loader = DataLoader(
        _Images(paths, read), batch_size=options.batch_size,
        num_workers=min(options.num_workers, -(-len(paths) // options.batch_size)),
        collate_fn=_collate, worker_init_fn=_calm_worker, pin_memory=device.type == 'cuda')
    with progress(None, title, total=len(paths), unit='image') as bar:
        for read, pixels, messages in loader:
            yield (read, None if pixels is None else pixels.to(device, non_blocking=True),
                   messages)
            bar.update(len(read) + len(messages))


class _Images(Dataset):
    """Prepared images, or the message why one cannot be read."""

    def __init__(self, paths: Sequence[str], read: Callable[[str], Tensor]) -> None:
        self.paths, self.read = paths, read

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[str, Tensor | None, str | None]:
        path = self.paths[index]
        try:
            return path, self.read(path), None
        except (OSError, ValueError) as error:
            return path, None, str(error)


def _collate(items: list[tuple[str, Tensor | None, str | None]]
             ) -> tuple[list[str], Tensor | None, list[str]]:
    read = [(path, pixels) for path, pixels, _ in items if pixels is not None]
    stacked = torch.stack([pixels for _, pixels in read]) if read else None
    return [path for path, _ in read], stacked, [text for *_, text in items if text is not None]


def _calm_worker(_number: int) -> None:
    """Keep OpenCV to one thread: its pool does not survive a fork, and workers are many."""
    cv2.setNumThreads(0)
