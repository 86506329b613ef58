"""Metadata in the extension blocks of a GIF (GIF89a; Adobe's XMP part 3; ICC.1:2001, annex B.5)."""

from collections.abc import Iterator
from pathlib import Path

from iqsr.images.metadata.blocks import CONTENT_CREDENTIALS, LONGEST, Metadata, Text

_HEADER = 13
_EXTENSION, _IMAGE, _COMMENT, _APPLICATION = 0x21, 0x2C, 0xFE, 0xFF
_XMP, _ICC, _C2PA = b"XMP DataXMP", b"ICCRGBG1012", b"C2PA_GIF"
# Behind a packet, which is not divided into sub-blocks: it leads readers of sub-blocks to the end.
_TRAILER = b"\x01\xff\xfe\xfd"


def read(path: Path) -> Metadata:
    """Read comments and XMP."""
    packet: bytes | None = None
    comments: list[Text] = []
    dropped: tuple[str, ...] = ()
    for label, raw in _extensions(_bytes(path)):
        if label == _COMMENT:
            comments.append(Text("Comment", _decoded(_joined(raw))))
        elif raw[1:].startswith(_C2PA):
            dropped = (CONTENT_CREDENTIALS,)
        elif raw[1:].startswith(_XMP) and packet is None:
            packet = raw[1 + len(_XMP) :].partition(_TRAILER)[0]
    return Metadata(xmp=packet, texts=tuple(comments), dropped=dropped)


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
    """Yield the label and the sub-blocks, with their lengths, of each extension, up to an invalid one."""
    at = _HEADER + _colours(data, 10)
    while at + 2 < len(data) and data[at] in (_EXTENSION, _IMAGE):
        is_image = data[at] == _IMAGE
        first = at + 11 + _colours(data, at + 9) if is_image else at + 2
        last = _end(data, first)
        if not is_image:
            yield data[at + 1], data[first:last]
        at = last


def _colours(data: bytes, at: int) -> int:
    """The length in bytes of the colour table that the flags at `at` announce."""
    flags = data[at] if at < len(data) else 0
    return 3 << (flags % 8 + 1) if flags & 0x80 else 0


def _end(data: bytes, at: int) -> int:
    """The offset behind the sub-blocks that begin at `at`."""
    while at < len(data) and data[at]:
        at += 1 + data[at]
    return at + 1


def _joined(raw: bytes) -> bytes:
    """The contents of sub-blocks without their lengths."""
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
