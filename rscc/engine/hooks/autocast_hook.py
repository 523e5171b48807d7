"""Validation and testing in reduced precision."""
from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement

from rscc.engine.precision import reduced_precision
from rscc.registry import HOOKS


@HOOKS.register_module()
class AutocastInferenceHook(Hook):
    """Run ``val_step`` and ``test_step`` under autocast; what they return is float32 again.

    Metrics stay outside, in full precision.

    Args:
        dtype: ``'auto'``, ``'bfloat16'`` or ``'float16'``.
    """

    def __init__(self, dtype: str = 'auto') -> None:
        self.dtype = dtype

    def before_val(self, runner: Runner) -> None:
        """Wrap the model's validation step."""
        self._wrap(runner.model, 'val_step')

    def after_val(self, runner: Runner) -> None:
        """Unwrap it."""
        vars(runner.model).pop('val_step', None)

    def before_test(self, runner: Runner) -> None:
        """Wrap the model's test step."""
        self._wrap(runner.model, 'test_step')

    def after_test(self, runner: Runner) -> None:
        """Unwrap it."""
        vars(runner.model).pop('test_step', None)

    def _wrap(self, model: torch.nn.Module, name: str) -> None:
        # Taken from the class: a previous loop that failed may have left its wrapper behind.
        step: Callable = getattr(type(model), name).__get__(model)

        @wraps(step)
        def reduced(*args: Any, **kwargs: Any) -> Any:
            with reduced_precision(dtype=self.dtype):
                return to_float32(step(*args, **kwargs))

        vars(model)[name] = reduced


def to_float32(outputs: Any) -> Any:
    """Return ``outputs`` with every half-precision tensor as float32, data samples in place."""
    if isinstance(outputs, torch.Tensor):
        return outputs.float() if outputs.dtype in (torch.float16, torch.bfloat16) else outputs
    if isinstance(outputs, BaseDataElement):
        for name, value in outputs.items():
            converted = to_float32(value)
            if converted is not value:
                outputs.set_field(converted, name)
        return outputs
    if isinstance(outputs, list):
        return [to_float32(value) for value in outputs]
    return outputs
