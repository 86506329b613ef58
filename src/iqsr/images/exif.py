"""EXIF of TIFF files, which libvips neither reads nor writes, and small repairs to EXIF and XMP.

EXIF is itself a small TIFF (CIPA DC-008; TIFF 6.0, section 2): directories of tags that point to values and
to further directories. Parsed, it is a tree of tags; packed, bytes for a given offset. Maker notes are left
out: they hold offsets of their own, which no longer fit once they have moved.
"""

import mmap
import re
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

_MAKER_NOTE = 0x927C
_EXIF, _GPS, _INTEROPERABILITY = 0x8769, 0x8825, 0xA005
_POINTERS = {_EXIF, _GPS, _INTEROPERABILITY}
_PIXEL_X, _PIXEL_Y = 0xA002, 0xA003
# Description, maker, model, software, date, artist, host, rating, copyright, Windows' own texts: the tags of
# the main directory that tell of the picture and not of how its pixels are stored.
_TELLING = {270, 271, 272, 305, 306, 315, 316, 18246, 18249, 33432, *range(40091, 40096)}
_SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
_RATIONALS = (5, 10)
_INTEGERS = {1: "B", 3: "H", 4: "I", 16: "Q"}
PIXELS = ((273, 279), (324, 325))  # offsets and lengths of strips, of tiles
_PLACES = {tag for pair in PIXELS for tag in pair}
_LONG, _LONG8 = 4, 16
# No file may ask for much memory: directories and values beyond this are not read (but where the pixels are).
_MOST_TAGS, _LONGEST = 512, 65536
# A segment of JPEG has 65533 bytes; libvips adds some tags of its own.
_LONGEST_BLOCK = 65000

Buffer = bytes | mmap.mmap


class _Layout(NamedTuple):
    """Byte order ("<" or ">") and whether offsets have 64 bits (BigTIFF)."""

    order: str
    big: bool

    @property
    def tags(self) -> str:
        """Format of the number of tags in a directory."""
        return self.order + ("Q" if self.big else "H")

    @property
    def entry(self) -> str:
        """Format of a tag up to its value: tag, kind, number of items."""
        return self.order + ("HHQ" if self.big else "HHI")

    @property
    def offset(self) -> str:
        return self.order + ("Q" if self.big else "I")

    @property
    def first(self) -> int:
        """Where the header keeps the offset of the first directory."""
        return 8 if self.big else 4

    @property
    def endianness(self) -> Literal["little", "big"]:
        return "little" if self.order == "<" else "big"


class Tag(NamedTuple):
    """A value of a directory, as its bytes."""

    kind: int
    value: bytes
    at: int = 0
    """where it stands in the file, if it has been read from one"""


@dataclass
class _Directory:
    tags: dict[int, Tag] = field(default_factory=dict[int, Tag])
    children: "dict[int, _Directory]" = field(default_factory=dict[int, "_Directory"])


def exif_of_tiff(path: Path) -> bytes | None:
    """The EXIF of a TIFF file as the one block that other formats carry, None where there is none."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            layout, main = parse(data)
        except (struct.error, ValueError):
            return None
    main.tags = {tag: value for tag, value in main.tags.items() if tag in _TELLING}
    if not main.tags and not main.children:
        return None
    return _block(main, layout)


def within_limits(exif: bytes) -> bytes:
    """EXIF that fits into one segment of JPEG, beyond which libvips may drop all of it, whatever the format.

    Where it is too long, the thumbnail and the maker note are left out, then the longest values.
    """
    if len(exif) <= _LONGEST_BLOCK:
        return exif
    try:
        layout, main = parse(exif)
    except (struct.error, ValueError):
        return exif
    while len(block := _block(main, layout)) > _LONGEST_BLOCK:
        values = [(directory, tag) for directory in _directories(main) for tag in directory.tags]
        directory, longest = max(values, key=lambda value: len(value[0].tags[value[1]].value))
        del directory.tags[longest]
    return block


def add_exif_to_tiff(path: Path, exif: bytes, size: tuple[int, int]) -> None:
    """Give a TIFF file the EXIF block `exif`, its pixel dimensions set to `size` = (width, height).

    The new directories are appended and the header is pointed to them, so no pixel moves. A block that
    makes no sense is left out: it is not worth a picture. OSError as the file system says.
    """
    try:
        layout_of_exif, tree = parse(exif)
    except (struct.error, ValueError):
        return
    with path.open("r+b") as file:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            layout, main = parse(data, longest=len(data))
            start = len(data) + len(data) % 2
        if layout_of_exif.order != layout.order:
            _swap(tree)
        if detail := tree.children.get(_EXIF):
            for tag, length in zip((_PIXEL_X, _PIXEL_Y), size, strict=True):
                detail.tags[tag] = Tag(_LONG, struct.pack(layout.order + "I", length))
        main.tags |= {tag: value for tag, value in tree.tags.items() if tag in _TELLING}
        main.children |= tree.children
        body, first = _pack(main, layout, start)
        file.seek(start)
        file.write(body)
        file.seek(layout.first)
        file.write(struct.pack(layout.offset, first))


def upright_xmp(xmp: bytes) -> bytes:
    """XMP whose copy of the orientation says "as stored", since the pixels have been turned."""
    return re.sub(rb"(<tiff:Orientation>|tiff:Orientation=[\"'])[2-8]", rb"\g<1>1", xmp)


def bare(exif: bytes) -> bytes:
    """EXIF without the six bytes that only JPEG needs in front."""
    return exif.removeprefix(b"Exif\0\0")


def parse(data: Buffer, longest: int = _LONGEST, at: int | None = None) -> tuple[_Layout, _Directory]:
    """The first directory, or the one at offset `at`, and those it points to.

    struct.error or ValueError where that makes no sense.
    """
    order = {b"II": "<", b"MM": ">"}.get(bytes(data[:2]))
    if order is None:
        raise ValueError("not a TIFF")
    layout = _Layout(order, struct.unpack_from(order + "H", data, 2)[0] == 43)
    (first,) = struct.unpack_from(layout.offset, data, layout.first)
    return layout, _parse_directory(data, layout, first if at is None else at, longest, depth=0)


def _parse_directory(data: Buffer, layout: _Layout, at: int, longest: int, depth: int) -> _Directory:
    """The directory at offset `at`; values of more than `longest` bytes are left out, but those in _PLACES."""
    directory = _Directory()
    (count,) = struct.unpack_from(layout.tags, data, at)
    if count > _MOST_TAGS:
        raise ValueError(f"{count} tags")
    at += struct.calcsize(layout.tags)
    inline = struct.calcsize(layout.offset)
    for _ in range(count):
        tag, kind, items = struct.unpack_from(layout.entry, data, at)
        at += struct.calcsize(layout.entry)
        length = _SIZES.get(kind, 1) * items
        start = at if length <= inline else struct.unpack_from(layout.offset, data, at)[0]
        at += inline
        if start + length > len(data):
            continue  # a value beyond the end: the others may be sound
        if tag in _POINTERS:
            target = int.from_bytes(data[start : start + length], layout.endianness)
            with suppress(struct.error, ValueError):
                if depth < 2:  # main > EXIF > interoperability; deeper is a loop
                    directory.children[tag] = _parse_directory(data, layout, target, longest, depth + 1)
        elif tag in _PLACES or (tag != _MAKER_NOTE and length <= longest):
            directory.tags[tag] = Tag(kind, bytes(data[start : start + length]), start)
    return directory


def integers(directory: _Directory, tag: int, layout: _Layout) -> tuple[int, ...]:
    """The whole numbers of a tag, none where there is no tag. ValueError where they are of another kind."""
    kind, value, _ = directory.tags.get(tag, Tag(1, b""))
    code = _INTEGERS.get(kind)
    if code is None:
        raise ValueError(f"tag {tag} of kind {kind}")
    return struct.unpack(f"{layout.order}{len(value) // _SIZES[kind]}{code}", value)


def _directories(directory: _Directory) -> "list[_Directory]":
    return [directory, *(below for child in directory.children.values() for below in _directories(child))]


def _block(main: _Directory, layout: _Layout) -> bytes:
    """The directories as the block that files other than TIFF carry, in the byte order of `layout`."""
    small = _Layout(layout.order, big=False)
    body, first = _pack(main, small, 8)
    return (b"II*\0" if layout.order == "<" else b"MM\0*") + struct.pack(small.offset, first) + body


def _pack(directory: _Directory, layout: _Layout, at: int) -> tuple[bytes, int]:
    """Bytes to be put at offset `at` (even), and the offset of the directory among them."""
    body = b""
    pointers: dict[int, Tag] = {}
    for tag, child in directory.children.items():
        packed, first = _pack(child, layout, at + len(body))
        body += packed
        pointers[tag] = Tag(_LONG8 if layout.big else _LONG, struct.pack(layout.offset, first))
    inline = struct.calcsize(layout.offset)
    tags = sorted((directory.tags | pointers).items())
    entries = struct.pack(layout.tags, len(tags))
    for tag, (kind, value, _) in tags:
        entries += struct.pack(layout.entry, tag, kind, len(value) // _SIZES.get(kind, 1))
        if len(value) <= inline:
            entries += value.ljust(inline, b"\0")
        else:
            entries += struct.pack(layout.offset, at + len(body))
            body += value + b"\0" * (len(value) % 2)
    entries += struct.pack(layout.offset, 0)  # no further directory: that would be the thumbnail
    return body + entries + b"\0" * (len(entries) % 2), at + len(body)


def _swap(directory: _Directory) -> None:
    """Turn the byte order of every value round, in place."""
    for tag, (kind, value, _) in directory.tags.items():
        unit = 4 if kind in _RATIONALS else _SIZES.get(kind, 1)
        swapped = b"".join(value[i : i + unit][::-1] for i in range(0, len(value), unit))
        directory.tags[tag] = Tag(kind, swapped)
    for child in directory.children.values():
        _swap(child)
