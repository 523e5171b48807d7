"""Weighting of the heads' losses against each other: fixed factors, or learned uncertainties.

A model with several heads minimises the sum of their losses, and these have different sizes: the
cross entropy of a change map of few changed pixels is 0.05, that of a sentence about 1.

Paper: Kendall, Gal, Cipolla, Multi-Task Learning Using Uncertainty to Weigh Losses for Scene
Geometry and Semantics, CVPR 2018, https://arxiv.org/abs/1705.07115.
"""
import math
from abc import ABCMeta, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rscc.models.adaptation import learns
from rscc.registry import MODELS, Part

#: Heads of a model, by the prefix of their losses.
HEADS = ('change', 'caption', 'flag')
#: Attribute of the model under which a weighting stands, and first word of its weights' names.
ATTRIBUTE = 'loss_weighting'
#: By head, then by name: losses (names with ``loss``, as MMEngine sums them) and accuracies.
HeadLosses = dict[str, dict[str, Tensor]]


class LossWeighting(Part, nn.Module, metaclass=ABCMeta):
    """Base class of weightings: one factor for all losses of a head; accuracies stay as they are.

    Args:
        heads: Those of the model, in the order of ``HEADS``; the model fills them in.
    """

    def __init__(self, heads: Sequence[str]) -> None:
        super().__init__()
        self.heads = tuple(heads)

    @abstractmethod
    def forward(self, losses: HeadLosses) -> HeadLosses:
        """Return the losses as they are to be summed up, and what is to be logged beside them."""

    def check_heads(self, named: Sequence[str], option: str) -> None:
        """Refuse names of heads that the model does not have.

        Raises:
            ValueError: With those that it has.
        """
        for head in named:
            if head not in self.heads:
                raise ValueError(f'{type(self).__name__}({option}) speaks of the {head} head, and '
                                 f'this model has {", ".join(self.heads)}: leave it out, or give '
                                 f'the model a {head}_head')


def heads_of(model: nn.Module) -> list[str]:
    """Return the names of the heads that a model has."""
    return [head for head in HEADS if getattr(model, f'{head}_head') is not None]


def learning_heads(model: nn.Module) -> list[str]:
    """Return the heads of a model whose losses teach anything: all, unless some are fixed.

    A fixed head still teaches what stands before it; where all of that is fixed too, only the other
    heads learn. A model of which nothing learns keeps all losses.
    """
    heads = heads_of(model)
    if learns(model.encoder, model.fusion, model.neck, model.guidance, model.prompter,
              model.loss_weighting):
        return heads
    return [head for head in heads if learns(getattr(model, f'{head}_head'))] or heads


def weighted(values: Mapping[str, Tensor], weight: Tensor | float) -> dict[str, Tensor]:
    """Multiply the losses of one head, and nothing else of it."""
    return {name: weight * value if 'loss' in name else value for name, value in values.items()}


@MODELS.register_module()
class FixedWeights(LossWeighting):
    """Fixed factor for each head, on top of the ``loss_weight`` that some heads have themselves.

    Decode heads of MMSegmentation with several losses keep their proportions.

    Args:
        heads: See ``LossWeighting``.
        change: Factor of the losses of the change head; None, as for the others, is 1.
        caption: Of the caption head.
        flag: Of the flag head.

    Raises:
        ValueError: If a factor is negative or no number, or there is no such head.
    """

    def __init__(self, heads: Sequence[str], change: float | None = None,
                 caption: float | None = None, flag: float | None = None) -> None:
        super().__init__(heads)
        given = {head: weight for head, weight in zip(HEADS, (change, caption, flag), strict=True)
                 if weight is not None}
        for head, weight in given.items():
            self.check_heads([head], f'{head}={weight}')
            if not (isinstance(weight, int | float) and math.isfinite(weight) and weight >= 0):
                raise ValueError(f'FixedWeights({head}={weight}): a factor is 0 or a positive '
                                 'number')
        self.weights = dict.fromkeys(self.heads, 1.0) | given

    def forward(self, losses: HeadLosses) -> HeadLosses:
        """Return every head's losses times its factor."""
        return {head: weighted(values, self.weights[head]) for head, values in losses.items()}

    def extra_repr(self) -> str:
        """Show the factors when the model is printed."""
        return ', '.join(f'{head}={weight:g}' for head, weight in self.weights.items())


@MODELS.register_module()
class UncertaintyWeights(LossWeighting):
    """One learned variance for each head: the more uncertain its task, the less its loss weighs.

    With s = log sigma^2, a head of the loss L adds ``exp(-s) L + s / 2``: the term of a
    classification in equation 10 of the paper, as all losses here are but squared errors. These
    (heads in ``regression``) add ``exp(-s) L / 2 + s / 2``, equation 7. At s = 0, the start, the
    former is the plain sum. Where L stands still, s goes to log 2L (log L of a regression), so that
    every weighted loss comes to 1/2.

    A head without a target in the batch has the loss 0. It adds nothing then, nor does its s have a
    gradient: ``s / 2`` alone would drive s down without end. (Adam's momentum may still move s a
    little, as it moves the head's own weights.)

    Logged for every head: ``variance``, sigma^2, and ``loss_variance``, s / 2, which is summed up
    with the losses and may be negative. A logged loss times ``variance`` (twice that in a
    regression) is the one that the head returned.

    Args:
        heads: See ``LossWeighting``.
        regression: Those whose losses are squared errors: ``('caption', )`` for a
            ``KarrasCaptionHead`` that learns by ``diffusion_weight`` alone.
        lr: Peak learning rate of s, in place of the model's: s has a scale of its own, and at the
            rate of a pretrained encoder it would not move within a training. Weight decay spares s.
            ``GroupedConstructor`` follows both.

    Raises:
        ValueError: If ``lr`` is not positive, or the model has no such head.
    """

    def __init__(self, heads: Sequence[str], regression: Sequence[str] = (),
                 lr: float = 5e-3) -> None:
        super().__init__(heads)
        if not lr > 0:
            raise ValueError(f'UncertaintyWeights(lr={lr}): a learning rate is a positive number')
        named = [regression] if isinstance(regression, str) else list(regression)
        self.check_heads(named, f'regression={named}')
        self.regression, self.lr = frozenset(named), lr
        for head in self.heads:  # vectors: FSDP takes no scalars
            self.register_parameter(_key(head), nn.Parameter(torch.zeros(1)))

    def learning_rates(self) -> dict[str, float]:
        """Return the rate of every log variance."""
        return {_key(head): self.lr for head in self.heads}

    def forward(self, losses: HeadLosses) -> HeadLosses:
        """Return every head's losses by its variance, the variance, and the term that bounds it."""
        return {head: self._of_head(head, values) for head, values in losses.items()}

    def _of_head(self, head: str, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        log_variance = getattr(self, _key(head))[0]
        total = sum(value.detach().mean() for name, value in values.items() if 'loss' in name)
        # exp(-s) L, half of it for squared errors; where there was nothing to learn from, s takes
        # part (distributed training waits for all parameters) with a gradient of zero.
        factor = torch.exp(-log_variance) * (0.5 if head in self.regression else 1.0)
        bound = 0.5 * log_variance * (total != 0)
        return weighted(values, factor) | dict(loss_variance=bound,
                                               variance=log_variance.detach().exp())


def _key(head: str) -> str:
    return f'log_variance_{head}'


def reconcile(model: nn.Module, state_dict: dict[str, Any], prefix: str) -> None:
    """Let a model load a checkpoint that was trained with another weighting, or with none.

    A weighting matters to training alone: variances that the model lacks are left out, those that
    the checkpoint lacks stay as they are.

    Args:
        model: The model, about to be loaded.
        state_dict: What it will load, changed in place.
        prefix: Of its keys.
    """
    own = {f'{prefix}{key}': value for key, value in model.named_parameters()
           if key.startswith(f'{ATTRIBUTE}.')}
    for key in [key for key in state_dict if key.startswith(f'{prefix}{ATTRIBUTE}.')]:
        if key not in own:
            del state_dict[key]
    for key, value in own.items():
        state_dict.setdefault(key, value.detach())
