"""Keeping memory that the C library would hand back and ask for again at every layer."""
import ctypes
import os
import sys
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt in <malloc.h>
_KEPT_BLOCK = 1 << 30  # bytes; feature maps of a batch are smaller
_KEPT_FREE = (1 << 31) - 1


@cache
def keep_freed_memory() -> bool:
    """Let glibc keep freed blocks for the next layer, in this process and from now on.

    By default it maps every block over 32 MiB anew and returns what lies free at the end of the
    heap, so each large feature map costs its page faults again: 12 % of ChangeCLIP's time with
    eight windows a call. The price: a process does not shrink before it ends.

    Nothing is done elsewhere than on Linux with glibc, or where ``MALLOC_`` variables are set.

    Returns:
        Whether it was done.
    """
    chosen = [name for name in os.environ if name.startswith(('MALLOC_', 'GLIBC_TUNABLES'))]
    if sys.platform != 'linux' or chosen:
        return False
    try:
        mallopt = ctypes.CDLL('libc.so.6').mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _KEPT_BLOCK) and mallopt(_TRIM_THRESHOLD, _KEPT_FREE))
