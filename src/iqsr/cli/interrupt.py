"""Ctrl-C and a polite kill: what is at hand ends cleanly, and the user learns how to go on."""

import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

import typer


@contextmanager
def interruptible(how_to_go_on: str) -> Generator[None]:
    """SIGINT and SIGTERM inside the block end it; `how_to_go_on` is printed, and the exit code is 130."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before: Callable[..., object] | int | None = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        print(f"iqsr: stopped; {how_to_go_on}", file=sys.stderr)
        raise typer.Exit(130) from None
    finally:
        signal.signal(signal.SIGTERM, before)
