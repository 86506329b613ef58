"""Folders that appear whole or not at all, and take no other's place."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path

from iqsr.errors import UsageError
from iqsr.io.atomic import check_output_path, write_errors
from iqsr.io.locks import LOCK_FILE, FolderLock, lock_open_file


def check_new_folder(out: Path) -> None:
    """See before the work that a folder can be made.

    Raises:
        UsageError: `out` is a file, or a folder that is not empty.
        PictureError: The folder above cannot be written to.
    """
    if out.is_dir():
        if any(out.iterdir()):
            raise UsageError(f"'{out}' is not empty: name another folder, or remove it first")
        return
    if out.exists():
        raise UsageError(f"'{out}' is a file: name another folder")
    check_output_path(out)


@contextmanager
def new_folder(out: Path) -> Generator[Path]:
    """Yield a hidden folder that becomes `out` when the block ends without an exception, else vanishes.

    Raises:
        UsageError, PictureError: as `check_new_folder`.
        WriteError: The disk refuses.
    """
    check_new_folder(out)
    out = out.absolute()
    _remove_stale_parts(out)
    part = out.with_name(f".{out.name}.{os.getpid()}.iqsr-part")
    with write_errors(out):
        part.mkdir(parents=True)
        lock = FolderLock(part, "iqsr study")
    try:
        yield part
        lock.release()
        with write_errors(out):
            (part / LOCK_FILE).unlink()
            check_new_folder(out)  # another process may have made it meanwhile
            if out.exists():
                out.rmdir()
            part.replace(out)
    finally:
        lock.release()
        shutil.rmtree(part, ignore_errors=True)


def _remove_stale_parts(out: Path) -> None:
    """Delete the hidden folders of `out` that killed processes left: those whose lock is free."""
    for part in out.parent.glob(f".{escape(out.name)}.*.iqsr-part"):
        with suppress(OSError):  # a process at work has the lock, or there are no locks
            descriptor = os.open(part / LOCK_FILE, os.O_RDWR)
            try:
                lock_open_file(descriptor)
            finally:
                os.close(descriptor)
            shutil.rmtree(part, ignore_errors=True)
