"""The built-in dataset, as it lies on disk."""
from typing import ClassVar

from rscc.datasets.levir_cc import LEVIRCCDataset
from rscc.registry import DATASETS


@DATASETS.register_module()
class SynthChangeDataset(LEVIRCCDataset):
    """The dataset that rscc renders itself: pairs, masks, English and Chinese captions.

    * Pictured: rendered aerial scenes, 256x256 at 0.5 m a pixel; never to be presented as real
      imagery. About half the pairs changed; light, season, haze, noise and sub-pixel shift differ.
    * Splits: as generated (``tools/dataset_converters/synth.py --out DIR``).
    * Layout: that of LEVIR-MCI; labels are palette PNGs with the class index as value.
    * Label values: 0 unchanged, 1 building, 2 road, 3 vegetation, 4 water, 5 parking lot.
    * Captions: five per pair and language; ``language='zh'`` reads the Chinese ones.
    * Licence: that of this package.

    See ``ChangeDataset`` for the arguments.
    """
    METAINFO: ClassVar[dict] = {
        'task': 'pair',
        'classes': ('unchanged', 'building', 'road', 'vegetation', 'water', 'parking lot'),
        'palette': [[0, 0, 0], [230, 60, 50], [245, 200, 60], [70, 170, 80], [60, 120, 220],
                    [150, 100, 200]],
    }
    TITLE = 'built-in dataset'
    ANCHOR = 'built-in-dataset'
    LABEL_MAP: ClassVar[dict[int, int]] = {index: index for index in range(6)}

    def __init__(self, data_root: str = 'synth', ann_file: str = 'LevirCCcaptions.json', *,
                 label: str | None = 'images/{split}/label/{filename}', **kwargs):
        super().__init__(data_root, ann_file, label=label, **kwargs)
