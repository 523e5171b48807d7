"""JL1-CD: change masks of Chinese regions from Jilin-1 satellites, and captions brought along."""
from pathlib import Path
from typing import ClassVar

from rscc.datasets.annotations import Record
from rscc.datasets.base import ChangeDataset
from rscc.datasets.checks import SPLITS
from rscc.datasets.semantic_cd import BINARY
from rscc.registry import DATASETS
from rscc.utils import counted
from rscc.utils.paths import find_pairs


@DATASETS.register_module()
class JL1CDDataset(ChangeDataset):
    """JL1-CD, 5,000 pairs with change masks, and sentences from a caption file of yours.

    * Pictured: many regions of China from Jilin-1 satellites; 512x512 RGB, 0.5 to 0.75 m a pixel;
      changes of buildings and roads, but also of forest, water and grassland.
    * Splits: train 4,000, test 1,000.
    * Layout: ``{train,test}/{A,B,label}/*.png``.
    * Label values: 0 unchanged, 255 changed.
    * Captions: none in JL1-CD. JL1-CC&QA (arXiv 2606.31745) has 17,021 of them and 20,060
      questions with answers, written and judged by models; how its files are laid out could not be
      confirmed, so they are not read as published. Bring the captions into a caption file in
      LEVIR-CC's style and name it with ``ann_file``; pairs without an entry are then left out.
    * Licence: MIT (the card of the dataset). Cite Liu et al., "JL1-CD: A New Benchmark for Remote
      Sensing Change Detection and a Robust Multi-Teacher Knowledge Distillation Framework", 2025.

    Args:
        data_root: See ``ChangeDataset``.
        ann_file: Caption file, ``{"images": [{"filename": ..., "split": ..., "sentences": [{"raw":
            ...}]}]}``; without it the pairs are those of the folders, and have no captions.
        img_from: See ``ChangeDataset``.
        img_to: See ``ChangeDataset``.
        label: See ``ChangeDataset``.
        **kwargs: See ``ChangeDataset``.

    Raises:
        ValueError: If the caption file is of another style, or a file of a folder has no partner.
    """
    METAINFO: ClassVar[dict] = {'task': 'pair', **BINARY, 'image_size': (512, 512)}
    TITLE = 'JL1-CD'
    ANCHOR = 'jl1-cd'

    def __init__(self, data_root: str = 'JL1-CD', ann_file: str = '', *,
                 img_from: str = '{split}/A/{filename}', img_to: str = '{split}/B/{filename}',
                 label: str | None = '{split}/label/{filename}', **kwargs):
        super().__init__(data_root, ann_file, img_from=img_from, img_to=img_to, label=label,
                         **kwargs)

    def read_records(self) -> list[Record]:
        """Read the caption file, or list the pairs of the folders."""
        if not self.ann_file:
            return self._of_folders()
        try:
            return super().read_records()
        except ValueError as error:
            raise ValueError(
                f'{error} JL1-CC&QA is not read as published, since its layout could not be '
                'confirmed: write its captions as {"images": [{"filename": "0001.png", "split": '
                '"train", "sentences": [{"raw": "a house appears"}]}]} '
                f'(docs/en/datasets.md#{self.ANCHOR})') from error

    def _of_folders(self) -> list[Record]:
        """Return the pairs of the split folders that exist, without captions."""
        root = Path(self.data_root)
        there = [split for split in SPLITS if (root / split / 'A').is_dir()]
        lists = find_pairs(root, there or None,
                           label='label' if self.templates['seg_map_path'] else None)
        alone = [f'{found.name}/{name}' for found in lists for name in found.unmatched]
        if alone:
            raise ValueError(f"'{root}': {counted(len(alone), 'file')} without a partner of the "
                             f'same name in the other folders; the first: {alone[:3]}. Complete '
                             'or remove them')
        return [Record(sample_id=row[0].stem, filename=row[0].name, filepath=found.name,
                       split=found.name, changeflag=None, captions=[])
                for found in lists for row in found.rows]

    def describe(self, record: Record) -> dict:
        """Turn a record into a dataset item; without captions nothing is said of the change."""
        item = super().describe(record)
        if not record['captions']:
            del item['gt_captions'], item['gt_change_flag']
        return item
