"""One process at a time in a folder: locks that the system drops when their process ends, however it ends."""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import time
import weakref
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from weakref import WeakSet

from iqsr.errors import IqsrError

logger = logging.getLogger(__name__)
LOCK_FILE = ".lock"
"""In a folder that is worked in; it stays, its lock does not. Inside: who has it."""
_BYTE = 1 << 30  # Windows locks bytes, and nobody else reads those: one far behind the text


def lock_open_file(descriptor: int) -> None:
    """Lock an open file until it is closed. BlockingIOError where another has it, OSError where locks are unknown."""
    if sys.platform == "win32":
        import msvcrt

        os.lseek(descriptor, _BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError(error.errno, error.strerror) from error
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class FolderLock:
    """A folder that this process alone works in, from the making of this object to `release`, or to its own end.

    folder: is made if it is missing. work: what is done there, as `iqsr train`, for others to be told. file: below the
    folder; processes that name the same one keep each other out.

    IqsrError, which names the folder, the process and its machine, where another works there. On a file system
    without locks a warning says that nothing keeps others out. OSError where the file cannot be made.
    """

    def __init__(self, folder: Path, work: str, file: str = LOCK_FILE) -> None:
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            lock_open_file(descriptor)
        except BlockingIOError:
            holder = _holder(path)
            os.close(descriptor)
            raise IqsrError(
                f"{holder} is at work in '{folder}': wait for it, stop it, or name another folder"
            ) from None
        except OSError:
            logger.warning("the disk of '%s' has no locks: see that nobody else works in that folder", folder)
        self._descriptor = descriptor
        self._close = weakref.finalize(self, os.close, descriptor)
        _held.add(self)
        about = {"work": work, "pid": os.getpid(), "host": socket.gethostname(), "since": _now()}
        with suppress(OSError):  # a full disk: the lock holds all the same
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)
            os.write(descriptor, json.dumps(about).encode())

    def release(self) -> None:
        """Let others in. Nothing where that was done."""
        if self._close.alive:
            with suppress(OSError):
                os.ftruncate(self._descriptor, 0)  # a folder whose work is done tells nothing of when and by whom
        self._close()

    def forget(self) -> None:
        """For a process that was forked and has no part in the lock: close the file, and leave all else."""
        self._close()


@contextmanager
def locked(folder: Path, work: str, file: str = LOCK_FILE) -> Generator[None]:
    """A `FolderLock` for as long as the block takes."""
    lock = FolderLock(folder, work, file)
    try:
        yield
    finally:
        lock.release()


_held: WeakSet[FolderLock] = WeakSet()


def _let_go() -> None:
    """A process that was forked has the same open files: left open, they would keep the lock beyond their parent."""
    for lock in list(_held):
        lock.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S")


def _holder(path: Path) -> str:
    try:
        about = json.loads(path.read_text())
        if (about["pid"], about["host"]) == (os.getpid(), socket.gethostname()):
            return f"this process itself (since {about['since']})"
        return f"`{about['work']}` (process {about['pid']} on {about['host']}, since {about['since']})"
    except (OSError, ValueError, KeyError, TypeError):  # it has the lock, and has not yet written who it is
        return "another process"
