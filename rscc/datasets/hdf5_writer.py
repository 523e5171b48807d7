"""Writer of captioned datasets as HDF5 + JSON, in both variants ``HDF5CaptionDataset`` reads.

Every file appears whole or not at all; the images, in which faults are found, come first.
"""
import os
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from rscc.datasets.base import ChangeDataset
from rscc.datasets.hdf5 import BASE_NAMES
from rscc.text import split_words
from rscc.utils import progress, require, write_json
from rscc.utils.files import locked, reserve
from rscc.utils.logging import warn_once

CAPTIONS_PER_IMAGE, MAX_WORDS, SHUFFLE_SEED = 5, 50, 123


def write_blip(datasets: Sequence[ChangeDataset], out: str | Path,
               name: str = BASE_NAMES['blip']) -> list[Path]:
    """Write ``{SPLIT}_CAPTIONS_LEVIR_CC.json`` and ``{SPLIT}_IMAGES_LEVIR_CC.hdf5``.

    Captions are written as raw strings, with file name and, for pairs, change flag.

    Args:
        datasets: One per split, whose pipeline loads the frames and perhaps resizes them.
        out: Folder.
        name: What the file names share.

    Returns:
        The files, in the order written.
    """
    written = []
    for dataset in datasets:
        entries = {f'image_{row}': _entry(dataset.get_data_info(row))
                   for row in range(len(dataset))}
        captions = Path(out) / f'{dataset.split.upper()}_CAPTIONS_{name}.json'
        written.append(write_images(dataset, out, name))
        written.append(_json(captions, entries, indent=1))
    return written


def _entry(item: dict) -> dict:
    entry = {'captions': item['gt_captions'],
             'filename': Path(item.get('img_path_from') or item['img_path']).name}
    if 'gt_change_flag' in item:
        entry['changeflag'] = int(item['gt_change_flag'])
    return entry


def write_tutorial(datasets: Sequence[ChangeDataset], out: str | Path,
                   min_word_freq: int = 5, name: str = 'LEVIR_CC',
                   count_all_splits: bool = False) -> list[Path]:
    """Write word map, word numbers, lengths and images as the show-attend-tell tutorial does.

    As there: words are kept where they occur more than ``min_word_freq`` times and numbered from 1
    by first appearance; captions of an image are shuffled (seed 123); a row is start, up to 50
    words, end, zeros, 52 numbers in all. Other than there, words are counted on train alone: the
    words of val and test are not for a model to know.

    Args:
        datasets: One per split, whose pipeline loads the frames and perhaps resizes them.
        out: Folder.
        min_word_freq: The threshold, also part of the file names.
        name: What the file names begin with.
        count_all_splits: Count words over all given splits, as the tutorial does.

    Returns:
        The files, in the order written.

    Raises:
        ValueError: If no split is train, no word is frequent enough, or a frame is of another size
            than the first.
    """
    base = f'{name}_{CAPTIONS_PER_IMAGE}_cap_per_img_{min_word_freq}_min_word_freq'
    folder, written = Path(out), []
    sentences = {dataset.split: _sentences(dataset) for dataset in datasets}
    if 'train' not in sentences and not count_all_splits:
        raise ValueError(f'words are counted on train, and the splits are {list(sentences)}: add '
                         'train, or count all splits (--count-all-splits)')
    counted = list(sentences.values()) if count_all_splits else [sentences['train']]
    numbers = word_map((words for split in counted for words in split), min_word_freq)
    shuffle = random.Random(SHUFFLE_SEED)
    for dataset in datasets:
        rows, lengths = encode_captions(dataset, numbers, shuffle)
        prefix = dataset.split.upper()
        written += [write_images(dataset, out, base),
                    _json(folder / f'{prefix}_CAPTIONS_{base}.json', rows),
                    _json(folder / f'{prefix}_CAPLENS_{base}.json', lengths)]
    return [*written, _json(folder / f'WORDMAP_{base}.json', numbers)]


def encode_captions(dataset: ChangeDataset, numbers: dict[str, int], shuffle: random.Random
                    ) -> tuple[list[list[int]], list[int]]:
    """Return five rows of word numbers an image, and how many of each count.

    Captions that lose words, or of which no word is in the map, are counted in one warning each.
    """
    rows, lengths = [], []
    cut, unknown = [], []
    for item in (dataset.get_data_info(row) for row in range(len(dataset))):
        for caption in five_of(item['gt_captions'], shuffle):
            words = split_words(caption, dataset.language)
            shown = f"'{caption}' ('{item['sample_id']}')"
            if len(words) > MAX_WORDS:
                cut.append(shown)
            if not any(word in numbers for word in words[:MAX_WORDS]):
                unknown.append(shown)
            rows.append(encode(words[:MAX_WORDS], numbers))
            lengths.append(len(words[:MAX_WORDS]) + 2)
    for found, what in ((cut, f'are cut to {MAX_WORDS} words'),
                        (unknown, 'hold no word of the word map and become <unk> throughout')):
        if found:
            warn_once(f"{dataset.TITLE}, split '{dataset.split}': {len(found)} of {len(rows)} "
                      f'captions {what}; the first: {found[0]}')
    return rows, lengths


def word_map(sentences: Iterable[Sequence[str]], min_word_freq: int) -> dict[str, int]:
    """Number the words that occur more than ``min_word_freq`` times, in order of appearance.

    Raises:
        ValueError: If there is none, or the number is negative.
    """
    if min_word_freq < 0:
        raise ValueError(f'min_word_freq={min_word_freq} must be 0 or more')
    counts = Counter(word for words in sentences for word in words)
    kept = [word for word, count in counts.items() if count > min_word_freq]
    if not kept:
        raise ValueError(f'no word occurs more than {min_word_freq} times (min_word_freq); the '
                         f'most frequent is {counts.most_common(1)}')
    numbers = {word: number for number, word in enumerate(kept, start=1)}
    for special in ('<unk>', '<start>', '<end>'):
        numbers[special] = len(numbers) + 1
    return {**numbers, '<pad>': 0}


def encode(words: Sequence[str], numbers: dict[str, int]) -> list[int]:
    """Return start, the words' numbers, end and zeros: ``MAX_WORDS + 2`` integers."""
    row = [numbers['<start>'], *(numbers.get(word, numbers['<unk>']) for word in words),
           numbers['<end>']]
    return row + [numbers['<pad>']] * (MAX_WORDS + 2 - len(row))


def five_of(captions: Sequence[str], rng: random.Random) -> list[str]:
    """Return five captions in random order; too few are filled up by repeating."""
    captions = list(captions)
    if len(captions) < CAPTIONS_PER_IMAGE:
        return captions + rng.choices(captions, k=CAPTIONS_PER_IMAGE - len(captions))
    return rng.sample(captions, CAPTIONS_PER_IMAGE)


def _sentences(dataset: ChangeDataset) -> list[list[str]]:
    return [split_words(caption, dataset.language) for row in range(len(dataset))
            for caption in dataset.get_data_info(row)['gt_captions']]


def _json(path: Path, data: Any, indent: int | None = None) -> Path:
    write_json(path, data, indent=indent)
    return path


def write_images(dataset: ChangeDataset, out: str | Path, base: str) -> Path:
    """Write the frames of one split as ``images`` uint8 (N, 2, B, H, W), or (N, B, H, W).

    Raises:
        OSError: If the disk has not the room, or another process writes the file.
        ValueError: If frames are not of one size.
    """
    h5py = require('h5py', 'writing HDF5 files')
    first = np.stack(dataset[0]['frames'])
    path = Path(out) / f'{dataset.split.upper()}_IMAGES_{base}.hdf5'
    with _new_hdf5(path, h5py) as file:
        file.attrs['captions_per_image'] = CAPTIONS_PER_IMAGE
        dates = () if len(first) == 1 else (len(first),)
        shape = (len(dataset), *dates, first.shape[3], *first.shape[1:3])
        images = file.create_dataset('images', shape, dtype=np.uint8)
        reserve(file.filename, images.nbytes)
        for row in progress(range(len(dataset)), f'{dataset.split} images', unit='sample'):
            loaded = dataset[row]
            frames = np.stack(loaded['frames'])
            if frames.shape != first.shape:
                raise ValueError(f"'{loaded['sample_id']}' is {frames.shape[1:3]} (H, W), the "
                                 f'first one {first.shape[1:3]}: HDF5 files hold one size.')
            images[row] = frames.transpose(0, 3, 1, 2).reshape(shape[1:])
    return path


@contextmanager
def _new_hdf5(path: Path, h5py: ModuleType) -> Iterator[Any]:
    """Open a draft that takes its name when the block ends without error.

    What a kill left of an earlier draft is overwritten.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft, lock = (path.with_name(f'.{path.name}.{ending}') for ending in ('tmp', 'lock'))
    with locked(lock, wait=False) as mine:
        if not mine:
            raise OSError(f"another process is writing '{path}': wait for it, or choose another "
                          'folder')
        try:
            with h5py.File(draft, 'w') as file:
                yield file
            os.replace(draft, path)
        finally:
            for left in (draft, lock):
                left.unlink(missing_ok=True)
