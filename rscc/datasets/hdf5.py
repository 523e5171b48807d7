"""HDF5 + JSON files of older code bases: captioned pairs or single images."""
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from rscc.datasets.annotations import Record
from rscc.datasets.base import ChangeDataset
from rscc.registry import DATASETS
from rscc.text import normalise
from rscc.text.normalisation import join_words
from rscc.utils import check_choice, did_you_mean, read_json, require
from rscc.utils.forms import check_form, shorten
from rscc.utils.paths import sample_name

VARIANTS = ('blip', 'tutorial')
#: Task -> axes of one sample before bands, height and width.
TASKS = {'pair': (2,), 'single': ()}
SPECIALS = ('<start>', '<end>', '<pad>')
#: Entry of a pair in the captions of variant 'blip'.
_PAIR = {'captions': [str], 'filename?': (str, None), 'changeflag?': ({0, 1}, None)}
#: What stands behind ``{SPLIT}_IMAGES_`` and ``{SPLIT}_CAPTIONS_``.
BASE_NAMES = {'blip': 'LEVIR_CC', 'tutorial': 'LEVIR_CC_5_cap_per_img_5_min_word_freq'}


class ImageArray:
    """The ``images`` of one HDF5 file, opened late and once per process.

    A file opened before a fork must not be read after it, so the handle belongs to the process
    that opened it, and is never copied or pickled.

    Args:
        path: File with ``images`` uint8: pairs (N, 2, B, H, W) or single images (N, B, H, W), B = 3
            for RGB.
    """

    def __init__(self, path: str | Path):
        self.path = str(path)
        self._owner, self._images = None, None

    def __reduce__(self) -> tuple:
        return ImageArray, (self.path,)

    @property
    def images(self) -> Any:
        """The open HDF5 dataset."""
        if self._owner != os.getpid():
            h5py = require('h5py', 'reading HDF5 files')
            try:
                self._images = h5py.File(self.path, 'r')['images']
            except (OSError, KeyError) as error:
                raise ValueError(f"'{self.path}' is no HDF5 file with a dataset 'images': {error}. "
                                 'Write it again: python tools/dataset_converters/levircc.py '
                                 '--help') from error
            self._owner = os.getpid()
        return self._images

    def frames(self, row: int) -> list[np.ndarray]:
        """Return every date of one sample, uint8 (H, W, B)."""
        images = self.images[row]
        dates = images if images.ndim == 4 else images[None]
        return [np.ascontiguousarray(image.transpose(1, 2, 0)) for image in dates]


@DATASETS.register_module()
class HDF5CaptionDataset(ChangeDataset):
    """Captioned pairs or single images in the HDF5 + JSON files of other code bases.

    ``tools/dataset_converters/hdf5.py`` writes both variants of any captioned dataset,
    ``tools/dataset_converters/levircc.py`` those of LEVIR-CC. Image files read nearly as fast and
    allow masks; this is for those who have the files already.

    * ``variant='blip'`` (erenduman2/rs-image-change-captioning): ``{SPLIT}_IMAGES_LEVIR_CC.hdf5``
      with ``images`` uint8 (N, 2, 3, 256, 256), and ``{SPLIT}_CAPTIONS_LEVIR_CC.json`` with
      ``image_<i>`` -> captions, filename, changeflag.
    * ``variant='tutorial'`` (the show-attend-tell tutorial; RSICCformer, PSNet, SEN): the same
      images, captions as word numbers (``CAPTIONS``, ``CAPLENS``, ``WORDMAP``), five rows a pair.
      File names and flags are not in it: ids are row numbers, flags come from the captions, rare
      words are ``<unk>``. With ``task='single'`` these are the tutorial's own files: ``images``
      uint8 (N, 3, 256, 256), ``base_name='ucm_5_cap_per_img_5_min_word_freq'`` for instance.

    Splits, captions and licence: see the dataset that the files are made of.

    Args:
        data_root: Folder of the files; see ``ChangeDataset``.
        variant: ``'blip'`` or ``'tutorial'``.
        base_name: What the file names share; the variant's usual one by default.
        split: ``'train'``, ``'val'`` or ``'test'``.
        task: ``'pair'`` or ``'single'``.
        **kwargs: See ``ChangeDataset``.
    """
    METAINFO: ClassVar[dict] = {'task': 'pair', 'classes': None, 'palette': None}
    TITLE = 'HDF5 files'
    ANCHOR = 'hdf5-files'

    def __init__(self, data_root: str = 'LEVIR-CC-hdf5', *, variant: str = 'blip',
                 base_name: str | None = None, split: str = 'train', task: str = 'pair',
                 **kwargs):
        check_choice('variant', variant, VARIANTS)
        check_choice('task', task, TASKS)
        if split not in ('train', 'val', 'test'):
            raise ValueError(f"split '{split}' is unknown: the files hold 'train', 'val', 'test'."
                             f"{did_you_mean(str(split), ('train', 'val', 'test'))}")
        self.variant, self.base_name = variant, base_name or BASE_NAMES[variant]
        kwargs['metainfo'] = {'task': task, **(kwargs.get('metainfo') or {})}
        self._images: ImageArray | None = None
        super().__init__(data_root, f'{split.upper()}_CAPTIONS_{self.base_name}.json', split=split,
                         **kwargs)

    def file(self, kind: str, suffix: str = '.json') -> Path:
        """Return the path of one of the files of this split (``WORDMAP`` has one for all)."""
        prefix = '' if kind == 'WORDMAP' else f'{self.split.upper()}_'
        return Path(self.data_root) / f'{prefix}{kind}_{self.base_name}{suffix}'

    def read_records(self) -> list[Record]:
        """Read the captions in the order of the images."""
        self.need_file(self.ann_file)
        images = self.file('IMAGES', '.hdf5')
        self.need_file(images, 'images')
        self._images = ImageArray(images)
        records = self._blip_records() if self.variant == 'blip' else self._tutorial_records()
        self._check_images(len(records))
        return records

    def image_size(self, samples: Sequence[Mapping]) -> tuple[int, int] | None:
        """Return (H, W) of the stored images."""
        return None if self._images is None else tuple(self._images.images.shape[-2:])

    def _check_images(self, count: int) -> None:
        images, axes = self._images.images, TASKS[self.metainfo['task']]
        if images.dtype != np.uint8 or images.shape[1:-3] != axes or images.ndim < 4:
            other = next((task for task in TASKS if images.ndim > 3
                          and TASKS[task] == images.shape[1:-3]), None)
            raise ValueError(
                f"'{self._images.path}' holds {images.dtype} {images.shape}; uint8 "
                f'(samples, {"".join(f"{axis}, " for axis in axes)}bands, H, W) was expected.'
                + (f" They are of task='{other}'." if other else ''))
        if len(images) != count:
            raise ValueError(f"'{self._images.path}' holds {len(images)} samples, "
                             f"'{self.ann_file}' captions of {count}: they do not belong "
                             'together. Convert the dataset again.')

    def _blip_records(self) -> list[Record]:
        data = read_json(self.ann_file, unique_keys=True)
        if not isinstance(data, dict) or 'image_0' not in data:
            raise ValueError(f"'{self.ann_file}' is not of the 'blip' variant: an object with the "
                             "keys 'image_0', 'image_1', ... was expected. Try variant='tutorial'.")
        check_form(data, dict.fromkeys((f'image_{row}' for row in range(len(data))), _PAIR),
                   f"'{self.ann_file}'")
        return [self._record(data[f'image_{row}'], row) for row in range(len(data))]

    def _record(self, entry: dict, row: int) -> Record:
        captions = entry['captions']
        if not captions or not all(normalise(text, self.language) for text in captions):
            raise ValueError(f"'{self.ann_file}': 'image_{row}' must hold a list of non-empty "
                             f'captions; found {shorten(captions)}.')
        name, flag = entry.get('filename') or f'{self.split}_{row:06d}', entry.get('changeflag')
        return Record(sample_id=sample_name(name), filename=str(row), filepath=None,
                      split=self.split,
                      captions=[normalise(text, self.language) for text in captions],
                      changeflag=None if flag is None else bool(flag))

    def _tutorial_records(self) -> list[Record]:
        rows = read_json(self.ann_file)
        for kind in ('CAPLENS', 'WORDMAP'):
            self.need_file(self.file(kind), kind)
        lengths, numbers = read_json(self.file('CAPLENS')), read_json(self.file('WORDMAP'))
        if not isinstance(rows, list) or not isinstance(lengths, list) or len(rows) != len(lengths):
            raise ValueError(f"'{self.ann_file}' is not of the 'tutorial' variant: a list as long "
                             f"as '{self.file('CAPLENS').name}' was expected. Try variant='blip'.")
        check_form(rows, [[int]], f"'{self.ann_file}'")
        check_form(lengths, [range(1 << 16)], f"'{self.file('CAPLENS')}'")
        check_form(numbers, {str: int}, f"word map '{self.file('WORDMAP')}'")
        # Marks that are no words are left out of the sentences.
        words = {number: '' if word in SPECIALS else word for word, number in numbers.items()}
        sentences = [self._sentence(row, length, place, words)
                     for place, (row, length) in enumerate(zip(rows, lengths, strict=True))]
        per_image = self._captions_per_image(len(rows))
        return [Record(sample_id=f'{self.split}_{row:06d}', filename=str(row), filepath=None,
                       split=self.split, changeflag=None,
                       captions=sentences[row * per_image:(row + 1) * per_image])
                for row in range(len(sentences) // per_image)]

    def _sentence(self, row: list[int], length: int, place: int, words: dict[int, str]) -> str:
        """Return the sentence that a row of word numbers spells."""
        strange = [number for number in row[:length] if number not in words]
        if strange:
            raise ValueError(f"'{self.ann_file}': row {place} has the word number {strange[0]!r}, "
                             f"which is not in '{self.file('WORDMAP').name}': they are not of one "
                             'making.')
        sentence = join_words([words[number] for number in row[:length] if words[number]],
                              self.language)
        if not sentence:
            raise ValueError(f"'{self.ann_file}': row {place} holds no word.")
        return sentence

    def _captions_per_image(self, rows: int) -> int:
        attributes = self._images.images.file.attrs
        if 'captions_per_image' not in attributes:
            raise ValueError(f"'{self._images.path}' lacks the attribute 'captions_per_image'.")
        number = int(attributes['captions_per_image'])
        if number < 1 or rows % number:
            raise ValueError(f"'{self._images.path}' says captions_per_image={number}, and "
                             f"'{self.ann_file}' has {rows} rows: they do not belong "
                             'together. Convert the dataset again.')
        return number

    def describe(self, record: Record) -> dict:
        """Describe one sample; its paths name the file, the row and, for pairs, the date."""
        item = super().describe(record)
        item['row'] = int(record['filename'])
        place = f'{self._images.path}::{item["row"]}'
        if self.metainfo['task'] == 'single':
            return {**item, 'img_path': place}
        return {**item, 'img_path_from': f'{place}/0', 'img_path_to': f'{place}/1'}

    def attach(self, item: dict) -> dict:
        """Bring the frames along, unless the cache will."""
        if self._cache is None:
            item['frames'] = self._images.frames(item['row'])
        return super().attach(item)
