"""Ends what waits for ever: a pipe in a folder is opened, and nobody writes into it."""

import signal
from collections.abc import Generator
from contextlib import contextmanager

from support.commands import PATIENCE


@contextmanager
def no_hanging() -> Generator[None]:
    """TimeoutError in this thread after the tests' patience."""

    def end(number: int, frame: object) -> None:
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
