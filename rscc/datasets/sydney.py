"""Sydney-captions: captions of single images in English and Chinese."""
from typing import ClassVar

from rscc.datasets.single_image import MODIFIED, ORIGINAL, SingleImageDataset
from rscc.registry import DATASETS


@DATASETS.register_module()
class SydneyCaptionsDataset(SingleImageDataset):
    """Sydney-captions, 613 single images with five captions each, in English or Chinese.

    * Pictured: Sydney, Google Earth; 500x500 RGB at 0.5 m a pixel; 7 scene classes (residential,
      airport, meadow, river, ocean, industrial, runway).
    * Splits: train 497, val 58, test 58.
    * Layout: ``dataset.json`` or ``dataset_sydney_cn.json`` (Karpathy style) and ``imgs/*.tif``.
    * Captions: up to 20 words of 226 different ones; a quarter of the test captions stand in train
      word for word. Chinese ones (``language='zh'``, a file of its own that holds both languages)
      seem machine-translated; 30 of 3,065 end in ``.###``, which is cut off and counted.
    * ``raw`` and ``tokens`` disagree in 14 sentences, where only ``raw`` was corrected.
    * ``release='modified'``: a corrected re-release (160 sentences, nearly all in ``tokens``), a
      dataset of its own name.
    * Licence: research. Cite Qu et al., "Deep Semantic Understanding of High Resolution Remote
      Sensing Image", CITS 2016. Chinese: Song et al., IEEE Access 2025 (github.com/bgno1/
      clipcap_rsic).

    See ``SingleImageDataset`` and ``ChangeDataset`` for the arguments.
    """
    TITLE = 'Sydney-captions'
    ANCHOR = 'sydney-captions'
    KEY = 'sydney'
    FILES: ClassVar[dict] = {
        (ORIGINAL, 'en'): ('dataset.json', 'dataset_sydney.json'),
        (ORIGINAL, 'zh'): ('dataset_sydney_cn.json',),
        (MODIFIED, 'en'): ('dataset_sydney_modified.json',),
    }

    def __init__(self, data_root: str = 'Sydney_captions', ann_file: str | None = None, **kwargs):
        super().__init__(data_root, ann_file, **kwargs)
