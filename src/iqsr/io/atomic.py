"""Files that appear whole or not at all, and one line that names file and disk where they cannot.

A hidden part beside the place takes what is written, reaches the disk, and is renamed. It is named
`.NAME.PID-NUMBER.iqsr-part` and locked while its process writes it, so that what a killed process left is known by
its lock being free.
"""

import errno
import io
import itertools
import os
import re
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from iqsr.errors import IqsrError, PictureError, WriteError
from iqsr.io.locks import lock_open_file

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_PART = re.compile(r"\..*\.\d+-\d+\.iqsr-part", re.DOTALL)
_numbers = itertools.count()


@contextmanager
def part_of(out: Path, error: type[IqsrError] = WriteError) -> Generator[Path]:
    """A hidden file beside `out`, for what writes to a path; it becomes `out` when the block ends well.

    It vanishes when the block does not. The folder is made if it is missing. error: what is raised, in one line, where
    the file system refuses; OSErrors of the block are told in the same way. What raises errors of its own for a full
    disk, as torch and safetensors do, is told rightly by `opened` alone.
    """
    with _part(out, error) as path:
        yield path


@contextmanager
def opened(out: Path, error: type[IqsrError] = WriteError) -> Generator[BinaryIO]:
    """As `part_of`, for what writes to an open file. Whatever the writer makes of a refusal, the system's is told."""
    with _part(out, error) as path:
        raw = _Watched(path)
        file = io.BufferedWriter(raw, 1 << 20)
        try:
            yield cast("BinaryIO", file)
            file.close()
        except Exception as failure:
            if raw.refusal is None:
                raise
            raise raw.refusal from failure
        finally:
            with suppress(OSError):
                file.close()


def write_bytes(out: Path, data: bytes, error: type[IqsrError] = WriteError) -> None:
    """Write a file whole or not at all."""
    with opened(out, error) as file:
        file.write(data)


def write_text(out: Path, text: str, error: type[IqsrError] = WriteError) -> None:
    """Write a text in UTF-8, whole or not at all."""
    write_bytes(out, text.encode(), error)


def append(out: Path, data: bytes) -> None:
    """Add to the end of a file, all of `data` or nothing. WriteError."""
    with explained(out):
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            before = os.fstat(descriptor).st_size
            try:
                left = memoryview(data)
                while left:
                    left = left[os.write(descriptor, left) :]
            except OSError:
                with suppress(OSError):
                    os.ftruncate(descriptor, before)
                raise
        finally:
            os.close(descriptor)


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


def remove_stale_parts(folder: Path) -> list[Path]:
    """Delete the parts in `folder` (not below it) that a killed process left behind; returns them.

    The lock on a part is surer than asking whether its process still runs: ids are used again (in containers at once)
    and say nothing about another machine that writes into the same folder. What cannot be removed stays.
    """
    removed: list[Path] = []
    for part in sorted(path for path in folder.iterdir() if _PART.fullmatch(path.name)):
        with suppress(OSError):
            _remove_unlocked(part)
            removed.append(part)
    return removed


@contextmanager
def explained(out: Path, error: type[IqsrError] = WriteError, *, of: Path | None = None) -> Generator[None]:
    """An OSError inside the block becomes one line that names the file, the disk, and what to do.

    of: the one file whose errors these are; those that name others are left as they are.
    """
    try:
        yield
    except OSError as refusal:
        if refusal.errno is None:  # not the system's
            raise
        named = [os.fspath(name) for name in (refusal.filename, refusal.filename2) if isinstance(name, str | Path)]
        if of is not None and named and os.fspath(of) not in named:
            raise
        raise error(f"cannot write '{out}': {reason(refusal, out)}") from None


def reason(refusal: OSError, out: Path) -> str:
    """Why `out` cannot be written, with the disk and what to do where that is the disk's doing."""
    match refusal.errno:
        case errno.ENOSPC:
            full = "no file more fits" if _has_no_inodes(out) else "no space is left"
            return f"{full} on the disk {disk_of(out)}: make room there"
        case errno.EDQUOT:
            return f"your quota of the disk {disk_of(out)} is used up: make room there"
        case errno.EROFS:
            return f"the disk {disk_of(out)} is read-only: choose another place"
        case errno.EACCES | errno.EPERM:
            return f"the folder '{out.parent}' is read-only for you: choose another place"
        case errno.EIO:
            return f"the disk {disk_of(out)} fails (input/output error): choose another place"
        case _:
            return refusal.strerror or str(refusal)


def disk_of(path: Path) -> str:
    """The disk that `path` lies on, or would: where it is mounted, and its file system where the system tells."""
    place = _existing(path)
    while not os.path.ismount(place) and place != place.parent:
        place = place.parent
    kind = _file_systems().get(str(place))
    return f"'{place}' ({kind})" if kind else f"'{place}'"


@contextmanager
def _part(out: Path, error: type[IqsrError]) -> Generator[Path]:
    stem = os.fsdecode(os.fsencode(out.name)[:200])  # file systems take names of 255 bytes
    part = out.with_name(f".{stem}.{os.getpid()}-{next(_numbers)}.iqsr-part")
    with explained(out, error):
        out.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with suppress(OSError):  # a file system without locks: nothing there is ever found stale
            lock_open_file(descriptor)
        with explained(out, error, of=part):
            yield part
        with explained(out, error):
            os.fsync(descriptor)  # a network file system or a quota may say "no space" only now
            part.replace(out)
            _sync_folder(out.parent)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
    finally:
        os.close(descriptor)


class _Watched(io.FileIO):
    """A file that remembers what the system refused."""

    refusal: OSError | None = None

    def __init__(self, path: Path) -> None:
        super().__init__(path, "wb")

    def write(self, b: "ReadableBuffer", /) -> int:
        try:
            return super().write(b)
        except OSError as refusal:
            self.refusal = refusal
            raise


def _sync_folder(folder: Path) -> None:
    """A rename outlasts a power cut only when its folder has reached the disk; not every file system can do that."""
    if sys.platform == "win32":
        return
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _remove_unlocked(part: Path) -> None:
    if sys.platform == "win32":
        part.unlink()  # fails while a process has the file open
        return
    descriptor = os.open(part, os.O_RDWR)
    try:
        lock_open_file(descriptor)
        part.unlink()
    finally:
        os.close(descriptor)


def _existing(path: Path) -> Path:
    path = path.absolute()
    return next(place for place in (path, *path.parents) if place.exists()).resolve()


def _has_no_inodes(out: Path) -> bool:
    if sys.platform == "win32":
        return False
    found = os.statvfs(_existing(out))
    return found.f_files > 0 and found.f_favail == 0 and found.f_bavail > 0


def _file_systems() -> dict[str, str]:
    """The kind of file system by the place where it is mounted; empty where the system has no such table."""
    try:
        table = Path("/proc/self/mounts").read_text()
    except OSError:
        return {}
    fields = [line.split(" ") for line in table.splitlines()]
    return {re.sub(r"\\(\d{3})", lambda m: chr(int(m[1], 8)), place): kind for _, place, kind, *_ in fields}
