"""Learning rate and weight decay by part of the model."""
import re
from typing import Any

from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from torch import nn

from rscc.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS, OPTIMIZERS
from rscc.utils import did_you_mean
from rscc.utils.patterns import matching_names


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class GroupedConstructor:
    """Few parameter groups, chosen by regular expressions.

    MMEngine's constructor makes one group a parameter, logs one line each, lists tied weights
    twice, gives norms and biases their decay back as soon as one of its ``custom_keys`` matches
    them, and matches by substring (``encoder.`` is also part of BLIP's text decoder).

    Here vectors and scalars (biases, norms) never decay unless told to, and parameters that are
    frozen when training starts are left out.

    Args:
        optim_wrapper_cfg: ``type``, ``optimizer`` and the wrapper's keywords.
        paramwise_cfg: ``custom_keys``: regular expression -> ``dict(lr_mult=..., decay_mult=...)``,
            the first match counts; ``decay_vectors``: True lets vectors decay too.

    Raises:
        ValueError: If ``paramwise_cfg`` has another key, or an expression matches no parameter.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        self.optim_wrapper_cfg = dict(optim_wrapper_cfg)
        options = dict(paramwise_cfg or {})
        _refuse_others(options, ('custom_keys', 'decay_vectors'), 'paramwise_cfg')
        self.custom: dict[str, dict[str, float]] = dict(options.get('custom_keys') or {})
        for pattern, factors in self.custom.items():
            _refuse_others(factors, ('lr_mult', 'decay_mult'), f"custom_keys['{pattern}']")
        self.decay_vectors: bool = options.get('decay_vectors', False)

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimizer and its wrapper."""
        model = model.module if is_model_wrapper(model) else model
        wrapper = dict(self.optim_wrapper_cfg)
        wrapper.setdefault('type', 'OptimWrapper')
        optimizer = dict(wrapper.pop('optimizer'))
        groups = self.groups(model, optimizer['lr'], optimizer.get('weight_decay', 0.0))
        for group in groups:
            count = sum(parameter.numel() for parameter in group['params'])
            print_log(f'{count / 1e6:8.2f} M parameters: lr {group["lr"]:.3g}, weight decay '
                      f'{group["weight_decay"]:.3g}', 'current')
        built = OPTIMIZERS.build({**optimizer, 'params': groups})
        return OPTIM_WRAPPERS.build({**wrapper, 'optimizer': built})

    def groups(self, model: nn.Module, lr: float, weight_decay: float) -> list[dict[str, Any]]:
        """Sort the trainable parameters by (learning rate, decay), in model order."""
        matching_names((name for name, _ in model.named_parameters()), list(self.custom))
        found: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad:
                continue
            factors = next((factors for pattern, factors in self.custom.items()
                            if re.search(pattern, name)), {})
            decays = parameter.ndim > 1 or self.decay_vectors
            settings = (lr * factors.get('lr_mult', 1.0),
                        weight_decay * factors.get('decay_mult', 1.0) if decays else 0.0)
            found.setdefault(settings, []).append(parameter)
        return [{'params': parameters, 'lr': rate, 'weight_decay': decay}
                for (rate, decay), parameters in found.items()]


def _refuse_others(options: dict, known: tuple[str, ...], where: str) -> None:
    for key in options:
        if key not in known:
            raise ValueError(f"GroupedConstructor's {where} has no '{key}', expected "
                             f'{", ".join(known)}.{did_you_mean(key, known)}')
