"""Change detection datasets given by path lists, as ChangeCLIP's users write them."""
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, ClassVar

from mmengine.logging import print_log

from rscc.datasets.base import ChangeDataset
from rscc.datasets.checks import SPLITS
from rscc.datasets.confidence import ConfidenceFiles
from rscc.registry import DATASETS
from rscc.utils import check_choice, counted
from rscc.utils.paths import ListedPair, find_pairs, read_path_list

MISSING = ('error', 'empty')
PATH_KEYS = ('img_path_from', 'img_path_to', 'seg_map_path')


@DATASETS.register_module()
class PathListCDDataset(ChangeDataset):
    """Pairs and change masks named by a text file: SYSU-CD, LEVIR-CD(+), WHU-CD, CDD, your own.

    * Layout: ``train.txt``, ``val.txt``, ``test.txt`` in the dataset's folder, ``from  to  label``
      a line; ``python tools/general/write_path.py FOLDER`` writes them. A list is relative to the
      dataset's folder or, as ChangeCLIP's were, to the working directory; or it is absolute.
      With ``ann_file=None`` folders do without a list: ``A``, ``B`` and ``label`` with files of
      one name each, in a folder of the split or right in the dataset's.
    * Label values: {0, 255} or {0, 1}; anything else needs ``label_map`` or ``label_threshold``.
    * Class names: where CLIP confidence files lie beside the image folders
      (``A_clipcls_56_vit16.json`` beside ``A``), every item has ``prompts``: the best names of
      either date. Without the files there are none, and the model asks its own source.
    * Captions: none.

    The cards of the five published datasets: docs/en/datasets.md.

    Args:
        data_root: See ``ChangeDataset``.
        ann_file: The list, in ``data_root`` or absolute. None takes the list of the split where
            there is one, else the folders.
        split: Name of the split, for the record; the list alone decides what is in it.
        label: Whether the list names labels. False reads lists of two columns (or ignores the
            third): prediction without truth.
        prompts_from: ``dict(suffix=..., top=...)``: what follows the image folder's name in that of
            its confidence file, and how many names of a record count. None reads none.
        prompts_missing: What images without a record do where there are confidence files: be an
            ``'error'``, or have no class names (``'empty'``, a warning with their number).
        label_threshold: For labels saved with losses (CDD's JPEG files) or smooth edges: values
            from here on are changed, those below are not.
        classes: Class names, the first being "unchanged".
        palette: Colour of each class, [red, green, blue], for pictures.
        **kwargs: See ``ChangeDataset``.

    Raises:
        FileNotFoundError: If the list, or files that it names, are missing: how many, which first.
        ValueError: If the list is empty or malformed, repeats a pair, does not match the confidence
            files, or a mask read by ``check_masks`` holds an unexpected value.
    """
    METAINFO: ClassVar[dict[str, Any]] = {'task': 'pair', 'classes': ('unchanged', 'changed'),
                                          'palette': [[0, 0, 0], [255, 255, 255]]}
    TITLE = 'path list'
    ANCHOR = 'path-lists'

    def __init__(self, data_root: str = '', ann_file: str | None = 'train.txt', *,
                 split: str | None = 'train', label: bool = True,
                 prompts_from: Mapping[str, Any] | None = MappingProxyType({}),
                 prompts_missing: str = 'error', classes: Sequence[str] | None = None,
                 palette: Sequence[Sequence[int]] | None = None,
                 label_map: Mapping[int, int] | None = None, label_threshold: int | None = None,
                 metainfo: Mapping | None = None, **kwargs):
        if label_threshold is not None:
            if label_map is not None:
                raise ValueError('label_map and label_threshold both say what label values mean; '
                                 'give one.')
            label_map = {value: int(value >= label_threshold) for value in range(256)}
        check_choice('prompts_missing', prompts_missing, MISSING)
        self.has_label, self.prompts_missing = label, prompts_missing
        self.confidence = None if prompts_from is None else ConfidenceFiles(**prompts_from)
        told: dict[str, Any] = {'no_change_captions': []}
        if classes is not None:
            told['classes'] = tuple(classes)
            if len(classes) != len(self.METAINFO['classes']):
                told['palette'] = None
        if palette is not None:
            told['palette'] = [list(colour) for colour in palette]
        super().__init__(data_root, ann_file or '', split=split, label_map=label_map,
                         metainfo={**told, **(metainfo or {})}, **kwargs)

    # ---- the list ----------------------------------------------------------------------------

    def load_data_list(self) -> list[dict]:
        """Read the list, describe its pairs, check their files, add the class names."""
        pairs = self._listed_pairs()
        base = self._base(pairs[0])
        samples = [self._describe(pair, name, base)
                   for pair, name in zip(pairs, sample_ids(pairs), strict=True)]
        self._metainfo['image_size'] = self.image_size(samples)
        samples = self._unique(samples)
        if self.confidence is not None and self.check_images and self.clean_list is None:
            self._check_files(samples)
        if self.confidence is not None:
            self._add_prompts(samples, pairs, base)
        return self.examined(samples, self._other_lists(base))

    def _listed_pairs(self) -> list[ListedPair]:
        """Return the pairs of the list, or those of folders where there is none."""
        if not self.ann_file:
            self.ann_file = str(Path(self.data_root) / f'{self.split}.txt')
            if not Path(self.ann_file).is_file():
                self.ann_file = self.data_root
                return self._pairs_of_folders()
        return read_path_list(self.ann_file, self.has_label)

    def _pairs_of_folders(self) -> list[ListedPair]:
        """Match the files of ``A``, ``B`` and ``label`` by name.

        Folders right in the root are the training split: what is tested needs one of its own.
        """
        root = Path(self.data_root)
        inside = self.split and (self.split != 'train' or (root / self.split).is_dir())
        home = root / self.split if inside else root
        folders = ('A', 'B', 'label') if self.has_label else ('A', 'B')
        missing = [name for name in folders if not (home / name).is_dir()]
        if missing:
            there = sorted(path.name for path in home.iterdir())[:8] if home.is_dir() else 'nothing'
            raise FileNotFoundError(
                f"'{root}' holds neither a list '{self.split}.txt' nor the folders "
                f"{', '.join(folders)} in '{home}': {', '.join(missing)} missing, found {there}. "
                'Set --data-root or RSCC_DATA, or write the list: python '
                f'tools/general/write_path.py {root} (docs/en/datasets.md#{self.ANCHOR})')
        (found,) = find_pairs(home, (), label='label' if self.has_label else None)
        if found.unmatched:
            raise ValueError(
                f"'{home}': {counted(len(found.unmatched), 'file')} without a partner of the same "
                f'name in the other folders; the first: {found.unmatched[:3]}. Complete or '
                'remove them')
        return [ListedPair(number, *(path.relative_to(root).as_posix() for path in row))
                for number, row in enumerate(found.rows, 1)]

    def _other_lists(self, base: Path) -> dict[str, list[tuple[str, str]]]:
        """Return the pairs of the lists of other splits that lie beside this one."""
        here, others = Path(self.ann_file), {}
        for split in SPLITS:
            path = here.with_name(f'{split}.txt')
            if path != here and path.is_file() and here.stem in SPLITS:
                with suppress(ValueError):  # told when that split is read
                    others[split] = [(str(base / pair.img_from), str(base / pair.img_to))
                                     for pair in read_path_list(path, label=False)]
        return others

    def _base(self, first: ListedPair) -> Path:
        """Return what relative paths start from: the data root, else the working directory.

        The first pair decides for the whole list: its earlier image or, where a list is read
        without any images, its confidence file.
        """
        root, signs = Path(self.data_root), [Path(first.img_from)]
        if self.confidence is not None:
            signs.append(self.confidence.of(first.img_from))
        found = (base for sign in signs for base in (root, Path()) if (base / sign).exists())
        return next(found, root)

    def _describe(self, pair: ListedPair, name: str, base: Path) -> dict:
        item = {'sample_id': name, 'split': self.split or 'all', 'language': self.language,
                'img_path_from': str(base / pair.img_from), 'img_path_to': str(base / pair.img_to)}
        if pair.label is not None:
            item['seg_map_path'] = str(base / pair.label)
        return item

    def files_of(self, item: Mapping) -> list[str]:
        """Return all paths of an item."""
        return [item[key] for key in PATH_KEYS if key in item]

    def where_files_are(self) -> str:
        """Say where the list's files were looked for, and what to do."""
        return (f"'{self.ann_file}' names them; relative paths start from the data root "
                f"'{self.data_root}' or the working directory '{Path.cwd()}'. Set --data-root, "
                'write the list again (python tools/general/write_path.py ROOT), or complete the '
                'download')

    # ---- class names -------------------------------------------------------------------------

    def _add_prompts(self, samples: Sequence[dict], pairs: Sequence[ListedPair],
                     base: Path) -> None:
        """Set ``prompts``, the best class names of either date, where confidence files exist."""
        written = [(pair.img_from, pair.img_to) for pair in pairs]
        found = self.confidence.look_up([path for paths in written for path in paths], base)
        if found is None:
            print_log(f"'{self.ann_file}': there are no CLIP confidence files, so its "
                      f"{len(samples)} pairs bring no class names and the model uses its own "
                      f"prompts. Looked for '{base / self.confidence.of(written[0][0])}'; write "
                      'them: python tools/clip_inference.py', 'current', logging.INFO)
            return
        for sample, paths in zip(samples, written, strict=True):
            sample['prompts'] = [found.names[path] or [] for path in paths]
        if not found.lost:
            return
        text = (f"'{self.ann_file}' and its CLIP confidence files do not match: {len(found.lost)} "
                f'of {len(found.names)} images have no record, first: {found.lost[:3]}. Looked by '
                f'path and by file name in {found.where}.')
        if self.prompts_missing == 'error':
            raise ValueError(f'{text} Complete them: python tools/clip_inference.py; or pass '
                             "prompts_missing='empty' for no class names there, or "
                             'prompts_from=None to read no such file.')
        print_log(f'{text} Those get no class names.', 'current', logging.WARNING)


def sample_ids(pairs: Sequence[ListedPair]) -> list[str]:
    """Name every pair after its earlier image, with as many folders as tell it from the others.

    Returns:
        File names without ending, below folders where needed. Pairs of one earlier image are told
        apart by the later one.
    """
    paths = [PurePosixPath(pair.img_from).with_suffix('') for pair in pairs]
    names = [path.name for path in paths]
    for depth in range(2, max(len(path.parts) for path in paths) + 1):
        names = _longer(names, ['/'.join(path.parts[-depth:]).strip('/') for path in paths])
    return _longer(names, [f'{name}/{PurePosixPath(pair.img_to).stem}'
                           for name, pair in zip(names, pairs, strict=True)])


def _longer(names: Sequence[str], longer: Sequence[str]) -> list[str]:
    """Take the longer name of those that are not alone with theirs."""
    counts = Counter(names)
    return [more if counts[name] > 1 else name for name, more in zip(names, longer, strict=True)]
