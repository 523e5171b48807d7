"""Losses of change maps and of class maps of two dates.

Cross entropy with ignored pixels, focal loss, Dice loss, and the agreement of class maps with what
changed.

Papers: Lin et al., Focal Loss for Dense Object Detection, ICCV 2017,
https://arxiv.org/abs/1708.02002, equation 5, with a softmax over the classes; Milletari et al.,
V-Net, 3DV 2016, https://arxiv.org/abs/1606.04797 (Dice), in the form of BTC: Rolih et al., TGRS
2025, https://arxiv.org/abs/2507.03367; Ding et al., Bi-Temporal Semantic Reasoning for the Semantic
Change Detection in HR Remote Sensing Images, TGRS 2022, https://arxiv.org/abs/2108.06103
(agreement).
"""
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rscc.registry import MODELS


@MODELS.register_module()
class CrossEntropyLoss(nn.Module):
    """Softmax cross entropy, averaged by class weight over the pixels that count.

    MMSegmentation's fails on ignored pixels as soon as it is given class weights. Inside one of its
    heads this one is called ``rscc.CrossEntropyLoss``.

    Args:
        class_weight: One weight a class; all 1 by default.
        loss_weight: Factor of the whole loss.
        loss_name: Its key among the losses.
        absent: Labels of pixels of which only that is known which classes they are not: label ->
            those classes, ``{254: (1,)}`` for "no building, perhaps a road". Their loss is
            ``-log`` of the probability of all other classes together, weighed as class 0.
    """

    def __init__(self, class_weight: Sequence[float] | None = None, loss_weight: float = 1.0,
                 loss_name: str = 'loss_ce',
                 absent: Mapping[int, Sequence[int]] | None = None) -> None:
        super().__init__()
        self.absent = {int(label): list(classes) for label, classes in (absent or {}).items()}
        self.loss_weight, self.loss_name = loss_weight, loss_name
        weight = None if class_weight is None else torch.tensor(class_weight, dtype=torch.float)
        self.register_buffer('class_weight', weight, persistent=False)

    def forward(self, logits: Tensor, target: Tensor, weight: Tensor | None = None,
                ignore_index: int = 255) -> Tensor:
        """Return the loss, a scalar.

        Args:
            logits: (N, classes, H, W).
            target: Class numbers int64 (N, H, W).
            weight: Weight of each pixel (N, H, W), or None.
            ignore_index: Label of pixels that do not count; 0 is returned where none counts.
        """
        # -w_y log p_y of every pixel, (N, H, W); 0 where the label is ignored.
        partial = {label: target == label for label in self.absent}
        for label in partial:
            target = target.masked_fill(partial[label], ignore_index)
        logits = logits.float()
        loss = F.cross_entropy(logits, target, self.class_weight,
                               ignore_index=ignore_index, reduction='none')
        for label, pixels in partial.items():
            loss = loss + self._absent(logits, self.absent[label], pixels)
            target = target.masked_fill(pixels, 0)
        if weight is not None:
            loss = loss * weight
        # Averaged over the class weights of the pixels that count, as torch's own mean is.
        valid = target != ignore_index
        total = (valid.sum() if self.class_weight is None else
                 self.class_weight[target.where(valid, 0)].where(valid, 0).sum())
        return self.loss_weight * loss.sum() / total.clamp(min=1e-6)

    def _absent(self, logits: Tensor, classes: Sequence[int], pixels: Tensor) -> Tensor:
        """Return the loss (N, H, W) of pixels that are none of some classes, 0 elsewhere."""
        if not pixels.any():
            return logits.new_zeros(())
        # log of the sum over the classes that may be there, less that over all: (N, H, W).
        possible = [index for index in range(logits.shape[1]) if index not in classes]
        log_p = logits[:, possible].logsumexp(1) - logits.logsumexp(1)
        weight = 1.0 if self.class_weight is None else self.class_weight[0]
        return -weight * log_p * pixels


@MODELS.register_module()
class FocalLoss(nn.Module):
    """``-alpha_t (1 - p_t)**gamma log p_t`` of every pixel, averaged over those that count.

    MMSegmentation's needs the compiled operators of the full mmcv on a GPU and fails on a CPU.

    Args:
        gamma: How fast the weight falls as a pixel gets right; 0 is cross entropy.
        class_weight: alpha, one weight a class; all 1 by default.
        loss_weight: Factor of the whole loss.
        loss_name: Its key among the losses.
    """

    def __init__(self, gamma: float = 2.0, class_weight: Sequence[float] | None = None,
                 loss_weight: float = 1.0, loss_name: str = 'loss_focal') -> None:
        super().__init__()
        if gamma < 0:
            raise ValueError(f'gamma must not be negative, found {gamma}')
        self.gamma, self.loss_weight, self.loss_name = gamma, loss_weight, loss_name
        weight = None if class_weight is None else torch.tensor(class_weight, dtype=torch.float)
        self.register_buffer('class_weight', weight, persistent=False)

    def forward(self, logits: Tensor, target: Tensor, ignore_index: int = 255) -> Tensor:
        """Return the loss, a scalar.

        Args:
            logits: (N, classes, H, W).
            target: Class numbers int64 (N, H, W).
            ignore_index: Label of pixels that do not count; 0 is returned where none counts.
        """
        # log p_t, the log probability of the true class, (N, H, W); ignored pixels read class 0.
        valid = target != ignore_index
        log_p = F.log_softmax(logits.float(), 1).gather(1, target.where(valid, 0)[:, None])[:, 0]
        # Equation 5: -alpha_t (1 - p_t)**gamma log p_t.
        loss = -(1 - log_p.exp()).pow(self.gamma) * log_p
        if self.class_weight is not None:
            loss = loss * self.class_weight[target.where(valid, 0)]
        return self.loss_weight * (loss * valid).sum() / valid.sum().clamp(min=1)


@MODELS.register_module()
class DiceLoss(nn.Module):
    """``1 - (2 sum(p y) + smooth) / (sum(p) + sum(y) + smooth)`` over all pixels of a batch.

    One quotient for the whole batch, so that an unchanged image beside changed ones costs what its
    false alarms add. MMSegmentation's takes one quotient an image and averages them, squares p and
    y below the line unless ``naive_dice`` is set, and with a single channel takes class 0,
    "unchanged", for the foreground.

    Args:
        smooth: Added above and below the line; without a changed pixel the loss is then near 0 as
            soon as next to nothing is predicted.
        loss_weight: Factor of the whole loss.
        loss_name: Its key among the losses.
    """

    def __init__(self, smooth: float = 1.0, loss_weight: float = 1.0,
                 loss_name: str = 'loss_dice') -> None:
        super().__init__()
        if smooth <= 0:
            raise ValueError(f'smooth must be positive, found {smooth}: without it a batch that '
                             'has no changed pixel divides 0 by 0')
        self.smooth, self.loss_weight, self.loss_name = smooth, loss_weight, loss_name

    def forward(self, logits: Tensor, target: Tensor, weight: Tensor | None = None,
                ignore_index: int = 255) -> Tensor:
        """Return the loss, a scalar.

        Args:
            logits: Logit of "changed" (N, 1, H, W), or those of "unchanged" and "changed"
                (N, 2, H, W), whose difference it is.
            target: 1 where changed, else 0, int64 (N, H, W).
            weight: Weight of each pixel (N, H, W), or None.
            ignore_index: Label of pixels that do not count; 0 is returned where none counts.

        Raises:
            ValueError: If there are more than two logits a pixel.
        """
        if logits.shape[1] > 2:
            raise ValueError(f'DiceLoss reads one or two logits a pixel, found {logits.shape[1]} '
                             'channels: set num_classes=2 of the head')
        if logits.shape[1] == 2:
            logits = logits[:, 1:] - logits[:, :1]
        valid = (target != ignore_index).float()
        if weight is not None:
            valid = valid * weight
        # p and y of the pixels that count, 0 elsewhere, both (N, H, W).
        probability = logits[:, 0].float().sigmoid() * valid
        changed = (target == 1) * valid
        # With `weight` w, sums are those of w p y, w p and w y.
        overlap = (probability * (target == 1)).sum()
        total = probability.sum() + changed.sum()
        return self.loss_weight * (1 - (2 * overlap + self.smooth) / (total + self.smooth))


@MODELS.register_module()
class SemanticConsistencyLoss(nn.Module):
    """Draw class maps of two dates together where nothing changed, and apart where it did.

    With p and q the class probabilities of the dates: ``1 - cos(p, q)`` of an unchanged pixel,
    ``max(0, cos(p, q) - margin)`` of a changed one, averaged over the pixels that count. It is the
    only loss that classes get where labels are drawn for changed pixels alone, as in SECOND.

    Source: Bi-SRNet (Ding et al., TGRS 2022), whose margin is 0; SCanNet of the same authors
    (TGRS 2024, https://arxiv.org/abs/2212.05245) has 0.1.

    Args:
        margin: Cosine up to which the classes of a changed pixel may be alike.
        loss_weight: Factor of the loss.
        loss_name: Its key among the losses.
    """

    def __init__(self, margin: float = 0.0, loss_weight: float = 1.0,
                 loss_name: str = 'loss_agreement') -> None:
        super().__init__()
        self.margin, self.loss_weight, self.loss_name = margin, loss_weight, loss_name

    def forward(self, earlier: Tensor, later: Tensor, changed: Tensor, ignore_index: int = 255
                ) -> Tensor:
        """Return the loss, a scalar.

        Args:
            earlier: Logits of the classes at the earlier date (N, K, H, W).
            later: The same of the later date.
            changed: 0 where nothing changed, ``ignore_index`` where that does not count, anything
                else where something did, int64 (N, H, W).
            ignore_index: See ``changed``; 0 is returned where no pixel counts.
        """
        # Cosine of the two distributions at each pixel, (N, H, W), 0 to 1.
        alike = F.cosine_similarity(earlier.float().softmax(1), later.float().softmax(1), dim=1)
        loss = torch.where(changed == 0, 1 - alike, (alike - self.margin).clamp(min=0))
        valid = changed != ignore_index
        return self.loss_weight * (loss * valid).sum() / valid.sum().clamp(min=1)
