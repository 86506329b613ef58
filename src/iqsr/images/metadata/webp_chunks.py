"""Metadata in the chunks of a WebP (WebP Container Specification)."""

import os
import struct
from collections.abc import Iterator
from pathlib import Path

from iqsr.images.metadata.blocks import CONTENT_CREDENTIALS, LONGEST, Metadata

_ICC, _ALPHA, _EXIF, _XMP = 0x20, 0x10, 0x08, 0x04


def read(path: Path) -> Metadata:
    """Read EXIF and XMP, wherever they are in the file."""
    dropped: tuple[str, ...] = ()
    found: dict[bytes, bytes] = {}
    with path.open("rb") as file:
        file.seek(12)
        while len(header := file.read(8)) == 8:
            name, length = struct.unpack("<4sI", header)
            if name == b"C2PA":
                dropped = (CONTENT_CREDENTIALS,)
            if name in (b"EXIF", b"XMP ", b"XMP\0") and length <= LONGEST:
                found.setdefault(name[:3], file.read(length))
                file.seek(length % 2, os.SEEK_CUR)
            else:
                file.seek(length + length % 2, os.SEEK_CUR)
    return Metadata(exif=found.get(b"EXI"), xmp=found.get(b"XMP"), dropped=dropped)


def write(part: Path, blocks: Metadata, icc: bytes | None, size: tuple[int, int]) -> None:
    """Add the metadata to a WebP of `size` = (width, height) that has none. OSError."""
    if not (icc or blocks.exif or blocks.xmp):
        return
    pixels = [(name, data) for name, data in _chunks(part.read_bytes()) if name != b"VP8X"]
    alpha = any(name == b"ALPH" for name, _ in pixels)
    flags = _ALPHA * alpha | _ICC * bool(icc) | _EXIF * bool(blocks.exif) | _XMP * bool(blocks.xmp)
    sides = b"".join((side - 1).to_bytes(3, "little") for side in size)
    chunks = [(b"VP8X", struct.pack("<I", flags) + sides)]
    chunks += [(b"ICCP", icc)] if icc else []
    chunks += pixels
    chunks += [(b"EXIF", blocks.exif)] if blocks.exif else []
    chunks += [(b"XMP ", blocks.xmp)] if blocks.xmp else []
    body = b"WEBP" + b"".join(_packed(*chunk) for chunk in chunks)
    part.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    while at + 8 <= len(data):
        name, length = struct.unpack_from("<4sI", data, at)
        yield name, data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


def _packed(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
