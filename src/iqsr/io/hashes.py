"""Hashes of files by content."""

import hashlib
import stat
from functools import lru_cache
from pathlib import Path

from iqsr.errors import PictureError
from iqsr.io.remote import held


def content_hash(path: Path) -> str:
    """SHA-256 of a file's bytes; cached in the process until size or time change. Raises PictureError."""
    try:
        with held(Path(path)):
            found = Path(path).stat()
            if not stat.S_ISREG(found.st_mode):  # a pipe may wait for ever, a device may never end
                raise PictureError(f"cannot read '{path}': it is not a file")
            return _sha256(str(path), found.st_size, found.st_mtime_ns)
    except OSError as error:
        raise PictureError(f"cannot read '{path}': {error.strerror or error}") from None


@lru_cache(maxsize=1 << 20)
def _sha256(path: str, size: int, mtime_ns: int) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
