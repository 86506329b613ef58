"""Boxes, of which files of the families of MP4 (HEIF) and JPEG 2000 are made (ISO/IEC 14496-12, 15444-1)."""

import mmap
from collections.abc import Iterator

Buffer = bytes | mmap.mmap
_MOST = 10_000  # side by side; no file may ask for much time


def found(data: Buffer, path: tuple[bytes, ...], start: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
    """Where the contents of the boxes begin and end that this path of names leads to."""
    for name, first, last in boxes(data, start, len(data) if end is None else end):
        if name == path[0]:
            if len(path) == 1:
                yield first, last
            else:
                yield from found(data, path[1:], first, last)


def boxes(data: Buffer, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, begin and end of the contents of the boxes side by side, up to one that makes no sense."""
    for _ in range(_MOST):
        if at + 8 > end:
            return
        length, name, header = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], 8
        if length == 1:
            length, header = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        elif length == 0:
            length = end - at
        if length < header or at + length > end:
            return
        yield name, at + header, at + length
        at += length
