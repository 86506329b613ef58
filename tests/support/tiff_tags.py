"""Tags of small TIFF files changed in place, for files that no library writes."""

import struct
from pathlib import Path


def set_tag(path: Path, tag: int, value: int | None = None, *, rename: int | None = None, page: int = 0) -> None:
    """Give a tag of a little-endian classic TIFF another short value, or another number."""
    data = bytearray(path.read_bytes())
    (at,) = struct.unpack_from("<I", data, 4)
    for _ in range(page):
        (at,) = struct.unpack_from("<I", data, at + 2 + 12 * struct.unpack_from("<H", data, at)[0])
    (count,) = struct.unpack_from("<H", data, at)
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        if struct.unpack_from("<H", data, entry)[0] == tag:
            if rename is not None:
                struct.pack_into("<H", data, entry, rename)
            if value is not None:
                kind, items = struct.unpack_from("<HI", data, entry + 2)
                places = [entry + 8]
                if items > 2:
                    (start,) = struct.unpack_from("<I", data, entry + 8)
                    places = [start + 2 * i for i in range(items)]
                for place in places:
                    struct.pack_into("<I" if kind == 4 else "<H", data, place, value)
            path.write_bytes(data)
            return
    raise AssertionError(f"no tag {tag}")
