"""Files in stores for tests: in memory, which one process sees, or on a disk by `file://` URLs, which all see."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from iqsr.io import remote, sending, stores


@contextmanager
def memory_store() -> Iterator[Mapping[str, bytes]]:
    """An empty `memory://`, by name below it without the slash; it is emptied again. Nothing is known of any store."""
    from fsspec.implementations.memory import MemoryFileSystem

    class Content(Mapping[str, bytes]):
        def __getitem__(self, name: str) -> bytes:
            return MemoryFileSystem.store[f"/{name}"].getvalue()

        def __iter__(self) -> Iterator[str]:
            return iter(sorted(name.lstrip("/") for name in MemoryFileSystem.store))

        def __len__(self) -> int:
            return len(MemoryFileSystem.store)

    forget_stores()
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]
    yield Content()
    MemoryFileSystem.store.clear()


def forget_stores() -> None:
    """Nothing that was listed, copied or sent before counts, as in a new process."""
    for place in remote._copies:
        place.unlink(missing_ok=True)
    for known in (remote._entries, remote._names, remote._copies, remote._held, sending._sent):
        known.clear()
    stores._unanswered = 0


def put(name: str, data: bytes) -> None:
    """Write a file to `memory://`."""
    import fsspec

    fsspec.filesystem("memory").pipe_file(f"/{name}", data)


def put_folder(folder: Path, host: str) -> None:
    """Write all files of a folder to `memory://HOST`."""
    for path in folder.rglob("*"):
        if path.is_file():
            put(f"{host}/{path.relative_to(folder).as_posix()}", path.read_bytes())


def fails(monkeypatch: pytest.MonkeyPatch, method: str, error: Exception) -> list[str]:
    """Let a method of `memory://` fail; returns the list that will hold the names it is called with."""
    from fsspec.implementations.memory import MemoryFileSystem

    called: list[str] = []

    def failing(self: MemoryFileSystem, *arguments: str, **options: object) -> None:
        called.append(str(arguments[-1]))
        raise error

    monkeypatch.setattr(MemoryFileSystem, method, failing)
    return called
