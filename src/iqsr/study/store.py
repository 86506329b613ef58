"""The database of a study that is served: SQLite in the study's folder, or PostgreSQL.

What raters do is stored as events, which are only ever added: a vote, or the undoing of one. The answer to a trial is
its last event. Only a withdrawal deletes.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import ForeignKey, String, Text, UniqueConstraint, create_engine, event
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from iqsr.errors import IqsrError, UsageError

BUSY_TIMEOUT_SECONDS = 30.0
"""How long a writer waits for another process that writes to the same SQLite file."""
_WRITES = "iqsr_writes"
T = TypeVar("T")


class Base(DeclarativeBase):
    """The tables."""


class StudyRow(Base):
    """The one study of this database."""

    __tablename__ = "study"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    design_sha256: Mapped[str] = mapped_column(String(64))
    key_fingerprint: Mapped[str] = mapped_column(String(64))
    """Tells whether the links come from the key that lies in the folder."""


class RaterRow(Base):
    """One person at one seat. A seat that is given to someone else gets another row and another link."""

    __tablename__ = "raters"
    __table_args__ = (UniqueConstraint("seat", "generation"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    """What the table of votes calls the rater."""
    seat: Mapped[str] = mapped_column(String(200), index=True)
    generation: Mapped[int]
    """1 for the seat's first rater, 2 for the one after a withdrawal."""
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    joined_at: Mapped[str | None] = mapped_column(String(32))
    """When the link was first opened, or handed out. Times are ISO 8601, UTC."""
    consented_at: Mapped[str | None] = mapped_column(String(32))
    before_at: Mapped[str | None] = mapped_column(String(32))
    """When the questions before the rating were answered."""
    after_at: Mapped[str | None] = mapped_column(String(32))
    withdrawn_at: Mapped[str | None] = mapped_column(String(32))
    replaced_at: Mapped[str | None] = mapped_column(String(32))
    """When the seat was handed out again because nobody had begun."""


class TrialRow(Base):
    """One trial that a rater was given."""

    __tablename__ = "trials"

    rater_id: Mapped[int] = mapped_column(ForeignKey("raters.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    trial: Mapped[str] = mapped_column(String(200))
    picture: Mapped[str] = mapped_column(Text)
    shown: Mapped[str] = mapped_column(Text)
    """JSON: the methods in the order of display."""
    kind: Mapped[str] = mapped_column(String(16))


class EventRow(Base):
    """A vote, or the undoing of one. Never changed."""

    __tablename__ = "events"
    __table_args__ = (UniqueConstraint("rater_id", "key"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    rater_id: Mapped[int] = mapped_column(ForeignKey("raters.id"), index=True)
    trial: Mapped[str] = mapped_column(String(200))
    kind: Mapped[str] = mapped_column(String(8))
    """vote or undo."""
    key: Mapped[str | None] = mapped_column(String(64))
    """Made by the rater's browser: the same request sent twice has the same key."""
    choice: Mapped[int | None]
    """Place in the order of display. None in a vote: no difference."""
    strength: Mapped[str] = mapped_column(String(16), default="")
    seconds: Mapped[float | None]
    zoom: Mapped[float | None]
    viewport_width: Mapped[int | None]
    viewport_height: Mapped[int | None]
    pixel_ratio: Mapped[float | None]
    at: Mapped[str] = mapped_column(String(32))


class AnswerRow(Base):
    """The answer to one question of the questionnaire."""

    __tablename__ = "answers"

    rater_id: Mapped[int] = mapped_column(ForeignKey("raters.id"), primary_key=True)
    part: Mapped[str] = mapped_column(String(8), primary_key=True)
    """before or after."""
    question: Mapped[str] = mapped_column(String(200), primary_key=True)
    value: Mapped[str] = mapped_column(Text)
    """JSON."""


class ParticipantRow(Base):
    """How a crowd platform calls a rater. In a table of its own: no vote and no answer names it."""

    __tablename__ = "participants"

    pid: Mapped[str] = mapped_column(String(200), primary_key=True)
    rater_id: Mapped[int] = mapped_column(ForeignKey("raters.id"), unique=True)


class Database:
    """Sessions that read, and changes that are on the disk when `write` returns."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._writer = engine.execution_options(**{_WRITES: True})
        self._turn = threading.Lock()
        self._waiting: deque[_Change[Any]] = deque()

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is a file."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def reading(self) -> Generator[Session]:
        """A session that sees one state and changes nothing."""
        with Session(self.engine) as session:
            yield session

    def write(self, action: Callable[[Session], T]) -> T:
        """Do something in a session of its own, and commit it.

        SQLite has one writer, and waits for the disk at each commit: of the threads that come meanwhile, the next one
        does what all of them want in one transaction, each in a savepoint. PostgreSQL does so by itself.

        Args:
            action: What to do. An exception takes back what it did, and is raised here.

        Returns:
            What the action returned, once it is committed.
        """
        if not self.is_sqlite:
            with Session(self._writer, expire_on_commit=False) as session, session.begin():
                return action(session)
        change = _Change(action)
        self._waiting.append(change)
        with self._turn:
            if not change.is_over:
                self._write_all()
        return change.result()

    def _write_all(self) -> None:
        """Do and commit all that is waiting."""
        changes = [self._waiting.popleft() for _ in range(len(self._waiting))]
        try:
            with self._writer.connect() as connection, connection.begin():
                for change in changes:
                    change.run(connection)
        except BaseException as error:
            for change in changes:
                change.fail(error)
            raise
        for change in changes:
            change.is_over = True

    def forget(self) -> None:
        """Take what was deleted out of SQLite's log too. A reader in the way delays it to the next checkpoint."""
        if self.is_sqlite:
            with self._turn, self.engine.connect() as connection:
                connection.rollback()
                raw: Any = connection.connection.driver_connection
                raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


class _Change(Generic[T]):
    """One action among those that are committed together."""

    def __init__(self, action: Callable[[Session], T]) -> None:
        self.is_over = False
        self._action = action
        self._value: T | None = None
        self._error: BaseException | None = None

    def run(self, connection: Connection) -> None:
        """Do it in a savepoint."""
        mode = "create_savepoint"
        try:
            with Session(connection, join_transaction_mode=mode, expire_on_commit=False) as session, session.begin():
                self._value = self._action(session)
        except Exception as error:  # noqa: BLE001  (raised where the action came from)
            self._error = error

    def fail(self, error: BaseException) -> None:
        """The commit failed."""
        self._error, self.is_over = self._error or error, True

    def result(self) -> T:
        """What the action returned; or what it raised, or the commit."""
        if self._error is not None:
            raise self._error
        return cast("T", self._value)


def database_url(database: str | None, folder: Path) -> URL:
    """The URL of a study's database: `database`, or SQLite's file in the folder. Raises UsageError."""
    if database is None:
        return URL.create("sqlite", database=str(folder / "votes.sqlite"))
    try:
        url = make_url(database)
    except ArgumentError:
        raise UsageError("--database takes a URL: postgresql://USER@HOST/NAME or sqlite:///FILE") from None
    if url.get_backend_name() in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:"):
        return url.set(drivername="sqlite")
    raise UsageError(f"--database takes postgresql://USER@HOST/NAME or sqlite:///FILE, not '{url.render_as_string()}'")


def open_database(url: URL) -> Database:
    """Connect, and bring the schema up to date.

    Raises:
        IqsrError: nobody answers, access is refused, or the schema is newer than this version knows.
    """
    from iqsr.study.migrate import migrate

    engine = _engine(url)
    database = Database(engine)
    try:
        with engine.execution_options(**{_WRITES: True}).begin() as connection:
            migrate(connection)
    except OperationalError as error:
        engine.dispose()
        reason = " ".join(str(error.orig).split())
        raise IqsrError(f"the database {url.render_as_string()} cannot be opened: {reason}") from None
    except IqsrError:
        engine.dispose()
        raise
    return database


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_SECONDS}, pool_size=16, max_overflow=48)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    return create_engine(url, pool_size=16, max_overflow=16, pool_pre_ping=True, connect_args={"connect_timeout": 10})


def _prepare_sqlite(connection: Any, record: object) -> None:
    """Readers and the writer side by side, commits that survive a power failure, deleted text overwritten."""
    connection.isolation_level = None  # transactions begin where _begin_sqlite says
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "fullfsync=ON", "foreign_keys=ON", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: Connection) -> None:
    """Writers take the lock at once: one that first reads could not have it later."""
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
