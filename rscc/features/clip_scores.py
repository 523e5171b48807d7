"""CLIP confidence of every class name for the images of a folder, as a JSON file.

The file is ChangeCLIP's (Dong et al., ISPRS JPRS 2024): it lies beside the folder, and the order of
its keys is the ranking.
"""
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from rscc.datasets.confidence import PATH_KEY, read_confidence
from rscc.engine.precision import reduced_precision
from rscc.features.store import REMEDY, Store, compare_origin
from rscc.inference.preparation import (
    BatchOptions,
    PictureReader,
    existing_device,
    image_batches,
)
from rscc.models.clip.classifier import CLIPClassifier, ranking
from rscc.models.clip.clip_model import clip_source
from rscc.models.clip.weight_files import read_weights
from rscc.utils import did_you_mean, read_json, write_json
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


def activations_to_try(model: str | None, pretrained: str, quick_gelu: bool | None
                       ) -> Sequence[bool | None]:
    """Return the values of ``quick_gelu`` that weights leave open: the one asked for, or both.

    Raises:
        FileNotFoundError, OSError, ValueError: If the weights cannot be had.
    """
    if quick_gelu is not None:
        return (quick_gelu, )
    weights = read_weights(clip_source(model, pretrained))
    sure = weights.siglip or (weights.quick_gelu is not None and weights.origin.confirmed)
    return (None, ) if sure else (True, False)


def labelled_images(root: str) -> dict[str, list[str]]:
    """Find the images below a folder that has a subfolder for every class.

    Args:
        root: Such as that of AID or NWPU-RESISC45: ``BareLand/``, ``baseball_diamond/``.

    Returns:
        Class names in words, ``'bare land'`` -> paths of the images.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it has fewer than two folders with images.
    """
    _need_folder(Path(root))
    found = {}
    for folder in sorted(path for path in Path(root).iterdir() if path.is_dir()):
        images = sorted(str(path) for path in folder.iterdir()
                        if path.suffix.lower() in SUFFIXES and path.name[0] != '.')
        words = re.sub(r'(?<=[a-z])(?=[A-Z])', ' ', folder.name.replace('_', ' ')).lower()
        if images:
            found.setdefault(words, []).extend(images)
    if len(found) < 2:
        raise ValueError(f"'{root}' has {len(found)} folders with images: expected one folder a "
                         'class, and at least two classes')
    return found


def zero_shot_accuracy(images: Mapping[str, Sequence[str]], classifier: CLIPClassifier,
                       options: BatchOptions, title: str) -> float:
    """Return the share, 0 to 1, of images whose likeliest name is that of their class.

    Args:
        images: Class name -> paths, as :func:`labelled_images` returns them.
        classifier: Of these class names.
        options: How images are read and computed.
        title: For the progress bar.

    Raises:
        ValueError: If an image cannot be read.
    """
    wanted = {path: name for name, paths in images.items() for path in paths}
    read, device, right = PictureReader(classifier.transform, options), classifier.bias.device, 0
    for paths, pixels, damaged in image_batches(list(wanted), read, options, device, title):
        if damaged:
            raise ValueError(f'{len(damaged)} images cannot be read, first: {damaged[0]}')
        with reduced_precision(device.type) if options.amp else nullcontext():
            best = classifier.top(classifier.classify(pixels), 1)
        right += sum(wanted[path] == name for path, (name, ) in zip(paths, best, strict=True))
    return right / len(wanted)


def origin_of(classifier: CLIPClassifier, options: BatchOptions) -> dict[str, Any]:
    """Return what scores depend on, as JSON values."""
    return dict(model=classifier.description, weights=classifier.fingerprint,
                quick_gelu=classifier.quick_gelu, scores=classifier.scores,
                image_size=classifier.image_size,
                bands=None if options.bands is None else list(options.bands),
                scale=None if options.scale is None else list(options.scale),
                class_names=classifier.names)


def score_folder(folder: ImageFolder, classifier: CLIPClassifier, options: BatchOptions,
                 overwrite: bool = False) -> int:
    """Score the images of a folder that have no scores yet, and write the file.

    Returns:
        Number of images scored now; 0 leaves a finished file untouched.

    Raises:
        ValueError: As :class:`rscc.features.store.Store` and its ``fill``.
    """
    store = Store(folder.target, folder.paths, origin_of(classifier, options), RecordFormat(),
                  overwrite)

    def compute(paths: list[str], pixels: Tensor) -> Iterator[dict[str, str]]:
        # (M, K), the probability of each class name in each image.
        probabilities = classifier.classify(pixels).cpu()
        for path, row, order in zip(paths, probabilities, ranking(probabilities), strict=True):
            yield {PATH_KEY: path, **{classifier.names[index]: written(float(row[index]))
                                      for index in order}}

    # Independent probabilities may all be small: digits, not decimals, tell them apart.
    written = '{:.4f}'.format if classifier.scores == 'softmax' else '{:.4g}'.format

    return store.fill({path: path for path in folder.paths},
                      PictureReader(classifier.transform, options), compute,
                      classifier.weights.device, options, folder.title)


class RecordFormat:
    """CLIP confidence records: JSON objects with ``image_path``, then class names, best first.

    Probabilities are strings of four decimals; of a SigLIP, whose names have probabilities of their
    own that do not add up to 1, of four digits. The format has no place for what made the file, so
    that lies beside it, in ``NAME.origin`` (``scores`` says ``softmax`` or ``sigmoid`` there);
    files of the original have none.
    """
    ending = '.json'

    def write_part(self, file: Path, rows: Mapping[str, dict[str, str]]) -> None:
        """Write records as a JSON array."""
        write_json(file, list(rows.values()), indent=None)

    def names_in(self, file: Path) -> list[str]:
        """Return the images of a part."""
        return list(self.read_part(file))

    def read_part(self, file: Path) -> dict[str, dict[str, str]]:
        """Return the records by image."""
        read_confidence(file)  # refuses anything else
        return {record[PATH_KEY]: record for record in read_json(file)}

    def read_finished(self, target: Path, wanted: list[str], origin: Mapping[str, Any]
                      ) -> dict[str, dict[str, str]] | None:
        """Return None where every wanted image has a record, else the records there are."""
        ranked = read_confidence(target)
        _compare_names(ranked, origin['class_names'], target)
        beside = _origin_beside(target)
        if beside.is_file():
            found = read_json(beside)  # SigLIP came later than the first of these files
            compare_origin(dict(scores='softmax') | found if isinstance(found, dict) else found,
                           origin, beside)
        lacking = [path for path in wanted if path not in ranked]
        if not lacking:
            return None
        if len(lacking) == len(wanted) and ranked:
            raise ValueError(
                f"'{target}' is about other images: its first is '{next(iter(ranked))}', and it "
                f"has none of the {len(lacking)} asked for, '{lacking[0]}' the first. {REMEDY}")
        if not beside.is_file():
            raise ValueError(
                f"'{target}' lacks {len(lacking)} of {len(wanted)} images, and which model made it "
                f"is not known (no '{beside.name}' beside it). {REMEDY}")
        return self.read_part(target)

    def write_finished(self, target: Path, wanted: list[str],
                       parts: Iterator[dict[str, dict[str, str]]], origin: Mapping[str, Any]
                       ) -> None:
        """Write the array, then the origin: a kill in between makes the next run ask, not mix."""
        records = {path: record for part in parts for path, record in part.items()}
        write_json(target, [records[path] for path in wanted], indent=4)
        write_json(_origin_beside(target), origin)


def _origin_beside(target: Path) -> Path:
    return target.with_name(f'{target.name}.origin')


def _compare_names(ranked: Mapping[str, list[str]], names: Sequence[str], target: Path) -> None:
    for path, found in ranked.items():
        odd = sorted(set(names) ^ set(found))
        if odd:
            raise ValueError(
                f"'{target}' was made with another class list: '{path}' has {len(found)} names, "
                f'this list {len(names)}; they differ in {odd[:3]}. {REMEDY}')
