"""Cross entropy with class weights that ignored pixels do not upset."""
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
        loss = F.cross_entropy(logits.float(), target, self.class_weight,
                               ignore_index=ignore_index, reduction='none')
        if weight is not None:
            loss = loss * weight
        valid = target != ignore_index
        total = (valid.sum() if self.class_weight is None else
                 self.class_weight[target.where(valid, 0)].where(valid, 0).sum())
        return self.loss_weight * loss.sum() / total.clamp(min=1e-6)
