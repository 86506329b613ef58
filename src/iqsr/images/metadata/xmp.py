"""XMP packets (ISO 16684-1): update them for a result, divide and join the Extended XMP of JPEG (Adobe's part 3)."""

import hashlib
import re
from itertools import pairwise
from typing import NamedTuple
from xml.parsers import expat

_ORIENTATION = re.compile(rb"(<tiff:Orientation>|tiff:Orientation=[\"'])[2-8]")
_WIDTH = re.compile(
    rb"(<(?:tiff:ImageWidth|exif:PixelXDimension)>|\b(?:tiff:ImageWidth|exif:PixelXDimension)=[\"'])\d+"
)
_HEIGHT = re.compile(
    rb"(<(?:tiff:ImageLength|exif:PixelYDimension)>|\b(?:tiff:ImageLength|exif:PixelYDimension)=[\"'])\d+"
)
_WRAPPER = re.compile(rb"\s*<\?xpacket[^>]*\?>\s*")
_EXTENDED = re.compile(
    rb"\s+xmpNote:HasExtendedXMP=[\"'][0-9A-Fa-f]*[\"']|<xmpNote:HasExtendedXMP>[^<]*</xmpNote:HasExtendedXMP>"
)
_NAMESPACE = re.compile(rb"\s(xmlns:[\w.-]+)=(\"[^\"]*\"|'[^']*')")
_LINK = b'<rdf:Description rdf:about="" xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="%s"/>'
_EMPTY_LINK = b'<rdf:Description rdf:about="" xmlns:xmpNote="http://ns.adobe.com/xmp/note/"/>'
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns# RDF"


class _Parts(NamedTuple):
    head: bytes
    """The packet up to the start tag of rdf:RDF, and with it."""
    descriptions: list[bytes]
    tail: bytes


def updated(xmp: bytes, size: tuple[int, int]) -> bytes:
    """Update a packet for an upright result of `size` = (width, height). No property is added."""
    xmp = _ORIENTATION.sub(rb"\g<1>1", xmp)
    xmp = _WIDTH.sub(rb"\g<1>%d" % size[0], xmp)
    return _HEIGHT.sub(rb"\g<1>%d" % size[1], xmp)


def divided(xmp: bytes, most: int) -> tuple[bytes, bytes, bytes] | None:
    """Divide a packet: into one of at most `most` bytes, the name of the extension (32 digits), and the extension.

    Name and extension are empty if the packet fits. The longest descriptions go into the extension. None if the packet
    cannot be divided so.
    """
    if len(xmp) <= most:
        return xmp, b"", b""
    bare = _WRAPPER.sub(b"", xmp).strip()
    if len(bare) <= most:
        return bare, b"", b""
    parts = _parts(bare)
    if parts is None:
        return None
    room = most - len(parts.head) - len(parts.tail) - len(_LINK) - 32
    moved: list[bytes] = []
    kept = list(parts.descriptions)
    while kept and sum(map(len, kept)) > room:
        longest = max(kept, key=len)
        kept.remove(longest)
        moved.append(longest)
    if room < 0 or not moved:
        return None
    extension = parts.head + b"".join(moved) + parts.tail
    name = hashlib.md5(extension, usedforsecurity=False).hexdigest().upper().encode()
    return parts.head + b"".join(kept) + _LINK % name + parts.tail, name, extension


def joined(xmp: bytes, extension: bytes) -> bytes | None:
    """Join a packet with its extension; None if one of them is invalid."""
    main, more = _parts(xmp), _parts(extension)
    if main is None or more is None:
        return None
    known = set(_NAMESPACE.findall(main.head))
    names = {name for name, _ in known}
    extra = b"".join(b" %s=%s" % pair for pair in dict.fromkeys(_NAMESPACE.findall(more.head)) if pair[0] not in names)
    descriptions = [_EXTENDED.sub(b"", description) for description in main.descriptions]
    descriptions = [text for text in descriptions if text.strip() != _EMPTY_LINK]
    return main.head[:-1] + extra + b">" + b"".join([*descriptions, *more.descriptions]) + main.tail


def _parts(xmp: bytes) -> _Parts | None:
    """Cut a packet before and behind each child of its rdf:RDF; None if it is invalid."""
    starts: list[int] = []
    ends: list[int] = []
    path: list[str] = []
    parser = expat.ParserCreate(namespace_separator=" ")

    def start(name: str, _: object) -> None:
        if path and path[-1] == _RDF:
            starts.append(parser.CurrentByteIndex)
        path.append(name)

    def end(name: str) -> None:
        path.pop()
        if name == _RDF:
            ends.append(parser.CurrentByteIndex)

    def refuse(*_: object) -> None:
        raise ValueError("entities")

    parser.StartElementHandler, parser.EndElementHandler, parser.EntityDeclHandler = start, end, refuse
    try:
        parser.Parse(xmp.strip(b"\0"), True)
    except (expat.ExpatError, ValueError):
        return None
    if not starts or len(ends) != 1:
        return None
    places = [*starts, ends[0]]
    head_end = xmp.rindex(b">", 0, starts[0]) + 1
    places[0] = head_end
    descriptions = [xmp[a:b] for a, b in pairwise(places)]
    return _Parts(xmp[:head_end], descriptions, xmp[ends[0] :])
