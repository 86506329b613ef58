"""Write files whole or not at all; an error is one line that names the file and the disk.

A hidden temporary file beside the target is written, synced to the disk and renamed. It is named
`.NAME.PID-NUMBER.iqsr-part` and locked while its process writes it: one whose lock
is free is left from a killed process.
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
from iqsr.io.places import open_own
from iqsr.io.sending import send
from iqsr.io.stores import check_writable
from iqsr.io.urls import url_of

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_PART = re.compile(r"\..*\.\d+-\d+\.iqsr-part", re.DOTALL)
_numbers = itertools.count()


@contextmanager
def atomic_path(out: Path, error: type[IqsrError] = WriteError) -> Generator[Path]:
    """Yield a hidden temporary path that becomes `out` when the block ends without an exception, else vanishes.

    For writers that take a path. Of writers that raise errors of their own for a full disk, as torch and safetensors
    do, only `atomic_open` reports the cause.

    Args:
        out: The place of the finished file. Its folder is made if it is missing.
        error: The class of the error for what the file system refuses, also inside the block.

    Raises:
        IqsrError: of the class `error`, one line with file, disk and what to do.
    """
    with _part(out, error) as path:
        yield path


@contextmanager
def atomic_open(out: Path, error: type[IqsrError] = WriteError) -> Generator[BinaryIO]:
    """Open a file for writing that becomes `out` when the block ends without an exception, else vanishes.

    Where the writer turns the system's error into one of its own, the system's error is the one that is raised.

    Args:
        out: The place of the finished file. Its folder is made if it is missing.
        error: The class of the error for what the file system refuses.

    Raises:
        IqsrError: of the class `error`, one line with file, disk and what to do.
    """
    with _part(out, error) as path:
        raw = _RecordingFile(path)
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
    """Write a file whole or not at all. Raises `error` if the file system refuses."""
    with atomic_open(out, error) as file:
        file.write(data)


def write_text(out: Path, text: str, error: type[IqsrError] = WriteError) -> None:
    """Write a text in UTF-8, whole or not at all. Raises `error` if the file system refuses."""
    write_bytes(out, text.encode(), error)


def append(out: Path, data: bytes) -> None:
    """Append all of `data` to a file, or nothing. WriteError if the file system refuses, or the file is a link."""
    with write_errors(out):
        descriptor = open_own(out, os.O_WRONLY | os.O_APPEND)
        try:
            _append(descriptor, data)
        finally:
            os.close(descriptor)


def append_line(out: Path, line: bytes) -> None:
    """As `append`, of a line, which begins on a new one where the power went amid the line before."""
    with write_errors(out):
        descriptor = open_own(out, os.O_RDWR | os.O_APPEND)
        try:
            _append(descriptor, (b"\n" if _ends_in_a_torn_line(descriptor) else b"") + line + b"\n")
        finally:
            os.close(descriptor)


def check_output_path(out: Path) -> None:
    """Check, before the work, whether a file can be written at `out`. Its folder need not exist yet.

    PictureError if the folder cannot be written to or `out` is a folder; UsageError if it is in a bucket that does not
    exist.
    """
    if url_of(out) is not None:
        check_writable(out)
        return
    if out.is_dir():
        raise PictureError(f"cannot write '{out}': it is a folder")
    folder = next(path for path in (*out.parents, Path()) if path.exists())
    if not folder.is_dir():
        raise PictureError(f"cannot write '{out}': '{folder}' is a file, not a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PictureError(f"cannot write '{out}': the folder '{folder}' is read-only")


def remove_stale_parts(folder: Path) -> list[Path]:
    """Delete the temporary files in `folder` (not below it) that killed processes left; returns their paths.

    A free lock identifies them. The process id does not: ids are reused, and the process may run on another machine
    that writes into the same folder. A file that cannot be deleted stays.
    """
    removed: list[Path] = []
    for part in sorted(path for path in folder.iterdir() if _PART.fullmatch(path.name)):
        with suppress(OSError):
            _remove_unlocked(part)
            removed.append(part)
    return removed


def remove_stale_parts_below(folder: Path) -> None:
    """As `remove_stale_parts`, in `folder` and in all folders below it."""
    for place, _, _ in os.walk(folder):
        remove_stale_parts(Path(place))


@contextmanager
def write_errors(out: Path, error: type[IqsrError] = WriteError, *, of: Path | None = None) -> Generator[None]:
    """Turn an OSError inside the block into an error of one line with the file, the disk and what to do.

    Args:
        out: The file that the message names.
        error: The class of the error.
        of: If given, an OSError that names another file than this one is raised unchanged.
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
    """Why `out` cannot be written; with the disk and what to do if the disk is the cause."""
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
    """The mount point of the disk that `path` is on, or will be, and its file system if it is known."""
    place = _existing(path)
    while not os.path.ismount(place) and place != place.parent:
        place = place.parent
    kind = _file_systems().get(str(place))
    return f"'{place}' ({kind})" if kind else f"'{place}'"


def _append(descriptor: int, data: bytes) -> None:
    """Append all of `data` to an open file, or nothing."""
    before = os.fstat(descriptor).st_size
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(descriptor, left) :]
    except OSError:
        with suppress(OSError):
            os.ftruncate(descriptor, before)
        raise


def _ends_in_a_torn_line(descriptor: int) -> bool:
    if os.fstat(descriptor).st_size == 0:
        return False
    os.lseek(descriptor, -1, os.SEEK_END)
    return os.read(descriptor, 1) != b"\n"


@contextmanager
def _part(out: Path, error: type[IqsrError]) -> Generator[Path]:
    stem = os.fsdecode(os.fsencode(out.name)[:200])  # file systems take names of 255 bytes
    part = out.with_name(f".{stem}.{os.getpid()}-{next(_numbers)}.iqsr-part")
    with write_errors(out, error):
        out.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with suppress(OSError):  # a file system without locks: nothing there is ever found stale
            lock_open_file(descriptor)
        with write_errors(out, error, of=part):
            yield part
        with write_errors(out, error):
            os.fsync(descriptor)  # a network file system or a quota may say "no space" only now
            if url_of(out) is None:
                part.replace(out)
                _sync_folder(out.parent)
            else:
                send(part, out)
                part.unlink()
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
    finally:
        os.close(descriptor)


class _RecordingFile(io.FileIO):
    """A file that keeps the OSError of a failed write."""

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
    """Sync a folder, so that a rename in it survives a power cut; some file systems cannot do that."""
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
    """The type of file system by mount point; empty if the system has no such table."""
    try:
        table = Path("/proc/self/mounts").read_text()
    except OSError:
        return {}
    fields = [line.split(" ") for line in table.splitlines()]
    return {re.sub(r"\\(\d{3})", lambda m: chr(int(m[1], 8)), place): kind for _, place, kind, *_ in fields}
