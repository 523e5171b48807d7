"""Mixed precision training on GPUs and CPUs alike."""
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from rscc.engine.precision import reduced_dtype
from rscc.registry import OPTIM_WRAPPERS


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
        **kwargs: As in ``mmengine.optim.OptimWrapper`` (``optimizer``, ``clip_grad``, ...).

    Raises:
        ValueError: If the type is unknown or impossible on the device.
    """

    def __init__(self, dtype: str | torch.dtype = 'auto', device_type: str | None = None,
                 loss_scale: float = 2.0**16, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.device_type = device_type or get_device()
        self.dtype = reduced_dtype(self.device_type, dtype)
        # bfloat16 has float32's range; only float16 gradients can vanish.
        self.scaler = torch.amp.GradScaler(self.device_type, init_scale=loss_scale,
                                           enabled=self.dtype is torch.float16)

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Forward under autocast, without gradient synchronisation while accumulating."""
        with super().optim_context(model), torch.autocast(
                self.device_type, dtype=self.dtype or torch.bfloat16,
                enabled=self.dtype is not None):
            yield

    def backward(self, loss: Tensor, **kwargs: Any) -> None:
        """Backpropagate the scaled loss (the scale is 1 except in float16)."""
        self.scaler.scale(loss).backward(**kwargs)
        self._inner_count += 1

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
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore both; a run may switch precision between checkpoints."""
        state_dict = dict(state_dict)
        scale = state_dict.pop('loss_scaler', None)
        if scale and self.scaler.is_enabled():
            self.scaler.load_state_dict(scale)
        super().load_state_dict(state_dict)
