"""Files in stores (S3, Google Cloud Storage and others that fsspec knows): listed, and copied here to be read.

All paths are places of URLs, see `iqsr.io.urls`. A file is copied to its place just before it is read. The copies
together take a bounded room: those used longest ago are removed, and copied again if they are needed again. How often a
request is repeated is fsspec's business. `iqsr.io.sending` writes to stores.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from math import inf
from pathlib import Path
from typing import Any, Literal

from iqsr.errors import IqsrError, PictureError, UsageError
from iqsr.io.stores import CONTENT, WEB, Entry, NoRightError, asking, check_bucket, entry_of, is_other, opened
from iqsr.io.threads import THREADS, in_threads
from iqsr.io.urls import place_of, scheme_of, url_of

_ROOM_BYTES = 4 << 30
_LISTING_SECONDS = 60.0
_entries: dict[Path, Entry] = {}
"""What the stores said last of each file."""
_names: dict[Path, tuple[float, set[str]]] = {}
"""By folder: when it was listed, and the names in it."""
_copies: OrderedDict[Path, tuple[int, Entry]] = OrderedDict()
"""The bytes of each copy, and what the store said of the file then; the one used last is last."""
_held: Counter[Path] = Counter()
_lock = threading.Lock()


def kind_of(place: Path) -> Literal["file", "folder"] | None:
    """What is there. StoreError where the store cannot be asked, UsageError where there is no such bucket."""
    fs, name = opened(place)
    try:
        with asking(f"cannot read '{place}'"):
            info = fs.info(name)
    except FileNotFoundError:
        check_bucket(place)
        return None
    if info["type"] == "directory":
        return "folder"
    _entries[place] = entry_of(info)
    return "file"


def files_below(place: Path, on_left_out: Callable[[str], object] = lambda url: None) -> list[Path]:
    """All files below a folder, in the order in which those of a disk are found. Errors as in `kind_of`.

    on_left_out: called with the URL of each file whose name no file on a disk can have, such as `a//b`.
    """
    fs, name = opened(place)
    with asking(f"cannot list '{place}'"):
        return _noted(place, name, fs.find(name, detail=True), on_left_out)


def files_in(place: Path) -> list[Path]:
    """The files in a folder, not below it; none where there is no folder. Errors as in `kind_of`."""
    fs, name = opened(place)
    try:
        with asking(f"cannot list '{place}'", denied=NoRightError):
            found = {str(info["name"]): info for info in fs.ls(name, detail=True)}
    except FileNotFoundError:
        check_bucket(place)
        return []
    return _noted(place, name, found, lambda url: None)


def files_among(places: Iterable[Path]) -> set[Path]:
    """Those of the places at which there is a file. Errors as in `kind_of`.

    A folder with many of the places is listed once. Each place is asked for alone where there are few, and where the
    store does not list: web servers rarely do, and some users may read files only.
    """
    by_folder = dict[Path, set[Path]]()
    for place in places:
        by_folder.setdefault(place.parent, set()).add(place)
    found, alone = set[Path](), list[Path]()
    for folder, wanted in by_folder.items():
        listed = _listed(folder) if len(wanted) > THREADS else None
        if listed is None:
            alone += sorted(wanted)
        else:
            found |= wanted & listed

    def ask(place: Path) -> None:
        if kind_of(place) == "file":
            found.add(place)

    in_threads(ask, alone)
    return found


def _listed(folder: Path) -> set[Path] | None:
    """The files in a folder; None where the store does not list them to this user."""
    if scheme_of(url_of(folder) or "") in WEB:
        return None
    try:
        return set(files_in(folder))
    except NoRightError:
        return None


def matches(pattern: Path, on_left_out: Callable[[str], object] = lambda url: None) -> tuple[Path, list[Path]]:
    """The folder where the wildcards of a pattern begin, and the files that match. As `files_below`."""
    url = url_of(pattern) or ""
    parts = url.split("/")
    first = next((i for i, part in enumerate(parts) if set(part) & set("*?[")), len(parts))
    if first < 3:
        raise UsageError(f"'{url}': name the bucket, without wildcards")
    top = place_of("/".join(parts[:first]))
    if first == len(parts):
        return top, []
    fs, name = opened(top)
    with asking(f"cannot list '{top}'"):
        found = fs.glob("/".join([name, *parts[first:]]), detail=True)
        return top, _noted(top, name, found, on_left_out)


def names_in(folder: Path) -> set[str]:
    """The names of the files and folders in a folder, of a disk or a store, as they are now; none without a folder."""
    if url_of(folder) is None:
        return {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    fs, name = opened(folder)
    try:
        with asking(f"cannot list '{folder}'"):
            keys = {str(key).rstrip("/") for key in fs.ls(name, detail=False)}
    except FileNotFoundError:
        check_bucket(folder)
        keys = set[str]()
    names = {key.rpartition("/")[2] for key in keys if key.strip("/") != name.strip("/")}
    _names[folder] = time.monotonic(), names
    return set(names)


def exists(place: Path) -> bool:
    """Whether there is a file or folder. A folder is listed once a minute; errors as in `kind_of`."""
    folder = place.parent
    if url_of(folder) is None:  # the place of a bucket
        return kind_of(place) is not None
    listed, names = _names.get(folder, (-inf, set[str]()))
    if time.monotonic() - listed > _LISTING_SECONDS:
        names = names_in(folder)
    return place.name in names


def is_there(path: Path) -> bool:
    """`exists` for the place of a URL, `Path.exists` for every other path."""
    return path.exists() if url_of(path) is None else exists(path)


def mark_of(place: Path) -> str | None:
    """A hash (SHA-256) of what the store says of a file's content: its size and ETag.

    None where it says nothing, and for paths that are no places of URLs.
    """
    entry = _entries.get(place)
    if entry is None or not entry.mark:
        return None
    return hashlib.sha256(f"{entry.size} {entry.mark}".encode()).hexdigest()


def is_same_object(one: Path, other: Path) -> bool:
    """Whether stores say that two files have the same content. False where they do not say."""
    if url_of(one) is None or url_of(other) is None or not kind_of(one) == kind_of(other) == "file":
        return False
    return _entries[one] == _entries[other] and _entries[one].mark.startswith(CONTENT)


# Reading


def fetch(place: Path) -> None:
    """Copy a file of a store to its place unless the copy is there; other paths stay as they are.

    PictureError where it cannot be had, or where it has changed since it was listed.
    """
    if url_of(place) is None:
        return
    with _lock:
        _, copied = _copies.get(place, (0, None))
        if copied is not None and not is_other(_entries.get(place, copied), copied) and place.exists():
            _copies.move_to_end(place)
            return
    _download(place)
    with _lock:
        _copies[place] = place.stat().st_size, _entries[place]
        _copies.move_to_end(place)
        _make_room(place)


@contextmanager
def held(place: Path) -> Generator[None]:
    """`fetch` a file, and keep the copy during the block."""
    with _lock:
        _held[place] += 1
    try:
        fetch(place)
        yield
    finally:
        with _lock:
            _held[place] -= 1


def fetch_all(places: Iterable[Path]) -> None:
    """`fetch` files, several at once, as many as half of the room holds. One that fails does so when it is read."""
    wanted: list[Path] = []
    size = 0
    for place in places:
        size += (entry.size or 0) if (entry := _entries.get(place)) else 0
        if url_of(place) is not None and size <= _ROOM_BYTES // 2:
            wanted.append(place)

    def one(place: Path) -> None:
        with suppress(IqsrError):
            fetch(place)

    in_threads(one, wanted)


def refresh(place: Path) -> None:
    """Copy a file to its place as it is now, and keep the copy; without one in the store, there is none here."""
    if url_of(place) is None:
        return
    place.unlink(missing_ok=True)
    if kind_of(place) == "file":
        _download(place)


def forget(place: Path, *, is_there: bool = True) -> None:
    """Forget what is known of a file that was written, moved or removed. is_there: whether there is one now."""
    with _lock:
        _copies.pop(place, None)
    _entries.pop(place, None)
    if (known := _names.get(place.parent)) is not None:
        (known[1].add if is_there else known[1].discard)(place.name)


# How


def _noted(top: Path, name: str, found: dict[str, Any], on_left_out: Callable[[str], object]) -> list[Path]:
    """The places of what was listed below `top`, whose name in the store is `name`."""
    url, noted = (url_of(top) or "").rstrip("/"), dict[Path, Entry]()
    for key, info in found.items():
        below = key.removeprefix(name).removeprefix("/")
        if info["type"] != "directory" and below and not key.endswith("/"):
            try:
                noted[place_of(f"{url}/{below}")] = entry_of(info)
            except UsageError:
                on_left_out(f"{url}/{below}")
    _entries.update(noted)
    return sorted(noted, key=lambda place: _walked(place.relative_to(top).parts))


def _walked(parts: tuple[str, ...]) -> list[tuple[bool, str]]:
    """The order of `os.walk`: the files of a folder come before the folders in it."""
    return [(i < len(parts) - 1, part) for i, part in enumerate(parts)]


def _download(place: Path) -> None:
    """Copy a file to its place. PictureError, also where the store says other things of it than when it was listed."""
    fs, name = opened(place)
    cannot = f"cannot read '{place}'"
    part = place.with_name(f".{threading.get_ident()}.iqsr-part")
    try:
        with asking(cannot, PictureError):
            place.parent.mkdir(parents=True, exist_ok=True)
            fs.get_file(name, str(part))
            now = entry_of(fs.info(name))
        if now.size not in (None, part.stat().st_size) or is_other(now, _entries.setdefault(place, now)):
            raise PictureError(f"{cannot}: it has changed since it was listed; run again")
        part.replace(place)
    except FileNotFoundError:
        raise PictureError(f"{cannot}: it is not there") from None
    finally:
        part.unlink(missing_ok=True)


def _make_room(kept: Path) -> None:
    """Remove the copies used longest ago until the others fit."""
    excess = sum(size for size, _ in _copies.values()) - _ROOM_BYTES
    for place in list(_copies):
        if excess <= 0:
            return
        if place != kept and not _held[place]:
            excess -= _copies.pop(place)[0]
            place.unlink(missing_ok=True)
