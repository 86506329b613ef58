"""Metadata in the segments of a JPEG (ITU-T T.81; JFIF 1.02; CIPA DC-008; Adobe's XMP part 3)."""

import mmap
import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from iqsr.images.containers import iterate_jpeg_segments, replace_head
from iqsr.images.metadata import exif_block, photoshop, xmp
from iqsr.images.metadata.blocks import CONTENT_CREDENTIALS, GAIN_MAP, JUMBF, Metadata, Resolution, Resource, Text

_APP0, _APP1, _APP2, _APP11, _APP13, _COMMENT = 0xE0, 0xE1, 0xE2, 0xEB, 0xED, 0xFE
_JFIF, _EXIF, _PHOTOSHOP = b"JFIF\0", b"Exif\0\0", b"Photoshop 3.0\0"
_XMP, _EXTENSION = b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0"
_ICC, _GAIN_MAP = b"ICC_PROFILE\0", (b"http://ns.adobe.com/hdr-gain-map/1.0/", b"urn:iso:std:iso:ts:21496:-1\0")
_MOST = 65533  # bytes of a segment without its length
_EXIF_MOST, _XMP_MOST = _MOST - len(_EXIF), 65502
_ICC_PIECE, _EXTENSION_PIECE, _PHOTOSHOP_PIECE = 65519, 65400, _MOST - len(_PHOTOSHOP)
_JUMBF_HEAD = 80  # bytes, in which the description of a JUMBF box names what it is
_METADATA = {_APP0, _APP1, _APP2, _APP11, _APP13, _COMMENT}


def read(path: Path) -> Metadata:
    """Read the segments before the first scan."""
    exif, packet, resources = b"", b"", b""
    pieces: dict[int, bytes] = {}
    resolution: Resolution | None = None
    comments: list[Text] = []
    gain_map = False
    jumbf: list[str] = []
    for marker, data in _segments(path):
        gain_map = gain_map or (marker in (_APP1, _APP2) and any(name in data for name in _GAIN_MAP))
        if marker == _APP0 and data.startswith(_JFIF) and len(data) >= 12:
            resolution = resolution or _density(data)
        elif marker == _APP1 and data.startswith(_EXIF):
            # Some programs continue a block that is too long in the next segment.
            exif += data[len(_EXIF) :] if not exif or exif_block.strip_prefix(data[6:10]) is None else b""
        elif marker == _APP1 and data.startswith(_XMP):
            packet = packet or data[len(_XMP) :]
        elif marker == _APP1 and data.startswith(_EXTENSION) and data[35:67] in packet:
            pieces[int.from_bytes(data[71:75], "big")] = data[75:]
        elif marker == _APP11 and data[:2] == b"JP" and data[12:16] == b"jumb":  # ISO 19566-5, annex D
            jumbf.append(CONTENT_CREDENTIALS if b"c2pa" in data[:_JUMBF_HEAD] else JUMBF)
        elif marker == _APP13 and data.startswith(_PHOTOSHOP):
            resources += data[len(_PHOTOSHOP) :]
        elif marker == _COMMENT:
            comments.append(Text("Comment", _decoded(data)))
    dropped = [GAIN_MAP] if gain_map else []
    # A box that is too long for one segment goes on in others, which repeat its header but not its name.
    dropped += [CONTENT_CREDENTIALS] if CONTENT_CREDENTIALS in jumbf else [JUMBF] if jumbf else []
    if pieces:
        whole = xmp.joined(packet, b"".join(pieces[at] for at in sorted(pieces)))
        dropped += ["the damaged extension of its XMP"] if whole is None else []
        packet = whole or packet
    found = Metadata(
        exif=exif or None,
        xmp=packet or None,
        resolution=resolution,
        texts=tuple(comments),
        dropped=tuple(dropped),
    )
    return photoshop.merge_resources(found, resources)


def write(part: Path, blocks: Metadata, icc: bytes | None) -> list[str]:
    """Insert the metadata into a JPEG that has none. Returns the names of what does not fit. OSError."""
    dropped: list[str] = []
    segments = [_segment(_APP0, _JFIF + b"\1\2" + _density_bytes(blocks.resolution) + b"\0\0")]
    if blocks.exif:
        exif, gone = exif_block.shortened(blocks.exif, _EXIF_MOST)
        segments.append(_segment(_APP1, _EXIF + exif))
        if gone:
            dropped.append(f"{', '.join(gone)} of its EXIF (JPEG holds {_EXIF_MOST:,} bytes)")
    if blocks.xmp:
        divided = xmp.divided(blocks.xmp, _XMP_MOST)
        if divided is None:
            dropped.append(f"its XMP (JPEG holds {_XMP_MOST:,} bytes of what cannot be divided)")
        else:
            segments += _xmp_segments(*divided)
    if blocks.iptc or blocks.resources:
        segments += _photoshop_segments(blocks.iptc, blocks.resources)
    if icc:
        pieces = [icc[at : at + _ICC_PIECE] for at in range(0, len(icc), _ICC_PIECE)]
        count = len(pieces)
        segments += [_segment(_APP2, _ICC + bytes([i, count]) + piece) for i, piece in enumerate(pieces, 1)]
    for text in blocks.texts:
        encoded = text.text.encode()[:_MOST]
        segments.append(_segment(_COMMENT, encoded))
    replace_head(part, 2, b"\xff\xd8" + b"".join(segments))
    return dropped


def _segments(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the marker and the content of each segment of metadata."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for marker, at in iterate_jpeg_segments(data):
            if marker in _METADATA:
                yield marker, data[at + 4 : at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")]


def _segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def _xmp_segments(packet: bytes, name: bytes, extension: bytes) -> list[bytes]:
    segments = [_segment(_APP1, _XMP + packet)]
    for at in range(0, len(extension), _EXTENSION_PIECE):
        place = struct.pack(">II", len(extension), at)
        segments.append(_segment(_APP1, _EXTENSION + name + place + extension[at : at + _EXTENSION_PIECE]))
    return segments


def _photoshop_segments(iptc: bytes | None, resources: tuple[Resource, ...]) -> list[bytes]:
    data = photoshop.packed(iptc, resources)
    pieces = [data[at : at + _PHOTOSHOP_PIECE] for at in range(0, len(data), _PHOTOSHOP_PIECE)]
    return [_segment(_APP13, _PHOTOSHOP + piece) for piece in pieces]


def _density(jfif: bytes) -> Resolution | None:
    unit, across, down = struct.unpack_from(">BHH", jfif, 7)
    if unit > 2 or not across or not down or (unit == 0 and across == down):
        return None
    return Resolution(Fraction(across), Fraction(down), ("none", "inch", "cm")[unit])


def _density_bytes(resolution: Resolution | None) -> bytes:
    """Unit and density in whole numbers, in inches or cm, whichever is nearer to the resolution."""
    across, down, unit = resolution or Resolution(Fraction(1), Fraction(1), "none")
    if unit == "none":
        choices = [(0, Fraction(across.denominator * down.denominator))]
    else:
        inch = Fraction(1) if unit == "inch" else Fraction("2.54")
        choices = [(1, inch), (2, inch / Fraction("2.54"))]
    number, factor = min(choices, key=lambda choice: abs(round(across * choice[1]) - across * choice[1]) / choice[1])
    numbers = round(across * factor), round(down * factor)
    if not all(0 < whole < 1 << 16 for whole in numbers):
        number, numbers = 0, (1, 1)
    return struct.pack(">BHH", number, *numbers)


def _decoded(data: bytes) -> str:
    try:
        return data.rstrip(b"\0").decode()
    except UnicodeDecodeError:
        return data.rstrip(b"\0").decode("latin-1")
