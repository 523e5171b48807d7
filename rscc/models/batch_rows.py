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
                   date_maps=[level[rows] for level in features.date_maps],
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


def classes_by_date(earlier: Tensor, later: Tensor, changed: Tensor, same_class: bool = True
                    ) -> tuple[Tensor, Tensor]:
    """Turn the scores of both dates into class maps that agree with a change map.

    Where nothing changed both dates get the class whose probabilities have the largest product;
    elsewhere each date gets its own best. :func:`rscc.rasters.blending.decided_by_date` does the
    same with arrays.

    Args:
        earlier: Logits, or logarithms of probabilities, of the earlier date (K, H, W).
        later: The same of the later date.
        changed: Where something changed, bool (1, H, W).
        same_class: Whether a changed pixel may keep its class. If not, it gets the likeliest two
            different ones.

    Returns:
        Class numbers of both dates, int64 (1, H, W), 1 to K.
    """
    earlier, later = earlier.float().log_softmax(0), later.float().log_softmax(0)
    shared = (earlier + later).max(0, keepdim=True).indices
    if same_class:
        own = [scores.max(0, keepdim=True).indices for scores in (earlier, later)]
    else:
        # The best two of each date, (2, H, W). Where both have the same best, one gives way: the
        # one whose second best costs less.
        (first, one), (second, two) = earlier.topk(2, 0), later.topk(2, 0)
        alike = one[:1] == two[:1]
        gives_way = first[1:] + second[:1] >= first[:1] + second[1:]
        own = [torch.where(alike & gives_way, one[1:], one[:1]),
               torch.where(alike & ~gives_way, two[1:], two[:1])]
    return tuple(torch.where(changed, classes, shared) + 1 for classes in own)


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
