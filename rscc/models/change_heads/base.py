"""Base class of change heads, decode heads of MMSegmentation as such, a neck, and the flag head."""
from abc import ABCMeta, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rscc import compat
from rscc.models.batch_rows import classes_by_date, classes_of
from rscc.models.contracts import Need
from rscc.registry import MODELS, Part
from rscc.structures import ChangeDataSample, ChangeFeatures


class ChangeHead(Part, metaclass=ABCMeta):
    """Fused features to a change map.

    Attributes:
        threshold: Probability above which the single channel of a head with one counts as
            "changed"; None for 0.5.
        out_channels: Channels of its logits.
        classifier: The layer that gives the logits of the change map, with a bias for each class.
        groups: Channels of each group of logits that has a softmax of its own, the change map
            first. None for one group, the change map alone; three for a change map and a class map
            of each date, as many classes at both: everything that reads logits (windows, views,
            maps, guidance, exports) goes by this.
        same_class: Whether a change within one class can be said; of heads with class maps.
        in_halves: Whether ``loss_of`` and ``enlarge`` work on logits that are computed once for
            the map and for what else is told of it.
    """
    threshold: float | None = None
    in_halves: bool = True
    out_channels: int
    groups: tuple[int, ...] | None = None
    same_class: bool = True
    ASKED: ClassVar[Mapping[str, str]] = {'out_channels': 'out_channels',
                                          'classifier': 'layer named classify'}

    @property
    def classifier(self) -> nn.Module:
        """Return the layer that gives the logits; heads of ours call it ``classify``."""
        return self.classify

    @abstractmethod
    def needs(self) -> Sequence[Need]:
        """Return the features that the head reads; without them nobody sees that widths differ."""

    @abstractmethod
    def forward(self, features: ChangeFeatures) -> Tensor:
        """Return logits (N, classes, h, w) at the resolution of the head."""

    @abstractmethod
    def loss_of(self, logits: Tensor, data_samples: list[ChangeDataSample]) -> dict[str, Tensor]:
        """Return the losses by name of what :meth:`forward` returned for N samples with masks."""

    @abstractmethod
    def enlarge(self, logits: Tensor, metas: Sequence[Mapping]) -> Tensor:
        """Bring what :meth:`forward` returned to ``pad_shape`` of the metainfo."""

    def loss(self, features: ChangeFeatures, data_samples: list[ChangeDataSample]
             ) -> dict[str, Tensor]:
        """Return the losses by name over N samples, all with a mask."""
        return self.loss_of(self.logits_of(features), data_samples)

    def logits_of(self, features: ChangeFeatures) -> Tensor:
        """Return the logits (N, classes, h, w) of :meth:`forward`.

        Raises:
            ValueError: If it returned something else, or other channels than ``out_channels``.
        """
        logits, channels = self(features), getattr(self, 'out_channels', None)
        tensor = isinstance(logits, Tensor)
        if tensor and logits.ndim == 4 and logits.shape[1] == (channels or logits.shape[1]):
            return logits
        found = f'of the shape {tuple(logits.shape)}' if tensor else f'as a {type(logits).__name__}'
        raise ValueError(f'{self.title}.forward returned logits {found}: a tensor (N, '
                         f'{channels or "classes"}, h, w) is expected, with as many channels as '
                         'out_channels')

    def predict(self, features: ChangeFeatures, metas: Sequence[Mapping]) -> Tensor:
        """Return logits (N, classes, H, W) at ``pad_shape`` of the metainfo."""
        return self.enlarge(self.logits_of(features), metas)

    def split(self, logits: Tensor) -> list[Tensor]:
        """Return each group of logits (..., C, H, W), the change map's first."""
        return [logits] if self.groups is None else list(logits.split(self.groups, -3))

    def answer(self, logits: Tensor, classes: bool = True) -> dict[str, Tensor]:
        """Return what the logits of one sample say, by fields of ``ChangeDataSample``.

        Args:
            logits: (C, H, W), all groups.
            classes: Whether class numbers are wanted beside logits.

        Returns:
            ``seg_logits`` (classes, H, W) and ``pred_sem_seg`` int64 (1, H, W) of the change map;
            of heads with class maps also ``seg_logits_from``, ``seg_logits_to`` (K, H, W) and
            ``pred_sem_seg_from``, ``pred_sem_seg_to`` (1, H, W), 1 to K, equal where the change map
            says that nothing changed.
        """
        change, *dates = self.split(logits)
        found = {'seg_logits': change}
        if dates:
            found['seg_logits_from'], found['seg_logits_to'] = dates
        if classes:
            found['pred_sem_seg'] = classes_of(change, self.threshold)
        if dates and classes:
            found['pred_sem_seg_from'], found['pred_sem_seg_to'] = classes_by_date(
                *dates, found['pred_sem_seg'] != 0, self.same_class)
        return found


class PixelHead(ChangeHead, nn.Module):
    """Base class of change heads that compare their logits with masks by losses of the config.

    Args:
        losses: One config or several of losses of pixels, ours or MMSegmentation's.
        ignore_index: Label without a loss.
    """

    ASKED: ClassVar[Mapping[str, str]] = {
        **ChangeHead.ASKED, 'loss_decode': 'loss_decode (super().__init__(losses, ignore_index))'}

    def __init__(self, losses: Mapping | Sequence[Mapping], ignore_index: int) -> None:
        super().__init__()
        losses = [losses] if isinstance(losses, Mapping) else losses
        self.loss_decode = nn.ModuleList(MODELS.build(loss) for loss in losses)
        self.ignore_index = ignore_index

    def loss_of(self, logits: Tensor, data_samples: list[ChangeDataSample]) -> dict[str, Tensor]:
        """Return each loss by its name, and what ``details`` adds.

        Args:
            logits: (N, C, h, w).
            data_samples: N samples with ``gt_sem_seg``.
        """
        target = torch.stack([sample.gt_sem_seg.data for sample in data_samples]).squeeze(1)
        logits = resized(logits, target.shape[-2:])
        losses: dict[str, Tensor] = {}
        for loss in self.loss_decode:
            value = loss(logits, target, ignore_index=self.ignore_index)
            losses[loss.loss_name] = losses.get(loss.loss_name, 0) + value
        details = self.details(logits.detach(), target)
        wrong = [name for name in details if 'loss' in name]
        if wrong:
            raise ValueError(f"{self.title}.details gives '{wrong[0]}', and whatever has 'loss' in "
                             'its name is added to the loss: call it otherwise, or add it in '
                             'loss_of if it is one')
        return losses | details

    def details(self, logits: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return what is logged beside the losses, of logits (N, C, H, W) and labels (N, H, W).

        No name may have ``loss`` in it: MMEngine adds these to the loss.
        """
        return {}

    def enlarge(self, logits: Tensor, metas: Sequence[Mapping]) -> Tensor:
        """Return logits (N, C, H, W) at ``pad_shape`` of the metainfo."""
        return resized(logits, metas[0]['pad_shape'])


def resized(logits: Tensor, size: Sequence[int]) -> Tensor:
    """Bring logits (N, C, h, w) to ``size`` = (H, W), smoothly."""
    if tuple(logits.shape[-2:]) == tuple(size):
        return logits
    return F.interpolate(logits, tuple(size), mode='bilinear', align_corners=False)


class DecodeHead(ChangeHead):
    """A decode head of MMSegmentation, which is given the maps alone.

    This is a view: the head itself stays in the model, under its own names in checkpoints.

    Args:
        head: The head.
    """

    def __init__(self, head: nn.Module) -> None:
        self.head = head
        heads = compat.import_mmseg_models().decode_heads
        self.known = self.in_halves = isinstance(head, heads.decode_head.BaseDecodeHead)
        if self.known:
            self.threshold, self.out_channels = head.threshold, head.out_channels

    @property
    def title(self) -> str:
        """Name in messages."""
        return type(self.head).__name__

    @property
    def classifier(self) -> nn.Module:
        """Return the layer that gives the logits."""
        return self.head.conv_seg

    def needs(self) -> Sequence[Need]:
        """Return the maps that the head takes, by its ``in_index`` and ``in_channels``."""
        if not self.known:
            return [Need('maps')]
        # MMSegmentation's three kinds of input: one map, a list of maps, maps concatenated (then
        # in_channels is their sum).
        head, levels = self.head, self.head.in_index
        if head.input_transform is None:
            return [Need('maps', (head.in_channels, ), 'in_channels', (levels, ))]
        joined = head.input_transform == 'resize_concat'
        width = head.in_channels if joined else tuple(head.in_channels)
        return [Need('maps', width, 'in_channels', tuple(levels), joined)]

    def forward(self, features: ChangeFeatures) -> Tensor:
        """Return logits (N, classes, h, w)."""
        return self.head(features.maps)

    __call__ = forward

    def loss_of(self, logits: Tensor, data_samples: list[ChangeDataSample]) -> dict[str, Tensor]:
        """Return what the head calls its losses."""
        return self._told(self.head.loss_by_feat(logits, data_samples))

    def enlarge(self, logits: Tensor, metas: Sequence[Mapping]) -> Tensor:
        """Return logits (N, classes, H, W)."""
        return self.head.predict_by_feat(logits, metas)

    # A head of one's own may have no more than MMSegmentation's public faces, and some of its heads
    # compute more in them than their two halves do.
    def loss(self, features: ChangeFeatures, data_samples: list[ChangeDataSample]
             ) -> dict[str, Tensor]:
        """Return what the head calls its losses."""
        return self._told(self.head.loss(features.maps, data_samples, {}))  # no train_cfg is read

    def predict(self, features: ChangeFeatures, metas: Sequence[Mapping]) -> Tensor:
        """Return logits (N, classes, H, W)."""
        return self.head.predict(features.maps, metas, {})

    def _told(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return losses without the accuracy of a single channel, whose largest is number 0."""
        if self.known and self.head.out_channels == 1:
            losses.pop('acc_seg', None)
        return losses


def as_change_head(head: nn.Module) -> ChangeHead:
    """Return a change head as it is, and a decode head of MMSegmentation as a change head."""
    return head if isinstance(head, ChangeHead) else DecodeHead(head)


@MODELS.register_module()
class ChangeFlagHead(Part, nn.Module):
    """Binary change classifier on the pooled features, an auxiliary of the caption head.

    Half of LEVIR-CC is the decision "changed or not"; an explicit loss on it teaches the shared
    features what PromptCC (Liu et al., TGRS 2023) decouples into a classifier of its own.

    Loss returned: ``loss_flag``.

    Args:
        in_channels: Width of ``ChangeFeatures.pooled`` (3C after ``DifferenceFusion``).
        hidden_channels: Width of the hidden layer; 0 for a linear classifier.
        loss_weight: Factor of the loss.
        dropout: Dropout before the last layer.
        token_channels: Width of the tokens that the caption head reads, which are then told what
            the flag says: in training the true answer, later its own. A sentence follows it, where
            words alone lean to "no change", the one sentence that is written in few ways. None
            leaves the tokens alone.
    """

    def __init__(self, in_channels: int, hidden_channels: int = 0, loss_weight: float = 0.5,
                 dropout: float = 0.0, token_channels: int | None = None) -> None:
        super().__init__()
        # Layer norm first: pooled vectors of differences are of another size than those of dates.
        hidden = [nn.LayerNorm(in_channels)]
        if hidden_channels:
            hidden += [nn.Linear(in_channels, hidden_channels), nn.GELU()]
        self.classifier = nn.Sequential(*hidden, nn.Dropout(dropout),
                                        nn.Linear(hidden_channels or in_channels, 1))
        self.in_channels, self.loss_weight = in_channels, loss_weight
        self.token_channels = token_channels
        self.verdict = nn.Embedding(2, token_channels) if token_channels else None
        if self.verdict is not None:
            nn.init.normal_(self.verdict.weight, std=0.02)

    def needs(self) -> Sequence[Need]:
        """Return the pooled vector, and the tokens where they are told."""
        told = [] if self.verdict is None else [
            Need('tokens', self.token_channels, 'token_channels')]
        return [Need('pooled', self.in_channels, 'in_channels'), *told]

    def tell(self, features: ChangeFeatures, flags: Sequence[bool | None] | None = None
             ) -> ChangeFeatures:
        """Add to every token whether the sample has changed.

        Args:
            features: Tokens (N, L, C) and pooled (N, D).
            flags: The true answers of N samples; the head's own where they are None.
        """
        if self.verdict is None:
            return features
        changed = self(features).detach() > 0
        if flags is not None:
            known = [int(own if flag is None else flag)
                     for own, flag in zip(changed.tolist(), flags, strict=True)]
            changed = torch.tensor(known, device=changed.device) > 0
        unchanged, told = self.verdict.weight
        words = torch.where(changed[:, None, None], told, unchanged)
        return replace(features, tokens=features.tokens + words.to(features.tokens.dtype))

    def forward(self, features: ChangeFeatures) -> Tensor:
        """Return the logit of "changed", (N,)."""
        if features.pooled is None:
            raise ValueError('ChangeFlagHead needs pooled features and the fusion returned none')
        return self.classifier(features.pooled).squeeze(-1)

    def loss(self, features: ChangeFeatures, data_samples: list[ChangeDataSample]
             ) -> dict[str, Tensor]:
        """Return ``loss_flag`` over the samples whose flag is known."""
        # Logits of all samples, so that every weight takes part; the loss is that of the known.
        logits = self(features)
        known = [row for row, sample in enumerate(data_samples) if 'gt_change_flag' in sample]
        targets = logits.new_tensor([data_samples[row].gt_change_flag for row in known])
        loss = F.binary_cross_entropy_with_logits(logits[known].float(), targets.float(),
                                                  reduction='sum') / max(len(known), 1)
        return dict(loss_flag=self.loss_weight * loss)

    @torch.no_grad()
    def predict(self, features: ChangeFeatures) -> list[float]:
        """Return the probability of "changed" of every sample."""
        return self(features).float().sigmoid().tolist()


@MODELS.register_module()
class SimpleFeaturePyramid(nn.Module):
    """Bring maps of a plain transformer (stride 16) to strides 4, 8, 16 and 32.

    Transposed convolutions unfold what a patch token knows about the inside of its patch, which
    interpolation cannot.

    Paper: Li et al., Exploring Plain Vision Transformer Backbones for Object Detection, ECCV 2022,
    https://arxiv.org/abs/2203.16527. Widths are reduced before upsampling, which the paper does
    after.

    Args:
        in_channels: Width of every incoming map.
        out_channels: Width of every outgoing map.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        # Stride 16 to 4 by two doublings, to 8 by one, 16 as it is, 32 by pooling.
        self.reduce = nn.ModuleList(_reduce(in_channels, out_channels) for _ in range(4))
        self.scale = nn.ModuleList([
            nn.Sequential(_double(out_channels), nn.GELU(), _double(out_channels)),
            _double(out_channels), nn.Identity(), nn.MaxPool2d(2, ceil_mode=True)])

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Scale four maps (N, C_in, h, w) by 4, 2, 1 and 1/2, each to width C_out.

        Raises:
            ValueError: If there are not four maps.
        """
        if len(maps) != len(self.reduce):
            raise ValueError(f'SimpleFeaturePyramid takes 4 maps, found {len(maps)}: set '
                             'out_layers of the encoder to 4 layers, (3, 6, 9, 12) for instance')
        # Level by level: 1x1 convolution to C_out, then up by 4 and 2, as it is, and down by 2.
        return [scale(reduce(feature))
                for feature, reduce, scale in zip(maps, self.reduce, self.scale, strict=True)]


def _reduce(in_channels: int, out_channels: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, bias=False),
                         nn.BatchNorm2d(out_channels))


def _double(channels: int) -> nn.Module:
    return nn.ConvTranspose2d(channels, channels, 2, stride=2)
