"""Standard streams that are closed or full, or lack letters: none of that stops a command's work."""

import os
import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from io import TextIOBase
from typing import TextIO, cast


@contextmanager
def safe_streams() -> Generator[None]:
    """Make the standard streams safe to write to inside the block.

    Streams that the shell has closed become /dev/null, so that no file that is opened later takes their number. Letters
    that an encoding lacks are escaped. A failure to write to standard error is ignored; one to standard output is not.
    """
    _open_closed()
    before = sys.stderr
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    sys.stderr = cast("TextIO", _StandardError(before))
    try:
        yield
    finally:
        sys.stderr = before


def _open_closed() -> None:
    opened = os.open(os.devnull, os.O_RDWR)
    while opened <= 2:  # each takes the lowest number that is free
        os.set_inheritable(opened, True)
        opened = os.open(os.devnull, os.O_RDWR)
    os.close(opened)
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def discard_buffer(stream: TextIO) -> None:
    """Discard what a full disk or closed pipe has refused: Python would try to write it again when it ends."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


class _StandardError(TextIOBase):
    """Standard error that never fails: after the first failure, what is written to it is discarded."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str, /) -> int:
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:
            discard_buffer(self._stream)
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
