"""How stores (S3, Google Cloud Storage and others that fsspec knows) are asked, and what they answer.

fsspec and the package of the store are imported when a URL is used.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from shlex import quote
from typing import Any

from iqsr.errors import IqsrError, StoreError, UsageError
from iqsr.io.urls import is_url, scheme_of, url_of

BUCKETS = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss"})
"""Kinds of URLs whose host is a bucket. An object in it appears whole or not at all."""
WEB = frozenset({"http", "https"})
"""Kinds of URLs that are only read, and whose folders are rarely listed."""
STORES = BUCKETS | WEB | {"memory", "file", "sftp", "ssh", "smb", "hdfs", "webhdfs", "oss", "oci"}
"""Kinds of URLs that can name pictures. Others, such as those of databases, are arguments of another sort."""
WHOLE = BUCKETS | {"memory"}
"""Kinds of stores in which a file that is half sent is not there."""
_MARKS = ("ETag", "md5Hash", "crc32c", "etag", "mtime", "LastModified", "last_modified", "updated", "created")
"""What stores say of a file that changes with its content; the surest first."""
CONTENT = ("ETag ", "md5Hash ", "crc32c ")
"""How marks begin that are the same for the same content."""
_PATIENCE = 3
"""How often in a row a store may not answer, each time after all repetitions of fsspec."""
_unanswered = 0
_unanswered_at = 0.0
"""When the last failure that counts became known, in seconds of `time.monotonic`."""
_lock = threading.Lock()


class NoRightError(StoreError):
    """The user may not do this in the store."""


@dataclass(frozen=True)
class Entry:
    """What the store says of a file."""

    size: int | None
    """In bytes, where it is known."""
    mark: str
    """What changes with the content, after what the store calls it; empty where the store has none."""


def opened(place: Path) -> tuple[Any, str]:
    """The file system of a place, and the name that the file has there."""
    url = url_of(place) or ""
    fs = _file_system(scheme_of(url), url.split("/")[2])
    fs.invalidate_cache()  # what was listed is remembered here, and asked anew where it matters
    return fs, str(fs._strip_protocol(url))


@cache
def _file_system(scheme: str, host: str) -> Any:
    from fsspec.core import url_to_fs
    from fsspec.registry import known_implementations

    known = known_implementations.get(scheme, {})
    try:
        fs, _ = url_to_fs(f"{scheme}://{host}")
    except ImportError as error:
        package = str(known.get("class", "")).split(".")[0]
        advice = str(error).splitlines()[0] if package in ("", "fsspec") else f"pip install {package}"
        raise UsageError(f"{scheme}:// needs a package that is not installed: {advice}") from None
    except ValueError as error:
        raise UsageError(f"cannot use {scheme}:// URLs: {line_of(error)}") from None
    except Exception as error:  # noqa: BLE001 - each store has its own
        raise StoreError(f"cannot use '{scheme}://{host}': {line_of(error)}") from None
    return fs


def check_bucket(place: Path) -> None:
    """UsageError where the bucket of a place does not exist."""
    url = url_of(place) or ""
    if scheme_of(url) in BUCKETS:
        _check_bucket(scheme_of(url), url.split("/")[2])


@cache
def _check_bucket(scheme: str, host: str) -> None:
    fs = _file_system(scheme, host)
    with asking(f"cannot read '{scheme}://{host}'"):
        try:
            fs.info(host)  # not `exists`, which says no wherever it gets no answer
        except PermissionError:
            return  # perhaps only a part of it is for this user
        except FileNotFoundError:
            raise UsageError(f"there is no bucket '{scheme}://{host}'") from None


def check_writable(place: Path) -> None:
    """UsageError where the bucket of a place does not exist, or the URL is of a kind that is only read."""
    if scheme_of(url_of(place) or "") in WEB:
        raise UsageError(f"cannot write '{place}': such a URL is only read")
    check_bucket(place)
    opened(place)


def copy_line(source: str, target: str) -> str:
    """The command line that copies a file, a folder or what matches a pattern between a store and this disk.

    One of the two is a URL; a pattern is a source whose target is a folder. A name with a suffix is taken for a file
    where that matters.
    """
    url, other = (source, target) if is_url(source) else (target, source)
    is_file = bool(Path(source).suffix) and not source.endswith("/")
    if scheme_of(url) in ("s3", "s3a"):
        return _aws_line(*(re.sub("^s3a://", "s3://", text) for text in (source, target)), is_file=is_file)
    of_pattern = without_wildcards(url) != url
    place = json.dumps(f"{other}/" if of_pattern else other)
    made = f"import os; os.makedirs({place}, exist_ok=True); " if of_pattern else ""
    step = f"get(p, {place}" if url == source else f"put({place}, p"
    recursive = "" if scheme_of(url) in WEB and is_file else ", recursive=True"  # web servers rarely list
    code = f"{made}import fsspec; fs, p = fsspec.url_to_fs({json.dumps(url)}); fs.{step}{recursive})"
    return f"python -c {quote(code)}"


def _aws_line(source: str, target: str, *, is_file: bool) -> str:
    """The line for the program `aws`, which takes wildcards as an option only; its `*` also matches slashes."""
    top = without_wildcards(source) if is_url(source) else source
    if top == source:
        return f"aws s3 cp {'' if is_file else '--recursive '}{quote(source)} {quote(target)}"
    pattern = source.removeprefix(f"{top}/").replace("**/", "*").replace("**", "*")
    only = f"--exclude {quote('*')} --include {quote(pattern)}"
    return f"aws s3 cp --recursive {only} {quote(top)} {quote(target)}"


def without_wildcards(url: str) -> str:
    """The folder where the wildcards of a URL begin; the URL itself where it has none after its host."""
    parts = url.split("/")
    first = next((i for i, part in enumerate(parts) if i > 2 and set(part) & set("*?[")), None)
    return url if first is None else "/".join(parts[:first])


def entry_of(info: dict[str, Any]) -> Entry:
    """The entry in an answer of fsspec."""
    known = next((key for key in _MARKS if info.get(key)), None)
    if known is None:
        return Entry(info.get("size"), "")
    value = info[known]
    return Entry(info.get("size"), f"{known} {value.timestamp() if isinstance(value, datetime) else value}")


def is_other(now: Entry, before: Entry) -> bool:
    """Whether a file has changed between two answers of the store, which need not tell the same things."""
    kinds = {now.mark.split(" ")[0], before.mark.split(" ")[0]}
    changed_size = None not in (now.size, before.size) and now.size != before.size
    return changed_size or (len(kinds) == 1 and now.mark != before.mark)


@contextmanager
def asking(
    cannot: str, error_class: type[IqsrError] = StoreError, *, denied: type[IqsrError] | None = None
) -> Generator[None]:
    """Turn what a store's library raises into one line. FileNotFoundError is left as it is.

    Where the store has not answered several times in a row, it is a StoreError: what is asked next will fail, too.
    What several threads asked at the same time counts once: one short outage meets them all.

    Args:
        cannot: What fails, such as `cannot read 'NAME'`.
        error_class: The class of the error.
        denied: The class where the user has no right; by default `error_class`.
    """
    global _unanswered
    begun = time.monotonic()
    try:
        yield
    except (FileNotFoundError, IqsrError):
        _unanswered = 0
        raise
    except PermissionError as error:
        _unanswered = 0
        why = f"you have no right to ({line_of(error)}): check your credentials"
        raise (denied or error_class)(f"{cannot}: {why}") from None
    except Exception as error:  # noqa: BLE001 - each store has its own
        times = _count_unanswered(begun)
        if times < _PATIENCE:
            raise error_class(f"{cannot}: {line_of(error)}; try again") from None
        raise StoreError(f"{cannot}: {line_of(error)}; the store failed {times} times: try again later") from None
    else:
        _unanswered = 0


def _count_unanswered(begun: float) -> int:
    """Count a failure unless it was asked before the last one was known; returns how many there are in a row."""
    global _unanswered, _unanswered_at
    with _lock:
        if begun >= _unanswered_at or not _unanswered:
            _unanswered += 1
            _unanswered_at = time.monotonic()
        return _unanswered


def line_of(error: Exception) -> str:
    """The first line of what an error says."""
    text = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return text.strip().splitlines()[0].rstrip(".")
