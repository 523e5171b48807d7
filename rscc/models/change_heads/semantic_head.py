"""Semantic change: what changed, and what was there at each date.

Papers: Ding et al., Bi-Temporal Semantic Reasoning for the Semantic Change Detection in HR Remote
Sensing Images, TGRS 2022, https://arxiv.org/abs/2108.06103 (Bi-SRNet: losses of class and
agreement); Zheng et al., ChangeMask, ISPRS J. 183 (2022) 228-239,
https://doi.org/10.1016/j.isprsjprs.2021.10.015 (one decoder for both dates, and a change map that
is the same with the dates exchanged).
"""
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rscc.models.change_heads.base import PixelHead, resized
from rscc.models.contracts import Need
from rscc.registry import MODELS
from rscc.structures import ChangeDataSample, ChangeFeatures

_FIELDS = ('gt_sem_seg_from', 'gt_sem_seg_to')


@MODELS.register_module()
class SemanticChangeHead(PixelHead):
    """A change map and a class map of each date, from the maps of both dates.

    One decoder reads the maps of the earlier date, those of the later one, and their absolute
    difference. A classifier for both dates tells the classes; another one tells what changed, from
    the decoded difference and the difference of what was decoded. Exchanging the dates therefore
    exchanges the class maps and leaves the change map as it is.

    The head reads ``ChangeFeatures.date_maps``, which every fusion hands on, so it stands beside
    any caption head. Where the change map says that nothing changed, both dates get one class, by
    construction (:func:`rscc.models.batch_rows.classes_by_date`).

    Losses returned: those of ``loss_decode``, ``loss_class`` and ``loss_agreement`` by their names.
    The class loss is half of each date's, over the pixels with a label there, as in Bi-SRNet; the
    agreement leaves out pixels whose label says that they changed within a class, which Bi-SRNet
    draws apart as well. The decoder is ours: theirs are a residual network with attention, and a
    U-Net with three-dimensional convolutions.

    Args:
        date_channels: Channels of each map of a date that is read, fine to coarse. ``'auto'`` in a
            config needs ``in_index``.
        num_semantic_classes: K, the classes of a date without "none": labels are 1 to K, and 0
            where there is no label.
        channels: Width of the decoder.
        num_classes: Classes of the change map, 0 being "unchanged".
        loss_decode: Losses of the change map: one config or several, ``CrossEntropyLoss`` by
            default; ``DiceLoss`` beside it where few pixels changed.
        loss_class: Loss of the class maps, called for each date; ``CrossEntropyLoss`` named
            ``loss_class`` by default.
        loss_agreement: Loss that compares both dates, ``SemanticConsistencyLoss`` by default;
            ``loss_weight=0`` switches it off.
        same_class: Whether a changed pixel may have one class at both dates: a building in place of
            another. SECOND has such changes; where a change is one of class, switch it off.
        dropout: Rate at which whole channels are dropped before the classifiers.
        ignore_index: Label of the change map without a loss.
        in_index: Indices of the maps that are read; None for all.
    """

    def __init__(self, date_channels: Sequence[int], num_semantic_classes: int, channels: int = 64,
                 num_classes: int = 2,
                 loss_decode: Mapping | Sequence[Mapping] | None = None,
                 loss_class: Mapping | None = None, loss_agreement: Mapping | None = None,
                 same_class: bool = True, dropout: float = 0.0, ignore_index: int = 255,
                 in_index: Sequence[int] | None = None) -> None:
        super().__init__(loss_decode or dict(type='CrossEntropyLoss'), ignore_index)
        if isinstance(date_channels, int):
            raise ValueError('SemanticChangeHead reads maps of each date, found date_channels='
                             f"{date_channels}: give a number a map, or 'auto' beside in_index")
        if num_classes < 2 or num_semantic_classes < 2:
            raise ValueError(f'SemanticChangeHead(num_classes={num_classes}, '
                             f'num_semantic_classes={num_semantic_classes}): the change map has '
                             '"unchanged" among its classes and each date at least two, "none" not '
                             'counted')
        self.loss_class = MODELS.build(
            loss_class or dict(type='CrossEntropyLoss', loss_name='loss_class'))
        self.loss_agreement = MODELS.build(loss_agreement or dict(type='SemanticConsistencyLoss'))
        self.date_channels = tuple(date_channels)
        self.in_index = None if in_index is None else tuple(in_index)
        self.num_semantic_classes, self.same_class = num_semantic_classes, same_class
        self.groups = (num_classes, num_semantic_classes, num_semantic_classes)
        self.out_channels = sum(self.groups)
        self.decoder = _TopDown(self.date_channels, channels)
        self.dropout = nn.Dropout2d(dropout)
        self.classify = nn.Conv2d(2 * channels, num_classes, 3, padding=1)
        self.classify_date = nn.Conv2d(channels, num_semantic_classes, 1)

    def needs(self) -> Sequence[Need]:
        """Return maps of every date of the widths it is made for."""
        return [Need('date_maps', self.date_channels, 'date_channels', self.in_index)]

    def forward(self, features: ChangeFeatures) -> Tensor:
        """Return logits (N, num_classes + 2K, h, w): the change map, the earlier date, the later.

        Raises:
            ValueError: If a sample has another number of dates than two.
        """
        levels = features.date_maps
        levels = levels if self.in_index is None else [levels[index] for index in self.in_index]
        if levels[0].shape[1] != 2:
            raise ValueError(f'SemanticChangeHead compares two dates, found samples of '
                             f'{levels[0].shape[1]}')
        # Earlier date, later date and their difference, one batch (3N, C_i, h_i, w_i) a level.
        pairs = [level.unbind(1) for level in levels]
        earlier, later, difference = self.decoder(
            [torch.cat([one, two, (two - one).abs()]) for one, two in pairs]
        ).unflatten(0, (3, -1)).unbind(0)  # chunk(3) cannot be exported for any number of samples
        # Absolute differences are the same for the exchanged pair.
        change = torch.cat([difference, (later - earlier).abs()], 1)
        return torch.cat([self.classify(self.dropout(change)),
                          *(self.classify_date(self.dropout(date)) for date in (earlier, later))],
                         1)

    def loss_of(self, logits: Tensor, data_samples: list[ChangeDataSample]) -> dict[str, Tensor]:
        """Return each loss by its name.

        Args:
            logits: (N, num_classes + 2K, h, w).
            data_samples: N samples with ``gt_sem_seg``; those without ``gt_sem_seg_from`` or
                ``gt_sem_seg_to`` have no label at that date.
        """
        change, *dates = self.split(logits)
        losses = super().loss_of(change, data_samples)
        changed = torch.stack([sample.gt_sem_seg.data for sample in data_samples]).squeeze(1)
        dates = [resized(scores, changed.shape[-2:]) for scores in dates]
        labels = [self._labels(data_samples, field, changed) for field in _FIELDS]
        for scores, own in zip(dates, labels, strict=True):
            # Classes 0 to K - 1; without a label there is no loss.
            target = torch.where(own == 0, self.ignore_index, own - 1)
            value = self.loss_class(scores, target, ignore_index=self.ignore_index) / 2
            losses[self.loss_class.loss_name] = losses.get(self.loss_class.loss_name, 0) + value
        # Another building in place of a building: changed, and nothing to draw apart.
        within = (changed != 0) & (labels[0] == labels[1]) & (labels[0] > 0)
        losses[self.loss_agreement.loss_name] = self.loss_agreement(
            *dates, changed.masked_fill(within, self.ignore_index), ignore_index=self.ignore_index)
        return losses

    def _labels(self, data_samples: list[ChangeDataSample], field: str, like: Tensor) -> Tensor:
        """Return the classes of one date, int64 (N, H, W), 0 where there is no label.

        Raises:
            ValueError: If there are more classes than the head has; names the first such sample.
        """
        labels = torch.stack([sample.get(field).data.squeeze(0) if field in sample else
                              torch.zeros_like(like[row])
                              for row, sample in enumerate(data_samples)])
        if labels.numel() and int(labels.max()) > self.num_semantic_classes:
            row = int((labels > self.num_semantic_classes).flatten(1).any(1).nonzero()[0])
            raise ValueError(
                f"{field} of sample '{data_samples[row].get('sample_id')}' holds class "
                f'{int(labels[row].max())}, and SemanticChangeHead has classes 1 to '
                f'{self.num_semantic_classes} (0 = no label): set '
                f'num_semantic_classes={int(labels.max())}, or map the classes of the files to '
                'fewer')
        return labels


class _TopDown(nn.Module):
    """From coarse to fine: enlarge, add the finer map, convolve.

    Args:
        widths: Channels of each map, fine to coarse.
        channels: Width of what is decoded.
    """

    def __init__(self, widths: Sequence[int], channels: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in widths)
        self.refine = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, bias=False),
                          nn.BatchNorm2d(channels), nn.ReLU(inplace=True)) for _ in widths)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Return (N, channels, h, w) at the size of the first of the maps (N, C_i, h_i, w_i)."""
        decoded = None
        for lateral, refine, level in reversed(list(zip(self.lateral, self.refine, levels,
                                                        strict=True))):
            own = lateral(level)
            if decoded is not None:
                own = own + F.interpolate(decoded, own.shape[-2:], mode='bilinear',
                                          align_corners=False)
            decoded = refine(own)
        return decoded
