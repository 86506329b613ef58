"""URLs of files in stores, such as `s3://bucket/photo.jpg`, and the places on this disk that stand for them.

The place of a URL is a path below a folder of this process: `.../s3/bucket/photo.jpg`. Paths are joined, compared and
renamed there as anywhere else; `iqsr.io.remote` copies the file to its place when it is read, and to the store when it
is written. `shown` puts the URLs back into what users read.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import tempfile
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

from iqsr.errors import IqsrError, UsageError
from iqsr.io.locks import LOCK_FILE, FolderLock
from iqsr.io.places import is_file_name

_URL = re.compile(r"([a-z][a-z0-9+.-]+)://(.*)", re.DOTALL)  # two letters or more: C:// is a disk
_NO_HOST = "@"
"""Stands for the host of `file:///photo.jpg`; no host is called that."""
_HERE = "@here"
"""Stands before places of this disk that no URL has; no kind of URL is called that."""
_NEW_SECONDS = 60.0
_root: Path | None = None


def is_url(text: str | Path) -> bool:
    """Whether a text is written as a URL, of whatever kind."""
    return _URL.match(str(text)) is not None


def scheme_of(url: str) -> str:
    """What stands before `://`; empty where nothing does."""
    form = _URL.match(url)
    return form[1] if form else ""


def place_of(url: str) -> Path:
    """The path that stands for a URL.

    UsageError for one with a password, or with names that no file can have, such as `..`.
    """
    form = _URL.match(url)
    if form is None:
        raise UsageError(f"'{url}' is no URL")
    host, _, key = form[2].partition("/")
    if form[1] == "memory" and not host:  # memory:///a is memory://a
        host, _, key = key.partition("/")
    if ":" in host.rpartition("@")[0]:
        raise UsageError(f"a password in a URL would stand in every table: leave it out of '{form[1]}://...'")
    names = key.removesuffix("/").split("/") if key else []
    if not all(map(is_file_name, [host or _NO_HOST, *names])):
        raise UsageError(f"'{url}': a name in it is empty, or cannot be a file's")
    return _folder().joinpath(form[1], host or _NO_HOST, *names)


def url_of(path: Path) -> str | None:
    """The URL that a path stands for; None for every other path."""
    if _root is None or not path.is_relative_to(_root):
        return None
    parts = path.relative_to(_root).parts
    if len(parts) < 2 or parts[0] == _HERE:
        return None
    host = "" if parts[1] == _NO_HOST else parts[1]
    return f"{parts[0]}://{'/'.join([host, *parts[2:]])}"


def path_from(folder: Path, text: str) -> Path:
    """The path that a file in a folder names: a URL, an absolute path, or one relative to the folder.

    UsageError for a URL that cannot be used, and for a relative path that leads out of the bucket or host.
    """
    if is_url(text):
        return place_of(text)
    url = url_of(folder)
    if url is None or Path(text).is_absolute():
        return folder / text
    top = _folder().joinpath(*folder.relative_to(_folder()).parts[:2])
    path = Path(os.path.normpath(folder / text))
    if not path.is_relative_to(top):
        raise UsageError(f"'{text}' leads out of '{top}'")
    return path


def place_here(place: Path) -> Path:
    """A path of this disk for what is made here before it is sent to a place. It vanishes with the process."""
    folder = _folder()
    return folder / _HERE / place.relative_to(folder)


def shown(text: str) -> str:
    """The text with URLs in the place of the paths that stand for them."""
    if _root is None:
        return text
    text = re.sub(rf"{re.escape(str(_root))}/([a-z0-9+.-]+)/", r"\1://", text)
    return text.replace(f"://{_NO_HOST}/", ":///")


@cache
def _folder() -> Path:
    """The folder of this process for the places of URLs. It is removed at the end; what killed ones left is, too."""
    from iqsr.io.weights import cache_folder

    global _root
    above = cache_folder() / "remote"
    try:
        above.mkdir(parents=True, exist_ok=True)
        _remove_stale(above)
        folder = Path(tempfile.mkdtemp(dir=above)).resolve()
        lock = FolderLock(folder, "iqsr")
    except OSError as error:
        raise IqsrError(f"cannot write to '{above}' ({error.strerror}): name another folder in IQSR_CACHE") from None
    process = os.getpid()

    def remove() -> None:
        if os.getpid() == process:  # and not one that was forked
            lock.release()
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    _root = folder
    return folder


def _remove_stale(above: Path) -> None:
    """Remove the folders of processes that have ended: their locks are free."""
    for folder in above.iterdir():
        with suppress(OSError, IqsrError):
            if time.time() - (folder / LOCK_FILE).stat().st_mtime > _NEW_SECONDS:
                FolderLock(folder, "iqsr").release()
                shutil.rmtree(folder)
