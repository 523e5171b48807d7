"""LEVIR-MCI: LEVIR-CC with masks of changed roads and buildings."""
from typing import ClassVar

from rscc.datasets.levir_cc import LEVIRCCDataset
from rscc.registry import DATASETS


@DATASETS.register_module()
class LEVIRMCIDataset(LEVIRCCDataset):
    """LEVIR-MCI, the pairs and captions of LEVIR-CC plus a three-class change mask each.

    * Pictured, splits, captions: see ``LEVIRCCDataset``. 44,380 changed objects are annotated.
    * Layout: that of LEVIR-CC and ``images/{split}/label/*.png``.
    * Label values (grey, or the first channel of RGB): 0 unchanged, 128 road, 255 building; here
      classes 0, 1, 2.
    * Licence: academic use. Cite Liu et al., "Change-Agent: Toward Interactive Comprehensive Remote
      Sensing Change Interpretation and Analysis", TGRS 2024.

    See ``ChangeDataset`` for the arguments.
    """
    METAINFO: ClassVar[dict] = {'task': 'pair', 'classes': ('unchanged', 'road', 'building'),
                                'palette': [[0, 0, 0], [245, 200, 60], [230, 60, 50]]}
    TITLE = 'LEVIR-MCI'
    ANCHOR = 'levir-mci'
    LABEL_MAP: ClassVar[dict[int, int]] = {0: 0, 128: 1, 255: 2}

    def __init__(self, data_root: str = 'LEVIR-MCI-dataset',
                 ann_file: str = 'LevirCCcaptions.json', *,
                 label: str | None = 'images/{split}/label/{filename}', **kwargs):
        super().__init__(data_root, ann_file, label=label, **kwargs)
