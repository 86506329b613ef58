"""A real PostgreSQL for tests: a cluster of its own in a temporary folder, reached by a socket in it."""

import getpass
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

_OWNERS = ("postgres", "nobody")
"""Whose the server may be where root runs the tests: it refuses to run as root."""


class PostgreSQL:
    """A cluster that runs.

    Args:
        folder: With its data and its socket.
        user: The superuser's name.
    """

    def __init__(self, folder: Path, user: str) -> None:
        self._folder = folder
        self._user = user

    def url(self, database: str = "postgres") -> str:
        """Of a database of the cluster."""
        return f"postgresql://{self._user}@/{database}?host={self._folder}"

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of an empty database, which is dropped at the end."""
        name = f"study_{uuid4().hex}"
        self.execute(f"CREATE DATABASE {name}")
        try:
            yield self.url(name)
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def execute(self, statement: str) -> None:
        """As superuser, outside of transactions."""
        import psycopg

        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement.encode())


@contextmanager
def running_postgresql(fsync: str = "off") -> Iterator[PostgreSQL]:
    """A new cluster. Without PostgreSQL the test fails in CI, and is passed over elsewhere.

    fsync: off is quicker, and survives everything but a power failure.
    """
    programs = _programs()
    if programs is None:
        message = "no PostgreSQL server (Debian: postgresql)"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    owner = _owner()
    folder = Path(tempfile.mkdtemp(prefix="iqsr-pg-"))
    data = str(folder / "data")
    if owner:
        shutil.chown(folder, owner)

    def run(program: str, *arguments: str) -> None:
        command = [str(programs / program), *arguments]
        log = folder.with_suffix(".log")
        with log.open("w") as file:  # a pipe would stay open as long as the server runs
            ended = subprocess.run(command, stdout=file, stderr=file, user=owner, cwd="/", check=False)
        assert ended.returncode == 0, log.read_text()

    user = owner or getpass.getuser()
    try:
        run("initdb", "-D", data, "-U", user, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        run(
            "pg_ctl",
            "-D",
            data,
            "-w",
            "-t",
            "120",
            "-o",
            f"-k {folder} -c listen_addresses='' -c fsync={fsync}",
            "start",
        )
        try:
            yield PostgreSQL(folder, user)
        finally:
            run("pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)
        folder.with_suffix(".log").unlink(missing_ok=True)


def _programs() -> Path | None:
    """The folder of initdb and pg_ctl; Debian's are not on PATH. The newest."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if on_path := shutil.which("initdb"):
        found.append(Path(on_path).resolve().parent)
    return max(found, key=lambda path: [int(part) for part in path.parts if part.isdigit()], default=None)


def _owner() -> str | None:
    """Someone else, where root runs the tests."""
    if not hasattr(os, "getuid") or os.getuid() != 0:
        return None
    import pwd

    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in _OWNERS if name in known)
