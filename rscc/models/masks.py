"""Small helpers around change masks of a batch."""
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from rscc.structures import ChangeDataSample, ChangeFeatures


def rows_with_masks(data_samples: list[ChangeDataSample]) -> list[int]:
    """Return the indices of the samples that have a reference mask."""
    return [row for row, sample in enumerate(data_samples) if 'gt_sem_seg' in sample]


def select_rows(features: ChangeFeatures, rows: list[int], total: int) -> ChangeFeatures:
    """Return the features of some samples, without a copy where all of them are wanted."""
    if len(rows) == total:
        return features
    whole = {name: getattr(features, name) for name in ('tokens', 'pooled', 'text')}
    return replace(features, maps=[level[rows] for level in features.maps],
                   **{name: value[rows] for name, value in whole.items() if value is not None})


def masks_at_original_size(logits: Tensor, metas: list[dict]) -> list[Tensor]:
    """Cut the padding off and bring every sample's logits to its size on disk.

    Args:
        logits: (N, classes, H, W) at the padded size of the batch.
        metas: Per sample ``img_shape`` (before padding) and ``ori_shape`` (on disk), (H, W).

    Returns:
        N tensors (classes, H_i, W_i), float32.
    """
    sized = []
    for scores, meta in zip(logits.float(), metas, strict=True):
        height, width = meta['img_shape']
        scores = scores[:, :height, :width]
        original = tuple(meta.get('ori_shape', (height, width)))
        if tuple(scores.shape[-2:]) != original:
            scores = F.interpolate(scores[None], original, mode='bilinear',
                                   align_corners=False)[0]
        sized.append(scores)
    return sized


def classes_of(scores: Tensor, threshold: float | None) -> Tensor:
    """Turn logits (classes, H, W) into class numbers int64 (1, H, W).

    Args:
        scores: Logits; a single channel (an MMSegmentation head with ``out_channels=1``) is that of
            "changed" against "unchanged".
        threshold: Probability above which a single channel counts as changed; None for 0.5.
    """
    if scores.shape[0] == 2:
        return (scores[1:] > scores[:1]).to(torch.int64)  # a tenth of argmax's time on a CPU
    if scores.shape[0] > 2:
        return scores.argmax(0, keepdim=True)
    return (scores.sigmoid() > (0.5 if threshold is None else threshold)).to(torch.int64)
