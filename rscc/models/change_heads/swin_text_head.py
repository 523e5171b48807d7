"""ChangeCLIP's decoder: from fused maps and texts to a change map.

Paper: Dong et al., ChangeCLIP, ISPRS J. 208 (2024) 53-69,
https://doi.org/10.1016/j.isprsjprs.2024.01.004 ("vision-language-driven decoder").
"""
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rscc.models.change_heads.swin_text_block import Size, SwinTextBlock
from rscc.registry import MODELS
from rscc.structures import ChangeDataSample, ChangeFeatures


@MODELS.register_module()
class SwinTextHead(nn.Module):
    """Decode maps from coarse to fine; in each stage every position attends to the texts.

    Args:
        text_channels: Width of the texts.
        in_channels: Channels of each fused map.
        channels: Inner width; a stage returns twice as many.
        levels: Number of fused maps.
        num_classes: Classes of the change map, 0 being "unchanged".
        dates: Dates T whose texts arrive.
        heads, window, rank, mlp_ratio: See ``SwinTextBlock``.
        drop_path: Stochastic depth of every second block.
        groups: Groups of the group norm.
        dropout: Rate at which whole channels are dropped before the classifier.
        loss_decode: One config or several of MMSegmentation's losses, such as
            ``dict(type='mmseg.DiceLoss', loss_weight=0.5)``.
        ignore_index: Label without a loss.
    """
    takes_features = True

    def __init__(self, text_channels: int, in_channels: int = 256, channels: int = 128,
                 levels: int = 4, num_classes: int = 2, dates: int = 2, heads: int = 2,
                 window: int = 7, rank: int = 64, mlp_ratio: int = 4, drop_path: float = 0.2,
                 groups: int = 32, dropout: float = 0.1,
                 loss_decode: Mapping | Sequence[Mapping] | None = None,
                 ignore_index: int = 255) -> None:
        super().__init__()
        if num_classes < 2:
            raise ValueError(f'SwinTextHead(num_classes={num_classes}): its softmax needs '
                             '"unchanged" too, so 2 for plain change detection')
        self.num_classes, self.ignore_index = num_classes, ignore_index
        self.text_projections = nn.ModuleList(
            nn.Sequential(nn.Linear(text_channels, channels), nn.LayerNorm(channels))
            for _ in range(dates))
        block = dict(heads=heads, window=window, rank=rank, mlp_ratio=mlp_ratio)
        self.stages = nn.ModuleList(
            SwinTextStage(2 * channels if stage else in_channels, in_channels, channels, groups,
                          drop_path, block) for stage in range(levels - 1))
        self.dropout = nn.Dropout2d(dropout)
        self.classify = nn.Conv2d(2 * channels, num_classes, 1)
        nn.init.normal_(self.classify.weight, std=0.01)
        nn.init.zeros_(self.classify.bias)
        losses = loss_decode or dict(type='mmseg.CrossEntropyLoss', avg_non_ignore=True)
        losses = [losses] if isinstance(losses, Mapping) else losses
        self.loss_decode = nn.ModuleList(MODELS.build(loss) for loss in losses)

    def forward(self, features: ChangeFeatures) -> Tensor:
        """Return logits (N, classes, h, w) at the stride of the finest map."""
        maps, text = features.maps, features.text
        if text is None or text.shape[1] != len(self.text_projections):
            found = 'none' if text is None else f'those of {text.shape[1]} date(s)'
            raise ValueError(f'SwinTextHead needs the texts of {len(self.text_projections)} dates, '
                             f'found {found}; LanguageGuidedFusion provides them')
        text = torch.cat([project(text[:, date])
                          for date, project in enumerate(self.text_projections)], dim=1)
        decoded = maps[-1]
        for stage, skip in zip(self.stages, reversed(maps[:-1]), strict=True):
            decoded = stage(decoded, skip, text)
        return self.classify(self.dropout(decoded))

    def loss(self, features: ChangeFeatures, data_samples: list[ChangeDataSample],
             train_cfg: Mapping | None = None) -> dict[str, Tensor]:
        """Return each loss by its name, and ``acc_seg``, the share of right pixels in percent.

        Args:
            features: Fused maps and texts.
            data_samples: N samples with ``gt_sem_seg``.
            train_cfg: Unused; MMSegmentation's heads take it.
        """
        target = torch.stack([sample.gt_sem_seg.data for sample in data_samples]).squeeze(1)
        logits = _resize(self(features), target.shape[-2:])
        losses: dict[str, Tensor] = {}
        for loss in self.loss_decode:
            value = loss(logits, target, ignore_index=self.ignore_index)
            losses[loss.loss_name] = losses.get(loss.loss_name, 0) + value
        losses['acc_seg'] = _accuracy(logits.detach(), target, self.ignore_index)
        return losses

    def predict(self, features: ChangeFeatures, metas: Sequence[Mapping],
                test_cfg: Mapping | None = None) -> Tensor:
        """Return logits (N, classes, H, W) at ``pad_shape`` of the metainfo."""
        return _resize(self(features), metas[0]['pad_shape'])


class SwinTextStage(nn.Module):
    """Double the resolution, attend to texts and neighbours, join the finer map.

    Args:
        deep_channels: Channels of what comes from the stage before.
        skip_channels: Channels of the finer map.
        channels: Inner width; twice as many are returned.
        groups: Groups of the group norm.
        drop_path: Stochastic depth of the second block.
        block: Further fields of ``SwinTextBlock``.
    """

    def __init__(self, deep_channels: int, skip_channels: int, channels: int, groups: int,
                 drop_path: float, block: Mapping) -> None:
        super().__init__()
        self.reduce = nn.Sequential(nn.Conv2d(deep_channels, channels, 3, padding=1),
                                    nn.GroupNorm(groups, channels), nn.ReLU(inplace=True))
        shift = block['window'] // 2
        self.blocks = nn.ModuleList([
            SwinTextBlock(channels, shift=0, **block),
            SwinTextBlock(channels, shift=shift, drop_path=drop_path, **block)])
        self.refine = nn.Conv2d(channels, channels, 1)
        self.skip = nn.Conv2d(skip_channels, channels, 1)
        self.merge = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1)

    def forward(self, deep: Tensor, skip: Tensor, text: Tensor) -> Tensor:
        """Return (N, 2*channels, 2*h, 2*w).

        Args:
            deep: (N, deep_channels, h, w).
            skip: (N, skip_channels, 2*h, 2*w).
            text: (N, K, channels).
        """
        maps = self.reduce(F.interpolate(deep, scale_factor=2, mode='nearest'))
        size: Size = tuple(maps.shape[-2:])
        tokens = maps.flatten(2).transpose(1, 2)
        for block in self.blocks:
            tokens = block(tokens, size, text)
        refined = F.relu(self.refine(tokens.transpose(1, 2).unflatten(2, size)))
        return F.relu(self.merge(torch.cat([F.relu(self.skip(skip)), refined], dim=1)))


def _accuracy(logits: Tensor, target: Tensor, ignore_index: int) -> Tensor:
    """Return the share of right pixels in percent; comparing costs a third of ``argmax``."""
    valid = target != ignore_index
    chosen = logits.gather(1, target.where(valid, 0)[:, None]).squeeze(1)
    right = (chosen == logits.amax(1)) & valid
    return 100 * right.sum() / valid.sum().clamp(min=1)


def _resize(logits: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(logits, tuple(size), mode='bilinear', align_corners=False)
