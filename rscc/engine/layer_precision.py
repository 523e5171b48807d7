"""Precision by group of layers: float32 stays where it is the faster one on this CPU.

bfloat16 does not pay for every layer on CPUs that have it. The backward pass of a convolution on
large maps, for example, can take several times as long as in float32. So the first steps of a
training time the whole step with and without each group, and keep what is faster. These steps train
as all others do.
"""
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from mmengine.dist import broadcast_object_list
from mmengine.logging import print_log
from torch import nn

from rscc.engine.distributed import unwrapped
from rscc.utils import did_you_mean

#: Steps before the first that counts: memory is taken and kernels are chosen there.
WARM_UP = 2
#: Each group is timed so often; the median counts.
ROUNDS = 3
#: Share of a step that float32 must save, below which a difference may be chance.
MARGIN = 0.03


def layer_groups(model: nn.Module) -> dict[str, list[nn.Module]]:
    """Sort the layers that autocast reduces by part of the model and kind.

    Returns:
        Layers by names such as ``'change_head convolutions'`` and ``'encoder linear layers'``, in
        model order.
    """
    groups: dict[str, list[nn.Module]] = {}
    for part, child in unwrapped(model).named_children():
        for layer in child.modules():
            kind = _kind(layer)
            if kind is not None:
                groups.setdefault(f'{part} {kind}', []).append(layer)
    return groups


def _kind(layer: nn.Module) -> str | None:
    if isinstance(layer, nn.Linear):
        return 'linear layers'
    convolutions = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d)
    return 'convolutions' if isinstance(layer, convolutions) else None


class LayerPrecision:
    """Choice of the groups of layers that stay in float32 under autocast.

    Args:
        model: Whose layers are meant, wrapped for several processes or not.
        device_type: ``'cpu'``, ``'cuda'``, ...
        chosen: Names of groups that stay in float32; None measures it on the first steps, unless
            the model is compiled.
        clock: Seconds.

    Attributes:
        groups: Layers by name, see :func:`layer_groups`.
        chosen: The names; None as long as they are not known.

    Raises:
        ValueError: If a name is not that of a group.
    """

    def __init__(self, model: nn.Module, device_type: str, chosen: Sequence[str] | None = None,
                 clock: Callable[[], float] = time.perf_counter) -> None:
        self.groups, self.device_type, self.clock = layer_groups(model), device_type, clock
        self.chosen: tuple[str, ...] | None = None
        self._switches: dict[str, list[Any]] = {}
        self._before: list[bool] = []
        tried = [(), *((name, ) for name in self.groups)]
        self._plan = [()] * WARM_UP + tried * ROUNDS
        self._seconds: list[float] = []
        self._begun: float | None = None
        # A compiled part would be compiled anew for every setting.
        compiled = any(layer._compiled_call_impl is not None for layer in model.modules())
        if chosen is not None or compiled:
            self._choose(chosen or ())

    def begin(self) -> None:
        """Before the forward pass of a step."""
        if self.chosen is None:
            self._apply(self._plan[len(self._seconds)])
            self._begun = self.clock()

    def end(self) -> None:
        """After its backward pass; behind the last step of the plan the choice is made."""
        if self._begun is None:
            return
        self._seconds.append(self.clock() - self._begun)
        self._begun = None
        if len(self._seconds) == len(self._plan):
            saved = self._saved()
            names = [[name for name, share in saved.items() if share > MARGIN]]
            broadcast_object_list(names)  # processes of one training compute alike
            self._choose(names[0])
            print_log(self._told(saved), 'current')

    def _saved(self) -> dict[str, float]:
        """Return the share of a step that float32 saves, by group; below 0 it costs time."""
        counted, width = self._seconds[WARM_UP:], 1 + len(self.groups)
        rounds = [counted[start:start + width] for start in range(0, len(counted), width)]
        return {name: 1 - statistics.median(times[place] / times[0] for times in rounds)
                for place, name in enumerate(self.groups, 1)}

    def _told(self, saved: Mapping[str, float]) -> str:
        """Return the choice in words."""
        full = [f'{name} (step {saved[name]:.0%} shorter)' for name in self.chosen or ()]
        return (f'--amp, by the time of the first {len(self._plan)} steps: '
                + (f'{", ".join(full)} in float32' if full else 'no group of layers is faster in '
                   'float32')
                + ('; all others in reduced precision' if len(full) < len(saved) else ''))

    def _choose(self, names: Sequence[str]) -> None:
        for name in names:
            if name not in self.groups:
                raise ValueError(f"full_precision has no group of layers '{name}', expected some "
                                 f'of {", ".join(self.groups)}.{did_you_mean(name, self.groups)}')
        self.chosen = tuple(names)
        self._apply(self.chosen)

    def _apply(self, names: Sequence[str]) -> None:
        """Let these groups compute in float32, and no others."""
        for name in [*self._switches]:
            if name not in names:
                for handle in self._switches.pop(name):
                    handle.remove()
        for name in names:
            if name not in self._switches:
                self._switches[name] = [handle for layer in self.groups[name] for handle in (
                    layer.register_forward_pre_hook(self._enter),
                    layer.register_forward_hook(self._leave, always_call=True))]

    def _enter(self, _: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """Leave autocast for one layer; what earlier layers reduced is widened again."""
        self._before.append(torch.is_autocast_enabled(self.device_type))
        torch.set_autocast_enabled(self.device_type, False)
        return tuple(value.float() if isinstance(value, torch.Tensor) else value
                     for value in inputs)

    def _leave(self, *_: Any) -> None:
        torch.set_autocast_enabled(self.device_type, self._before.pop())
