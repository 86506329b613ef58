"""The server of a study in a thread, on a port of its own, and clients that speak HTTP badly."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from iqsr.study.server.app import create_app
from iqsr.study.server.limits import Limits
from iqsr.study.server.process import listening, uvicorn_server
from iqsr.study.server.served import ServedStudy


@contextmanager
def listening_server(study: ServedStudy, limits: Limits | None = None) -> Iterator[int]:
    """Yields the port."""
    with listening("127.0.0.1", 0) as listener:
        server = uvicorn_server(create_app(study, limits=limits))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def connect(port: int, request: bytes = b"") -> socket.socket:
    """A connection on which the bytes were sent."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    connection.sendall(request)
    return connection


def is_closed(connection: socket.socket, within_seconds: float = 60) -> bool:
    """Whether the other side closes the connection; what it sends before is not looked at."""
    connection.settimeout(within_seconds)
    try:
        while connection.recv(65536):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    return True
