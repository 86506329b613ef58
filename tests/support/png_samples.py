"""PNG files chunk by chunk, for tests: what no library writes, or only in its own way."""

import struct
import zlib
from pathlib import Path

import numpy as np

Chunk = tuple[bytes, bytes]


def packed(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def write_png(path: Path, pixels: np.ndarray, chunks: list[Chunk] = [], behind: list[Chunk] = []) -> Path:  # noqa: B006
    """pixels: (H, W, 1 to 4), uint8 or uint16. chunks: in front of the pixels, behind: after them."""
    height, width, bands = pixels.shape
    depth = 8 * pixels.dtype.itemsize
    rows = pixels.astype(">u2" if depth == 16 else np.uint8)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    header = struct.pack(">IIBBBBB", width, height, depth, {1: 0, 2: 4, 3: 2, 4: 6}[bands], 0, 0, 0)
    every = [(b"IHDR", header), *chunks, (b"IDAT", data), *behind, (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed(*chunk) for chunk in every))
    return path


def chunks_of(path: Path) -> list[Chunk]:
    """Every chunk of a file, its checksum checked."""
    data, at = path.read_bytes(), 8
    found: list[Chunk] = []
    while at < len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        content = data[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", data, at + 8 + length)[0] == zlib.crc32(name + content)
        found.append((name, content))
        at += 12 + length
    return found
