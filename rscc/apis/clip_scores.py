"""How likely each class name describes each image of a folder, by CLIP, as a JSON file.

The file is ChangeCLIP's (Dong et al., ISPRS JPRS 2024): it lies beside the folder, and the order of
its keys is the ranking.
"""
import os
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from rscc.apis.devices import existing_device
from rscc.apis.score_file import ScoreFile
from rscc.datasets.image_files import read_rgb
from rscc.engine.precision import reduced_precision
from rscc.models.clip.classifier import CLIPClassifier, ranking
from rscc.utils import did_you_mean, progress
from rscc.utils.path_lists import SUFFIXES

_SPLITS = ('train', 'val', 'test')


@dataclass(frozen=True)
class ImageFolder:
    """One folder of images and the file of their scores.

    Attributes:
        title: ``split/img_split``, for people.
        paths: Path of every image, sorted by name, as it is written into the file.
        target: The JSON file.
    """
    title: str
    paths: list[str]
    target: Path


@dataclass(frozen=True)
class ScoreOptions:
    """How images are read and scored.

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


def find_folders(src_path: str, splits: Sequence[str] | None, img_splits: Sequence[str], tag: str,
                 out: str | None = None) -> list[ImageFolder]:
    """Find ``src_path/split/img_split`` for all splits and image splits.

    Args:
        src_path: Folder of the dataset; paths in the files begin with it as it is written here.
        splits: Folders in it; ``'.'`` is the dataset folder itself. None takes those of train, val
            and test that exist, else ``'.'``.
        img_splits: Folders of images, one a date.
        tag: End of the file's name: ``<img_split>_clipcls_<tag>.json``.
        out: Folder for the files, with the splits' folders in it; None puts them beside the images.

    Raises:
        FileNotFoundError: If a folder is missing; the message names those that exist.
        ValueError: If a folder holds no image.
    """
    if splits is None:
        splits = [split for split in _SPLITS if Path(src_path, split).is_dir()] or ['.']
    return [_folder(src_path, '' if split == '.' else split, img_split, tag, out)
            for split in splits for img_split in img_splits]


def _folder(src_path: str, split: str, img_split: str, tag: str, out: str | None) -> ImageFolder:
    # As ChangeCLIP joins them, so that its path lists find the records.
    folder = os.path.join(*filter(None, (src_path, split, img_split)))
    _need_folder(Path(folder))
    names = sorted(entry.name for entry in os.scandir(folder)
                   if Path(entry.name).suffix.lower() in SUFFIXES and entry.name[0] != '.')
    if not names:
        raise ValueError(f"no image in '{folder}': expected files ending in {sorted(SUFFIXES)}")
    target = Path(src_path if out is None else out, split, f'{img_split}_clipcls_{tag}.json')
    paths = [os.path.join(folder, name).replace(os.sep, '/') for name in names]
    return ImageFolder(f'{split}/{img_split}' if split else img_split, paths, target)


def _need_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    parent = next(parent for parent in folder.parents if parent.is_dir())
    beside = sorted(entry.name for entry in parent.iterdir() if entry.is_dir())
    wished = folder.relative_to(parent).parts[0]
    raise FileNotFoundError(
        f"no folder '{folder}': '{parent}' has the folders {beside[:8] or 'none'}."
        f'{did_you_mean(wished, beside)} Name them with --src_path, --split and --img_split')


def load_classifier(device: str | None = None, **options: Any) -> CLIPClassifier:
    """Build a classifier on a device that exists.

    Args:
        device: ``'cpu'``, ``'cuda:1'``, ...; None takes the best one here.
        **options: Of :class:`rscc.models.clip.classifier.CLIPClassifier`.

    Raises:
        FileNotFoundError, OSError, ValueError: If device, weights or class list cannot be had.
    """
    place = existing_device(device)  # before anything is read
    return CLIPClassifier(**options).to(place)


def origin_of(classifier: CLIPClassifier, options: ScoreOptions) -> dict[str, Any]:
    """Return what scores depend on, as JSON values."""
    return dict(model=classifier.description, weights=classifier.fingerprint,
                quick_gelu=classifier.quick_gelu, image_size=classifier.image_size,
                bands=None if options.bands is None else list(options.bands),
                scale=None if options.scale is None else list(options.scale),
                class_names=classifier.names)


def score_folder(folder: ImageFolder, classifier: CLIPClassifier, options: ScoreOptions,
                 overwrite: bool = False) -> int:
    """Score the images of a folder that have no scores yet, and write the file.

    Whatever ends the run early, the scores so far are kept beside the file and taken up again.

    Returns:
        Number of images scored now; 0 leaves a finished file untouched.

    Raises:
        ValueError: If images cannot be read (all others are scored first and kept), or what is
            there was made otherwise, see :class:`rscc.apis.score_file.ScoreFile`.
    """
    file = ScoreFile(folder.target, folder.paths, origin_of(classifier, options), overwrite)
    if file.complete:
        return 0
    todo = file.missing()
    try:
        damaged = _score(todo, file, classifier, options, folder.title)
    except BaseException:
        file.save()
        raise
    if damaged:
        file.save()
        raise ValueError(
            f'{len(damaged)} of {len(folder.paths)} images of {folder.title} cannot be read, '
            f'first: {" ".join(damaged[:3])}\nThe scores of the others are kept; run again when '
            'the files are whole (those that are not 8-bit RGB or grey: with --bands and --scale)')
    file.finish()
    return len(todo)


def _score(todo: list[str], file: ScoreFile, classifier: CLIPClassifier, options: ScoreOptions,
           title: str) -> list[str]:
    """Score images and return the messages about those that cannot be read."""
    device = classifier.weights.device
    loader = DataLoader(
        _Images(todo, classifier.transform, options), batch_size=options.batch_size,
        num_workers=min(options.num_workers, -(-len(todo) // options.batch_size)),
        collate_fn=_collate, worker_init_fn=_calm_worker, pin_memory=device.type == 'cuda')
    damaged = []
    with progress(None, title, total=len(todo), unit='image') as bar:
        for paths, pixels, messages in loader:
            damaged += messages
            if paths:
                with reduced_precision(device.type) if options.amp else nullcontext():
                    probabilities = classifier.classify(pixels.to(device, non_blocking=True)).cpu()
                for path, row, order in zip(paths, probabilities, ranking(probabilities),
                                            strict=True):
                    file.add(path, {classifier.names[index]: float(row[index]) for index in order})
            bar.update(len(paths) + len(messages))
    return damaged


class _Images(Dataset):
    """Prepared images, or the message why one cannot be read."""

    def __init__(self, paths: list[str], transform: Any, options: ScoreOptions) -> None:
        self.paths, self.transform = paths, transform
        self.bands, self.scale = options.bands, options.scale

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[str, Tensor | None, str | None]:
        path = self.paths[index]
        try:
            pixels = read_rgb(path, self.bands, self.scale)
        except (OSError, ValueError) as error:
            return path, None, str(error)
        return path, self.transform(Image.fromarray(pixels)), None


def _collate(items: list[tuple[str, Tensor | None, str | None]]
             ) -> tuple[list[str], Tensor | None, list[str]]:
    read = [(path, pixels) for path, pixels, _ in items if pixels is not None]
    stacked = torch.stack([pixels for _, pixels in read]) if read else None
    return [path for path, _ in read], stacked, [text for *_, text in items if text is not None]


def _calm_worker(_number: int) -> None:
    """Keep OpenCV to one thread: its pool does not survive a fork, and workers are many."""
    cv2.setNumThreads(0)
