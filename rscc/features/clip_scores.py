"""CLIP confidence of every class name for the images of a folder, as a JSON file.

The file is ChangeCLIP's (Dong et al., ISPRS JPRS 2024): it lies beside the folder, and the order of
its keys is the ranking.
"""
import os
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rscc.engine.precision import reduced_precision
from rscc.features.score_file import ScoreFile
from rscc.inference.preparation import BatchOptions, PictureReader, existing_device, image_batches
from rscc.models.clip.classifier import CLIPClassifier, ranking
from rscc.utils import did_you_mean
from rscc.utils.paths import SUFFIXES

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


def origin_of(classifier: CLIPClassifier, options: BatchOptions) -> dict[str, Any]:
    """Return what scores depend on, as JSON values."""
    return dict(model=classifier.description, weights=classifier.fingerprint,
                quick_gelu=classifier.quick_gelu, image_size=classifier.image_size,
                bands=None if options.bands is None else list(options.bands),
                scale=None if options.scale is None else list(options.scale),
                class_names=classifier.names)


def score_folder(folder: ImageFolder, classifier: CLIPClassifier, options: BatchOptions,
                 overwrite: bool = False) -> int:
    """Score the images of a folder that have no scores yet, and write the file.

    Whatever ends the run early, the scores so far are kept beside the file and taken up again.

    Returns:
        Number of images scored now; 0 leaves a finished file untouched.

    Raises:
        ValueError: If images cannot be read (all others are scored first and kept), or what is
            there was made otherwise, see :class:`rscc.features.score_file.ScoreFile`.
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


def _score(todo: list[str], file: ScoreFile, classifier: CLIPClassifier, options: BatchOptions,
           title: str) -> list[str]:
    """Score images and return the messages about those that cannot be read."""
    device = classifier.weights.device
    damaged = []
    read = PictureReader(classifier.transform, options)
    for paths, pixels, messages in image_batches(todo, read, options, device, title):
        damaged += messages
        if not paths:
            continue
        with reduced_precision(device.type) if options.amp else nullcontext():
            probabilities = classifier.classify(pixels).cpu()
        for path, row, order in zip(paths, probabilities, ranking(probabilities), strict=True):
            file.add(path, {classifier.names[index]: float(row[index]) for index in order})
    return damaged
