"""Clients that send or read too slowly are closed, and never keep others waiting."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from iqsr.study.server import connections
from iqsr.study.server.limits import Limits
from support.study_clients import Served
from support.study_processes import connect, is_closed, listening_server

HALF = b"GET / HTTP/1.1\r\nHost: study\r\nX-Slow"
BODY = b"POST /admin HTTP/1.1\r\nHost: study\r\nSec-Fetch-Site: same-origin\r\nContent-Length: 50\r\n\r\ntok"
PATIENCE = 60


@pytest.fixture
def port(sqlite_served: Served) -> Iterator[int]:
    with listening_server(sqlite_served.study, Limits(body_seconds=0.5)) as port:
        yield port


def is_served(port: int) -> bool:
    return httpx.get(f"http://127.0.0.1:{port}/static/page.css", timeout=PATIENCE).status_code == 200


def test_slow_headers_keep_nobody_waiting(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST_WAITING", 20)
    with ExitStack() as opened:
        slow = [opened.enter_context(connect(port, HALF)) for _ in range(100)]
        assert is_served(port)
        assert all(is_closed(connection) for connection in slow[:70]), "those that have been waiting for the longest"
        assert is_served(port)


def test_headers_that_do_not_end_are_given_up(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "WAIT_SECONDS", 0.5)
    with connect(port, HALF) as slow, connect(port) as silent:
        until = time.monotonic() + PATIENCE
        try:
            while time.monotonic() < until:
                slow.sendall(b"x")
                time.sleep(0.1)
        except ConnectionError:
            pass
        assert time.monotonic() < until, "a byte now and then is not enough"
        assert is_closed(silent)


def test_a_connection_without_a_further_request_is_closed(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "WAIT_SECONDS", 0.5)
    with connect(port, b"GET /static/page.css HTTP/1.1\r\nHost: study\r\n\r\n") as idle:
        assert is_closed(idle)


def test_bodies_that_do_not_end_are_refused(port: int) -> None:
    with connect(port, BODY) as slow:
        assert is_served(port)
        assert b" 408 " in slow.recv(65536).split(b"\r\n")[0]
        assert is_closed(slow)


def test_clients_that_do_not_read_are_given_up(sqlite_served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "READ_SECONDS", 0.5)
    study, rater = sqlite_served.study, sqlite_served.rater()
    url = rater.begin()["trial"]["pictures"][0]
    trial = study.seat("r00").trials[0]
    path = study.picture_file(trial.picture, trial.shown[0])
    path.write_bytes(path.read_bytes() + bytes(50_000_000))
    with listening_server(study) as port, socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", port))
        deaf.sendall(f"GET {url} HTTP/1.1\r\nHost: study\r\n\r\n".encode())
        assert is_served(port)
        time.sleep(2)
        received = 0
        with pytest.raises(ConnectionError):  # noqa: PT012
            while data := deaf.recv(65536):
                received += len(data)
            raise ConnectionResetError
        assert received < 50_000_000


@pytest.mark.parametrize(
    "request_", [b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20_000]
)
def test_what_is_no_http_is_refused(port: int, request_: bytes) -> None:
    with connect(port) as odd:
        try:
            odd.sendall(request_ + b"\r\n\r\n")
            assert odd.recv(65536).startswith(b"HTTP/1.1 400 ")
        except ConnectionError:
            pass  # closed before all was sent
        assert is_served(port)
