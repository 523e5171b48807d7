"""Base class of the datasets: annotations, splits, seeds of random transforms, cache, errors."""
import copy
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from mmengine.dataset import BaseDataset

from rscc.datasets import checks
from rscc.datasets.annotations import (
    Record,
    fill_template,
    languages_to_learn,
    read_captions,
)
from rscc.datasets.features import FeatureRows, open_features
from rscc.datasets.frame_cache import FrameCache, open_cache
from rscc.datasets.sentences import add_languages, add_teacher_captions
from rscc.datasets.transforms.loading import FRAME_KEYS, LoadChangeMask, LoadFrames
from rscc.datasets.transforms.semantic import LoadSemanticMaps, SemanticLabels
from rscc.rasters.image_files import header_size
from rscc.rasters.labels import read_classes, refuse_other_meaning
from rscc.registry import TRANSFORMS
from rscc.structures import LABEL_MAPS
from rscc.text.normalisation import (
    NO_CHANGE_CAPTIONS,
    frequent_caption,
)
from rscc.utils import check_choice, did_you_mean, resolve_data_root
from rscc.utils.logging import warn_once

#: Headers read to learn how large the images of a dataset are.
SIZES_READ = 8
Loader = LoadFrames | LoadChangeMask | LoadSemanticMaps


class ChangeDataset(BaseDataset):
    """Base of the datasets: captioned images or pairs described by one annotation file.

    A subclass gives ``METAINFO``, the class attributes below and its defaults; readers of other
    annotation styles override ``read_records``.

    ``metainfo['image_size']`` is (H, W) of most image files in pixels, None where not known;
    ``metainfo['ground_resolution']`` the metres that a pixel covers, absent where they vary.
    ``metainfo['bands']`` and ``metainfo['scale']`` are those of ``LoadFrames``, where it has some.
    ``metainfo['frequent_caption']`` of single images is the sentence most often written in the
    training split, which captions of all splits are measured against; None where it is not known.

    A file ``rscc_classes.json`` in the dataset's folder, as ``scene_pairs.py`` writes it, gives
    classes, palette and label_map where no argument does, and the ground resolution. A label_map
    that contradicts it, by taking what is ignored for a class say, is an error.

    Every item carries ``epoch``, and ``rng``, a generator seeded from (seed, epoch, index).
    Transforms draw from nothing else, so augmentation depends neither on workers, nor on their
    order, nor on the number of processes, and a resumed run continues exactly.

    Args:
        data_root: The dataset's folder as published, below ``$RSCC_DATA`` (else ``$CDPATH``, else
            ``data``), or an absolute path.
        ann_file: Annotation file in ``data_root``; ``.json`` or ``.json.gz``.
        split: ``'train'``, ``'val'``, ``'test'``, or None for all images of the file.
        img_from: Template of the earlier image's path in ``data_root``. Fields: ``{filename}``,
            ``{stem}`` (without ending), ``{split}``, ``{filepath}`` (as the annotations say).
        img_to: The same for the later image.
        img_path: The same for datasets of single images, instead of the two.
        label: The same for the label map, or None where there is none.
        semantic: The same for the class maps of both dates (``LoadSemanticMaps``), two templates;
            or what they hold, of a class that finds the files otherwise.
        label_map: File value -> class index, over the dataset's own.
        language: ``'en'`` or ``'zh'``: of ``gt_captions``, by which a model is scored, and of what
            a caption head of several languages writes.
        languages: Languages of the sentences to learn, ``language`` among them, where the
            annotations have several: ``('en', 'zh')``. ``PickCaptions`` then chooses among all of
            them; a caption head needs a tokenizer of these languages.
        text_from: ``'raw'`` sentences or joined ``'tokens'``.
        clean_captions: Whether to cut off the ``###`` in which some Chinese sentences end.
        pipeline: Transforms.
        seed: First number of every sample's random seed.
        cache: None, or ``dict(size=(H, W) or None, where=None, 'memory' or a folder)``: decode and
            resize every frame once (see ``rscc.datasets.frame_cache``).
        features: None, or ``dict(file=..., tokens=False, model=None, encoder=None, weights=None,
            token_grid=None)``: features computed once take the place of the images, which need not
            be there (see ``rscc.datasets.features``). The pipeline then loads and changes no
            frames.
        check_images: Whether to check at once that every image exists.
        check_masks: Whether to read masks before training, so that one of another form, size or
            class is refused at once: up to 500 of them, in scattered order, or ``'all'``.
        faults: What doubtful samples do (flags that contradict captions or masks, pairs of one
            image that are flagged changed, images of two splits, ids given twice): ``'report'``
            counts and names them, ids given twice being an error; ``'drop'`` leaves them out;
            ``'mask'`` keeps their images without labels, so that no loss learns from them;
            ``'error'`` refuses them. See ``rscc.datasets.checks``.
        clean_list: File of ``rscc check --write-clean``, in ``data_root`` or absolute. Samples that
            it does not name are left out or, with ``faults='mask'``, kept without labels.
        teacher_captions: File of sentences that a trained captioner wrote for this split, in
            ``data_root`` or absolute, or several, one a language; ``PickTeacherCaptions`` chooses
            among them. See ``rscc.text.teacher_captions``.
        test_mode: Whether randomness stays that of epoch 0.
        **kwargs: For ``mmengine.dataset.BaseDataset`` (``indices``, ``lazy_init``, ...).

    Raises:
        FileNotFoundError: If annotations or images are missing; the message says how to get them.
        ValueError: If the annotations are of another style, the split is unknown, or a caption is
            empty.
    """
    METAINFO: ClassVar[dict[str, Any]] = {'task': 'pair', 'classes': None, 'palette': None}
    TITLE = 'dataset'
    ANCHOR = ''
    LABEL_MAP: ClassVar[dict[int, int] | None] = None
    #: What the class maps of the dates hold, where the dataset has some.
    SEMANTIC: ClassVar[SemanticLabels | None] = None
    #: Red, green and blue of a pixel without data, where all dates of it have that colour.
    NODATA_COLOUR: ClassVar[tuple[int, int, int] | None] = None
    #: File in the dataset's folder for the words of its training captions.
    VOCABULARY = 'vocab_{language}.json'

    def __init__(self, data_root: str = '', ann_file: str = '', *, split: str | None = 'train',
                 img_from: str | None = None, img_to: str | None = None,
                 img_path: str | None = None, label: str | None = None,
                 semantic: Sequence[str] | SemanticLabels | None = None,
                 label_map: Mapping[int, int] | None = None, language: str = 'en',
                 languages: Sequence[str] | None = None, text_from: str = 'raw',
                 clean_captions: bool = True, pipeline: Sequence[dict | Callable] = (),
                 seed: int = 0, cache: Mapping | None = None, features: Mapping | None = None,
                 check_images: bool = True, check_masks: bool | str = True,
                 faults: str = 'report', clean_list: str | None = None,
                 teacher_captions: str | Sequence[str] | None = None,
                 test_mode: bool = False, metainfo: Mapping | None = None, **kwargs):
        self.languages = languages_to_learn(language, languages)
        check_choice('faults', faults, checks.FAULTS)
        check_choice('check_masks', check_masks, (True, False, 'all'))
        self.split, self.language, self.seed = split, language, seed
        self.text_from, self.clean_captions = text_from, clean_captions
        self.templates = {'img_path_from': img_from, 'img_path_to': img_to, 'img_path': img_path,
                          'seg_map_path': label}
        found_otherwise = isinstance(semantic, SemanticLabels)
        self.semantic_templates = () if found_otherwise else tuple(semantic or ())
        self.semantic_labels = semantic if found_otherwise else self.SEMANTIC if semantic else None
        self.nodata_colour = self.NODATA_COLOUR
        root = resolve_data_root(data_root, self.marker(ann_file))
        told = read_classes(root)
        if told and label_map is not None:
            refuse_other_meaning(label_map, told, (metainfo or {}).get('classes') or (), root)
        own_map = told.pop('label_map', self.LABEL_MAP)
        label_map = label_map if label_map is not None else own_map
        self.label_map = label_map if label_map is None else dict(label_map)
        self.cache_options, self.check_images = cache, check_images
        self.check_masks, self.faults, self.id_prefix = check_masks, faults, ''
        self.clean_list = clean_list
        files = [teacher_captions] if isinstance(teacher_captions, str) else teacher_captions
        self.teacher_files = list(files or ())
        self._cache: FrameCache | None = None
        self.feature_options = features
        self._features: FeatureRows | None = None
        # One number in shared memory: worker processes that persist see the epoch advance.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        known = NO_CHANGE_CAPTIONS.get(language, [])
        metainfo = {'dataset_type': type(self).__name__, 'language': language, 'split': split,
                    'no_change_captions': list(known), **told, **(metainfo or {})}
        # Blocks of configs name that of a published dataset; this folder's own is the true one.
        metainfo |= {key: told[key] for key in ('ground_resolution',) if key in told}
        # Built here, so that our transforms are found without a default scope (in a notebook).
        steps = [TRANSFORMS.build(step) if isinstance(step, Mapping) else step for step in pipeline]
        for load in (step for step in steps if isinstance(step, LoadFrames)):
            shown = dict(bands=load.bands, scale=load.scale)  # for the pictures of a report
            metainfo |= {name: value for name, value in shown.items() if value is not None}
        super().__init__(ann_file=ann_file, metainfo=metainfo, data_prefix={}, pipeline=steps,
                         data_root=str(root), test_mode=test_mode, **kwargs)

    @staticmethod
    def marker(ann_file: str) -> str | None:
        """Return the file by which the dataset's folder is recognised."""
        return ann_file or None

    # ---- annotations -------------------------------------------------------------------------

    def load_data_list(self) -> list[dict]:
        """Read, select, check and describe all samples of the split."""
        records = self.read_records()
        if len(self.languages) > 1:
            add_languages(self, records)
        if self._metainfo['task'] == 'single':
            self._metainfo['frequent_caption'] = frequent_caption(
                (text for record in records if record['split'] == 'train'
                 for text in record['captions']), self.language)
        samples = [self.describe(record) for record in self._of_split(records)]
        self._metainfo['image_size'] = self.image_size(samples)
        samples = self.examined(self._unique(samples, records), self._other_splits(records),
                                [*checks.strange_splits(records),
                                 *checks.repeated_numbers(samples)])
        if self.feature_options is not None:
            images = [path for item in samples for path in self.images_of(item)]
            self._features = open_features(self.data_root, self.TITLE, images,
                                           **self.feature_options)
        add_teacher_captions(self, samples, self.teacher_files)
        return samples

    @property
    def source(self) -> str:
        """Annotation file, or the folder where there is none: what messages about samples name."""
        return str(self.ann_file or self.data_root)

    def examined(self, samples: list[dict], others: Mapping[str, Sequence[Sequence[str]]],
                 findings: Sequence[checks.Finding] = ()) -> list[dict]:
        """Check files and masks, report what is doubtful, and return the samples that stay.

        Args:
            samples: Items of the split.
            others: Other split -> paths of the dates of each of its samples.
            findings: What was found before.

        Raises:
            FileNotFoundError: If files are missing.
            ValueError: If a mask is not what it must be, or something is doubtful and ``faults``
                is ``'error'``.
        """
        samples, unlisted = checks.clean_ones(samples, self._clean_names(), self.faults)
        found = [*findings, *checks.against_captions(samples, self.metainfo['no_change_captions'])]
        if self.check_images and self.feature_options is None:
            self._check_files(samples)
            found += [*checks.identical_dates(samples, self.images_of),
                      *checks.leaks(samples, self.images_of, others), *self._mask_findings(samples)]
        doubtful = checks.settle(found, self.faults, self.source, len(samples))
        if self.faults == 'mask':
            return [*map(checks.without_labels, unlisted), *(
                checks.without_labels(item) if item['sample_id'] in doubtful else item
                for item in samples)]
        return [item for item in samples if item['sample_id'] not in doubtful]

    def _clean_names(self) -> set[tuple[str, str]] | None:
        if self.clean_list is None:
            return None
        path = Path(self.data_root) / Path(self.clean_list).expanduser()
        self.need_file(path, 'clean list')
        return checks.read_clean_list(path)

    def _mask_findings(self, samples: Sequence[dict]) -> list[checks.Finding]:
        labelled = [item for item in samples if self.maps_of(item)]
        if not self.check_masks or not labelled:
            return []
        return list(checks.masks(
            labelled, self._maps, self.images_of, self.metainfo, self.semantic_labels,
            None if self.check_masks == 'all' else checks.MASKS_READ))

    def _maps(self, item: Mapping) -> dict[str, np.ndarray]:
        """Return the label maps of an item, each (H, W), without loading its frames."""
        results = self.attach(dict(item))
        for load in self.loaders():
            if load.maps(item):
                results = load(results)
        return {name: results[name] for name in LABEL_MAPS if name in results}

    def _other_splits(self, records: Sequence[Record]) -> dict[str, list[list[str]]]:
        """Return the images of all splits but this one."""
        others: dict[str, list[list[str]]] = {}
        for record in records if self.split is not None else ():
            if record['split'] not in (None, self.split):
                others.setdefault(record['split'], []).append(
                    self.images_of(self.paths_of(record)))
        return others

    def read_records(self) -> list[Record]:
        """Return the records of all splits in ``self.language``.

        Override for another annotation style.
        """
        self.need_file(self.ann_file)
        return read_captions(self.ann_file, self.language, self.text_from, self.clean_captions)

    def need_file(self, path: str | Path, what: str = 'annotations', remedy: str = '') -> None:
        """Raise FileNotFoundError with the ways to get the dataset if ``path`` is not a file."""
        path = Path(path)
        if path.is_file():
            return
        beside = sorted(found.name for found in path.parent.glob(f'*{path.suffix}'))
        there = (f' That folder holds {beside[:6]}.{did_you_mean(path.name, beside)}' if beside
                 else '')
        remedy = remedy or (
            'Set RSCC_DATA or pass --data-root; how to get it: docs/en/datasets.md#'
            f'{self.ANCHOR}. A first run without any download: bash tools/quickstart.sh')
        raise FileNotFoundError(f"{self.TITLE} {what} not found at '{path}' "
                                f"(data_root='{self.data_root}').{there} {remedy}")

    def _of_split(self, records: list[Record]) -> list[Record]:
        if not records:
            raise ValueError(f"'{self.ann_file}' lists no images at all.")
        if self.split is None:
            return records
        chosen = [record for record in records if record['split'] == self.split]
        found = sorted({str(record['split']) for record in records if record['split']})
        if not found:
            raise ValueError(f"'{self.ann_file}' has no splits, so split='{self.split}' selects "
                             'nothing: pass split=None for all images.')
        if not chosen:
            raise ValueError(f"no split '{self.split}' in '{self.ann_file}': found {found}."
                             f'{did_you_mean(self.split, found)} None means all images.')
        return chosen

    def describe(self, record: Record) -> dict:
        """Turn one record into a dataset item (see the contract of the pipelines)."""
        item = {'sample_id': record['sample_id'], 'split': record['split'] or self.split or 'all',
                'gt_captions': record['captions'], 'language': self.language}
        if record.get('all_captions'):
            item |= {'all_captions': record['all_captions'], 'languages': self.languages}
        if record.get('imgid') is not None:
            item['imgid'] = record['imgid']
        item |= self.paths_of(record)
        if self.metainfo['task'] == 'pair':
            flag = record['changeflag']
            item['gt_change_flag'] = (self.tells_change(record['captions']) if flag is None
                                      else flag)
        return item

    def paths_of(self, record: Record) -> dict[str, Any]:
        """Return the paths of a record's files."""
        paths = {key: self._fill(template, record)
                 for key, template in self.templates.items() if template is not None}
        maps = [self._fill(template, record) for template in self.semantic_templates]
        return paths | ({'semantic_paths': maps} if maps else {})

    def _fill(self, template: str, record: Record) -> str:
        return str(Path(self.data_root) / fill_template(template, record, self.ann_file))

    def tells_change(self, captions: list[str]) -> bool:
        """Tell from its captions whether a pair changed, where the annotations do not say.

        Unchanged means: every caption is one of the dataset's no-change sentences. Exact for
        LEVIR-CC, where no pair mixes the two kinds.
        """
        return not set(captions) <= set(self.metainfo['no_change_captions'])

    def _unique(self, samples: list[dict], records: Sequence[Record] = ()) -> list[dict]:
        """Return the samples, each id once and no image that another split has too.

        Raises:
            ValueError: If an id comes twice, or an image is in two splits: the test would repeat
                the training. With ``faults='drop'`` the first of an id stays, and the later split.
        """
        kept: dict[str, dict] = {}
        for item in samples:
            other = kept.setdefault(item['sample_id'], item)
            if other is not item:
                self._refuse_repeated(item['sample_id'], other['split'], item['split'])
        template = next(filter(None, self.templates.values()), None)
        splits: dict[str, str] = {}
        for record in records:
            if template is None or record['split'] is None:
                continue
            split = splits.setdefault(self._fill(template, record), record['split'])
            if split != record['split']:
                self._refuse_repeated(record['sample_id'], split, record['split'])
                if self.split == min(split, record['split'], key=checks.rank):
                    kept.pop(record['sample_id'], None)
        return list(kept.values())

    def _refuse_repeated(self, name: str, first: str, second: str) -> None:
        where = (f"twice in split '{first}'" if first == second else
                 f"in two splits, '{first}' and '{second}'")
        text = f"'{self.source}' has '{name}' {where}."
        if self.faults not in ('drop', 'mask'):
            raise ValueError(f"{text} Remove one, or pass faults='drop' in the dataset.")
        warn_once(f'{text} One is left out.')

    def _check_files(self, samples: list[dict]) -> None:
        paths = [path for item in samples for path in self.files_of(item)]
        missing = [path for path in paths if not Path(path).exists()]
        if missing:
            raise FileNotFoundError(
                f'{self.TITLE}: {len(missing)} of {len(paths)} image files are missing; first: '
                f'{missing[:3]}. {self.where_files_are()}: docs/en/datasets.md#{self.ANCHOR}')

    @staticmethod
    def images_of(item: Mapping) -> list[str]:
        """Return the paths of an item's dates, the earliest first."""
        return [item[key] for key in FRAME_KEYS if item.get(key)]

    def files_of(self, item: Mapping) -> list[str]:
        """Return the paths of an item that must exist."""
        return [*(item[key] for key, template in self.templates.items() if template is not None),
                *item.get('semantic_paths', ())]

    def where_files_are(self) -> str:
        """Say where images were looked for, and what to do where they are missing."""
        return (f"Check data_root='{self.data_root}' and the path templates, or complete the "
                'download')

    def image_size(self, samples: Sequence[Mapping]) -> tuple[int, int] | None:
        """Return (H, W) of most images of a split; the checkpoint tells inference about it.

        Few headers are read. None where there are no image files (stored features, HDF5).
        """
        sizes: Counter = Counter()
        for item in samples[::max(1, len(samples) // SIZES_READ)]:
            size = header_size(path) if (path := next(iter(self.images_of(item)), None)) else None
            sizes.update([size] if size else [])
        return sizes.most_common(1)[0][0] if sizes else self.METAINFO.get('image_size')

    # ---- samples -----------------------------------------------------------------------------

    def set_epoch(self, epoch: int) -> None:
        """Tell the dataset, in all its worker processes, which epoch draws its random numbers."""
        self._epoch.fill_(int(epoch))

    @property
    def epoch(self) -> int:
        """The epoch that seeds random transforms; 0 in test mode."""
        return 0 if self.test_mode else int(self._epoch)

    def full_init(self) -> None:
        """Load the annotations and, if asked, open or build the frame cache."""
        if self._fully_initialized:
            return
        super().full_init()
        if self.cache_options is not None:
            self._cache = open_cache(self, **self.cache_options)

    def get_data_info(self, idx: int) -> dict:
        """Return one item; its id carries ``id_prefix``, by which joined datasets stay apart."""
        item = super().get_data_info(idx)
        return {**item, 'sample_id': self.id_prefix + item['sample_id']}

    def loaders(self) -> list[Loader]:
        """Return the loading transforms of the pipeline, in order; a cache stores their results."""
        return [step for step in self.pipeline.transforms if isinstance(step, Loader)]

    def maps_of(self, item: Mapping) -> list[str]:
        """Return the label maps that the loading transforms set for an item."""
        found = {name for load in self.loaders() for name in load.maps(item)}
        return [name for name in LABEL_MAPS if name in found]

    def load_sample(self, idx: int) -> dict:
        """Return one item after the loading transforms only."""
        results = self.attach(self.get_data_info(idx))
        results.pop('unlabelled', None)  # a cache holds what the files hold
        for step in self.loaders():
            results = step(results)
        return results

    def attach(self, item: dict) -> dict:
        """Add to an item what is not in the annotations; override to bring ``frames`` along."""
        if self._features is not None:
            item['features'] = self._features.of(self.images_of(item))
        told = dict(label_map=self.label_map, semantic_labels=self.semantic_labels,
                    nodata_colour=self.nodata_colour)
        return item | {key: value for key, value in told.items() if value is not None}

    def prepare_data(self, idx: int, epoch: int | None = None) -> dict:
        """Return item ``idx`` after the pipeline, random as in ``epoch`` (None: the present)."""
        epoch = self.epoch if epoch is None or self.test_mode else epoch
        item = self.get_data_info(idx)
        rng = np.random.default_rng((self.seed, epoch, idx))
        item = self.attach({**item, 'epoch': epoch, 'rng': rng})
        if self._cache is not None:
            self._cache.fill(item, idx, self.maps_of(item))
        sample_id = item['sample_id']
        try:
            results = self.pipeline(item)
        except Exception as error:
            if sample_id in str(error):
                raise
            raise RuntimeError(f"sample '{sample_id}' of {self.TITLE} fails in the pipeline: "
                               f'{type(error).__name__}: {error}') from error
        if results is None:
            raise RuntimeError(f"a transform returned nothing for sample '{sample_id}' of "
                               f'{self.TITLE}; transforms here must return the sample or raise.')
        return results

    def __getitem__(self, idx: int) -> dict:
        """Return item ``idx``; unlike MMEngine's, never another one in its place.

        An index that knows its epoch (``rscc.datasets.samplers.Visit``) overrules ``set_epoch``.
        """
        if not self._fully_initialized:
            self.full_init()
        return self.prepare_data(int(idx) % len(self) if idx < 0 else int(idx),
                                 getattr(idx, 'epoch', None))

    @classmethod
    def _load_metainfo(cls, metainfo: Mapping | None = None) -> dict:
        """Merge the class's metadata with the given (MMEngine's would open strings as files)."""
        return copy.deepcopy({**cls.METAINFO, **(metainfo or {})})

    def _join_prefix(self) -> None:
        """Join ``ann_file`` with the root; paths of images come from the templates."""
        if self.ann_file and not Path(self.ann_file).is_absolute():
            self.ann_file = str(Path(self.data_root) / self.ann_file)

    def __deepcopy__(self, memo: dict) -> 'ChangeDataset':
        """Copy everything but the shared epoch counter, which copies keep sharing."""
        twin = self.__class__.__new__(self.__class__)
        memo[id(self)] = twin
        memo[id(self._epoch)] = self._epoch
        for key, value in self.__dict__.items():
            setattr(twin, key, copy.deepcopy(value, memo))
        return twin
