"""What stands before the pixels of a PNG and is not told by libvips."""

import os
from typing import BinaryIO

_LONGEST = 65536


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
