"""Processes that end with the one that started them, however that ended."""

import os
import threading
import time

_WATCH_SECONDS = 0.2


def end_with(parent: int) -> None:
    """End this process soon after the one that started it, even by `kill -9`. Not on Windows.

    parent: the number of that process, which it tells: when this one asks, it may have ended already.
    """
    if hasattr(os, "fork"):  # elsewhere a process keeps the number of one that has ended
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_WATCH_SECONDS)
    os._exit(1)
