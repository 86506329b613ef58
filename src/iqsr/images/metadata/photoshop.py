"""Photoshop's image resources ("8BIM"), in which JPEG, TIFF and PNG store IPTC.

Adobe Photoshop File Formats Specification, section "Image Resources".
"""

import struct
from collections.abc import Iterable
from dataclasses import replace

from iqsr.images.metadata.blocks import Metadata, Resource

_SIGNATURE = b"8BIM"
_IPTC, _EXIF, _EXIF_TOO, _XMP = 0x0404, 0x0422, 0x0423, 0x0424
# Thumbnails, guides, slices, and copies of ICC profile, EXIF and XMP: they do not describe the result.
_STALE = {0x0408, 0x0409, 0x040C, 0x040F, 0x041A, _EXIF, _EXIF_TOO, _XMP}


def merge_resources(found: Metadata, data: bytes) -> Metadata:
    """Add the IPTC, XMP and other resources in `data` to metadata; a block that it has already stays.

    Resources that do not describe an enlarged picture are left out. EXIF that the file has only here is not read: it is
    named as dropped.
    """
    every = _unpacked(data)
    blocks = {resource.number: resource.data for resource in every if resource.data}
    dropped = () if found.exif or not blocks.keys() & {_EXIF, _EXIF_TOO} else ("the EXIF in its Photoshop resources",)
    return replace(
        found,
        iptc=found.iptc or blocks.get(_IPTC),
        xmp=found.xmp or blocks.get(_XMP),
        resources=found.resources or tuple(one for one in every if one.number not in {_IPTC, *_STALE}),
        dropped=found.dropped + dropped,
    )


def _unpacked(data: bytes) -> list[Resource]:
    """The resources up to one that is damaged."""
    resources: list[Resource] = []
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
        resources.append(Resource(number, name, content))
    return resources


def packed(iptc: bytes | None, others: Iterable[Resource]) -> bytes:
    """Pack IPTC and other resources as one block."""
    every = [*([Resource(_IPTC, b"", iptc)] if iptc else []), *others]
    return b"".join(map(_packed, every))


def _packed(resource: Resource) -> bytes:
    number, name, data = resource
    head = _SIGNATURE + struct.pack(">HB", number, len(name)) + name + b"\0" * ((1 + len(name)) % 2)
    return head + struct.pack(">I", len(data)) + data + b"\0" * (len(data) % 2)
