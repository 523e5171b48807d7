"""The last step of every pipeline."""
from collections.abc import Sequence

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.structures import PixelData

from rscc.registry import TRANSFORMS
from rscc.structures import ChangeDataSample

META_KEYS = ('sample_id', 'imgid', 'split', 'img_path_from', 'img_path_to', 'img_path',
             'ori_shape', 'img_shape', 'flip')
CAPTION_KEYS = ('gt_captions', 'target_captions')


@TRANSFORMS.register_module()
class PackChangeInputs(BaseTransform):
    """Pack all dates into one tensor and the annotations into a ``ChangeDataSample``.

    The tensor stays uint8: a quarter of the bytes through the worker's pipe, and the model's
    preprocessor normalises on the device. Features that the dataset brings in place of images
    (``features`` of ``ChangeDataset``) are packed as they are.

    Args:
        meta_keys: What to keep as metainfo, where present.
    """

    def __init__(self, meta_keys: Sequence[str] = META_KEYS):
        self.meta_keys = tuple(meta_keys)

    def transform(self, results: dict) -> dict:
        """Return ``inputs`` and ``data_samples``.

        Inputs are uint8 (T, 3, H, W), or features (T, 1, D) or (T, 1 + L, D), the pooled first.

        Raises:
            ValueError: If the sample has neither frames nor features, or both.
        """
        inputs = _inputs(results)
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
        return {'inputs': inputs, 'data_samples': sample}

    def __repr__(self) -> str:
        return f'PackChangeInputs(meta_keys={self.meta_keys})'


def _inputs(results: dict) -> torch.Tensor:
    frames, features = results.get('frames'), results.get('features')
    if frames is None and features is None:
        raise ValueError(f"sample '{results.get('sample_id')}' has nothing to look at: begin the "
                         "pipeline with dict(type='LoadFrames'), or give the dataset features.")
    if frames is not None and features is not None:
        raise ValueError(f"sample '{results.get('sample_id')}' has both frames and stored "
                         'features: leave LoadFrames and the transforms of frames out of the '
                         'pipeline, or the features out of the dataset.')
    if features is not None:
        return features
    stacked = np.stack([frame.transpose(2, 0, 1) for frame in frames])
    return torch.from_numpy(np.ascontiguousarray(stacked))
