"""Resumable, verified downloads over HTTP(S). Besides `remote`, the only code of iqsr that opens a connection."""

import hashlib
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import cast
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from iqsr.errors import WeightsError
from iqsr.io.atomic import write_errors

_CHUNK_BYTES = 1 << 20
_TIMEOUT_SECONDS = 30.0


def download(url: str, target: Path, *, size: int, sha256: str) -> None:
    """Download a file; it appears at `target` only if its hash is right.

    An incomplete download stays beside it as `.<name>.part`, and the next call resumes it if the server can.

    Args:
        url: HTTP(S).
        target: The place of the file.
        size: Bytes of the file.
        sha256: Its hash in hexadecimal digits.

    Raises:
        WeightsError: No connection, a broken one, a refusal of the server, wrong content, or a full disk.
    """
    part = target.with_name(f".{target.name}.part")
    try:
        with write_errors(target, WeightsError):
            target.parent.mkdir(parents=True, exist_ok=True)
        if _length(part) < size:
            _receive(url, part, size)
        _verify(url, part, size, sha256)
        with write_errors(target, WeightsError):
            part.replace(target)
    except HTTPError as error:
        if error.code == 416:  # "range not satisfiable": what we have cannot be the start of this file
            part.unlink(missing_ok=True)
        raise WeightsError(f"{url}: the server answered {error.code} {error.reason}") from error
    except (OSError, HTTPException) as error:
        raise WeightsError(f"{url}: {_reason(error)}; run the same command to go on") from error


def check_reachable(host: str) -> None:
    """Raise WeightsError if `host` (a URL) does not answer within ten seconds. Any answer is enough."""
    try:
        with urlopen(Request(host, method="HEAD", headers={"User-Agent": "iqsr"}), timeout=10):
            return
    except HTTPError:
        return
    except (OSError, HTTPException) as error:
        raise WeightsError(f"{host} cannot be reached: {_reason(error)}") from error


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _receive(url: str, part: Path, size: int) -> None:
    """Download the rest of `part`, or all of it if the server cannot resume; at most `size` bytes."""
    have = _length(part)
    headers = {"User-Agent": "iqsr"} | ({"Range": f"bytes={have}-"} if have else {})
    with cast("HTTPResponse", urlopen(Request(url, headers=headers), timeout=_TIMEOUT_SECONDS)) as response:
        resumed = (response.headers["Content-Range"] or "").startswith(f"bytes {have}-")
        total = (response.headers["Content-Range" if resumed else "Content-Length"] or "").rpartition("/")[2]
        if total.isdecimal() and int(total) != size:
            part.unlink(missing_ok=True)
            raise WeightsError(f"{url}: not the published file ({total} bytes, expected {size})")
        have = have if resumed else 0
        with write_errors(part, WeightsError, of=part), part.open("ab" if resumed else "wb") as file:
            while have < size and (chunk := response.read(min(_CHUNK_BYTES, size - have))):
                with write_errors(part, WeightsError):
                    file.write(chunk)
                    file.flush()
                have += len(chunk)


def _verify(url: str, part: Path, size: int, sha256: str) -> None:
    if _length(part) < size:
        arrived = f"{_length(part)} of {size} bytes"
        raise WeightsError(f"{url}: the connection broke after {arrived}; run the same command to go on")
    with part.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        part.unlink()
        raise WeightsError(f"{url}: not the published file (SHA-256 {found}, expected {sha256})")


def _reason(error: BaseException) -> str:
    """One line for a failed connection or write; `URLError` hides the cause in `reason`."""
    inner = getattr(error, "reason", None) or error
    return str(getattr(inner, "strerror", None) or inner or type(error).__name__).splitlines()[0]
