"""Which processes another one has started, and when they end."""

import time
from collections.abc import Callable
from pathlib import Path

from support.commands import PATIENCE


def children(pid: int) -> list[int]:
    """The processes that the first thread of a process has started, of which Linux tells."""
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid: int) -> bool:
    """Whether a process has not ended; one that nobody has waited for has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Look again and again, until the condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
