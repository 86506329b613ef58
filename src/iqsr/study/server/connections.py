"""Connections that do not block others: clients must send and read within a time, and only so many may be idle.

uvicorn waits for a request's headers, and for a client to read its answer, as long as the client likes. Clients that
send or read a byte now and then (slow loris) would use up the files that the process may open.
"""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

WAIT_SECONDS = 20
"""From the connection, or the end of an answer, to the end of the next request's headers."""
READ_SECONDS = 60
"""How long a client may leave what was sent unread, where more is to be sent."""
MOST_WAITING = 512
"""Connections without a request. With one more, the one that has been waiting for the longest is closed."""

_waiting: dict[ImpatientProtocol, None] = {}
"""In the order in which they began to wait."""


class ImpatientProtocol(H11Protocol):
    """uvicorn's protocol with deadlines."""

    _waits: asyncio.TimerHandle | None = None
    _writes: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Wait for a request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Wait for the rest of the headers; or no longer, where a request has begun."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self._wait()

    def pause_writing(self) -> None:
        """Wait for the client to read."""
        super().pause_writing()
        self._writes = self.loop.call_later(READ_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has read."""
        self._stop_writing()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._stop_waiting()
        self._stop_writing()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._waits is not None:
            return
        self._waits = self.loop.call_later(WAIT_SECONDS, self._wait_no_longer)
        _waiting[self] = None
        if len(_waiting) > MOST_WAITING:
            next(iter(_waiting))._give_up()

    def _wait_no_longer(self) -> None:
        """Give up, unless the last answer is still being read."""
        if self.transport.get_write_buffer_size() == 0:
            self._give_up()
        else:
            self._waits = self.loop.call_later(WAIT_SECONDS, self._wait_no_longer)

    def _give_up(self) -> None:
        self._stop_waiting()
        self.transport.abort()

    def _stop_waiting(self) -> None:
        if self._waits is not None:
            self._waits.cancel()
            self._waits = None
            _waiting.pop(self, None)

    def _stop_writing(self) -> None:
        if self._writes is not None:
            self._writes.cancel()
            self._writes = None
