"""Locks for a folder: one process works in it at a time. The system drops a lock when its process ends."""

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
from iqsr.io.places import open_own

logger = logging.getLogger(__name__)
LOCK_FILE = ".lock"
"""The name of the lock file in a folder. It holds who has the lock, and stays when the lock is released."""
_BYTE = 1 << 30  # Windows locks single bytes: this one is far behind the text


def lock_open_file(descriptor: int) -> None:
    """Lock an open file until it is closed. BlockingIOError if another process has it, OSError without locks."""
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
    """Locks a folder for this process from its construction to `release`, or to the end of the process.

    On a file system without locks a warning says that other processes are not kept out.

    Args:
        folder: The folder; it is made if it is missing.
        work: What is done there, such as `iqsr train`: others see it in their error.
        file: The lock file, relative to the folder.

    Raises:
        IqsrError: Another process has the lock; the message names it, its machine and the folder.
        OSError: The lock file cannot be made.
    """

    def __init__(self, folder: Path, work: str, file: str = LOCK_FILE) -> None:
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = open_own(path, os.O_RDWR)
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
        """Release the lock. A second call does nothing."""
        if self._close.alive:
            with suppress(OSError):
                os.ftruncate(self._descriptor, 0)  # a finished folder must not depend on who worked in it, and when
        self._close()

    def forget(self) -> None:
        """Close the file in a forked process, which does not own the lock, and leave its content."""
        self._close()


@contextmanager
def locked(folder: Path, work: str, file: str = LOCK_FILE) -> Generator[None]:
    """Hold a `FolderLock` during the block."""
    lock = FolderLock(folder, work, file)
    try:
        yield
    finally:
        lock.release()


_held: WeakSet[FolderLock] = WeakSet()


def _close_in_forked_process() -> None:
    """Close inherited lock files: open in a forked process, they would keep the lock after its parent has ended."""
    for lock in list(_held):
        lock.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_forked_process)


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
