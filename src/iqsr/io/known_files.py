"""What was found in files, remembered by path, size and time of change for all later processes."""

import json
import logging
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from iqsr.io.weights import cache_folder

SETTLED_SECONDS = 2.0
"""A file that changed later than so long ago is not remembered: it may change again at what is the same time to it."""
_TABLE = (
    "CREATE TABLE IF NOT EXISTS known (path TEXT PRIMARY KEY, bytes INTEGER, changed INTEGER, code TEXT, facts TEXT) "
    "WITHOUT ROWID"
)
_FIND = "SELECT facts FROM known WHERE path = ? AND bytes = ? AND changed = ? AND code = ?"
_WAIT_SECONDS = 60.0
logger = logging.getLogger(__name__)


class File(NamedTuple):
    """A file as it is now: if all of this is the same again, so is its content."""

    path: str
    bytes: int
    changed: int
    """In nanoseconds; the later one of the times when its content and its name or attributes were changed."""


class KnownFiles:
    """Facts of files in an SQLite file of the cache folder, which several processes can use at once.

    Where it cannot be used a warning says so, and nothing is remembered.

    Args:
        name: The file's name.
        code: Stands for the code that finds the facts: those that another one found do not count.
        without: What has to be done without it, for the warning: `pictures are decoded anew`.
    """

    def __init__(self, name: str, code: str, without: str) -> None:
        self._code, self._without, path = code, without, cache_folder() / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = _opened(path)
        except (OSError, sqlite3.Error) as error:
            logger.warning("%s, for '%s' cannot be used: %s", without, path, error)
            self._connection = _opened(":memory:")

    def of(self, paths: Sequence[Path]) -> Iterator[tuple[File | None, list[Any] | None]]:
        """For each path its file, where there is one, and the facts that are known of it."""
        for path in paths:
            file = _file(path)
            yield file, None if file is None else self._found(file)

    def _found(self, file: File) -> list[Any] | None:
        try:
            row = self._connection.execute(_FIND, (*file, self._code)).fetchone()
        except sqlite3.Error:  # damaged behind its header
            return None
        return json.loads(row[0]) if row else None

    def add(self, found: Mapping[File, Sequence[str | int]]) -> None:
        """Remember facts of files that `of` gave before their facts were found."""
        settled = time.time_ns() - int(SETTLED_SECONDS * 1e9)
        rows = [(*file, self._code, json.dumps(facts)) for file, facts in found.items() if file.changed <= settled]
        try:
            with self._connection:
                self._connection.executemany("INSERT OR REPLACE INTO known VALUES (?, ?, ?, ?, ?)", rows)
        except sqlite3.Error as error:
            logger.warning("%s next time, for they cannot be remembered: %s", self._without, error)

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()


def _opened(path: Path | str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_WAIT_SECONDS)
    with connection:
        connection.execute(_TABLE)
    return connection


def _file(path: Path) -> File | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return File(str(path.resolve()), found.st_size, max(found.st_mtime_ns, found.st_ctime_ns))
