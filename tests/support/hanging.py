"""Ends what waits for ever: a pipe in a folder is opened, and nobody writes into it."""

import signal
from collections.abc import Generator
from contextlib import contextmanager

from support.commands import PATIENCE

HANGS = "it hangs"
"""What the error says, which a command turns into a line."""


@contextmanager
def no_hanging() -> Generator[None]:
    """TimeoutError in this thread after the tests' patience."""

    def end(number: int, frame: object) -> None:
        raise TimeoutError(HANGS)

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
