"""Built-in dataset, as pairs with changes and as single images."""
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from rscc.datasets.annotations import Record
from rscc.datasets.base import ChangeDataset
from rscc.datasets.levir_cc import LEVIRCCDataset
from rscc.datasets.transforms.semantic import SemanticLabels, semantic_metainfo
from rscc.registry import DATASETS
from rscc.synth.generator import (
    COVER_KINDS,
    FOLDERS,
    MARKER,
    SPLITS,
    scene_captions,
    scenes_in,
)
from rscc.synth.land_cover import COVER, COVER_PALETTE
from rscc.synth.objects import CLASSES, PALETTE
from rscc.text import normalise
from rscc.utils import check_choice, read_json
from rscc.utils.paths import sample_name


@DATASETS.register_module()
class SynthChangeDataset(LEVIRCCDataset):
    """Built-in rendered dataset: pairs, masks, English and Chinese captions.

    * Pictured: rendered aerial scenes, 256x256 at 0.5 m a pixel; never to be presented as real
      imagery. About half the pairs changed; light, season, haze, noise and sub-pixel shift differ.
      With ``--look varied`` scenes are nearer to the world, at 0.2 to 1.5 m a pixel, which the
      annotation file tells for each pair as ``resolution``.
    * Bands: red, green, blue; or, as generated with ``--bands 4`` or ``--bands 10``, bands of
      Sentinel-2 as TIFFs of 16 bits, reflectance times 10000 (see ``rscc.synth.spectra``).
    * Splits: as generated (``tools/dataset_converters/synth.py --out DIR``).
    * Layout: that of LEVIR-MCI; labels are palette PNGs with the class index as value.
    * Label values: 0 unchanged, 1 building, 2 road, 3 vegetation, 4 water, 5 parking lot.
    * Class maps (``semantic=True``): ``images/{split}/{label_A,label_B}``, the land cover of each
      date at every pixel: 1 building, 2 road, 3 tree, 4 water, 5 parking lot, 6 grassland,
      7 bare land, 8 desert, 9 farmland, 10 pavement; equal where nothing changed. The change map
      is then 0 unchanged, 1 changed. Folders made before there were any get them by the command
      that made them.
    * Captions: five per pair and language; ``language='zh'`` reads the Chinese ones.
    * Licence: that of this package.

    Args:
        data_root: See ``ChangeDataset``.
        ann_file: See ``ChangeDataset``.
        label: See ``ChangeDataset``.
        semantic: Whether samples have the class maps of both dates and a change map of two classes.
        label_map: See ``ChangeDataset``.
        metainfo: See ``ChangeDataset``.
        **kwargs: See ``ChangeDataset``.
    """
    METAINFO: ClassVar[dict] = {'task': 'pair', 'classes': CLASSES, 'palette': list(PALETTE),
                                'image_size': (256, 256), 'rendered': True,
                                'ground_resolution': 0.5}
    TITLE = 'built-in dataset'
    ANCHOR = 'built-in-dataset'
    LABEL_MAP: ClassVar[dict[int, int]] = {index: index for index in range(len(CLASSES))}
    SEMANTIC: ClassVar[SemanticLabels] = SemanticLabels(COVER, COVER_PALETTE)
    MAPS: ClassVar[tuple[str, ...]] = tuple(f'images/{{split}}/{kind}/{{stem}}.png'
                                            for kind in COVER_KINDS)

    def __init__(self, data_root: str = 'synth', ann_file: str = 'LevirCCcaptions.json', *,
                 label: str | None = 'images/{split}/label/{stem}.png', semantic: bool = False,
                 label_map: Mapping[int, int] | None = None, metainfo: Mapping | None = None,
                 **kwargs):
        if semantic:
            label_map = label_map or {value: int(value > 0) for value in self.LABEL_MAP}
            metainfo = {'classes': ('unchanged', 'changed'),
                        'palette': [[0, 0, 0], [255, 255, 255]],
                        **semantic_metainfo(self.SEMANTIC), **(metainfo or {})}
        super().__init__(data_root, ann_file, label=label, label_map=label_map, metainfo=metainfo,
                         semantic=self.MAPS if semantic else None, **kwargs)

    def where_files_are(self) -> str:
        """Say how a folder made before there were class maps gets them."""
        marker = Path(self.data_root) / MARKER
        folders = [path for split in SPLITS for kind in COVER_KINDS
                   if (path := marker.parent / 'images' / split / kind).is_dir()]
        if not self.semantic_templates or folders or not marker.is_file():
            return super().where_files_are()
        told = read_json(marker)['parameters']
        options = ' '.join(f'--{name} {told[name]}' for name in (
            *SPLITS, 'seed', 'bands', 'look') if name in told)
        return ('The folder was made before there were class maps. This adds them and leaves all '
                'else as it is: python tools/dataset_converters/synth.py --out '
                f"'{self.data_root}' {options}")


@DATASETS.register_module()
class SynthSceneDataset(ChangeDataset):
    """Single images of the built-in dataset with five captions each.

    * Pictured, splits, layout: see ``SynthChangeDataset``. Both dates of a pair are images of the
      same split; ids are ``train_000000_A`` and ``train_000000_B``.
    * Captions: in the manner of UCM-captions and RSICD, English or Chinese (``language='zh'``),
      made from the metadata in the annotation file while it is read. They name no direction.
    * Vocabularies: ``vocab_scene_en.json``, ``vocab_scene_zh.json``, which
      ``tools/dataset_converters/synth.py`` also adds to folders that lack them.

    Args:
        data_root: See ``ChangeDataset``.
        ann_file: See ``ChangeDataset``.
        dates: ``'from'``, ``'to'`` or both: which images of a pair are taken.
        img_path: See ``ChangeDataset``.
        **kwargs: See ``ChangeDataset``.

    Raises:
        ValueError: If a date is unknown, or the annotations hold no scene metadata.
    """
    METAINFO: ClassVar[dict] = {'task': 'single', 'classes': None, 'palette': None,
                                'image_size': (256, 256), 'rendered': True,
                                'ground_resolution': 0.5}
    TITLE = 'built-in dataset (single images)'
    ANCHOR = 'built-in-dataset'
    VOCABULARY = 'vocab_scene_{language}.json'

    def __init__(self, data_root: str = 'synth', ann_file: str = 'LevirCCcaptions.json', *,
                 dates: Sequence[str] = tuple(FOLDERS),
                 img_path: str | None = 'images/{filepath}/{filename}', **kwargs):
        dates = (dates,) if isinstance(dates, str) else tuple(dates)
        for date in dates:
            check_choice('date', date, FOLDERS)
        self.dates = dates
        language = '_cn' if kwargs.get('language') == 'zh' else ''
        kwargs['metainfo'] = {'name': f'synth_scene{language}', **(kwargs.get('metainfo') or {})}
        super().__init__(data_root, ann_file, img_path=img_path, **kwargs)

    def read_records(self) -> list[Record]:
        """Make the captions of the chosen split, and of train, in which words are counted."""
        self.need_file(self.ann_file)
        return [self._record(image, date) for image in scenes_in(self.ann_file)
                for date in self.dates]

    def _record(self, image: dict, date: str) -> Record:
        folder = FOLDERS[date]
        wanted = self.split in (None, image['split']) or image['split'] == 'train'
        captions = scene_captions(image, date, self.language) if wanted else []
        return Record(sample_id=f'{sample_name(image["filename"])}_{folder}',
                      filename=image['filename'], filepath=f'{image["split"]}/{folder}',
                      split=image['split'], changeflag=None,
                      captions=[normalise(text, self.language) for text in captions])
