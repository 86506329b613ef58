"""A setting of the C library's memory allocator, for training on CPUs."""

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # parameters of mallopt, in glibc's malloc.h
_LARGEST_MMAP_THRESHOLD_BYTES = 32 << 20
_MOST_KEPT_BYTES = (1 << 31) - 1


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
