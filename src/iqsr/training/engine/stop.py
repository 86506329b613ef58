"""SIGTERM and Ctrl-C end a training between two steps."""

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager


class Stop:
    """Whether a signal asked this process to stop."""

    def __init__(self) -> None:
        self._requested = threading.Event()

    @property
    def requested(self) -> bool:
        """Stays true once it is."""
        return self._requested.is_set()

    @contextmanager
    def on_signals(self) -> Generator[None]:
        """Inside the block SIGTERM and SIGINT request the stop. Only the main thread can receive signals."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {s: signal.signal(s, self._request) for s in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _request(self, number: int, frame: object) -> None:
        self._requested.set()
