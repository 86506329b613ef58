"""What stands before the pixels of a PNG and is not told by libvips."""

import os
from typing import BinaryIO

_LONGEST = 65536


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
    file.seek(8)
    while len(header := file.read(8)) == 8:
        length, found = int.from_bytes(header[:4], "big"), header[4:]
        if found == name:
            return file.read(min(length, _LONGEST))
        if found == b"IDAT":
            break
        file.seek(length + 4, os.SEEK_CUR)
    return None
