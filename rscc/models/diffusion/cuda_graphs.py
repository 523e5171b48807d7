"""CUDA graphs: a function of tensors is recorded once and then replayed in one go.

A denoising step of a caption launches some hundred small kernels, and the GPU waits for the
processor that launches them one by one. A graph launches all of them at once. It holds the very
kernels that the function launched, so that what it computes is the same.
"""
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map

#: Calls before the recorded one, in which libraries choose kernels and take their memory.
_WARMUP = 3
#: Recordings that are kept: of two sizes of batch, with an earlier estimate and without.
_MOST = 4
Function = Callable[..., Tensor]
#: Calls a function twice or more and returns how to call it again, and where the result is then.
Record = Callable[[Callable[[], Tensor]], tuple[Callable[[], Any], Tensor]]


@dataclass
class _Recording:
    """A recorded call: its own copies of what it reads, and what it leaves behind."""
    fixed: Any
    moving: list[Tensor | None]
    source: Any
    replay: Callable[[], Any]
    result: Tensor


def record_graph(call: Callable[[], Tensor]) -> tuple[Callable[[], Any], Tensor]:
    """Record a call on the current CUDA device.

    Args:
        call: Reads and writes tensors that stay where they are, and waits for none of their values.

    Returns:
        What replays it, and the tensor that then holds the result.

    Raises:
        RuntimeError: If the call cannot be recorded; the message says how to do without.
    """
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(_WARMUP):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph, stream=stream, capture_error_mode='thread_local'):
            result = call()
    except RuntimeError as error:
        raise RuntimeError('this denoiser cannot be recorded as a CUDA graph; set decoding '
                           'cuda_graphs=False, which gives the same sentences: '
                           f'{error}') from error
    return graph.replay, result


class CudaGraphs:
    """Recordings of one function, by the shapes of what it is given.

    They belong to one place in memory: a copy of this object, and one that was pickled, is empty.

    Args:
        record: Records a call; :func:`record_graph`, but for tests.
        device_type: Where calls are recorded; elsewhere the function itself is called.
    """

    def __init__(self, record: Record = record_graph, device_type: str = 'cuda') -> None:
        self.record, self.device_type = record, device_type
        self._recordings: OrderedDict[tuple, _Recording] = OrderedDict()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple:
        return type(self), (self.record, self.device_type)

    def of(self, function: Function, weights: Iterable[Tensor]) -> Function:
        """Return a function that replays another one where it can.

        It runs the function itself where gradients are wanted, and on other devices.

        Args:
            function: ``function(fixed, *moving)`` returns a tensor. ``fixed``: lists and tuples of
                tensors that nobody changes in place, which are copied only if they are not those of
                the last call; ``moving``: tensors or None, copied at every call.
            weights: What else it reads. Where one of them lies elsewhere than at the recording, the
                function is recorded anew; new values at the same place are read as they are.
        """
        places = tuple(weight.data_ptr() for weight in weights)

        def call(fixed: Any, *moving: Tensor | None) -> Tensor:
            if torch.is_grad_enabled() or moving[0].device.type != self.device_type:
                return function(fixed, *moving)
            with self._lock:
                return self._replayed(function, places, fixed, moving)

        return call

    def _replayed(self, function: Function, places: tuple[int, ...], fixed: Any,
                  moving: tuple[Tensor | None, ...]) -> Tensor:
        """Replay a call; record it where it is new."""
        leaves, structure = tree_flatten(fixed)
        key = (places, str(structure), _precision(self.device_type),
               *(None if given is None else (given.shape, given.dtype, given.device)
                 for given in (*leaves, *moving)))
        if key not in self._recordings:
            self._recordings[key] = self._recorded(function, fixed, moving)
            while len(self._recordings) > _MOST:
                self._recordings.popitem(last=False)
        self._recordings.move_to_end(key)
        return _run(self._recordings[key], fixed, moving)

    def _recorded(self, function: Function, fixed: Any, moving: tuple[Tensor | None, ...]
                  ) -> _Recording:
        """Record a call on copies of what it is given."""
        # Tensors of inference mode could not be overwritten outside of it.
        with (torch.inference_mode(False), torch.no_grad(), torch.cuda.device_of(moving[0]),
              _casting_anew()):
            own_fixed = tree_map(torch.empty_like, fixed)
            own_moving = [None if given is None else torch.empty_like(given) for given in moving]
            _overwrite(own_fixed, fixed)
            _overwrite(own_moving, moving)
            replay, result = self.record(lambda: function(own_fixed, *own_moving))
        return _Recording(own_fixed, own_moving, fixed, replay, result)


def _run(recording: _Recording, fixed: Any, moving: tuple[Tensor | None, ...]) -> Tensor:
    if recording.source is not fixed:
        _overwrite(recording.fixed, fixed)
        recording.source = fixed
    _overwrite(recording.moving, moving)
    recording.replay()
    # The next replay overwrites the result.
    return recording.result.clone()


def _overwrite(own: Any, given: Any) -> None:
    for target, source in zip(tree_flatten(own)[0], tree_flatten(given)[0], strict=True):
        if target is not None:
            target.copy_(source)


def _precision(device_type: str) -> torch.dtype | None:
    """Return the type that autocast computes in, None without."""
    enabled = torch.is_autocast_enabled(device_type)
    return torch.get_autocast_dtype(device_type) if enabled else None


@contextmanager
def _casting_anew() -> Iterator[None]:
    """Make autocast cast weights within the recording: kept casts are gone when it is replayed."""
    enabled = torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(False)
    try:
        yield
    finally:
        torch.set_autocast_cache_enabled(enabled)
