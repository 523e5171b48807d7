"""LEVIR-CC and LEVIR-MCI: captions, and masks, of changes between two dates."""
from typing import ClassVar

from rscc.datasets.base import ChangeDataset
from rscc.registry import DATASETS


@DATASETS.register_module()
class LEVIRCCDataset(ChangeDataset):
    """LEVIR-CC, 10,077 bi-temporal pairs with five English captions each.

    * Pictured: crops of LEVIR-CD, Google Earth imagery of 20 regions in Texas, 5 to 14 years apart;
      256x256 RGB, 0.5 m a pixel. Houses, roads, vegetation, parking lots, little water.
    * Splits (pairs, changed): train 6,815 (3,407), val 1,333 (667), test 1,929 (964).
    * Layout: ``LevirCCcaptions.json`` (Karpathy style) and ``images/{split}/{A,B}/*.png``, A the
      earlier date. File numbers have gaps.
    * Captions: lower case, 1 to 39 words. Every unchanged pair has the same five sentences. Older
      copies of the file lack ``changeflag``; it is then derived from them, which is exact.
    * Known defects: 76 words of the test captions never occur in train; colours differ between the
      dates without any change.
    * Licence: academic use. Cite Liu et al., "Remote Sensing Image Change Captioning With
      Dual-Branch Transformers: A New Method and a Large Scale Dataset", TGRS 2022.

    Any folder of pairs with captions in that style can be read by setting ``ann_file``,
    ``img_from``, ``img_to``, ``label`` and ``split``.

    See ``ChangeDataset`` for the arguments.
    """
    METAINFO: ClassVar[dict] = ChangeDataset.METAINFO | {'image_size': (256, 256),
                                                          'ground_resolution': 0.5}
    TITLE = 'LEVIR-CC'
    ANCHOR = 'levir-cc'

    def __init__(self, data_root: str = 'LEVIR-CC', ann_file: str = 'LevirCCcaptions.json', *,
                 img_from: str = 'images/{split}/A/{filename}',
                 img_to: str = 'images/{split}/B/{filename}', **kwargs):
        super().__init__(data_root, ann_file, img_from=img_from, img_to=img_to, **kwargs)


@DATASETS.register_module()
class LEVIRMCIDataset(LEVIRCCDataset):
    """LEVIR-MCI, the pairs and captions of LEVIR-CC plus a three-class change mask each.

    * Pictured, splits, captions: see ``LEVIRCCDataset``. 44,380 changed objects are annotated.
    * Layout: that of LEVIR-CC and ``images/{split}/label/*.png``.
    * Label values (grey): 0 unchanged, 128 road, 255 building; here
      classes 0, 1, 2.
    * Licence: academic use. Cite Liu et al., "Change-Agent: Toward Interactive Comprehensive Remote
      Sensing Change Interpretation and Analysis", TGRS 2024.

    See ``ChangeDataset`` for the arguments.
    """
    METAINFO: ClassVar[dict] = {'task': 'pair', 'classes': ('unchanged', 'road', 'building'),
                                'palette': [[0, 0, 0], [245, 200, 60], [230, 60, 50]],
                                'image_size': (256, 256), 'ground_resolution': 0.5}
    TITLE = 'LEVIR-MCI'
    ANCHOR = 'levir-mci'
    LABEL_MAP: ClassVar[dict[int, int]] = {0: 0, 128: 1, 255: 2}

    def __init__(self, data_root: str = 'LEVIR-MCI-dataset',
                 ann_file: str = 'LevirCCcaptions.json', *,
                 label: str | None = 'images/{split}/label/{filename}', **kwargs):
        super().__init__(data_root, ann_file, label=label, **kwargs)
