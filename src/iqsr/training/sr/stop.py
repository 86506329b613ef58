"""SIGTERM and Ctrl-C as a wish that a training hears between two steps."""

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager


class Stop:
    """Whether this process was asked to stop."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    @property
    def asked(self) -> bool:
        """Stays true once it is."""
        return self._asked.is_set()

    @contextmanager
    def heard(self) -> Generator[None]:
        """Inside the block signals ask; in another thread than the main one they are not ours."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {s: signal.signal(s, self._ask) for s in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _ask(self, number: int, frame: object) -> None:
        self._asked.set()
