"""Optimisation: mixed precision, parameter groups, and the learning rate schedule."""
import math
import re
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from mmengine.optim.scheduler.lr_scheduler import LRSchedulerMixin
from mmengine.optim.scheduler.param_scheduler import _ParamScheduler
from torch import Tensor, nn

from rscc.engine.distributed import unwrapped
from rscc.engine.layer_precision import LayerPrecision
from rscc.engine.precision import reduced_dtype
from rscc.models.encoders.base import Encoder
from rscc.registry import (
    OPTIM_WRAPPER_CONSTRUCTORS,
    OPTIM_WRAPPERS,
    OPTIMIZERS,
    PARAM_SCHEDULERS,
    Part,
)
from rscc.utils import did_you_mean
from rscc.utils.names import matching_names


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """Forward passes under autocast; MMEngine's ``AmpOptimWrapper`` refuses CPUs.

    bfloat16 on CPUs that have it and on GPUs since Ampere; float16 with a gradient scaler on older
    ones; on other CPUs it does nothing and says so once. Weights, gradients and the optimizer's
    state stay float32.

    Args:
        dtype: ``'auto'``, ``'bfloat16'`` or ``'float16'``.
        device_type: Where the model is; None takes the device MMEngine trains on.
        loss_scale: First scale of the float16 gradient scaler.
        full_precision: Groups of layers that stay in float32, such as ``'change_head
            convolutions'``; ``'auto'`` finds out on CPUs in the first steps, and takes none on
            GPUs. The choice is kept in checkpoints. See :mod:`rscc.engine.layer_precision`.
        **kwargs: As in ``mmengine.optim.OptimWrapper`` (``optimizer``, ``clip_grad``, ...).

    Raises:
        ValueError: If the type is unknown or impossible on the device.
    """

    def __init__(self, dtype: str | torch.dtype = 'auto', device_type: str | None = None,
                 loss_scale: float = 2.0**16, full_precision: str | Sequence[str] = 'auto',
                 **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.device_type = device_type or get_device()
        self.dtype = reduced_dtype(self.device_type, dtype)
        # bfloat16 has float32's range; only float16 gradients can vanish.
        self.scaler = torch.amp.GradScaler(self.device_type, init_scale=loss_scale,
                                           enabled=self.dtype is torch.float16)
        if isinstance(full_precision, str) and full_precision != 'auto':
            raise ValueError(f"full_precision is 'auto' or names of groups of layers in a list, "
                             f"found '{full_precision}'")
        measured = full_precision == 'auto' and self.device_type == 'cpu'
        self.full_precision = None if measured else (
            () if full_precision == 'auto' else tuple(full_precision))
        self._layers: LayerPrecision | None = None

    @property
    def measuring(self) -> bool:
        """Whether it is not known yet which layers stay in float32."""
        return self.dtype is not None and self.full_precision is None and (
            self._layers is None or self._layers.chosen is None)

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Forward under autocast, without gradient synchronisation while accumulating."""
        if self.dtype is not None:
            if self._layers is None:
                self._layers = LayerPrecision(model, self.device_type, self.full_precision)
            self._layers.begin()
        with super().optim_context(model), torch.autocast(
                self.device_type, dtype=self.dtype or torch.bfloat16,
                enabled=self.dtype is not None):
            yield

    def backward(self, loss: Tensor, **kwargs: Any) -> None:
        """Backpropagate the scaled loss (the scale is 1 except in float16)."""
        self.scaler.scale(loss).backward(**kwargs)
        self._inner_count += 1
        if self._layers is not None:
            self._layers.end()

    def step(self, **kwargs: Any) -> None:
        """Clip the true gradients and update; a step with overflown ones is skipped."""
        if self.clip_grad_kwargs:
            self.scaler.unscale_(self.optimizer)
            self._clip_grad()
        self.scaler.step(self.optimizer, **kwargs)
        self.scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """Return the optimizer's state and, in float16, the scaler's."""
        state = super().state_dict()
        if self.scaler.is_enabled():
            state['loss_scaler'] = self.scaler.state_dict()
        if self._layers is not None and self._layers.chosen is not None:
            state['full_precision'] = list(self._layers.chosen)
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore both; a run may switch precision between checkpoints."""
        state_dict = dict(state_dict)
        scale = state_dict.pop('loss_scaler', None)
        if scale and self.scaler.is_enabled():
            self.scaler.load_state_dict(scale)
        known = state_dict.pop('full_precision', None)
        if known is not None and self.full_precision is None:
            self.full_precision, self._layers = tuple(known), None
        super().load_state_dict(state_dict)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class GroupedConstructor:
    """Few parameter groups, chosen by regular expressions.

    MMEngine's constructor makes one group a parameter, logs one line each, lists tied weights
    twice, gives norms and biases their decay back as soon as one of its ``custom_keys`` matches
    them, and matches by substring (``encoder.`` is also part of BLIP's text decoder).

    Here vectors and scalars (biases, norms) never decay unless told to, and parameters that are
    frozen when training starts are left out. What a part gives a rate of its own
    (:meth:`rscc.registry.Part.learning_rates`) has that rate, and never decays.

    With ``layer_decay`` d, layers of a pretrained encoder learn the slower the nearer they are to
    the image: of n layers, layer i at d**(n - i) times the rate, and what stands behind the encoder
    at the full one (Clark et al., ELECTRA, ICLR 2020; Bao et al., BEiT, ICLR 2022). The encoder
    tells its layers, see ``Encoder.parameter_depths``.

    Args:
        optim_wrapper_cfg: ``type``, ``optimizer`` and the wrapper's keywords.
        paramwise_cfg: ``custom_keys``: regular expression -> ``dict(lr_mult=..., decay_mult=...)``,
            the first match counts; ``decay_vectors``: True lets vectors decay too;
            ``layer_decay``: factor of the rate from one layer of the encoder to the one before, in
            (0, 1], times that of ``custom_keys``.

    Raises:
        ValueError: If ``paramwise_cfg`` has another key, an expression matches no parameter, or
            ``layer_decay`` is out of range or the encoder does not tell its layers.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        self.optim_wrapper_cfg = dict(optim_wrapper_cfg)
        options = dict(paramwise_cfg or {})
        _refuse_others(options, ('custom_keys', 'decay_vectors', 'layer_decay'), 'paramwise_cfg')
        self.custom: dict[str, dict[str, float]] = dict(options.get('custom_keys') or {})
        for pattern, factors in self.custom.items():
            _refuse_others(factors, ('lr_mult', 'decay_mult'), f"custom_keys['{pattern}']")
        self.decay_vectors: bool = options.get('decay_vectors', False)
        self.layer_decay: float | None = options.get('layer_decay')
        if self.layer_decay is not None and not 0 < self.layer_decay <= 1:
            raise ValueError(f'layer_decay is in (0, 1], found {self.layer_decay}: 0.75 is usual')

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimizer and its wrapper."""
        model = unwrapped(model)
        wrapper = dict(self.optim_wrapper_cfg)
        wrapper.setdefault('type', 'OptimWrapper')
        optimizer = dict(wrapper.pop('optimizer'))
        groups = self.groups(model, optimizer['lr'], optimizer.get('weight_decay', 0.0))
        if not groups:
            raise ValueError('nothing of the model is trained: model.freeze or model.lora fixes '
                             'all of its parameters')
        for group in groups:
            count = sum(parameter.numel() for parameter in group['params'])
            layer = f'  ({group["layer"]})' if 'layer' in group else ''
            print_log(f'{count / 1e6:8.2f} M parameters: lr {group["lr"]:.3g}, weight decay '
                      f'{group["weight_decay"]:.3g}{layer}', 'current')
        built = OPTIMIZERS.build({**optimizer, 'params': groups})
        return OPTIM_WRAPPERS.build({**wrapper, 'optimizer': built})

    def groups(self, model: nn.Module, lr: float, weight_decay: float) -> list[dict[str, Any]]:
        """Sort the trainable parameters by learning rate, decay and layer, in model order.

        Returns:
            Groups with ``params``, ``lr``, ``weight_decay``, and with ``layer_decay`` also
            ``layer``, what they are in words.
        """
        matching_names((name for name, _ in model.named_parameters()), list(self.custom))
        own = _own_rates(model)
        layers = {} if self.layer_decay is None else encoder_layers(model)
        found: dict[tuple[float, float, str], list[nn.Parameter]] = {}
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad:
                continue
            factors = next((factors for pattern, factors in self.custom.items()
                            if re.search(pattern, name)), {})
            rate, layer = own.get(name, lr) * factors.get('lr_mult', 1.0), ''
            if self.layer_decay is not None:
                depth, count = layers.get(name, (None, 0))
                layer = 'the rest' if depth is None else f'layer {depth} of {count} of the encoder'
                rate *= 1.0 if depth is None else self.layer_decay ** (count - depth)
            decays = (parameter.ndim > 1 or self.decay_vectors) and name not in own
            decay = weight_decay * factors.get('decay_mult', 1.0) if decays else 0.0
            found.setdefault((rate, decay, layer), []).append(parameter)
        return [{'params': parameters, 'lr': rate, 'weight_decay': decay}
                | ({'layer': layer} if layer else {})
                for (rate, decay, layer), parameters in found.items()]


def encoder_layers(model: nn.Module) -> dict[str, tuple[int, int]]:
    """Return the layer of every parameter of a model's encoder, and how many layers it has.

    Raises:
        ValueError: If there is no encoder, or it does not tell its layers.
    """
    found: dict[str, tuple[int, int]] = {}
    silent = 'the model has no encoder of rscc'
    for prefix, module in model.named_modules():
        if not isinstance(module, Encoder):
            continue
        depths = module.parameter_depths()
        silent = f'{module.title} does not (parameter_depths)'
        count = max(depths.values(), default=-1) + 1
        found |= {f'{prefix}.{name}' if prefix else name: (depth, count)
                  for name, depth in depths.items()}
    if not found:
        raise ValueError(f'paramwise_cfg.layer_decay needs an encoder that tells its layers, and '
                         f'{silent}: leave it out, give rates by custom_keys, or take TimmEncoder, '
                         'CLIPViT, CLIPResNet or BlipViT')
    return found


def _own_rates(model: nn.Module) -> dict[str, float]:
    """Return the rates that parts ask for, by the name of the parameter in the model."""
    return {f'{place}.{name}' if place else name: rate
            for place, part in model.named_modules() if isinstance(part, Part)
            for name, rate in part.learning_rates().items()}


def _refuse_others(options: dict, known: tuple[str, ...], where: str) -> None:
    for key in options:
        if key not in known:
            raise ValueError(f"GroupedConstructor's {where} has no '{key}', expected "
                             f'{", ".join(known)}.{did_you_mean(key, known)}')


class WarmupLR(LRSchedulerMixin, _ParamScheduler):
    """Linear warm-up followed by a decay over all that remains of the run.

    A change of the run's length or of the batch size stretches the whole curve; nothing else has to
    follow. Each parameter group keeps its own peak, so layer-wise rates survive. Subclasses give
    the shape of the decay.

    Args:
        optimizer: The optimizer or its wrapper.
        warmup: Share of all steps used for warming up, in [0, 1), or their number (a whole one).
        floor: Final rate as a share of the peak, in [0, 1].
        **kwargs: ``end`` (the number of steps, filled in by the runner), ``last_step``, ...

    Raises:
        ValueError: If ``warmup`` or ``floor`` is out of range, or the steps are epochs.
    """

    def __init__(self, optimizer: Any, warmup: float = 0.05, floor: float = 0.0,
                 by_epoch: bool = False, **kwargs: Any) -> None:
        if warmup < 0 or (warmup >= 1 and not isinstance(warmup, int)):
            raise ValueError('warmup is a share of the run in [0, 1) or a whole number of steps, '
                             f'got {warmup}')
        if not 0 <= floor <= 1:
            raise ValueError(f'floor is a share of the peak rate in [0, 1], got {floor}')
        if by_epoch:
            raise ValueError(f'{type(self).__name__} counts iterations: set by_epoch=False')
        self.warmup, self.floor = warmup, floor
        super().__init__(optimizer, by_epoch=False, **kwargs)

    @abstractmethod
    def decay(self, done: float) -> float:
        """Return the rate from 1 to 0 where a share ``done`` of the decay lies behind."""

    def factor(self, step: int) -> float:
        """Return the rate at ``step`` as a share of the peak."""
        total = max(self.end - self.begin, 1)
        rise = self.warmup if self.warmup >= 1 else round(self.warmup * total)
        if step < rise:
            return (step + 1) / (rise + 1)
        done = min((step - rise) / max(total - rise, 1), 1.0)
        return self.floor + (1 - self.floor) * self.decay(done)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue where the run was, on the curve of this config: it may have grown longer."""
        kept = {name: getattr(self, name) for name in
                ('begin', 'end', 'warmup', 'floor', 'power') if hasattr(self, name)}
        super().load_state_dict({**state_dict, **kept})
        self.last_step = min(self._global_step, self.end - 1) - self.begin
        for group, value in zip(self.optimizer.param_groups, self._get_value(), strict=True):
            group[self.param_name] = value

    def _get_value(self) -> list[float]:
        return [base * self.factor(self.last_step) for base in self.base_values]


@PARAM_SCHEDULERS.register_module()
class WarmupCosineLR(WarmupLR):
    """Warm-up, then half a cosine; the arguments are those of ``WarmupLR``."""

    def decay(self, done: float) -> float:
        """Return half a cosine."""
        return 0.5 * (1 + math.cos(math.pi * done))


@PARAM_SCHEDULERS.register_module()
class WarmupPolyLR(WarmupLR):
    """Warm-up, then a power of what remains, as segmentation networks use it.

    Args:
        optimizer: The optimizer or its wrapper.
        power: Exponent; 1 is a straight line.
        **kwargs: As ``WarmupLR``.
    """

    def __init__(self, optimizer: Any, power: float = 1.0, **kwargs: Any) -> None:
        if power <= 0:
            raise ValueError(f'power must be positive, got {power}')
        self.power = power
        super().__init__(optimizer, **kwargs)

    def decay(self, done: float) -> float:
        """Return ``(1 - done)**power``."""
        return (1 - done)**self.power
