"""What a user means by a name or a folder: the dataset class and options that read it."""
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from rscc.doctor.annotations import caption_files, has_captions
from rscc.doctor.details import Detail, detail
from rscc.doctor.sources import (
    SPLITS,
    Part,
    folder_part,
    noting,
    of_dataset,
    single_part,
    walk,
)
from rscc.evaluation.functional.content import says_no_change
from rscc.registry import DATASETS
from rscc.text.caption_files import text_of
from rscc.text.normalisation import language_of
from rscc.utils.json_stream import stream_list
from rscc.utils.paths import SUFFIXES, columns_of

#: Where the images of caption files lie: templates of a pair, of a single image.
_PAIRS = (('images/{split}/A/{filename}', 'images/{split}/B/{filename}'),
          ('{split}/A/{filename}', '{split}/B/{filename}'),
          ('A/{filename}', 'B/{filename}'), ('im1/{filename}', 'im2/{filename}'))
_SINGLE = ('imgs/{filename}', 'images/{filename}', 'RSICD_images/{filename}', 'image/{filename}',
           'images/{filepath}/{filename}', '{filepath}/{filename}', '{filename}')
_LABELS = ('images/{split}/label/{filename}', '{split}/label/{filename}', 'label/{filename}')


def parts_of_folder(root: Path, language: str | None = None) -> list[Part]:
    """Recognise a folder by its files and describe what is in it.

    Looked for, in this order: HDF5 files with captions, caption files (of LEVIR-CC, LEVIR-MCI, the
    built-in dataset, DUBAI-CC, SECOND-CC, single images, or any in Karpathy or COCO style), folders
    of SECOND, lists ``train.txt``, folders ``A`` and ``B`` (with ``label``) in it or further down,
    folders of images and masks, images anywhere below. Caption files without captions are noted
    with the first part.

    Args:
        root: The folder.
        language: Of the captions; None tells by the first of them.

    Raises:
        ValueError: If there is no image below it, or it cannot be read.
    """
    root = root.resolve()
    files, faulty, others = caption_files(root)
    hdf5 = _by_hdf5(root)
    if hdf5:  # their captions are of another form
        faulty = others = {}
    parts = (hdf5 or _by_captions(root, files, language) or _by_class_maps(root) or _by_lists(root)
             or _by_dates(root, bool(faulty)) or _by_masks(root) or _by_images(root))
    if not parts and faulty:
        parts = [Part(lambda: iter(()), root=str(root))]
    if not parts:
        raise ValueError(_nothing_in(root))
    # Images whose captions cannot be read are checked all the same.
    parts[0].faulty.update(faulty)
    parts[0].unread.update({} if files else others)
    for part in parts:
        part.title, part.root = root.name, str(root)
    return parts


def _by_hdf5(root: Path) -> list[Part]:
    found = next(root.glob('*_IMAGES_*.hdf5'), None)
    return [] if found is None else parts_of_name('HDF5CaptionDataset', str(root))


def _by_captions(root: Path, files: Sequence[Path], language: str | None) -> list[Part]:
    if (root / 'description_jsontr_te_val').is_dir():
        return [of_dataset(build({'type': 'DubaiCCDataset', 'data_root': str(root)}))]
    # Several files are one for each split, or for each language or release: of these, the one with
    # the plainest name.
    chosen: dict[str, Path] = {}
    for path in sorted(files, key=lambda path: (len(path.name), path.name)):
        first = next(_first(path, 1), {})
        chosen.setdefault(str(first.get('split')), path)
    return [of_dataset(build(caption_options(root, file, language)))
            for file in chosen.values()]


def caption_options(root: Path, file: Path, language: str | None) -> dict[str, Any]:
    """Return the config of a dataset that reads a caption file: class, templates, language."""
    entries = list(_first(file))
    options = {'data_root': str(root), 'ann_file': str(file.relative_to(root)),
               'language': language or _language(entries)}
    if (root / 'synth.json').is_file() and any((root / 'images').glob('*/label')):
        return {'type': 'SynthChangeDataset', **options}
    if _fits(root, '{split}/sem/A/{filename}', entries):
        return {'type': 'SECONDCCDataset', **options}
    pair = next((pair for pair in _PAIRS if _fits(root, pair[0], entries)), None)
    if pair is not None:
        label = next((label for label in _LABELS if (root / _parent(label, entries)).is_dir()),
                     None)
        options |= {'img_from': pair[0], 'img_to': pair[1]}
        return ({'type': 'LEVIRCCDataset', **options} if label is None else
                {'type': 'LEVIRMCIDataset', 'label': label, **options})
    single = next((path for path in _SINGLE if _fits(root, path, entries)), None)
    if single is None and _of_pairs(entries):  # captions came without their images
        return {'type': 'LEVIRCCDataset', **options}
    single = single or _SINGLE[1]
    return {'type': 'UCMCaptionsDataset', 'img_path': single, **options}


def _first(file: Path, count: int = 50) -> Iterator[Mapping]:
    """Yield entries from the beginning of a caption file, with the name under one key."""
    with suppress(ValueError):  # of a damaged file: what is wrong with it is told when it is read
        for entry in islice(stream_list(file, 'images'), count):
            if has_captions(entry):
                yield {'filename': entry.get('file_name'), **entry}


def _fields(entry: Mapping) -> dict[str, str]:
    split = str(entry.get('split') or 'train')
    return {'filename': str(entry.get('filename')), 'split': split,
            'filepath': str(entry.get('filepath') or split)}


def _fits(root: Path, template: str, entries: Sequence[Mapping]) -> bool:
    """Return whether one of the entries has its image where a template says."""
    return any(os.path.isfile(root / template.format(**_fields(entry))) for entry in entries)


def _parent(template: str, entries: Sequence[Mapping]) -> Path:
    return Path(template.format(**_fields(entries[0]))).parent if entries else Path(template)


def _of_pairs(entries: Sequence[Mapping]) -> bool:
    """Return whether captions are of pairs: they have change flags, or many deny a change."""
    texts = [text for entry in entries for text in _texts(entry)]
    denials = sum(says_no_change(text, (), 'en') for text in texts)
    return any('changeflag' in entry for entry in entries) or denials > 0.1 * len(texts)


def _texts(entry: Mapping) -> list[str]:
    """Return the English captions of an entry."""
    found = [text_of(sentence, 'en') for sentence in
             entry.get('sentences', entry.get('captions')) or ()]
    return [text for text in found if isinstance(text, str) and text]


def _language(entries: Sequence[Mapping]) -> str:
    """Return 'en' where there is an English sentence, else 'zh'."""
    texts = [text for entry in entries for text in _texts(entry)]
    return 'en' if not texts or any(language_of(text) == 'en' for text in texts) else 'zh'


def _by_class_maps(root: Path) -> list[Part]:
    """Recognise SECOND by the names of the folders of its class maps, in any of its layouts."""
    from rscc.datasets.semantic_cd import SECONDDataset
    maps = {layout.map_from for layout in SECONDDataset.LAYOUTS.values()}
    homes = (root, *(root / split for split in SPLITS))
    if not any((home / folder).is_dir() for home in homes for folder in maps):
        return []
    return [of_dataset(build(dict(type='SECONDDataset', data_root=str(root), holdout=0)))]


def _by_lists(root: Path) -> list[Part]:
    lists = [split for split in SPLITS if os.path.lexists(root / f'{split}.txt')
             and not (root / f'{split}.txt').is_dir()]
    parts = []
    for split in lists:
        first = ''
        with suppress(OSError), open(root / f'{split}.txt', encoding='utf-8-sig',
                                     errors='replace') as file:
            first = next((line for line in file if line.strip()), '')
        options = dict(type='PathListCDDataset', data_root=str(root), ann_file=f'{split}.txt',
                       split=split, label=len(columns_of(first.strip())) > 2)
        parts.append(of_dataset(build(options)))
        parts[-1].splits = ()  # all lists that there are
    return parts


def _by_dates(root: Path, images_alone: bool) -> list[Part]:
    """Recognise folders of dates, also where one of the two is missing or a broken link.

    Args:
        root: The folder.
        images_alone: Whether masks are left aside: what their values mean, a dataset tells, and
            which it is stands in the annotations.
    """
    places = [(home / split, split) for home in (root, root / 'images') for split in SPLITS]
    refused: dict[str, str] = {}
    homes = ([(home, split) for home, split in places if _has_dates(home)]
             or [(home, 'train') for home in (root, root / 'images') if _has_dates(home)]
             or [(home, home.relative_to(root).as_posix())
                 for home in _with_dates_below(root, refused)])
    parts = [folder_part(home, split, 'label' if (home / 'label').is_dir() and not images_alone
                         else None) for home, split in homes]
    for part in parts[:1]:
        part.unreadable.update(refused)
    return parts


def _with_dates_below(root: Path, refused: dict[str, str]) -> list[Path]:
    """Return all folders below a folder that hold both dates; what is in those is not looked at.

    Args:
        root: The folder.
        refused: Gets the folders that cannot be read, each with the reason.
    """
    found = []
    for folder, inside, _ in os.walk(root, onerror=noting(refused, root)):
        if {'A', 'B'} <= set(inside):
            found.append(Path(folder))
            inside.clear()
    return sorted(found)


def _has_dates(home: Path) -> bool:
    return any(os.path.lexists(home / date) for date in 'AB')


def _by_masks(root: Path) -> list[Part]:
    names = (('image', 'label'), ('images', 'labels'), ('images', 'masks'), ('images', 'label'))
    found = next(((root / image, root / label) for image, label in names
                  if (root / image).is_dir() and (root / label).is_dir()), None)
    return [single_part(root, *found)] if found else []


def _by_images(root: Path) -> list[Part]:
    part = single_part(root)
    next(part.samples(), None)
    # Whatever could not be read is told beside what could; nothing at all is an error.
    return [part] if next(walk(root, {}), None) is not None else []


def _nothing_in(root: Path) -> Detail:
    """Say what a folder without any image holds."""
    refused: dict[str, str] = {}
    next(walk(root, refused), None)
    try:
        there = sorted(path.name for path in root.iterdir())[:8]
    except OSError:
        there = []
    held = detail('holds', names=str(there)) if there else detail('is_empty')
    return detail(
        'nothing', root=str(root), held='' if str(root) in refused else held,
        why=detail('folders_refused', count=len(refused), first=str(next(iter(refused.items()))))
        if refused else '', endings=', '.join(sorted(SUFFIXES)))


def build(options: Mapping[str, Any]) -> Any:
    """Build a dataset without loading it; what a check-up finds must not stop it."""
    return DATASETS.build({'split': None, **options, 'lazy_init': True, 'cache': None,
                           'check_images': False, 'check_masks': False, 'faults': 'report',
                           'clean_list': None})


def parts_of_config(described: Mapping[str, Any]) -> list[Part]:
    """Describe the datasets in a config's dataset, those inside wrappers one by one."""
    options = dict(described)
    if options.get('type') == 'PseudoPairDataset':
        return [part for tiles in options['tiles'] for part in parts_of_config(tiles)]
    if 'datasets' in options:
        return [part for inner in options['datasets'] for part in parts_of_config(inner)]
    if 'dataset' in options:
        return parts_of_config(options['dataset'])
    return [of_dataset(build(options))]


def parts_of_name(name: str, data_root: str | None = None) -> list[Part]:
    """Describe all splits of a dataset that is named.

    Args:
        name: A short name such as ``'levircc'`` or ``'ucm_cn'``, or a registered class.
        data_root: Its folder; None takes the usual one below ``$RSCC_DATA``.

    Raises:
        ValueError: If there is no such dataset; the message names the nearest.
    """
    from rscc.features.extraction import NAMES, build_dataset
    kind, told = NAMES.get(name, (name, {}))
    if DATASETS.get(kind) is None:
        build_dataset(name)  # says which names there are
    options = {'type': kind, **told}
    if data_root:
        options['data_root'] = str(Path(data_root).expanduser().resolve())
    by_split = _split_options(kind, options)
    return [of_dataset(build(one)) for one in by_split]


def _split_options(kind: str, options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one config for datasets with all splits in a file, else one for each split."""
    from rscc.datasets.hdf5 import HDF5CaptionDataset
    from rscc.datasets.path_list_cd import PathListCDDataset
    found = DATASETS.get(kind)
    if issubclass(found, PathListCDDataset):
        every = [{**options, 'split': split, 'ann_file': f'{split}.txt'} for split in SPLITS]
        root = Path(build(every[0]).data_root)
        listed = [one for one in every if (root / one['ann_file']).is_file()]
        return listed or [{**options, 'split': split, 'ann_file': None} for split in SPLITS
                          if (root / split / 'A').is_dir()] or every[:1]
    if issubclass(found, HDF5CaptionDataset):
        every = [{**options, 'split': split} for split in SPLITS]
        return [one for one in every if Path(build(one).ann_file).is_file()] or every[:1]
    return [dict(options)]
