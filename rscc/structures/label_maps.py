"""Label maps of a sample by one list of names, so that each travels wherever the images do."""
from collections.abc import Callable, MutableMapping

import numpy as np
from mmengine.structures import PixelData
from torch import Tensor

from rscc.structures.change_data_sample import ChangeDataSample

#: Reference maps of a sample, in a pipeline and packed: name -> value of a pixel of which nothing
#: is known. In the change map 255 is ignored; in the class maps of the two dates 0 is no label.
LABEL_MAPS = {'gt_sem_seg': 255, 'gt_sem_seg_from': 0, 'gt_sem_seg_to': 0}
#: Those that say what each date shows, the earlier one first.
CLASS_MAPS = ('gt_sem_seg_from', 'gt_sem_seg_to')


def change_maps(results: MutableMapping, change: Callable[[np.ndarray, int], np.ndarray]) -> None:
    """Replace every label map of a sample in a pipeline by what a function makes of it.

    Args:
        results: The sample; maps that it lacks are passed over.
        change: Takes a map uint8 (H, W) and the value of unknown pixels, returns the new map.
    """
    for name, unknown in LABEL_MAPS.items():
        if name in results:
            results[name] = change(results[name], unknown)


def change_packed_maps(sample: ChangeDataSample, change: Callable[[Tensor, int], Tensor]) -> None:
    """Replace every label map of a packed sample by what a function makes of it.

    Args:
        sample: The sample; maps that it lacks are passed over.
        change: Takes a map int64 (1, H, W) and the value of unknown pixels, returns the new map,
            or the same one where nothing is to be done.
    """
    for name, unknown in LABEL_MAPS.items():
        if name in sample:
            old = getattr(sample, name).data
            new = change(old, unknown)
            if new is not old:
                setattr(sample, name, PixelData(data=new))
