"""What a command finds around it: streams that are closed or full, letters that a terminal lacks, threads that spin."""

import os
import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from io import TextIOBase
from typing import TextIO, cast

SPIN_COUNT = "1000"
"""How often a thread of libgomp looks for work before it sleeps; 300,000 by default. It takes about as long as falling
asleep and being woken, so that waiting costs at most twice what it must, whoever else wants the core.
"""
BLOCK_TIME = "1"
"""The same for Intel's and LLVM's OpenMP, in milliseconds; 200 by default."""
_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def bound_waiting() -> None:
    """Let the threads of OpenMP, which torch computes with, spin for a moment only before they sleep.

    By default they spin so long that on a busy machine they take the cores from what they wait for (the part `busy` of
    benchmarks/upscale.py). OpenMP reads it when torch is loaded, so it is set before. What the user has set stays.
    """
    if not any(name in os.environ for name in _WAITING):
        os.environ |= {"GOMP_SPINCOUNT": SPIN_COUNT, "KMP_BLOCKTIME": BLOCK_TIME}


@contextmanager
def whole_streams() -> Generator[None]:
    """Standard streams that are there and hold to nothing: what cannot be told does not stop the work.

    Those that the shell has closed become /dev/null, so that no file that is opened later takes their place. Letters
    that an encoding lacks are escaped. Failing to write to standard error is no error; to standard output it is.
    """
    _open_closed()
    before = sys.stderr
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    sys.stderr = cast("TextIO", _Lenient(before))
    try:
        yield
    finally:
        sys.stderr = before


def _open_closed() -> None:
    opened = os.open(os.devnull, os.O_RDWR)
    while opened <= 2:  # each takes the lowest place that is free
        os.set_inheritable(opened, True)
        opened = os.open(os.devnull, os.O_RDWR)
    os.close(opened)
    for place, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            setattr(sys, name, open(place, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def give_up(stream: TextIO) -> None:
    """What a full disk or closed pipe has refused stays in the buffer; Python would try, and complain, at its end."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


class _Lenient(TextIOBase):
    """Standard error; from the first failure on, what is written to it is lost."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str, /) -> int:
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:
            give_up(self._stream)
        return len(text)

    def writelines(self, lines: Iterable[str], /) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        self.write("".join(lines))

    def flush(self) -> None:
        """Each text is written at once."""

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self._stream.encoding

    @property
    def errors(self) -> str | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self._stream.errors
