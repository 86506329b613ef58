"""Picture files that tell nothing but their pixels: no metadata, and one length for all methods of a scene."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator, Mapping
from random import Random
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KEPT = (b"IHDR", b"IDAT", b"IEND")
_FILLER = b"fiLl"
"""A chunk of PNG that readers skip: ancillary, private, safe to copy."""
_CHUNK_BYTES = 12
"""Length, name and checksum of a chunk."""
_BLOCK_PIXELS = 6
_NOISE_LEVELS = 24.0


def png_bytes(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG with nothing but the pixels. pixels: (H, W, 3), sRGB."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=6)
    chunks = [packed(name, data) for name, data in png_chunks(file.getvalue()) if name in _KEPT]
    return _SIGNATURE + b"".join(chunks)


def padded(files: Mapping[str, bytes], rng: Random) -> dict[str, bytes]:
    """The PNGs, all as long as the longest and one more chunk. The filler is random: compression does not undo it."""
    longest = max(map(len, files.values())) + _CHUNK_BYTES
    end = packed(b"IEND", b"")
    return {
        name: data[: -len(end)] + packed(_FILLER, rng.randbytes(longest - len(data) - _CHUNK_BYTES)) + end
        for name, data in files.items()
    }


def degraded(pixels: NDArray[np.uint8], rng: Random) -> NDArray[np.uint8]:
    """An obviously bad copy: blocks of one colour, and noise. Who looks does not choose it."""
    height, width = pixels.shape[:2]
    rows, columns = (np.arange(0, side, _BLOCK_PIXELS) for side in (height, width))
    sums = np.add.reduceat(np.add.reduceat(pixels.astype(np.float64), rows, 0), columns, 1)
    heights, widths = np.diff(rows, append=height), np.diff(columns, append=width)
    means = sums / (heights[:, None] * widths[None, :])[..., None]
    blocks = means.repeat(heights, 0).repeat(widths, 1)
    noise = np.random.default_rng(rng.getrandbits(64)).normal(0, _NOISE_LEVELS, (height, width, 1))
    return (blocks + noise).clip(0, 255).round().astype(np.uint8)


def enlarged(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The pixels of a smaller picture as squares, at another's size (width, height)."""
    from PIL import Image

    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST))


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of each chunk of a PNG."""
    at = len(_SIGNATURE)
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        at += _CHUNK_BYTES + length


def packed(name: bytes, data: bytes) -> bytes:
    """A chunk with its length and checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(name)))
