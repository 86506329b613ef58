"""Hashes of files by content."""

import hashlib
import os
import stat
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from iqsr.errors import PictureError
from iqsr.io.remote import held


def content_hash(path: Path) -> str:
    """SHA-256 of a file's bytes; cached in the process while the file is the same. Raises PictureError."""
    try:
        with held(Path(path)):
            found = Path(path).stat()
            if not stat.S_ISREG(found.st_mode):  # a pipe may wait for ever, a device may never end
                raise PictureError(f"cannot read '{path}': it is not a file")
            return file_hash(Path(path), found)
    except OSError as error:
        raise PictureError(f"cannot read '{path}': {error.strerror or error}") from None


def file_hash(path: Path, found: os.stat_result) -> str:
    """SHA-256 of a file's bytes, cached in the process while `found`, what `stat` finds, is the same. OSError.

    Content of the same size can come with its own time of change (rsync, tar, `mv`). It still changes the inode, or
    the time of change that the system keeps of it.
    """
    return _sha256(_Version(str(path), found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns))


class _Version(NamedTuple):
    """A file as it is at a time: where any of these has changed, its content may have."""

    path: str
    inode: int
    size: int
    modified_ns: int
    changed_ns: int


@lru_cache(maxsize=1 << 20)
def _sha256(version: _Version) -> str:
    with Path(version.path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
