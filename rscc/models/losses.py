"""Losses of change maps: cross entropy with ignored pixels, and focal loss.

Paper: Lin et al., Focal Loss for Dense Object Detection, ICCV 2017,
https://arxiv.org/abs/1708.02002, equation 5, with a softmax over the classes.
"""
from collections.abc import Sequence

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
    """

    def __init__(self, class_weight: Sequence[float] | None = None, loss_weight: float = 1.0,
                 loss_name: str = 'loss_ce') -> None:
        super().__init__()
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
        loss = F.cross_entropy(logits.float(), target, self.class_weight,
                               ignore_index=ignore_index, reduction='none')
        if weight is not None:
            loss = loss * weight
        # Averaged over the class weights of the pixels that count, as torch's own mean is.
        valid = target != ignore_index
        total = (valid.sum() if self.class_weight is None else
                 self.class_weight[target.where(valid, 0)].where(valid, 0).sum())
        return self.loss_weight * loss.sum() / total.clamp(min=1e-6)


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
