"""Partial training of a model: freezing parameters by name, and LoRA adapters."""
import warnings
from collections.abc import Sequence

from torch import nn

from rscc.utils import did_you_mean, require
from rscc.utils.names import matching_names


def _matching(model: nn.Module, patterns: Sequence[str]) -> list[nn.Parameter]:
    """Return the parameters whose name matches any pattern; ValueError if a pattern finds none."""
    parameters = dict(model.named_parameters())
    return [parameters[name] for name in matching_names(parameters, patterns)]


def apply_freeze(model: nn.Module, patterns: Sequence[str]) -> None:
    """Fix the parameters whose name matches one of the regular expressions.

    Raises:
        ValueError: If one matches nothing; the nearest name is given.
    """
    for parameter in _matching(model, patterns):
        parameter.requires_grad_(False)


def learns(*parts: nn.Module | None) -> bool:
    """Return whether any parameter of the parts that are there is trained."""
    return any(parameter.requires_grad for part in parts if part is not None
               for parameter in part.parameters())


def keep_frozen_in_eval(model: nn.Module) -> None:
    """Put normalisation and dropout of fully fixed children into evaluation mode.

    A batch norm whose weights are fixed but whose running statistics move is not fixed.
    """
    for module in model.children():
        if list(module.parameters()) and not learns(module):
            module.eval()
        else:
            keep_frozen_in_eval(module)


def add_lora(model: nn.Module, target_modules: str | Sequence[str] | None = None, r: int = 8,
             lora_alpha: int = 16, lora_dropout: float = 0.0, train: Sequence[str] = ()) -> None:
    """Put low-rank adapters into linear layers and fix everything else.

    Paper: Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, ICLR 2022.

    Args:
        model: Changed in place.
        target_modules: Names (ends of) or one regular expression, as in peft. None takes peft's
            choice for the models of transformers that it knows.
        r: Rank.
        lora_alpha: Scale of the adapters, times 1/r.
        lora_dropout: Dropout before the adapters.
        train: Regular expressions of parameters that are trained fully beside the adapters.

    Raises:
        ImportError: Without peft.
        ValueError: If nothing matches, or peft has no choice for this model.
    """
    # Without names peft chooses; parameters trained fully are fixed now and freed at the end.
    peft = require('peft', 'model.lora')
    named = target_modules is None or isinstance(target_modules, str)
    targets = target_modules if named else list(target_modules)
    # Names are looked up before peft renames the layers that it wraps.
    trained = _matching(model, train)
    model.requires_grad_(False)
    config = peft.LoraConfig(r=r, lora_alpha=lora_alpha, lora_dropout=lora_dropout,
                             target_modules=targets)
    with warnings.catch_warnings():
        # peft turns GPT-2's transposed layers round by itself, and says so for each of them.
        warnings.filterwarnings('ignore', message='fan_in_fan_out is set to False')
        try:
            peft.inject_adapter_in_model(config, model)
        except ValueError as error:  # peft lists neither what there is nor the nearest name
            linear = sorted({name.rpartition('.')[2] for name, module in model.named_modules()
                             if isinstance(module, nn.Linear)})
            first = [target_modules] if isinstance(target_modules, str) else target_modules or ['']
            raise ValueError(
                f'LoRA finds no layer for target_modules={target_modules!r}; linear layers are '
                f'called {", ".join(linear) or "nothing: there is none"}.'
                f'{did_you_mean(first[0], linear)}') from error
    for parameter in trained:
        parameter.requires_grad_(True)


def merge_lora(model: nn.Module) -> int:
    """Add low-rank adapters to the weights that they adapt and take them out, in place.

    Args:
        model: What ``add_lora`` changed, or any other model.

    Returns:
        How many layers were merged; without one, peft is not needed.
    """
    adapted = [name for name, module in model.named_modules() if hasattr(module, 'lora_A')]
    for name in adapted:
        # W + B A, in the plain layer that takes the place of the adapted one.
        layer = model.get_submodule(name)
        layer.merge()  # W + alpha / r * B A, then the plain layer takes the place of the wrapper
        parent, _, own = name.rpartition('.')
        setattr(model.get_submodule(parent), own, layer.get_base_layer())
    return len(adapted)
