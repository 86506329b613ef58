"""The chunks of a PNG beside its pixels (PNG, third edition; exiftool's and ImageMagick's "raw profiles")."""

import re
import struct
import zlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from iqsr.images import png
from iqsr.images.metadata import exif_block, photoshop
from iqsr.images.metadata.blocks import LONGEST, Metadata, Resolution, Text
from iqsr.images.metadata.insert import replace_head

COLOUR = (b"cICP", b"mDCV", b"mDCv", b"cLLI", b"cLLi", b"iCCP", b"sRGB", b"gAMA", b"cHRM")
"""Chunks that say what colours the samples mean."""
Chunk = tuple[bytes, bytes]

_HEAD = 33  # signature and IHDR
_XMP = "XML:com.adobe.xmp"
_RAW = "Raw profile type "
_RAW_BODY = re.compile(r"\n.*\n\s*\d+\n")
_APP1 = b"http://ns.adobe.com/xap/1.0/\0"
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_WANTED = {b"eXIf", b"pHYs", b"tIME", *COLOUR, *_TEXTS}
_METRES = Fraction("0.0254")


def read(path: Path) -> Metadata:
    """What the chunks say, those behind the pixels too. One that is damaged is passed over."""
    exif, packet, iptc = b"", b"", b""
    resources = photoshop.unpacked(b"")[1]
    resolution: Resolution | None = None
    texts: list[Text] = []
    times: list[bytes] = []
    room = LONGEST  # for what texts become when they are unpacked
    for name, data in _chunks(path):
        if name == b"eXIf":
            exif = data  # counts more than a raw profile
        elif name == b"pHYs" and len(data) == 9:
            resolution = resolution or _physical(data)
        elif name == b"tIME":
            times.append(data)
        elif name in _TEXTS and (text := _text(name, data, room)):
            room -= len(text.text)
            profile = _raw_profile(text)
            if text.keyword == _XMP:
                packet = packet or text.text.encode()
            elif profile is None:
                texts.append(text)
            elif found := exif_block.found(profile):
                exif = exif or found
            elif profile.startswith((_APP1, b"<")):
                packet = packet or profile.removeprefix(_APP1)
            elif profile.startswith(b"\x1c"):
                iptc = iptc or profile
            else:
                found_iptc, others = photoshop.unpacked(profile)
                iptc, resources = iptc or found_iptc or b"", resources or others
    return Metadata(exif or None, packet or None, iptc or None, resources, resolution, tuple(texts), tuple(times))


def colour_chunks(path: Path) -> dict[bytes, bytes]:
    """The chunks in COLOUR that stand before the pixels, the first of each name."""
    found: dict[bytes, bytes] = {}
    for name, data in _chunks(path, only_before_pixels=True):
        if name in COLOUR:
            found.setdefault(name, data)
    return found


def write(part: Path, blocks: Metadata, colour: list[Chunk]) -> None:
    """Put the blocks in front of the pixels of a PNG that has none. OSError."""
    chunks = list(colour)
    if blocks.resolution:
        chunks += _physical_chunk(blocks.resolution)
    chunks += [(b"eXIf", blocks.exif)] if blocks.exif else []
    chunks += [(b"iTXt", _XMP.encode() + b"\0\0\0\0\0" + blocks.xmp)] if blocks.xmp else []
    if resources := photoshop.packed(blocks.iptc, blocks.resources):
        chunks.append((b"zTXt", _raw_profile_text("iptc", resources)))
    chunks += [text.chunk or _text_chunk(text) for text in blocks.texts]
    chunks += [(b"tIME", time) for time in blocks.times]
    with part.open("rb") as file:
        pixels = next(file.tell() for name, _ in png.chunks(file) if name == b"IDAT") - 8
        file.seek(0)
        head = file.read(_HEAD)
    replace_head(part, pixels, head + b"".join(packed(*chunk) for chunk in chunks))


def packed(name: bytes, data: bytes) -> bytes:
    """A chunk with its length and checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(name)))


def icc_chunk(profile: bytes) -> Chunk:
    """The chunk that holds a profile."""
    return b"iCCP", b"ICC profile\0\0" + zlib.compress(profile)


def _chunks(path: Path, *, only_before_pixels: bool = False) -> Iterator[Chunk]:
    with path.open("rb") as file:
        for name, length in png.chunks(file):
            if name == b"IEND" or (only_before_pixels and name == b"IDAT"):
                return
            if name in _WANTED and length <= LONGEST:
                content, checksum = file.read(length), file.read(4)
                if checksum == struct.pack(">I", zlib.crc32(content, zlib.crc32(name))):
                    yield name, content


def _text(name: bytes, data: bytes, most: int) -> Text | None:
    keyword, separator, rest = data.partition(b"\0")
    if not separator:
        return None
    decoded = rest.decode("latin-1")
    if name == b"zTXt":
        unpacked = _inflated(rest[1:], most)
        if unpacked is None:
            return None
        decoded = unpacked.decode("latin-1")
    elif name == b"iTXt":
        if len(rest) < 4:
            return None
        compressed = rest[0]
        body = rest[2:].partition(b"\0")[2].partition(b"\0")[2]  # behind language and translated keyword
        unpacked = _inflated(body, most) if compressed else body
        if unpacked is None:
            return None
        decoded = unpacked.decode(errors="replace")
    return Text(keyword.decode("latin-1"), decoded, (name, data))


def _inflated(data: bytes, most: int) -> bytes | None:
    """None where there are more than `most` bytes, or none that make sense."""
    inflater = zlib.decompressobj()
    try:
        unpacked = inflater.decompress(data, max(1, most))
    except zlib.error:
        return None
    return unpacked if inflater.eof else None


def _raw_profile(text: Text) -> bytes | None:
    """The bytes that ImageMagick and exiftool write as text: a name, a length, hexadecimal digits."""
    if not text.keyword.startswith(_RAW):
        return None
    body = _RAW_BODY.match(text.text)
    try:
        return bytes.fromhex(text.text[body.end() :]) if body else None
    except ValueError:
        return None


def _raw_profile_text(name: str, data: bytes) -> bytes:
    digits = data.hex()
    lines = "\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
    return f"{_RAW}{name}".encode() + b"\0\0" + zlib.compress(f"\n{name}\n{len(data):8}\n{lines}\n".encode())


def _text_chunk(text: Text) -> Chunk:
    keyword = text.keyword.encode("latin-1", "replace")[:79]
    try:
        return b"tEXt", keyword + b"\0" + text.text.encode("latin-1")
    except UnicodeEncodeError:
        return b"iTXt", keyword + b"\0\0\0\0\0" + text.text.encode()


def _physical(data: bytes) -> Resolution | None:
    across, down, unit = struct.unpack(">IIB", data)
    if not across or not down:
        return None
    if unit != 1:
        return Resolution(Fraction(across), Fraction(down), "none") if across != down else None
    inches = [Fraction(round(pixels * _METRES)) for pixels in (across, down)]
    if all(round(inch / _METRES) == pixels for inch, pixels in zip(inches, (across, down), strict=True)):
        return Resolution(inches[0], inches[1], "inch")
    return Resolution(Fraction(across, 100), Fraction(down, 100), "cm")


def _physical_chunk(said: Resolution) -> list[Chunk]:
    """None where it is beyond 32 bits."""
    across, down, unit = said
    if unit == "none":
        factor = Fraction(across.denominator * down.denominator)
    else:
        factor = 1 / _METRES if unit == "inch" else Fraction(100)
    numbers = round(across * factor), round(down * factor)
    if not all(0 < number < 1 << 31 for number in numbers):
        return []
    return [(b"pHYs", struct.pack(">IIB", *numbers, unit != "none"))]
