"""Ctrl-C and SIGTERM: the command ends cleanly and says how to go on."""

import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

import typer


@contextmanager
def interruptible(advice: str) -> Generator[None]:
    """SIGINT and SIGTERM end the block, print `advice`, and make the exit code 130."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before: Callable[..., object] | int | None = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        print(f"iqsr: stopped; {advice}", file=sys.stderr)
        raise typer.Exit(130) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def how_to_go_on(*, no_cache: bool, files_written: bool = False) -> str:
    """Advice for a command that remembers scores.

    no_cache: it caches no scores. files_written: some of its results may be there already.
    """
    if no_cache:
        return "with --no-cache nothing is remembered"
    return f"the same command{' with --overwrite' if files_written else ''} goes on from here"
