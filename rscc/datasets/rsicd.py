"""RSICD: captions of single images in English and Chinese."""
from typing import ClassVar

from rscc.datasets.single_image import MODIFIED, ORIGINAL, SingleImageDataset
from rscc.registry import DATASETS


@DATASETS.register_module()
class RSICDDataset(SingleImageDataset):
    """RSICD, 10,921 single images with about five captions each, in English or Chinese.

    * Pictured: 30 scene classes from Google Earth, Baidu Map, MapABC and Tianditu; 224x224 RGB,
      various resolutions.
    * Splits: train 8,734, val 1,093, test 1,094 (val and test exchanged in some copies).
    * Layout: ``annotations_rsicd/dataset_rsicd.json`` or ``dataset_rsicd_cn.json`` (Karpathy style;
      also found right in the folder) and ``RSICD_images/*.jpg``. Files in COCO style have no
      splits: pass ``split=None``.
    * Known defects: typos and ungrammatical sentences; many images had fewer than five captions,
      which were filled up by repeating (24,333 different sentences in all).
    * ``release='modified'``: a corrected re-release (7,166 sentences), a dataset of its own name;
      scores on it are not comparable.
    * Licence: research. Cite Lu et al., "Exploring Models and Data for Remote Sensing Image Caption
      Generation", TGRS 2018. Chinese: Song et al., IEEE Access 2025.

    See ``SingleImageDataset`` and ``ChangeDataset`` for the arguments.
    """
    TITLE = 'RSICD'
    ANCHOR = 'rsicd'
    KEY = 'rsicd'
    FILES: ClassVar[dict] = {
        (release, language): (f'annotations_rsicd/{name}', name) for release, language, name in (
            (ORIGINAL, 'en', 'dataset_rsicd.json'), (ORIGINAL, 'zh', 'dataset_rsicd_cn.json'),
            (MODIFIED, 'en', 'dataset_rsicd_modified.json'))}

    def __init__(self, data_root: str = 'RSICD', ann_file: str | None = None, *,
                 img_path: str | None = 'RSICD_images/{filename}', **kwargs):
        super().__init__(data_root, ann_file, img_path=img_path, **kwargs)
