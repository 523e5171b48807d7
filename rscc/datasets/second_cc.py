"""SECOND-CC: captions of changes, and what each date shows where something changed."""
from collections.abc import Mapping
from typing import ClassVar

from rscc.datasets.levir_cc import LEVIRCCDataset
from rscc.datasets.semantic_cd import BINARY, SECOND_LABELS
from rscc.datasets.transforms.semantic import SemanticLabels, semantic_metainfo
from rscc.registry import DATASETS


@DATASETS.register_module()
class SECONDCCDataset(LEVIRCCDataset):
    """SECOND-CC, 6,041 pairs with five English captions and a class map for each date.

    * Pictured: crops of SECOND's Chinese cities; 256x256 RGB. Light, angle, sharpness and
      registration differ between the dates.
    * Splits: as the annotation file says.
    * Layout: ``SECOND-CC-AUG.json`` (LEVIR-CC's style) and ``{split}/{rgb,sem}/{A,B}/*.png``.
    * Class maps: SECOND's colours (see ``SECONDDataset``), drawn only where something changed;
      changed is what has a label at the earlier date.
    * Captions: 30,205, five a pair.
    * Licence: see Zenodo 16937571. Cite Karaca et al., "Robust Change Captioning in Remote Sensing:
      SECOND-CC Dataset and MModalCC Framework", JSTARS 2025 (arXiv 2501.10075). Their model is
      given the class maps as an input, so its scores compare with no model of images alone.

    Args:
        data_root: See ``ChangeDataset``.
        ann_file: See ``ChangeDataset``.
        img_from: See ``ChangeDataset``.
        img_to: See ``ChangeDataset``.
        semantic: Whether samples have the class maps of both dates and a change map.
        metainfo: See ``ChangeDataset``.
        **kwargs: See ``ChangeDataset``.
    """
    METAINFO: ClassVar[dict] = {'task': 'pair', 'classes': None, 'palette': None,
                                'image_size': (256, 256)}
    TITLE = 'SECOND-CC'
    ANCHOR = 'second-cc'
    SEMANTIC: ClassVar[SemanticLabels] = SECOND_LABELS
    MAPS: ClassVar[tuple[str, ...]] = ('{split}/sem/A/{filename}', '{split}/sem/B/{filename}')

    def __init__(self, data_root: str = 'SECOND-CC-AUG', ann_file: str = 'SECOND-CC-AUG.json', *,
                 img_from: str = '{split}/rgb/A/{filename}',
                 img_to: str = '{split}/rgb/B/{filename}', semantic: bool = True,
                 metainfo: Mapping | None = None, **kwargs):
        told = {**BINARY, **semantic_metainfo(self.SEMANTIC)} if semantic else {}
        super().__init__(data_root, ann_file, img_from=img_from, img_to=img_to,
                         semantic=self.MAPS if semantic else None,
                         metainfo={**told, **(metainfo or {})}, **kwargs)
