"""The extensions of a GIF that tell of the picture (GIF89a; Adobe's XMP part 3; ICC.1, annex B.5 of 2001)."""

from collections.abc import Iterator
from pathlib import Path

from iqsr.images.metadata.blocks import LONGEST, Metadata, Text

_HEADER = 13
_EXTENSION, _IMAGE, _COMMENT, _APPLICATION = 0x21, 0x2C, 0xFE, 0xFF
_XMP, _ICC = b"XMP DataXMP", b"ICCRGBG1012"
_TRAILER = b"\x01\xff\xfe\xfd"  # of a packet, which is not divided: leads out of it whatever its bytes were taken for


def read(path: Path) -> Metadata:
    """Comments and XMP."""
    packet: bytes | None = None
    comments: list[Text] = []
    for label, raw in _extensions(_bytes(path)):
        if label == _COMMENT:
            comments.append(Text("Comment", _decoded(_joined(raw))))
        elif raw[1:].startswith(_XMP) and packet is None:
            packet = raw[1 + len(_XMP) :].partition(_TRAILER)[0]
    return Metadata(xmp=packet, texts=tuple(comments))


def profile(path: Path) -> bytes | None:
    """The ICC profile."""
    for label, raw in _extensions(_bytes(path)):
        if label == _APPLICATION and raw[1:].startswith(_ICC):
            icc = _joined(raw[1 + len(_ICC) :])
            return icc if icc[16:20] == b"RGB " else None
    return None


def _bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(LONGEST)


def _extensions(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Label and blocks, with their lengths, of every extension, up to where the file makes no sense."""
    at = _HEADER + _colours(data, 10)
    while at + 2 < len(data) and data[at] in (_EXTENSION, _IMAGE):
        is_image = data[at] == _IMAGE
        first = at + 11 + _colours(data, at + 9) if is_image else at + 2
        last = _end(data, first)
        if not is_image:
            yield data[at + 1], data[first:last]
        at = last


def _colours(data: bytes, at: int) -> int:
    """Bytes of the table of colours that these flags tell of."""
    flags = data[at] if at < len(data) else 0
    return 3 << (flags % 8 + 1) if flags & 0x80 else 0


def _end(data: bytes, at: int) -> int:
    """Behind the blocks that begin at `at`."""
    while at < len(data) and data[at]:
        at += 1 + data[at]
    return at + 1


def _joined(raw: bytes) -> bytes:
    """The contents of blocks without their lengths."""
    parts: list[bytes] = []
    at = 0
    while at < len(raw) and raw[at]:
        parts.append(raw[at + 1 : at + 1 + raw[at]])
        at += 1 + raw[at]
    return b"".join(parts)


def _decoded(data: bytes) -> str:
    try:
        return data.decode().rstrip("\0")
    except UnicodeDecodeError:
        return data.decode("latin-1").rstrip("\0")
