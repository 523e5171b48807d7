"""UCM-captions: captions of single images in English and Chinese."""
from typing import ClassVar

from rscc.datasets.single_image import MODIFIED, ORIGINAL, SingleImageDataset
from rscc.registry import DATASETS


@DATASETS.register_module()
class UCMCaptionsDataset(SingleImageDataset):
    """UCM-captions, 2,100 single images with five captions each, in English or Chinese.

    * Pictured: the 21 land use classes of UC Merced, 100 images each, USGS aerial photographs;
      256x256 RGB at 0.3 m a pixel.
    * Splits: train 1,680, val 210, test 210.
    * Layout: ``dataset.json`` or ``dataset_ucm_cn.json`` (Karpathy style) and ``imgs/*.tif``.
    * Captions: up to 22 words of about 340 different ones; more than half of the val and
      test captions stand in train word for word, so retrieval scores well.
    * ``raw`` and ``tokens`` disagree in 164 sentences, where typing errors were corrected in
      ``raw`` only: keep ``text_from='raw'``.
    * ``release='modified'``: a corrected re-release (374 sentences, nearly all in ``tokens``), a
      dataset of its own name.
    * Licence: research. Cite Qu et al., "Deep Semantic Understanding of High Resolution Remote
      Sensing Image", CITS 2016. Chinese: Song et al., IEEE Access 2025.

    See ``SingleImageDataset`` and ``ChangeDataset`` for the arguments.
    """
    TITLE = 'UCM-captions'
    ANCHOR = 'ucm-captions'
    KEY = 'ucm'
    FILES: ClassVar[dict] = {
        (ORIGINAL, 'en'): ('dataset.json', 'dataset_ucm.json'),
        (ORIGINAL, 'zh'): ('dataset_ucm_cn.json',),
        (MODIFIED, 'en'): ('dataset_ucm_modified.json',),
    }

    def __init__(self, data_root: str = 'UCM_captions', ann_file: str | None = None, **kwargs):
        super().__init__(data_root, ann_file, **kwargs)
