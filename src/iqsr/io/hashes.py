"""Hashes of files by content."""

import hashlib
import os
import stat
from functools import lru_cache
from pathlib import Path

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
    return _sha256(str(path), found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


@lru_cache(maxsize=1 << 20)
def _sha256(path: str, *_of_content: int) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
