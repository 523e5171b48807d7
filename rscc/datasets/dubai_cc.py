"""DUBAI-CC: captions of urban growth in coarse satellite images."""
from itertools import product
from pathlib import Path
from typing import ClassVar

from rscc.datasets.annotations import Record, read_captions
from rscc.datasets.base import ChangeDataset
from rscc.registry import DATASETS

PARTS = {'train': 'Train', 'val': 'Validation', 'test': 'Test'}


def no_change_sentences() -> list[str]:
    """Return every sentence of DUBAI-CC's annotators that denies a change, the commonest first.

    They wrote freely, within this grammar: a denial, then nothing, "in this area" or "in the area".
    """
    same = [f'{subject} {verb} the same'
            for subject, verb in product(('everything', 'all', 'the area'),
                                         ('remains', 'remained', 'is', 'appears'))]
    nothing = ['nothing has changed', 'nothing changed']
    none = [f'{start} {noun}{end}'
            for start, noun, end in product(('there is no', 'no'),
                                            ('difference', 'change', 'changes', 'changed'),
                                            ('', ' to mention', ' occurred', ' was made'))]
    return [denial + place for place in ('', ' in this area', ' in the area')
            for denial in same + nothing + none]


@DATASETS.register_module()
class DubaiCCDataset(ChangeDataset):
    """DUBAI-CC, 500 bi-temporal pairs with five English captions each.

    * Pictured: Dubai in 2000 and 2010, Landsat 7 ETM+ at 30 m a pixel, 50x50 RGB tiles (users
      enlarge them to 256). Desert, coast, islands, roads, settlements.
    * Splits (pairs, changed by the rule below): train 300 (199), val 50 (31), test 150 (97).
    * Layout: ``imgs_tiles/RGB/{500_2000,500_2010}/<row>x<col>.tif`` and
      ``description_jsontr_te_val/{Train,Validation,Test}_Dubai_CC.json``.
    * Captions: capitalised with a full stop as published, lower case without it here.
    * No change flag is published and the denials are free text. Here a pair is unchanged when more
      than half of its captions deny a change (``no_change_sentences``). The annotators disagree on
      30 pairs; of those, 28 count as unchanged.
    * Licence: research. Cite Hoxha et al., "Change Captioning: A New Paradigm for Multitemporal
      Remote Sensing Image Analysis", TGRS 2022.

    Args:
        data_root: See ``ChangeDataset``.
        ann_file: Template with ``{part}`` (Train, Validation, Test), or one file for all splits.
        **kwargs: See ``ChangeDataset``.
    """
    METAINFO: ClassVar[dict] = {'task': 'pair', 'classes': None, 'palette': None,
                                'image_size': (50, 50), 'ground_resolution': 30.0}
    TITLE = 'DUBAI-CC'
    ANCHOR = 'dubai-cc'

    def __init__(self, data_root: str = 'DubaiCC500impair/datasetDubaiCCPublic',
                 ann_file: str = 'description_jsontr_te_val/{part}_Dubai_CC.json', *,
                 img_from: str = 'imgs_tiles/RGB/500_2000/{filename}',
                 img_to: str = 'imgs_tiles/RGB/500_2010/{filename}', **kwargs):
        kwargs['metainfo'] = {'no_change_captions': no_change_sentences(),
                              **(kwargs.get('metainfo') or {})}
        super().__init__(data_root, ann_file, img_from=img_from, img_to=img_to, **kwargs)

    @staticmethod
    def marker(ann_file: str) -> str:
        """Return the training file: ``ann_file`` itself is a template."""
        return ann_file.replace('{part}', PARTS['train'])

    def read_records(self) -> list[Record]:
        """Read the file of each split (the chosen one only, where a split is chosen)."""
        if '{part}' not in self.ann_file:
            return super().read_records()
        parts = [PARTS[self.split]] if self.split in PARTS else list(PARTS.values())
        records = []
        for part in parts:
            path = self.ann_file.replace('{part}', part)
            self.need_file(path)
            records += read_captions(Path(path), self.language, self.text_from,
                                     self.clean_captions)
        return records

    def tells_change(self, captions: list[str]) -> bool:
        """Tell whether at least half of the captions describe a change."""
        denials = set(self.metainfo['no_change_captions'])
        return 2 * sum(caption in denials for caption in captions) <= len(captions)
