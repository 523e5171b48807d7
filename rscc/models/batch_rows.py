"""From a batch to its samples: which have a mask, their features, their maps at their own size."""
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from rscc.structures import ChangeDataSample, ChangeFeatures, change_packed_maps


def rows_with_masks(data_samples: list[ChangeDataSample]) -> list[int]:
    """Return the indices of the samples that have a reference mask."""
    return [row for row, sample in enumerate(data_samples) if 'gt_sem_seg' in sample]


def select_rows(features: ChangeFeatures, rows: list[int], total: int) -> ChangeFeatures:
    """Return the features of some samples, without a copy where all of them are wanted."""
    if len(rows) == total:
        return features
    others = dict(tokens=features.tokens, pooled=features.pooled, text=features.text)
    return replace(features, maps=[level[rows] for level in features.maps],
                   **{name: value[rows] for name, value in others.items() if value is not None})


def masks_at_original_size(logits: Tensor, metas: list[dict]) -> list[Tensor]:
    """Cut the padding off and bring every sample's logits to its size on disk.

    Args:
        logits: (N, classes, H, W) at the padded size of the batch.
        metas: Per sample ``img_shape`` (before padding) and ``ori_shape`` (on disk), (H, W).

    Returns:
        N tensors (classes, H_i, W_i), float32.
    """
    logits = logits.float()
    sizes = [(tuple(meta['img_shape']), tuple(meta.get('ori_shape', meta['img_shape'])))
             for meta in metas]
    if len(set(sizes)) == 1 and len(sizes) == len(logits):  # windows: all in one call
        return list(_resized(logits, *sizes[0]).contiguous())
    return [_resized(scores[None], *size)[0]
            for scores, size in zip(logits, sizes, strict=True)]


def _resized(logits: Tensor, shown: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Cut (N, classes, H, W) to what shows the image and bring that to a size."""
    # Padding lies at the bottom and right; what is left has the size before it.
    logits = logits[..., :shown[0], :shown[1]]
    if shown == size:
        return logits
    return F.interpolate(logits, size, mode='bilinear', align_corners=False)


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
        return scores.max(0, keepdim=True).indices  # as argmax, in a sixth of its time on a CPU
    return (scores.sigmoid() > (0.5 if threshold is None else threshold)).to(torch.int64)


def cut_padding_of_reference(sample: ChangeDataSample) -> None:
    """Cut from reference maps what they were padded by with their image, as answers are cut."""
    shown, padded = tuple(sample.img_shape), sample.get('pad_shape')
    if padded is None or tuple(sample.get('ori_shape', shown)) != shown:
        return  # maps of another size than their image are not padded
    change_packed_maps(sample, lambda labels, _: labels[..., :shown[0], :shown[1]] if (
        shown != tuple(labels.shape[-2:]) == tuple(padded)) else labels)


def bare_sample(inputs: Tensor) -> ChangeDataSample:
    """Return a sample that knows nothing but the size of the frames (N, T, B, H, W)."""
    size = tuple(inputs.shape[-2:])
    return ChangeDataSample(metainfo=dict(ori_shape=size, img_shape=size, pad_shape=size,
                                          batch_input_shape=size))
