"""How the C library's allocator deals with memory that is freed: a setting of the process, for training on CPUs."""

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_LARGEST_THRESHOLD = 32 << 20
_MOST_KEPT = (1 << 31) - 1


def keep_freed_memory() -> bool:
    """Let glibc keep memory that is freed for what is allocated next, up to 2 GB of it, for the life of the process.

    Otherwise it hands large pieces back, and a training step, which needs the same again, waits for the system to
    clear it page by page. Only pieces of over 32 MB go back at once.
    `iqsr train` does this; in Python it is the caller's to decide. Returns False where the C library is another one.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(_TRIM_THRESHOLD, _MOST_KEPT) and mallopt(_MMAP_THRESHOLD, _LARGEST_THRESHOLD))
