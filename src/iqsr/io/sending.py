"""Results in stores: sent when they are whole, copied, moved and removed there.

All paths are places of URLs, see `iqsr.io.urls`. A file has its name in the store only when all of it is there.
"""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from math import inf
from pathlib import Path

from iqsr.errors import StoreError, WriteError
from iqsr.io.remote import files_below, forget
from iqsr.io.stores import BUCKETS, WHOLE, asking, line_of, opened
from iqsr.io.threads import in_threads
from iqsr.io.urls import scheme_of, url_of

_PART = ".iqsr-part"
_JOURNAL_SECONDS = 10.0
_COPY_WAITS_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""How long to wait before a copy that a store makes is asked for again."""
_sent: dict[Path, float] = {}


def send(file: Path, place: Path) -> None:
    """Write a file to a store, where it appears whole or not at all.

    StoreError where the store refuses this to the user, WriteError for other failures.
    """
    fs, name = opened(place)
    scheme = scheme_of(url_of(place) or "")
    part = name if scheme in WHOLE else f"{fs._parent(name)}/.{place.name}.{os.getpid()}{_PART}"
    try:
        with asking(f"cannot write '{place}'", WriteError, denied=StoreError):
            if part != name:
                fs.makedirs(fs._parent(name), exist_ok=True)
            fs.put_file(str(file), part)
            if part != name:
                fs.mv(part, name)
    except FileNotFoundError as error:
        raise StoreError(f"cannot write '{place}': {line_of(error)}") from None
    forget(place)
    if file != place:
        place.unlink(missing_ok=True)


def is_part_in_store(place: Path) -> bool:
    """Whether a file in a store has a name under which `send` writes first: a killed process may have left it."""
    return url_of(place) is not None and place.name.startswith(".") and place.name.endswith(_PART)


def send_at_times(place: Path, *, seconds: float = _JOURNAL_SECONDS) -> None:
    """Write a file that grows at its place to the store, unless that was done less than so many seconds ago."""
    if url_of(place) is not None and time.monotonic() - _sent.get(place, -inf) >= seconds and place.exists():
        send(place, place)
        _sent[place] = time.monotonic()


def remove(place: Path) -> None:
    """Remove a file from this disk, or from the store and its copy here. No error where there is none."""
    place.unlink(missing_ok=True)
    if url_of(place) is not None:
        fs, name = opened(place)
        with suppress(FileNotFoundError), asking(f"cannot remove '{place}'", WriteError):
            fs.rm_file(name)
        forget(place, is_there=False)


def remove_folder(folder: Path) -> None:
    """Remove a folder with all that is below it, from this disk or from the store. No error where there is none."""
    if url_of(folder) is None:
        shutil.rmtree(folder, ignore_errors=True)
        return
    in_threads(remove, files_below(folder))
    fs, name = opened(folder)
    if scheme_of(url_of(folder) or "") not in BUCKETS:  # which have files only
        with suppress(FileNotFoundError), asking(f"cannot remove '{folder}'", WriteError):
            fs.rm(name, recursive=True)
    forget(folder, is_there=False)


def move_folder(source: Path, target: Path) -> None:
    """Give a folder another place on its disk, or in its store.

    Stores have no such step: each file below is moved. After a stop all are there, in one folder or the other, and the
    same call goes on.
    """
    if url_of(source) is None:
        target.parent.mkdir(parents=True, exist_ok=True)
        source.rename(target)
        return
    in_threads(lambda place: _move(place, target / place.relative_to(source)), files_below(source))
    remove_folder(source)
    forget(target)


def _move(source: Path, target: Path) -> None:
    """Move a file in a store. WriteError."""
    if copied_inside(source, target):
        remove(source)
        return
    (fs, name), (_, other) = opened(source), opened(target)
    with asking(f"cannot write '{target}'", WriteError):
        fs.makedirs(fs._parent(other), exist_ok=True)
        fs.mv(name, other)
    forget(source, is_there=False)
    forget(target)


def copied_inside(source: Path, target: Path) -> bool:
    """Copy a file inside of one store, which sends nothing over the net. False where the two are not in one store.

    It ends when all of the file is there: some stores, such as Azure's, only begin the copy when they are asked for it.
    WriteError where that takes too long.
    """
    urls = [url_of(source) or "", url_of(target) or ""]
    if scheme_of(urls[0]) != scheme_of(urls[1]) or scheme_of(urls[0]) not in WHOLE:
        return False
    (fs, name), (_, other) = opened(source), opened(target)
    try:
        with asking(f"cannot write '{target}'", WriteError):
            fs.cp_file(name, other)
            size = fs.info(name).get("size")
    except FileNotFoundError:
        raise StoreError(f"cannot copy '{source}' to '{target}': one of the two is gone") from None
    forget(target)
    _wait_for(target, size)
    return True


def _wait_for(place: Path, size: int | None) -> None:
    """Wait until the store has a file of this size, in bytes, at a place. WriteError where it is not there in time."""
    for seconds in (*_COPY_WAITS_SECONDS, None):
        fs, name = opened(place)
        with suppress(FileNotFoundError), asking(f"cannot write '{place}'", WriteError):
            there = fs.info(name).get("size")
            if None in (there, size) or there == size:
                return
        if seconds is not None:
            time.sleep(seconds)
    raise WriteError(f"cannot write '{place}': the store has not ended the copy; the original is kept: try again later")
