"""RSICD: captions of single images."""
from typing import ClassVar

from rscc.datasets.base import ChangeDataset
from rscc.registry import DATASETS


@DATASETS.register_module()
class RSICDDataset(ChangeDataset):
    """RSICD, 10,921 single images with about five English captions each.

    * Pictured: 30 scene classes from Google Earth, Baidu Map, MapABC and Tianditu; 224x224 RGB,
      various resolutions.
    * Splits: train 8,734, val 1,093, test 1,094 (val and test exchanged in some copies).
    * Layout: ``dataset_rsicd.json`` (Karpathy style) and ``RSICD_images/*.jpg``. Files in COCO
      style have no splits: pass ``split=None``.
    * Known defects: typos and ungrammatical sentences; many images had fewer than five captions,
      which were filled up by repeating.
    * Licence: research. Cite Lu et al., "Exploring Models and Data for Remote Sensing Image Caption
      Generation", TGRS 2018.

    See ``ChangeDataset`` for the arguments.
    """
    METAINFO: ClassVar[dict] = {'task': 'single', 'classes': None, 'palette': None}
    TITLE = 'RSICD'
    ANCHOR = 'rsicd'

    def __init__(self, data_root: str = 'RSICD', ann_file: str = 'dataset_rsicd.json', *,
                 img_path: str = 'RSICD_images/{filename}', **kwargs):
        super().__init__(data_root, ann_file, img_path=img_path, **kwargs)
