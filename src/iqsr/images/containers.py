"""Walk through the parts of a file: boxes, the chunks of a PNG, the segments of a JPEG.

Boxes: ISO/IEC 14496-12 (HEIF) and 15444-1 (JPEG 2000). Chunks: PNG, third edition, section 5. Segments: ITU-T T.81.
"""

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

Buffer = bytes | mmap.mmap
_MOST_BOXES = 10_000  # side by side; no file may ask for much time
_PNG_SIGNATURE, _LONGEST_CHUNK = 8, 65536  # bytes
SCAN = 0xDA
"""The marker of a JPEG behind which its pixels begin."""
_MARKERS_WITHOUT_LENGTH = {0x00, 0x01, 0xFF, *range(0xD0, 0xD9)}
_COPY_BYTES = 4 << 20


def find_boxes(
    data: Buffer, path: tuple[bytes, ...], start: int = 0, end: int | None = None
) -> Iterator[tuple[int, int]]:
    """Yield the start and end of the contents of each box at `path`: names from the outermost box inwards."""
    for name, first, last in iterate_boxes(data, start, len(data) if end is None else end):
        if name == path[0]:
            if len(path) == 1:
                yield first, last
            else:
                yield from find_boxes(data, path[1:], first, last)


def iterate_boxes(data: Buffer, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name, and the start and end of the contents, of each box from `at` on, up to an invalid one."""
    for _ in range(_MOST_BOXES):
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


def find_png_chunk(file: BinaryIO, name: bytes) -> bytes | None:
    """The data (at most 64 KB) of the first chunk of this name before the pixels, None if there is none."""
    for found, length in iterate_png_chunks(file):
        if found == name:
            return file.read(min(length, _LONGEST_CHUNK))
        if found == b"IDAT":
            break
    return None


def iterate_png_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield the name and the length of each chunk, with the file positioned at its data."""
    at = _PNG_SIGNATURE
    while True:
        file.seek(at)
        header = file.read(8)
        if len(header) < 8:
            return
        length = int.from_bytes(header[:4], "big")
        yield header[4:], length
        at += length + 12


def iterate_jpeg_segments(data: mmap.mmap) -> Iterator[tuple[int, int]]:
    """Yield the marker and the offset of each segment of a JPEG up to its first scan."""
    at = data.find(b"\xff", 2)
    while 0 <= at < len(data) - 4:
        marker = data[at + 1]
        yield marker, at
        if marker == SCAN:
            return
        length = 0 if marker in _MARKERS_WITHOUT_LENGTH else 1 + int.from_bytes(data[at + 2 : at + 4], "big")
        at = data.find(b"\xff", at + 1 + length)


def replace_head(path: Path, length: int, head: bytes) -> None:
    """Replace the first `length` bytes of a file by `head`; the bytes behind them move. OSError."""
    with path.open("r+b") as file:
        shift = len(head) - length
        end = file.seek(0, 2)
        tops = list(range(length, end, _COPY_BYTES))
        for at in tops if shift < 0 else reversed(tops):
            file.seek(at)
            data = file.read(min(_COPY_BYTES, end - at))
            file.seek(at + shift)
            file.write(data)
        if shift < 0:
            file.truncate(end + shift)
        file.seek(0)
        file.write(head)
