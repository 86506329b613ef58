"""The chunks of a PNG (PNG, third edition, section 5)."""

from collections.abc import Iterator
from typing import BinaryIO

_SIGNATURE, _LONGEST = 8, 65536


def is_animated(file: BinaryIO) -> bool:
    """Whether there are other frames than the still picture (APNG); of one frame, it may be that picture."""
    control = chunk(file, b"acTL")
    if control is None:
        return False
    return int.from_bytes(control[:4], "big") != 1 or chunk(file, b"fcTL") is None


def is_apples(file: BinaryIO) -> bool:
    """Whether it is a CgBI, which Apple's tools make of PNG for iOS and which others do not decode."""
    return chunk(file, b"CgBI") is not None


def chunk(file: BinaryIO, name: bytes) -> bytes | None:
    """The data (at most 64 KB) of the first chunk of this name before the pixels, None where there is none."""
    for found, length in chunks(file):
        if found == name:
            return file.read(min(length, _LONGEST))
        if found == b"IDAT":
            break
    return None


def chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Name and length of each chunk, while the file stands at its data."""
    at = _SIGNATURE
    while True:
        file.seek(at)
        header = file.read(8)
        if len(header) < 8:
            return
        length = int.from_bytes(header[:4], "big")
        yield header[4:], length
        at += length + 12
