"""Datasets on disk for any config: the files that its dataset class says it will look for."""
import inspect
import json
import runpy
from pathlib import Path

import cv2
import numpy as np
from scene_files import write_plain

from rscc.datasets.base import NO_CHANGE_CAPTIONS
from rscc.datasets.path_list_cd import PathListCDDataset
from rscc.datasets.semantic_cd import SemanticCDDataset
from rscc.datasets.single_image import SingleImageDataset
from rscc.datasets.synth import SynthSceneDataset
from rscc.registry import DATASETS
from rscc.text.teacher_captions import write_teacher_captions

CHANGED = {
    'en': ['a house has been built', 'a house appears', 'a road is built', 'a house is built',
           'the house appears'],
    'zh': ['新建了一座房屋'] * 5,
}
SCENE = {'ground': 'meadow', 'road': 1, 'house': 2}  # what rendered folders know of an image
PARTS = {'train': 'Train', 'val': 'Validation', 'test': 'Test'}


def options_of(cfg):
    """Return a dataset's config over the constructor's defaults of its class and its bases."""
    kind, found = DATASETS.get(cfg['type']), {}
    for base in reversed(kind.__mro__):
        if '__init__' in vars(base):
            parameters = inspect.signature(base.__init__).parameters.values()
            found.update({p.name: p.default for p in parameters if p.default is not p.empty})
    return {**found, **cfg}


def maker_of(options: dict) -> Path:
    """Return the file that writes a dataset of a style of its own, where there is one."""
    return Path(__file__).parent / 'data' / options['data_root'] / 'make.py'


def write_fake_dataset(home: Path, cfg: dict, pairs: int = 4, size: int = 64) -> Path:
    """Write ``pairs`` samples of every split, every second one changed.

    Args:
        home: Folder of all datasets (``RSCC_DATA``).
        cfg: A config's dataset, ``cfg.train_dataloader.dataset`` for instance.
        pairs: Samples per split.
        size: Width and height in pixels.

    Returns:
        The dataset's folder.

    Files of a style of their own are written by ``write(root, pairs, size)`` of the file
    ``tests/data/<data_root>/make.py``, where there is one.
    """
    kind, options = DATASETS.get(cfg['type']), options_of(cfg)
    root = home / options['data_root']
    maker = maker_of(options)
    if maker.is_file():
        runpy.run_path(str(maker))['write'](root, pairs, size)
        return root
    if issubclass(kind, SingleImageDataset):
        options['ann_file'] = options['ann_file'] or kind.published(options['release'],
                                                                    options['language'])[0]
    if issubclass(kind, PathListCDDataset):
        write_path_lists(root, pairs, size)
    elif issubclass(kind, SemanticCDDataset):
        write_class_folders(root, kind, options, pairs, size)
    else:
        if issubclass(kind, SynthSceneDataset):  # both dates are images, half as many pairs
            options |= dict(img_from='images/{split}/A/{filename}', img_path=None,
                            img_to='images/{split}/B/{filename}')
            pairs = pairs // len(options['dates'])
        write_captioned(root, kind, options, pairs, size)
        if options.get('teacher_captions'):
            write_teacher(root, options, pairs)
    return root


def write_teacher(root: Path, options: dict, pairs: int) -> None:
    """Write what another captioner says of every training pair."""
    language = options['language']
    told = {entry('train', number)['filename'].split('.')[0]: [(CHANGED[language][0], -0.1)]
            for number in range(pairs)}
    write_teacher_captions(root / options['teacher_captions'], told, language, 'train')


def write_image(path: Path, pixels: np.ndarray) -> None:
    """Write a picture, or bands (H, W, B) as a TIFF of 16 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if pixels.ndim == 3 and pixels.shape[2] != 3:
        write_plain(path, np.moveaxis(pixels, -1, 0).astype(np.uint16) * 20)
    else:
        assert cv2.imwrite(str(path), pixels)


def bands_of(cfg: dict) -> int:
    """Return how many bands a dataset's pipeline expects in its files."""
    bands = next((step.get('bands') for step in cfg.get('pipeline') or ()
                  if step['type'] == 'LoadFrames'), None)
    return 3 if bands is None else max(bands)


def mask_of(changed: bool, size: int, values: tuple[int, int]) -> np.ndarray:
    """Return a label whose upper quarter is of the second value where something changed."""
    pixels = np.full((size, size), values[0], np.uint8)
    pixels[:size // 4] = values[1 if changed else 0]
    return pixels


def write_path_lists(root: Path, pairs: int, size: int) -> None:
    """Write A, B, label, a list and both confidence files of every split."""
    rng = np.random.default_rng(0)
    for split in PARTS:
        names, lines = [f'{split}_{number:06d}.png' for number in range(pairs)], []
        for number, name in enumerate(names):
            for date in 'AB':
                write_image(root / split / date / name,
                            rng.integers(0, 256, (size, size, 3), dtype=np.uint8))
            write_image(root / split / 'label' / name, mask_of(number % 2 == 0, size, (0, 255)))
            lines.append('  '.join(f'{split}/{folder}/{name}' for folder in ('A', 'B', 'label')))
        (root / f'{split}.txt').write_text('\n'.join(lines) + '\n', encoding='utf-8')
        for date, seen in (('A', ('farmland', 'road')), ('B', ('building', 'parking lot'))):
            records = [{'image_path': f'{split}/{date}/{name}', seen[0]: '0.7000',
                        seen[1]: '0.3000'} for name in names]
            (root / split / f'{date}_clipcls_56_vit16.json').write_text(json.dumps(records))


def class_maps_of(changed: bool, size: int, count: int, everywhere: bool) -> list[np.ndarray]:
    """Return the classes of both dates, which differ in the upper quarter where that changed."""
    earlier = np.full((size, size), int(everywhere), np.uint8)
    later = earlier.copy()
    if changed:
        earlier[:size // 4], later[:size // 4] = 1, count - 1
    return [earlier, later]


def write_class_maps(paths: list[Path], kind: type, changed: bool, size: int,
                     coloured: bool) -> None:
    """Write the class maps of both dates, or the one file that holds both."""
    labels = kind.SEMANTIC
    maps = class_maps_of(changed, size, len(labels.names), not labels.only_changes)
    if paths[0] == paths[1]:  # kinds of change; the last one is from class 4 to class 2
        maps = [9 * (maps[0] > 0).astype(np.uint8)] * 2
    for path, classes in zip(paths, maps, strict=True):
        write_image(path, np.array(labels.palette, np.uint8)[classes][..., ::-1]
                    if coloured else classes)


def write_class_folders(root: Path, kind: type, options: dict, pairs: int, size: int) -> None:
    """Write pairs with class maps in the published folders, in splits where there are some."""
    rng, held_out = np.random.default_rng(0), options['holdout'] > 0
    layout = kind.LAYOUTS[options['layout'] or next(iter(kind.LAYOUTS))]
    numbers = ({'': 5 * pairs} if kind.SHARES else {'train': 5 * pairs, 'test': pairs}
               if held_out else dict.fromkeys(PARTS, pairs))
    for split, total in numbers.items():
        for number in range(total):
            name, home = f'{split or "pair"}_{number:06d}.png', root / split
            for folder in (layout.img_from, layout.img_to):
                write_image(home / folder / name,
                            rng.integers(0, 200, (size, size, 3), dtype=np.uint8))
            write_class_maps([home / layout.map_from / name, home / layout.map_to / name], kind,
                             number % 2 == 0, size, layout.map_from == 'label1')
            if layout.label:
                write_image(home / layout.label / name, mask_of(number % 2 == 0, size, (0, 255)))


def write_captioned(root: Path, kind: type, options: dict, pairs: int, size: int) -> None:
    """Write what the templates of a captioned dataset name, and its annotations."""
    rng, values = np.random.default_rng(0), sorted(kind.LABEL_MAP or [0, 255])
    entries = {split: [entry(split, number) for number in range(pairs)] for split in PARTS}
    count = bands_of(options)
    for split, images in entries.items():
        for image in images:
            if count != 3:
                image['filename'] = image['filename'].replace('.png', '.tif')
            for key in ('img_from', 'img_to', 'img_path', 'label'):
                if not options.get(key):
                    continue
                pixels = rng.integers(0, 256, (size, size, count), dtype=np.uint8)
                if key == 'label':
                    pixels = mask_of(image['changeflag'], size, (values[0], values[-1]))
                write_image(root / options[key].format(
                    filename=image['filename'], split=split, filepath=split,
                    stem=image['filename'][:-4]), pixels)
            if options.get('semantic'):
                write_class_maps([root / template.format(
                    filename=image['filename'], split=split, stem=image['filename'][:-4])
                    for template in kind.MAPS], kind, image['changeflag'], size,
                    kind.SEMANTIC.coloured)
    if not options['ann_file']:
        return
    files = {}
    for split, images in entries.items():
        files.setdefault(options['ann_file'].replace('{part}', PARTS[split]), []).extend(images)
    for name, images in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(json.dumps({'images': images}, ensure_ascii=False))


def entry(split: str, number: int) -> dict:
    """Return one image of a Karpathy-style file, in both languages."""
    changed = number % 2 == 0
    texts = CHANGED['en'] if changed else NO_CHANGE_CAPTIONS['en']
    chinese = CHANGED['zh'] if changed else NO_CHANGE_CAPTIONS['zh']
    return dict(
        filename=f'{split}_{number:06d}.png', filepath=split, imgid=number, split=split,
        changeflag=int(changed), scene=dict.fromkeys(('from', 'to'), SCENE),
        sentences=[dict(raw=f' {text} .', tokens=text.split(), raw_chinese=f'{other}。')
                   for text, other in zip(texts, chinese, strict=True)])
