"""The machine's memory, and a setting of the C library's allocator for training on CPUs."""

import ctypes
import os
from contextlib import suppress
from pathlib import Path

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # parameters of mallopt, in glibc's malloc.h
_LARGEST_MMAP_THRESHOLD_BYTES = 32 << 20
_MOST_KEPT_BYTES = (1 << 31) - 1
_CONTAINER_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Where Linux' control groups, version 2 and version 1, keep a container's memory limit."""


def machine_memory_bytes() -> int:
    """The machine's memory in bytes, or the limit of the container that this process runs in, if that is less."""
    try:
        sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    except (AttributeError, ValueError, OSError):  # no sysconf on this platform
        sizes = [8 << 30]
    for limit in _CONTAINER_LIMITS:
        with suppress(OSError, ValueError):  # no such file, or the text "max"
            sizes.append(int(limit.read_text()))
    return min(sizes)


def keep_freed_memory() -> bool:
    """Let glibc keep up to 2 GB of freed memory for the next allocations, until the process ends.

    By default glibc returns large blocks to the system. A training step allocates the same sizes again and waits while
    the system clears the memory page by page. With this setting, only blocks of more than 32 MB are returned at once.
    `iqsr train` calls this; from Python it is up to the caller.

    Returns:
        False where the C library is not glibc, and nothing changed.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(
        mallopt(_M_TRIM_THRESHOLD, _MOST_KEPT_BYTES) and mallopt(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD_BYTES)
    )
