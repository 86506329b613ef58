"""The process that serves a study: its port, its connections, its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from iqsr.errors import IqsrError, UsageError

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000
_SHORTEST_TOKEN = 16


@dataclass(frozen=True)
class Addresses:
    """Where a study is served."""

    base: str
    """http://HOST:PORT"""
    open_link: str | None
    """The link that hands out seats."""
    seats: dict[str, str]
    """Seat -> the link of its rater."""
    admin: str
    admin_token: str
    loopback: bool
    """Whether only this machine reaches it."""


def serve(
    study: Path,
    *,
    host: str = DEFAULT_HOST,
    port: int = DEFAULT_PORT,
    database: str | None = None,
    open_link: bool = False,
    admin_token: str | None = None,
    on_start: Callable[[Addresses], None] | None = None,
    on_progress: Callable[[str], None] | None = None,
) -> None:
    """Serve a study until SIGINT or SIGTERM. Every vote that was acknowledged is on the disk.

    Args:
        study: The study's folder, from `iqsr.study.create`.
        host: The address to listen on. Others than loopback belong behind a reverse proxy with TLS.
        port: 0 takes a free one.
        database: postgresql://USER@HOST/NAME; None is SQLite's file `votes.sqlite` in the folder.
        open_link: Whether `/` hands out seats to whoever comes.
        admin_token: What opens `/admin`, 16 characters or more. None: one derived from the study's key.
        on_start: Called with the links once the port is open.
        on_progress: Called with one line when the number of answers has changed, at most once a second.

    Raises:
        UsageError: The folder is no study, the database is another study's, the token is too short.
        IqsrError: The port is in use, the database cannot be opened, the extra `study` is not installed.
    """
    try:
        from iqsr.study.server.app import create_app
        from iqsr.study.server.process import addresses, listening, run
        from iqsr.study.server.served import open_study
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("iqsr"):
            raise
        raise IqsrError(f"serving a study needs {error.name}: pip install 'iqsr[study]'") from error
    if admin_token is not None and len(admin_token) < _SHORTEST_TOKEN:
        raise UsageError(f"the admin token needs {_SHORTEST_TOKEN} characters or more")
    opened = open_study(study, database)
    try:
        app = create_app(opened, open_link=open_link, admin_token=admin_token)
        with listening(host, port) as server_socket:
            if on_start is not None:
                on_start(addresses(opened, server_socket, host, open_link, admin_token))
            run(app, opened, server_socket, on_progress)
    finally:
        opened.database.close()
