"""uvicorn, set up for a study."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI
from sqlalchemy.exc import SQLAlchemyError

from iqsr.errors import IqsrError
from iqsr.study.records import save_votes
from iqsr.study.server.connections import WAIT_SECONDS, ImpatientProtocol
from iqsr.study.server.progress import read_progress
from iqsr.study.server.run import Addresses
from iqsr.study.server.served import ServedStudy, current_raters

_BACKLOG = 2048
_SHUTDOWN_SECONDS = 5
_PROGRESS_SECONDS = 1.0
_SAVE_SECONDS = 60.0


@contextmanager
def listening(host: str, port: int) -> Generator[socket.socket]:
    """A socket that listens. Raises IqsrError if the port is in use, or the host is none of this machine's."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        opened = socket.socket(family, kind, protocol)
    except OSError as error:
        raise IqsrError(f"cannot listen on {host}: {error.strerror}") from None
    with opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            opened.bind(address)
            opened.listen(_BACKLOG)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise IqsrError(f"port {port} of {host} is in use: name another with --port") from None
            raise IqsrError(f"cannot listen on port {port} of {host}: {error.strerror}") from None
        yield opened


def addresses(
    study: ServedStudy, listener: socket.socket, host: str, open_link: bool, admin_token: str | None
) -> Addresses:
    """The links, once the port is known."""
    address = ipaddress.ip_address(listener.getsockname()[0])
    name = socket.gethostname() if address.is_unspecified else host
    shown = f"[{name}]" if ":" in name else name
    base = f"http://{shown}:{listener.getsockname()[1]}"
    with study.database.reading() as session:
        current = current_raters(session)
    seats = {
        name: f"{base}/s/{study.keys.seat_token(name, current[name].generation)}"
        for name in (seat.name for seat in study.design.seats)
    }
    return Addresses(
        base=base,
        open_link=f"{base}/" if open_link else None,
        seats=seats,
        admin=f"{base}/admin",
        admin_token=admin_token or study.keys.admin_token(),
        loopback=address.is_loopback,
    )


def run(
    app: FastAPI, study: ServedStudy, listener: socket.socket, on_progress: Callable[[str], None] | None = None
) -> None:
    """Serve until SIGINT or SIGTERM, which are raised again once the server has ended.

    `votes.csv` in the study's folder follows: at the start, once a minute, at the end.
    """
    _save(study)
    try:
        asyncio.run(_run(uvicorn_server(app), study, listener, on_progress))
    finally:
        _save(study)


def uvicorn_server(app: FastAPI) -> uvicorn.Server:
    """The server of the application, not yet started."""
    config = uvicorn.Config(
        app,
        http=ImpatientProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        timeout_keep_alive=WAIT_SECONDS,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )
    return uvicorn.Server(config)


async def _run(
    server: uvicorn.Server, study: ServedStudy, listener: socket.socket, on_progress: Callable[[str], None] | None
) -> None:
    watch = asyncio.create_task(_watch(study, on_progress))
    try:
        await server.serve(sockets=[listener])
    finally:
        watch.cancel()  # not awaited: that would swallow the cancellation that SIGINT asks for


async def _watch(study: ServedStudy, on_progress: Callable[[str], None] | None) -> None:
    """Tell the progress whenever it has changed, and save it now and then."""
    told, saved, next_save = "", "", time.monotonic() + _SAVE_SECONDS
    while True:
        # The database or the disk may be away for a while: those who ask are told.
        with contextlib.suppress(SQLAlchemyError, IqsrError):
            if (line := await asyncio.to_thread(_line, study)) != told:
                told = line
                if on_progress is not None:
                    on_progress(told)
            if told != saved and time.monotonic() > next_save:
                await asyncio.to_thread(_save, study)
                saved, next_save = told, time.monotonic() + _SAVE_SECONDS
        await asyncio.sleep(_PROGRESS_SECONDS)


def _line(study: ServedStudy) -> str:
    with study.database.reading() as session:
        return read_progress(session, study).line()


def _save(study: ServedStudy) -> None:
    with study.database.reading() as session:
        save_votes(session, study.design, study.folder)
