"""Every picture of a training is decoded once before it starts, which finds those that are damaged."""

import os
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from iqsr.errors import IqsrError, PictureError
from iqsr.images.read import decoded_size
from iqsr.io.known_files import File, KnownFiles
from iqsr.scoring import content_hash
from iqsr.scoring.cache import code_hash

_AT_ONCE = 256  # pictures between two writes to the cache
_NAMED = 3


class Whole(NamedTuple):
    """A picture that was decoded to its last row."""

    sha256: str
    width: int
    height: int


@dataclass(frozen=True)
class Pictures:
    """What was found in picture files."""

    whole: dict[Path, Whole]
    damaged: dict[Path, str]
    """Why each cannot be read, in one line that names it."""

    def check(self, advice: str) -> None:
        """PictureError where pictures are damaged: it names the first few, and what to do."""
        if self.damaged:
            first = "; ".join(list(self.damaged.values())[:_NAMED])
            more = f"; and {len(self.damaged) - _NAMED} more" if len(self.damaged) > _NAMED else ""
            count = len(self.damaged.keys() | self.whole.keys())
            raise PictureError(f"{len(self.damaged)} of {count} pictures cannot be used: {first}{more}; {advice}")


def decode_all(
    paths: Collection[Path], on_picture: Callable[[int], None] = lambda done: None, *, workers: int | None = None
) -> Pictures:
    """Decode pictures, each once.

    A file that was decoded before, by the same code, and has the same size and time of change, is not read again: that
    is remembered in `pictures.sqlite` in the cache folder.

    Args:
        paths: The picture files.
        on_picture: Called with how many are done.
        workers: How many are decoded at a time; by default as many as this process has CPUs.
    """
    files = list(dict.fromkeys(paths))
    whole: dict[Path, Whole] = {}
    damaged: dict[Path, str] = {}
    known = KnownFiles("pictures.sqlite", code_hash("images", "*.py"), "pictures are decoded anew")
    with closing(known), ThreadPoolExecutor(workers or _cpus()) as pool:
        for part in (files[i : i + _AT_ONCE] for i in range(0, len(files), _AT_ONCE)):
            new: dict[File, Whole] = {}
            for path, file, found in pool.map(_decoded, part, known.of(part)):
                if isinstance(found, Whole):
                    whole[path] = found
                    new |= {file: found} if file else {}
                else:
                    damaged[path] = found
                on_picture(len(whole) + len(damaged))
            known.add(new)
    return Pictures(whole, damaged)


def _decoded(path: Path, known: tuple[File | None, list[Any] | None]) -> tuple[Path, File | None, Whole | str]:
    """The file where it is to be remembered; what was found, or why it is damaged."""
    file, facts = known
    if facts is not None:
        return path, None, Whole(*facts)
    try:
        return path, file, Whole(content_hash(path), *decoded_size(path))
    except IqsrError as error:
        return path, None, str(error)


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
