"""The device that a user names, checked."""
import torch
from mmengine.device import get_device

from rscc.utils import did_you_mean


def existing_device(device: str | None) -> torch.device:
    """Return the named device, or the best one of this machine.

    Args:
        device: ``'cpu'``, ``'cuda'``, ``'cuda:1'``, ...; None chooses.

    Raises:
        ValueError: If there is no such device.
    """
    try:
        found = torch.device(device or get_device())
    except RuntimeError as error:
        raise ValueError(f"device '{device}' is unknown; use 'cpu', 'cuda' or 'cuda:N'"
                         f'{did_you_mean(str(device), ("cpu", "cuda"))}') from error
    if found.type == 'cuda' and (found.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device '{device}' is not there: torch sees "
                         f'{torch.cuda.device_count()} CUDA devices; use --device cpu')
    return found
