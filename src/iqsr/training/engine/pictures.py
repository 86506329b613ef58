"""Every picture of a training is decoded once before it starts, which finds those that are damaged."""

import logging
import os
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from iqsr.errors import IqsrError, PictureError
from iqsr.images.read import decoded_size
from iqsr.io.weights import cache_folder
from iqsr.scoring import content_hash
from iqsr.scoring.cache import code_hash

_AT_ONCE = 256  # pictures between two writes to the cache
_NAMED = 3
_FIND = "SELECT sha256, width, height FROM whole WHERE path = ? AND bytes = ? AND changed = ? AND reader = ?"
logger = logging.getLogger(__name__)


class Whole(NamedTuple):
    """A picture that was decoded to its last row."""

    sha256: str
    width: int
    height: int


@dataclass(frozen=True)
class Pictures:
    """What was found in picture files."""

    whole: dict[Path, Whole]
    damaged: dict[Path, str]
    """Why each cannot be read, in one line that names it."""

    def check(self, advice: str) -> None:
        """PictureError where pictures are damaged: it names the first few, and what to do."""
        if self.damaged:
            first = "; ".join(list(self.damaged.values())[:_NAMED])
            more = f"; and {len(self.damaged) - _NAMED} more" if len(self.damaged) > _NAMED else ""
            count = len(self.damaged.keys() | self.whole.keys())
            raise PictureError(f"{len(self.damaged)} of {count} pictures cannot be used: {first}{more}; {advice}")


def decode_all(
    paths: Collection[Path], on_picture: Callable[[int], None] = lambda done: None, *, workers: int | None = None
) -> Pictures:
    """Decode pictures, each once.

    A file that was decoded before, by the same code, and has the same size and time of change, is not read again: that
    is remembered in `pictures.sqlite` in the cache folder.

    Args:
        paths: The picture files.
        on_picture: Called with how many are done.
        workers: How many are decoded at a time; by default as many as this process has CPUs.
    """
    files = list(dict.fromkeys(paths))
    whole: dict[Path, Whole] = {}
    damaged: dict[Path, str] = {}
    memory = _Memory(cache_folder() / "pictures.sqlite")
    with closing(memory), ThreadPoolExecutor(workers or _cpus()) as pool:
        for part in (files[i : i + _AT_ONCE] for i in range(0, len(files), _AT_ONCE)):
            new: dict[_File, Whole] = {}
            for path, file, found in pool.map(_decoded, part, memory.of(part)):
                if isinstance(found, Whole):
                    whole[path] = found
                    new |= {file: found} if file else {}
                else:
                    damaged[path] = found
                on_picture(len(whole) + len(damaged))
            memory.add(new)
    return Pictures(whole, damaged)


class _File(NamedTuple):
    """A file as it is now: if all of this is the same again, so is the picture."""

    path: str
    bytes: int
    changed: int
    """In nanoseconds; the later one of the times when its content and its name or attributes were changed."""


def _decoded(path: Path, known: tuple[_File | None, Whole | None]) -> tuple[Path, _File | None, Whole | str]:
    """The file where it is to be remembered; what was found, or why it is damaged."""
    file, whole = known
    if whole is not None:
        return path, None, whole
    try:
        return path, file, Whole(content_hash(path), *decoded_size(path))
    except IqsrError as error:
        return path, None, str(error)


class _Memory:
    """Pictures that were decoded, in an SQLite file; without it, with a warning, where it cannot be used."""

    def __init__(self, path: Path) -> None:
        self._reader = code_hash("images", "*.py")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = _opened(path)
        except (OSError, sqlite3.Error) as error:
            logger.warning("pictures are decoded anew, for '%s' cannot be used: %s", path, error)
            self._connection = _opened(":memory:")

    def of(self, paths: Sequence[Path]) -> Iterator[tuple[_File | None, Whole | None]]:
        """For each path its file, where there is one, and what is known of it."""
        for path in paths:
            file = _file(path)
            yield file, None if file is None else self._found(file)

    def _found(self, file: _File) -> Whole | None:
        try:
            row = self._connection.execute(_FIND, (*file, self._reader)).fetchone()
        except sqlite3.Error:  # damaged behind its header
            return None
        return Whole(*row) if row else None

    def add(self, found: Mapping[_File, Whole]) -> None:
        """Remember pictures."""
        rows = [(*file, self._reader, *whole) for file, whole in found.items()]
        try:
            with self._connection:
                self._connection.executemany("INSERT OR REPLACE INTO whole VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        except sqlite3.Error as error:
            logger.warning("pictures that were decoded cannot be remembered: %s", error)

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()


def _opened(path: Path | str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=60)
    with connection:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS whole (path TEXT PRIMARY KEY, bytes INTEGER, changed INTEGER, reader TEXT, "
            "sha256 TEXT, width INTEGER, height INTEGER) WITHOUT ROWID"
        )
    return connection


def _file(path: Path) -> _File | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return _File(str(path.resolve()), found.st_size, max(found.st_mtime_ns, found.st_ctime_ns))


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
