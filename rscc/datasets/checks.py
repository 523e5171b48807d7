"""Checks of a dataset before its first batch: doubtful samples, leaks between splits, masks.

A finding names what is the matter and with which samples. Dataset and option decide what follows:
a warning with the count and the first three, samples that are left out, or an error.
"""
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rscc.datasets.transforms.semantic import DISAGREEMENT, SemanticLabels
from rscc.rasters.labels import PARTLY_KNOWN, changed_pixels
from rscc.rasters.pair_check import check_pair
from rscc.structures import CLASS_MAPS
from rscc.utils import did_you_mean
from rscc.utils.files import read_text
from rscc.utils.logging import warn_once

#: What may be done about doubtful samples.
FAULTS = ('report', 'drop', 'mask', 'error')
SPLITS = ('train', 'val', 'test')
#: Masks that are read before training, in scattered order; ``check_masks='all'`` reads every one.
MASKS_READ = 500


@dataclass(frozen=True)
class Finding:
    """What is doubtful about some samples.

    Attributes:
        what: What they do or are: ``'are flagged changed, and ...'``.
        samples: Their ids.
        dropped: Which of them ``faults='drop'`` leaves out and ``faults='mask'`` does not learn
            from.
    """

    what: str
    samples: Sequence[str]
    dropped: Sequence[str] = ()


def settle(findings: Iterable[Finding], faults: str, source: str, total: int) -> set[str]:
    """Report findings, or refuse them.

    Args:
        findings: Those without samples are passed over.
        faults: One of :data:`FAULTS`.
        source: The annotation file or the folder, for the messages.
        total: Number of samples examined.

    Returns:
        Ids of the samples to leave out, or not to learn from.

    Raises:
        ValueError: If there is a finding and ``faults`` is ``'error'``.
    """
    left_out: set[str] = set()
    for finding in findings:
        if not finding.samples:
            continue
        text = (f"'{source}': {len(finding.samples)} of {total} samples {finding.what}; the first: "
                f'{", ".join(map(repr, finding.samples[:3]))}.')
        if faults == 'error':
            raise ValueError(text)
        if faults in ('drop', 'mask') and finding.dropped:
            left_out.update(finding.dropped)
            text += f' {len(set(finding.dropped))} are ' + (
                'left out.' if faults == 'drop' else 'kept without labels.')
        elif finding.dropped:
            text += " faults='drop' in the dataset leaves such samples out."
        warn_once(text)
    return left_out


def read_clean_list(path: str | Path) -> set[tuple[str, str]]:
    """Read the samples of a clean list: (split, id), or ('', id) where a line has no split.

    Args:
        path: Lines ``split<TAB>id`` or ``id``; those that begin with ``#`` and empty ones do not
            count.

    Raises:
        ValueError: If it is no UTF-8.
    """
    lines = (line for line in read_text(path, 'clean list').splitlines()
             if line.strip() and not line.startswith('#'))
    return {('', line) if '\t' not in line else tuple(line.split('\t', 1)) for line in lines}


def clean_ones(samples: list[dict], clean: set[tuple[str, str]] | None, faults: str
               ) -> tuple[list[dict], list[dict]]:
    """Part the samples that a clean list names from the others.

    Args:
        samples: Items of a split.
        clean: Of :func:`read_clean_list`; None keeps all.
        faults: One of :data:`FAULTS`, for the message.

    Raises:
        ValueError: If it names none of them.
    """
    if clean is None:
        return samples, []
    kept: list[dict] = []
    others: list[dict] = []
    for item in samples:
        named = {('', item['sample_id']), (item['split'], item['sample_id'])} & clean
        (kept if named else others).append(item)
    if not kept:
        raise ValueError(f'clean_list names none of the {len(samples)} samples, the first of which '
                         f"is '{samples[0]['sample_id']}': is it of this dataset? Write it again: "
                         'rscc check DATA --write-clean LIST')
    done = 'kept without labels' if faults == 'mask' else 'left out'
    warn_once(f'{len(others)} of {len(samples)} samples are not on the clean list and {done}', 20)
    return kept, others


def without_labels(item: Mapping) -> dict:
    """Return an item that no loss learns from; ``LoadChangeMask`` makes its mask 255."""
    taken = ('gt_captions', 'all_captions', 'gt_change_flag')
    return {**{key: value for key, value in item.items() if key not in taken}, 'unlabelled': True}


def rank(split: str) -> int:
    """Return which split keeps what two have, the highest: what is tested on is not trained on."""
    return SPLITS.index(split) if split in SPLITS else -1


def repeated_numbers(samples: Sequence[Mapping]) -> Iterable[Finding]:
    """Find samples that share their number ``imgid``."""
    counts = Counter(item['imgid'] for item in samples if 'imgid' in item)
    yield Finding('share their imgid with another',
                  [item['sample_id'] for item in samples if counts[item.get('imgid')] > 1])


def strange_splits(records: Sequence[Mapping]) -> Iterable[Finding]:
    """Find splits that are written like a known one, and samples without any."""
    splits: dict[str, list[str]] = {}
    for record in records:
        splits.setdefault(record['split'] or '', []).append(record['sample_id'])
    for split, samples in splits.items():
        meant = '' if split in ('restval', *SPLITS) else did_you_mean(split, SPLITS)
        if split and meant:
            yield Finding(f"are of a split '{split}', which nothing trains or tests on.{meant}",
                          samples)
    if '' in splits and len(splits) > 1:
        yield Finding('are of no split, though others are', splits[''])


def against_captions(samples: Sequence[Mapping], stock: Iterable[str]) -> Iterable[Finding]:
    """Find change flags that contradict the captions.

    Args:
        samples: Items with ``gt_captions`` and ``gt_change_flag``.
        stock: Sentences that deny a change.
    """
    stock = set(stock)
    kinds = [(item['sample_id'], item.get('gt_change_flag'), stock & set(item['gt_captions']),
              stock >= set(item['gt_captions'])) for item in samples if item.get('gt_captions')]
    changed = [name for name, flag, _, denied in kinds if flag is True and denied]
    yield Finding('are flagged changed, and all their captions deny a change', changed, changed)
    unchanged = [name for name, flag, denials, _ in kinds if flag is False and not denials]
    # Annotators with denials of their own wording are no contradiction.
    if 2 * len(unchanged) < sum(flag is False for _, flag, *_ in kinds):
        yield Finding('are flagged unchanged, and none of their captions says so', unchanged,
                      unchanged)


def identical_dates(samples: Sequence[Mapping], images_of: Callable[[Mapping], list[str]]
                    ) -> Iterable[Finding]:
    """Find pairs that are flagged changed and have one image for both dates."""
    same = [item['sample_id'] for item in samples
            if item.get('gt_change_flag') and _same_content(images_of(item))]
    yield Finding('are flagged changed, and the files of both dates are the same', same, same)


def leaks(samples: Sequence[Mapping], images_of: Callable[[Mapping], list[str]],
          others: Mapping[str, Sequence[Sequence[str]]]) -> Iterable[Finding]:
    """Find samples whose images are files of the same content as those of another split.

    Args:
        samples: Items of one split.
        images_of: Item -> paths of its dates.
        others: Other split -> paths of the dates of each of its samples.
    """
    own = {item['sample_id']: tuple(images_of(item)) for item in samples}
    for split, images in others.items():
        theirs, mine = {tuple(paths) for paths in images}, dict(own)
        # Sizes first, then a few bytes, then everything: hardly a file is read whole.
        for describe in (_size, _middle, _digest):
            known = {key for paths in theirs if None not in (key := _each(describe, paths))}
            mine = {name: paths for name, paths in mine.items()
                    if _each(describe, paths) in known}
            keys = {_each(describe, paths) for paths in mine.values()}
            theirs = {paths for paths in theirs if _each(describe, paths) in keys}
        drop = [item['sample_id'] for item in samples
                if item['sample_id'] in mine and rank(item['split']) < rank(split)]
        yield Finding(f"show the same pixels as samples of split '{split}'", list(mine), drop)


def _each(describe: Callable[[str], object], paths: Sequence[str]) -> tuple:
    return tuple(map(describe, paths))


def _size(path: str) -> int | None:
    try:
        return os.stat(path).st_size
    except OSError:
        return None


def _middle(path: str, count: int = 2048) -> bytes | None:
    try:
        with open(path, 'rb') as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size // 2 - count))
            return file.read(count)
    except OSError:
        return None


def _digest(path: str) -> bytes | None:
    try:
        return hashlib.blake2b(Path(path).read_bytes(), digest_size=16).digest()
    except OSError:
        return None


def _same_content(paths: Sequence[str]) -> bool:
    return len(paths) > 1 and all(
        None not in (keys := {describe(path) for path in paths}) and len(keys) == 1
        for describe in (_size, _middle, _digest))


def masks(samples: Sequence[Mapping], load: Callable[[Mapping], Mapping[str, np.ndarray]],
          images_of: Callable[[Mapping], list[str]], metainfo: Mapping,
          labels: SemanticLabels | None = None, most: int | None = MASKS_READ
          ) -> Iterable[Finding]:
    """Read masks before training, and find flags and class maps that contradict them.

    Args:
        samples: Items with ``seg_map_path`` or ``semantic_paths``.
        load: Item -> its label maps (H, W) by name, ``gt_sem_seg`` among them.
        images_of: Item -> paths of its dates, which must fit each other and the mask.
        metainfo: Of the dataset: ``classes``, None where they are not known.
        labels: What class maps of the dates hold, where there are some.
        most: How many masks are read at most, in scattered order; None reads all.

    Raises:
        FileNotFoundError: If a mask is missing.
        ValueError: If one cannot be read, is of another size or holds classes without a name.
    """
    # Scattered: lists are often sorted by region, and neighbours are alike.
    scattered = np.random.default_rng(0).permutation(len(samples))[:most]
    chosen = [samples[index] for index in sorted(scattered)]

    def change_in(item: Mapping) -> tuple[int, int, int]:
        found = load(item)
        mask = found['gt_sem_seg']
        _check_mask(item, mask, images_of(item), metainfo['classes'])
        classes = [found[name] for name in CLASS_MAPS if name in found]
        strange = labels.disagreement(mask, *classes) if labels and classes else 0
        return changed_pixels(mask), mask.size, strange

    # Decoders let go of the interpreter, so threads share the work.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        counts = list(pool.map(change_in, chosen))
    for flag, what in ((True, 'are flagged changed, and their masks hold no change'),
                       (False, 'are flagged unchanged, and their masks hold a change')):
        wrong = [item['sample_id'] for item, (changed, *_) in zip(chosen, counts, strict=True)
                 if item.get('gt_change_flag') is flag and flag != bool(changed)]
        yield Finding(what, wrong, wrong)
    strange = {item['sample_id']: count
               for item, (*_, count) in zip(chosen, counts, strict=True) if count}
    yield Finding(f'have class maps that do not agree on the change ({sum(strange.values()):,} '
                  f'pixels in all: {DISAGREEMENT})', list(strange))
    if chosen and not any(changed for changed, *_ in counts):
        part = 'its' if len(chosen) == len(samples) else f'{len(chosen)} of its'
        warn_once(f'none of {part} {len(samples)} masks ({sum(size for _, size, _ in counts):,} '
                  'pixels) holds a changed pixel, so nothing can be learnt from this split and its '
                  f"F1 says nothing. Is '{Path(_label_of(chosen[0])).parent}' the folder of the "
                  'labels?')


def _label_of(item: Mapping) -> str:
    """Return the file that an item's change map comes from."""
    return item.get('seg_map_path') or item['semantic_paths'][0]


def _check_mask(item: Mapping, mask: np.ndarray, images: Sequence[str],
                classes: Sequence[str] | None) -> None:
    name, path = item['sample_id'], _label_of(item)
    if images:
        try:
            header = check_pair(images)
        except ValueError as error:
            raise ValueError(f"sample '{name}': {error}") from error
        if mask.shape != (header.height, header.width):
            raise ValueError(f"sample '{name}': label '{path}' is {mask.shape} (H, W), the image "
                             f"'{images[0]}' is {(header.height, header.width)}. Crop or resize "
                             'them to one grid first.')
    found = np.unique(mask[mask < PARTLY_KNOWN[0]]).tolist()
    if classes is not None and found and found[-1] >= len(classes):
        raise ValueError(
            f"sample '{name}': label '{path}' holds the classes {found}, and the dataset has "
            f'{len(classes)}: {list(classes)}. Name all of them (classes=...), or map the values '
            'of the file to fewer: label_map={value: class index, ...} (255 = ignore).')
