"""What holds for every request, before any route: limits, refusal of requests of other sites, headers of answers."""

from __future__ import annotations

import asyncio
import json
import logging
from urllib.parse import urlsplit

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from iqsr.study.server.limits import Buckets, Limits, client_name

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    b"content-security-policy": CONTENT_SECURITY_POLICY.encode(),
    b"referrer-policy": b"no-referrer",
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"x-robots-tag": b"noindex, nofollow",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"cache-control": b"private, no-store",
}
_log = logging.getLogger("iqsr.study.server")
_FORMS = {b"referrer-policy": b"same-origin"}
"""Without a referrer, browsers would send the page's forms with `Origin: null`."""


class Guard:
    """ASGI middleware.

    Args:
        app: The application behind.
        limits: What clients may do.
    """

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app = app
        self._limits = limits
        self._clients = Buckets(limits.client)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the application do."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(send, scope["path"])
        refusal = self._refusal(scope)
        if refusal is None:
            body = await _read_body(receive, self._limits)
            if isinstance(body, bytes):
                refusal = await self._answered(scope, _replay(body, receive), answer)
            else:
                refusal = body
        if refusal is not None:
            await _refuse(answer, *refusal)

    async def _answered(self, scope: Scope, receive: Receive, answer: _Answer) -> tuple[int, str] | None:
        """Let the application answer; status and reason where it failed before it began to."""
        try:
            await self._app(scope, receive, answer)
        except (OperationalError, InterfaceError, PoolTimeoutError) as error:
            _log.error("the database fails: %s", " ".join(str(error).split()))
            if answer.has_begun:
                raise
            return 503, "The database fails; try again."
        except Exception:
            if not answer.has_begun:
                await _refuse(answer, 500, "The server failed; try again.")
            raise  # uvicorn prints the traceback
        return None

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Status and reason for what is refused unread."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if not self._clients.take(client_name((scope.get("client") or ("", 0))[0])):
            return 429, "Too many requests; wait a moment."
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._limits.body_bytes:
            return 413, f"At most {self._limits.body_bytes} bytes can be sent."
        if scope["method"] not in ("GET", "HEAD"):
            return _foreign(scope["path"], headers)
        return None


def _foreign(path: str, headers: dict[bytes, bytes]) -> tuple[int, str] | None:
    """Why a request that changes something does not come from a page of this server, or None."""
    site, origin = headers.get(b"sec-fetch-site"), headers.get(b"origin")
    if site is None and origin is None:
        return 403, "Requests must say which site they come from (Origin or Sec-Fetch-Site)."
    if site not in (None, b"same-origin"):
        return 403, "Requests of other sites are refused."
    if origin is not None and urlsplit(origin.decode("latin-1")).netloc != headers.get(b"host", b"").decode("latin-1"):
        return 403, "Requests of other sites are refused."
    if path.startswith("/s/"):
        if headers.get(b"content-type", b"").split(b";")[0].strip().lower() != b"application/json":
            return 415, "Send JSON (content-type: application/json)."
        if headers.get(b"x-study") != b"1":
            return 403, "The header X-Study: 1 is missing."
    return None


async def _read_body(receive: Receive, limits: Limits) -> bytes | tuple[int, str]:
    """The whole body, or status and reason where it is too long or too slow."""
    parts: list[bytes] = []
    size, more = 0, True
    try:
        async with asyncio.timeout(limits.body_seconds):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return 400, "The request ended early."
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > limits.body_bytes:
                    return 413, f"At most {limits.body_bytes} bytes can be sent."
                more = message.get("more_body", False)
    except TimeoutError:
        return 408, "The request took too long."
    return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    """The body as one message; then what comes from the client."""
    whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return whole.pop() if whole else await receive()

    return again


class _Answer:
    """Sends an answer, with the headers that every answer has."""

    def __init__(self, send: Send, path: str) -> None:
        self.has_begun = False
        self._send = send
        self._headers = HEADERS | (_FORMS if path == "/admin" else {})

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_begun = True
            given = list(message.get("headers", ()))
            names = {name.lower() for name, _ in given}
            message["headers"] = [pair for pair in self._headers.items() if pair[0] not in names] + given
        await self._send(message)


async def _refuse(send: Send, status: int, reason: str) -> None:
    body = json.dumps({"error": reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(b"connection", b"close")] + ([(b"retry-after", b"2")] if status == 429 else [])
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
