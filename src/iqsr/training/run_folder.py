"""A run's folder: one process at a time works in it, and nothing half-written stays there."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from iqsr.io.atomic import remove_stale_parts, write_errors
from iqsr.io.locks import FolderLock


def hold(folder: Path, work: str) -> FolderLock:
    """Take the folder for this process, and remove what one that was killed left half-written.

    The folder is made if it is missing. work: `iqsr train` or another command, for those who come later. IqsrError, in
    one line, where another process has the folder; WriteError where it cannot be written to.
    """
    with write_errors(folder):
        lock = FolderLock(folder, work)
        for place, _, _ in os.walk(folder):
            remove_stale_parts(Path(place))
    return lock


@contextmanager
def held(folder: Path, work: str) -> Generator[None]:
    """`hold`, for as long as the block takes."""
    lock = hold(folder, work)
    try:
        yield
    finally:
        lock.release()
