"""Hashes of files by content."""

import hashlib
from functools import lru_cache
from pathlib import Path

from iqsr.errors import PictureError


def content_hash(path: Path) -> str:
    """SHA-256 of a file's bytes; cached in the process until size or time change. Raises PictureError."""
    try:
        stat = Path(path).stat()
        return _sha256(str(path), stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise PictureError(f"cannot read '{path}': {error.strerror or error}") from None


@lru_cache(maxsize=1 << 20)
def _sha256(path: str, size: int, mtime_ns: int) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
