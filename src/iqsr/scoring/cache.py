"""A cache of scores in an SQLite file. The key is a picture's content and a metric's fingerprint.

A run that was stopped resumes from it. File names and times are not part of the key: a picture that was moved keeps
its scores, one that was changed has none.
"""

import ast
import hashlib
import logging
import sqlite3
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from math import isnan
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import Self

from iqsr.errors import IqsrError
from iqsr.io.hashes import content_hash
from iqsr.io.weights import cache_folder, known_weights

_APPLICATION = 0x69717372  # "iqsr", in SQLite's header
_FORMAT = 1
_WAIT_SECONDS = 60.0
_OTHER = "use another file (--cache FILE), or none (--no-cache)"
_PACKAGE = Path(__file__).parents[1]
logger = logging.getLogger(__name__)

# Hashes and names stand once, as text; a score is four small numbers.
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS pictures (id INTEGER PRIMARY KEY, hash TEXT NOT NULL UNIQUE)",
    "CREATE TABLE IF NOT EXISTS metrics (id INTEGER PRIMARY KEY, name TEXT NOT NULL, fingerprint TEXT NOT NULL, "
    "UNIQUE (name, fingerprint))",
    "CREATE TABLE IF NOT EXISTS scores (metric INTEGER NOT NULL REFERENCES metrics, "
    "picture INTEGER NOT NULL REFERENCES pictures, reference INTEGER NOT NULL REFERENCES pictures, "
    "value REAL NOT NULL, PRIMARY KEY (metric, picture, reference)) WITHOUT ROWID",
    f"PRAGMA application_id = {_APPLICATION}",
    f"PRAGMA user_version = {_FORMAT}",
)
_WANTED = "CREATE TEMP TABLE wanted (n INTEGER PRIMARY KEY, picture, reference, metric, fingerprint)"
_FIND = """
    SELECT n, value FROM wanted
    JOIN metrics ON metrics.name = wanted.metric AND metrics.fingerprint = wanted.fingerprint
    JOIN pictures AS p ON p.hash = wanted.picture
    JOIN pictures AS r ON r.hash = wanted.reference
    JOIN scores ON scores.metric = metrics.id AND scores.picture = p.id AND scores.reference = r.id
"""
_ADD = """
    INSERT OR REPLACE INTO scores (metric, picture, reference, value) VALUES (
        (SELECT id FROM metrics WHERE name = ? AND fingerprint = ?),
        (SELECT id FROM pictures WHERE hash = ?), (SELECT id FROM pictures WHERE hash = ?), ?)
"""


@dataclass(frozen=True)
class CacheKey:
    """The key of a score: all that it depends on."""

    picture: str
    """`content_hash` of the picture's file."""
    reference: str
    """`content_hash` of the reference's file; "" for a no-reference metric."""
    metric: str
    """The metric's name, as on its card."""
    fingerprint: str
    """`metric_fingerprint` of the metric."""


class ScoreCache:
    """Scores in an SQLite file, which is made when missing. Close it, or use it as a context manager.

    Writes are transactions, also under a kill or a power cut. Several processes can use one file at once; each waits
    up to a minute for another. A connection belongs to the thread that opened it.

    Raises IqsrError, with the remedy, for a file that is damaged, of another program, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        with self._asking():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self.path, timeout=_WAIT_SECONDS, isolation_level=None)
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise

    def get(self, keys: Sequence[CacheKey]) -> dict[CacheKey, float]:
        """The scores that are in the cache, by key."""
        rows = [(n, k.picture, k.reference, k.metric, k.fingerprint) for n, k in enumerate(keys)]
        with self._asking():
            self._connection.execute("DELETE FROM wanted")
            self._connection.execute("BEGIN")
            try:
                self._connection.executemany("INSERT INTO wanted VALUES (?, ?, ?, ?, ?)", rows)
                found: list[tuple[int, float]] = self._connection.execute(_FIND).fetchall()
            finally:
                self._connection.execute("COMMIT")
        return {keys[n]: value for n, value in found}

    def put(self, values: Mapping[CacheKey, float]) -> None:
        """Add or replace scores in one transaction. Raises ValueError for NaN."""
        for key, value in values.items():
            if isnan(value):
                raise ValueError(f"NaN is not a score ({key.metric})")
        pictures = {(text,) for key in values for text in (key.picture, key.reference)}
        metrics = {(key.metric, key.fingerprint) for key in values}
        rows = [(k.metric, k.fingerprint, k.picture, k.reference, float(value)) for k, value in values.items()]
        with self._asking(), self._transaction():
            self._connection.executemany("INSERT OR IGNORE INTO pictures (hash) VALUES (?)", pictures)
            self._connection.executemany("INSERT OR IGNORE INTO metrics (name, fingerprint) VALUES (?, ?)", metrics)
            self._connection.executemany(_ADD, rows)

    def __len__(self) -> int:
        """The number of scores."""
        with self._asking():
            count: int = self._connection.execute("SELECT COUNT(*) FROM scores").fetchone()[0]
        return count

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _prepare(self) -> None:
        # Not WAL: its shared memory does not work across the machines of a network file system.
        self._connection.execute("PRAGMA temp_store = MEMORY")
        with self._transaction():
            tables: int = self._connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
            owner: int = self._connection.execute("PRAGMA application_id").fetchone()[0]
            written: int = self._connection.execute("PRAGMA user_version").fetchone()[0]
            if tables and owner != _APPLICATION:
                raise IqsrError(f"'{self.path}' is a database of something else; {_OTHER}")
            if written > _FORMAT:
                raise IqsrError(f"the score cache '{self.path}' was made by a newer iqsr; update, or {_OTHER}")
            if written < _FORMAT:
                for statement in _SCHEMA:
                    self._connection.execute(statement)
        self._connection.execute(_WANTED)

    @contextmanager
    def _transaction(self) -> Generator[None]:
        """A transaction. It takes the write lock at the start, so that two writers cannot wait for each other."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    @contextmanager
    def _asking(self) -> Generator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:  # locked, read-only, no such folder, disk full
            raise IqsrError(f"cannot use the score cache '{self.path}': {error}; {_OTHER}") from None
        except OSError as error:
            raise IqsrError(f"cannot use the score cache '{self.path}': {error.strerror or error}; {_OTHER}") from None
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:  # perhaps somebody's photo: never say "delete it"
                raise IqsrError(f"'{self.path}' is not a score cache, or a damaged one; {_OTHER}") from None
            raise IqsrError(
                f"the score cache '{self.path}' is damaged ({error}); delete it, scores will be computed again"
            ) from None


def default_cache() -> Path:
    """The default cache: `$IQSR_CACHE/scores.sqlite`, or in the user's cache folder."""
    return cache_folder() / "scores.sqlite"


def writable_default_cache() -> Path | None:
    """`default_cache`, or None, with a warning, if it cannot be written."""
    path = default_cache()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=path.parent):  # as SQLite will do for its journal
            pass
        if path.exists():
            path.open("r+b").close()
    except OSError as error:
        why = error.strerror or error
        logger.warning("scores are not remembered, for '%s' cannot be written: %s (see --cache)", path, why)
        return None
    return path


def metric_fingerprint(name: str, *, precision: str = "fp32") -> str:
    """A hash of all that a metric's value depends on besides the pictures. Cached scores count only if theirs is equal.

    It covers the weights, the code that computes the metric (iqsr's, without comments and docstrings, or pyiqa's
    version), the code that decodes pictures, and the precision; not the device, which changes the last digits only.
    Raises UnknownNameError.
    """
    from iqsr.metrics import card

    about = card(name)
    parts = [about.name, precision, *_code(about.provider), *map(_weights_hash, about.weights)]
    if about.package_data and (shipped := _PACKAGE / "metrics" / about.package_data).is_file():
        parts.append(content_hash(shipped))
    if about.weights_file:
        parts.append(content_hash(Path(about.weights_file)))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


@cache
def _code(provider: str) -> tuple[str, ...]:
    """Hashes of the code that decodes pictures and of the code that computes a provider's metrics."""
    reading = (code_hash("images", "read.py"), code_hash("images", "alpha.py"))
    if provider == "pyiqa":
        return (*reading, _version("pyiqa"), code_hash("metrics", "toolbox*.py"))
    if provider == "cvvdp":
        return (*reading, _version("cvvdp"), code_hash("metrics", "cvvdp.py"))
    if provider != "iqsr":
        return (*reading, _version(provider), code_hash("metrics", f"{provider}.py"))
    return (*reading, code_hash("metrics", "*.py"))


def _weights_hash(name: str) -> str:
    """SHA-256 of the weight file that would be loaded: the published one (checked on loading), else the file's own."""
    from iqsr.metrics.requirements import unpublished_file

    if (file := unpublished_file(name)) is not None:
        return content_hash(file)
    listed = known_weights().get(name)
    return f"{name} absent" if listed is None else listed.sha256


def _version(package: str) -> str:
    """Name and version of a package, or that it is absent, which its metrics report when they are loaded."""
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"{package} absent"


@cache
def code_hash(folder: str, pattern: str) -> str:
    """Hash of the syntax trees, without docstrings, of the files of `iqsr/folder`."""
    digest = hashlib.sha256()
    for file in sorted((_PACKAGE / folder).glob(pattern)):
        digest.update(f"{file.name}\n{meaning(file.read_text(encoding='utf-8'))}\n".encode())
    return digest.hexdigest()


def meaning(source: str) -> str:
    """The syntax tree of Python source, the same for sources that differ in layout, comments and docstrings only."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.__dict__["body"] = [part for part in body if not _is_bare_string(part)]
    return ast.dump(tree)


def _is_bare_string(node: object) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
