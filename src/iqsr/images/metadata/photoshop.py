"""Photoshop's image resources ("8BIM"), in which JPEG, TIFF and PNG keep IPTC.

Adobe Photoshop File Formats Specification, section "Image Resources".
"""

import struct
from collections.abc import Iterable

from iqsr.images.metadata.blocks import Resource

_SIGNATURE = b"8BIM"
_IPTC = 0x0404
# Thumbnails, guides, slices, and second copies of ICC profile, EXIF and XMP: no longer true of the result.
_STALE = {0x0408, 0x0409, 0x040C, 0x040F, 0x041A, 0x0422, 0x0423, 0x0424}


def unpacked(data: bytes) -> tuple[bytes | None, tuple[Resource, ...]]:
    """IPTC, and the other resources but those that enlarging makes untrue. Nothing of what makes no sense."""
    iptc: bytes | None = None
    others: list[Resource] = []
    at = 0
    while data[at : at + 4] == _SIGNATURE and at + 12 <= len(data):
        (number,) = struct.unpack_from(">H", data, at + 4)
        length = data[at + 6]
        name = data[at + 7 : at + 7 + length]
        at += 7 + length + (1 + length) % 2
        size = int.from_bytes(data[at : at + 4], "big")
        content = data[at + 4 : at + 4 + size]
        at += 4 + size + size % 2
        if len(content) < size:
            break
        if number == _IPTC:
            iptc = content
        elif number not in _STALE:
            others.append(Resource(number, name, content))
    return iptc, tuple(others)


def packed(iptc: bytes | None, others: Iterable[Resource]) -> bytes:
    """IPTC and other resources, in one block."""
    every = [*([Resource(_IPTC, b"", iptc)] if iptc else []), *others]
    return b"".join(map(_packed, every))


def _packed(resource: Resource) -> bytes:
    number, name, data = resource
    head = _SIGNATURE + struct.pack(">HB", number, len(name)) + name + b"\0" * ((1 + len(name)) % 2)
    return head + struct.pack(">I", len(data)) + data + b"\0" * (len(data) % 2)
