"""Files that appear whole or not at all: a hidden part beside the place, renamed when complete."""

import itertools
import os
import re
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from iqsr.errors import PictureError

_PART = re.compile(r"\..*\.\d+-\d+\.iqsr-part", re.DOTALL)
_numbers = itertools.count()


def check_place(out: Path) -> None:
    """Find out before the work whether a file can be written at `out`. A folder that can be made need not exist yet.

    PictureError for a folder that cannot be written to, and for a place that is taken by a folder.
    """
    if out.is_dir():
        raise PictureError(f"cannot write '{out}': it is a folder")
    folder = next(path for path in (*out.parents, Path()) if path.exists())
    if not folder.is_dir():
        raise PictureError(f"cannot write '{out}': '{folder}' is a file, not a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PictureError(f"cannot write '{out}': the folder '{folder}' is read-only")


@contextmanager
def part_of(out: Path) -> Generator[Path]:
    """A hidden file beside `out` that becomes `out` when the block ends well, and vanishes when it does not.

    It is named `.NAME.PID-NUMBER.iqsr-part` and locked while this process writes it. The folder is made if
    it is missing. PictureError where the file system refuses.
    """
    stem = os.fsdecode(os.fsencode(out.name)[:200])  # file systems take names of 255 bytes
    part = out.with_name(f".{stem}.{os.getpid()}-{next(_numbers)}.iqsr-part")
    with _writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with suppress(OSError):  # a file system without locks: nothing there is ever found stale
            _lock(descriptor)
        yield part
        with _writing(out):
            os.fsync(descriptor)  # a network file system or a quota may say "no space" only now
            part.replace(out)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
    finally:
        os.close(descriptor)


def remove_stale_parts(folder: Path) -> list[Path]:
    """Delete the parts in `folder` (not below it) that a killed process left behind; returns them.

    The process that writes a part holds a lock on it, which the system drops when the process ends, however
    it ends. That is surer than asking whether its id still runs: ids are used again (in containers at once)
    and say nothing about another machine that writes into the same folder. What cannot be removed stays.
    """
    removed: list[Path] = []
    for part in sorted(path for path in folder.iterdir() if _PART.fullmatch(path.name)):
        with suppress(OSError):
            _remove_unlocked(part)
            removed.append(part)
    return removed


def _remove_unlocked(part: Path) -> None:
    if sys.platform == "win32":
        part.unlink()  # fails while a process has the file open
        return
    descriptor = os.open(part, os.O_RDWR)
    try:
        _lock(descriptor)
        part.unlink()
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Lock an open file, or OSError at once where another has it."""
    if sys.platform != "win32":
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def _writing(out: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise PictureError(f"cannot write '{out}': {error.strerror or error}") from None
