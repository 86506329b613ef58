"""Metadata in the chunks of a PNG (PNG, third edition; the "raw profiles" of exiftool and ImageMagick)."""

import re
import struct
import zlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from iqsr.images.containers import iterate_png_chunks, replace_head
from iqsr.images.metadata import exif_block, photoshop
from iqsr.images.metadata.blocks import CONTENT_CREDENTIALS, LONGEST, Metadata, Resolution, Text

COLOUR = (b"cICP", b"mDCV", b"mDCv", b"cLLI", b"cLLi", b"iCCP", b"sRGB", b"gAMA", b"cHRM")
"""Names of the chunks that define the colours of the samples."""
Chunk = tuple[bytes, bytes]

_HEAD = 33  # signature and IHDR
_XMP = "XML:com.adobe.xmp"
_RAW = "Raw profile type "
_RAW_BODY = re.compile(r"\n.*\n\s*\d+\n")
_APP1 = b"http://ns.adobe.com/xap/1.0/\0"
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_WANTED = {b"eXIf", b"caBX", b"pHYs", b"tIME", *COLOUR, *_TEXTS}
_METRES = Fraction("0.0254")


def read(path: Path) -> Metadata:
    """Read the chunks before and behind the pixels; damaged ones are skipped."""
    exif, packet, iptc = b"", b"", b""
    resources = b""
    dropped: tuple[str, ...] = ()
    resolution: Resolution | None = None
    texts: list[Text] = []
    times: list[bytes] = []
    room = LONGEST  # bytes that texts may have when they are decompressed
    for name, data in _chunks(path):
        if name == b"eXIf":
            exif = data  # counts more than a raw profile
        elif name == b"pHYs" and len(data) == 9:
            resolution = resolution or _resolution(data)
        elif name == b"caBX":
            dropped = (CONTENT_CREDENTIALS,)
        elif name == b"tIME":
            times.append(data)
        elif name in _TEXTS and (text := _text(name, data, room)):
            room -= len(text.text)
            profile = _raw_profile(text)
            if text.keyword == _XMP:
                packet = packet or text.text.encode()
            elif profile is None:
                texts.append(text)
            elif found := exif_block.strip_prefix(profile):
                exif = exif or found
            elif profile.startswith((_APP1, b"<")):
                packet = packet or profile.removeprefix(_APP1)
            elif profile.startswith(b"\x1c"):
                iptc = iptc or profile
            else:
                resources = resources or profile
    found_all = Metadata(
        exif=exif or None,
        xmp=packet or None,
        iptc=iptc or None,
        resolution=resolution,
        texts=tuple(texts),
        times=tuple(times),
        dropped=dropped,
    )
    return photoshop.merge_resources(found_all, resources)


def colour_chunks(path: Path) -> dict[bytes, bytes]:
    """The chunks in COLOUR that stand before the pixels, the first of each name."""
    found: dict[bytes, bytes] = {}
    for name, data in _chunks(path, only_before_pixels=True):
        if name in COLOUR:
            found.setdefault(name, data)
    return found


def write(part: Path, blocks: Metadata, colour: list[Chunk]) -> None:
    """Insert the metadata before the pixels of a PNG that has none. OSError."""
    chunks = list(colour)
    if blocks.resolution:
        chunks += _resolution_chunk(blocks.resolution)
    chunks += [(b"eXIf", blocks.exif)] if blocks.exif else []
    chunks += [(b"iTXt", _XMP.encode() + b"\0\0\0\0\0" + blocks.xmp)] if blocks.xmp else []
    if resources := photoshop.packed(blocks.iptc, blocks.resources):
        chunks.append((b"zTXt", _raw_profile_text("iptc", resources)))
    chunks += [text.chunk or _text_chunk(text) for text in blocks.texts]
    chunks += [(b"tIME", time) for time in blocks.times]
    with part.open("rb") as file:
        pixels = next(file.tell() for name, _ in iterate_png_chunks(file) if name == b"IDAT") - 8
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
        for name, length in iterate_png_chunks(file):
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
    """Decompress data; None if it is invalid or has more than `most` bytes."""
    inflater = zlib.decompressobj()
    try:
        unpacked = inflater.decompress(data, max(1, most))
    except zlib.error:
        return None
    return unpacked if inflater.eof else None


def _raw_profile(text: Text) -> bytes | None:
    """The bytes of a raw profile, a text with a name, a length and hexadecimal digits; None for other texts."""
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


def _resolution(data: bytes) -> Resolution | None:
    across, down, unit = struct.unpack(">IIB", data)
    if not across or not down:
        return None
    if unit != 1:
        return Resolution(Fraction(across), Fraction(down), "none") if across != down else None
    inches = [Fraction(round(pixels * _METRES)) for pixels in (across, down)]
    if all(round(inch / _METRES) == pixels for inch, pixels in zip(inches, (across, down), strict=True)):
        return Resolution(inches[0], inches[1], "inch")
    return Resolution(Fraction(across, 100), Fraction(down, 100), "cm")


def _resolution_chunk(resolution: Resolution) -> list[Chunk]:
    """The chunk of a resolution; none if it exceeds 31 bits."""
    across, down, unit = resolution
    if unit == "none":
        factor = Fraction(across.denominator * down.denominator)
    else:
        factor = 1 / _METRES if unit == "inch" else Fraction(100)
    numbers = round(across * factor), round(down * factor)
    if not all(0 < number < 1 << 31 for number in numbers):
        return []
    return [(b"pHYs", struct.pack(">IIB", *numbers, unit != "none"))]
