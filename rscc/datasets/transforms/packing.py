"""The last step of every pipeline."""
from collections.abc import Sequence

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.structures import PixelData

from rscc.registry import TRANSFORMS
from rscc.structures import ChangeDataSample

META_KEYS = ('sample_id', 'split', 'img_path_from', 'img_path_to', 'img_path', 'ori_shape',
             'img_shape', 'flip')
CAPTION_KEYS = ('gt_captions', 'target_captions')


@TRANSFORMS.register_module()
class PackChangeInputs(BaseTransform):
    """Pack all dates into one tensor and the annotations into a ``ChangeDataSample``.

    The tensor stays uint8: a quarter of the bytes through the worker's pipe, and the model's
    preprocessor normalises on the device.

    Args:
        meta_keys: What to keep as metainfo, where present.
    """

    def __init__(self, meta_keys: Sequence[str] = META_KEYS):
        self.meta_keys = tuple(meta_keys)

    def transform(self, results: dict) -> dict:
        """Return ``inputs`` uint8 (T, 3, H, W) and ``data_samples``."""
        frames = np.stack([frame.transpose(2, 0, 1) for frame in results['frames']])
        sample = ChangeDataSample(
            metainfo={key: results[key] for key in self.meta_keys if results.get(key) is not None})
        if 'gt_sem_seg' in results:
            mask = torch.from_numpy(results['gt_sem_seg'].astype(np.int64))[None]
            sample.gt_sem_seg = PixelData(data=mask)
        for key in CAPTION_KEYS:
            if key in results:
                setattr(sample, key, list(results[key]))
        if results.get('prompts') is not None:
            sample.prompts = [list(names) for names in results['prompts']]
        if results.get('gt_change_flag') is not None:
            sample.gt_change_flag = bool(results['gt_change_flag'])
        return {'inputs': torch.from_numpy(np.ascontiguousarray(frames)), 'data_samples': sample}

    def __repr__(self) -> str:
        return f'PackChangeInputs(meta_keys={self.meta_keys})'
