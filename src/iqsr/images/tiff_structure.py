"""Parse and pack the structure of TIFF, which EXIF blocks have as well (TIFF 6.0, section 2; CIPA DC-008).

A file is a tree of directories: their tags hold values or point to further directories. `parse` makes a `Directory` of
bytes, `pack` makes bytes of a `Directory`. A maker note may hold offsets into the whole file, which no longer fit once
it has moved: the tree has only those maker notes that are known to hold none.
"""

import mmap
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

MAKER_NOTE = 0x927C
EXIF, GPS, INTEROPERABILITY = 0x8769, 0x8825, 0xA005
_POINTERS = {EXIF, GPS, INTEROPERABILITY}
SIZES = {  # bytes of a value, by the type of the tag
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
LONG, _LONG8 = 4, 16
# Limits, so that no file takes much memory: more tags or bytes of values are not read, but for the offsets of pixels.
_MOST_TAGS, _MOST_BYTES = 512, 1 << 20
# How maker notes begin whose offsets start within themselves (Apple, Nikon since 2002, Olympus, OM, Fujifilm, Pentax).
_MOVABLE = (b"Apple iOS\0", b"Nikon\0\2", b"OLYMPUS\0", b"OM SYSTEM\0", b"FUJIFILM", b"PENTAX \0")

Buffer = bytes | mmap.mmap


class Layout(NamedTuple):
    """Byte order ("<" or ">") and whether offsets have 64 bits (BigTIFF)."""

    order: str
    big: bool

    @property
    def tags(self) -> str:
        """Format of the number of tags in a directory."""
        return self.order + ("Q" if self.big else "H")

    @property
    def entry(self) -> str:
        """Format of a tag up to its value: tag, type, number of items."""
        return self.order + ("HHQ" if self.big else "HHI")

    @property
    def offset(self) -> str:
        """Format of an offset."""
        return self.order + ("Q" if self.big else "I")

    @property
    def first(self) -> int:
        """Where the header keeps the offset of the first directory."""
        return 8 if self.big else 4

    @property
    def endianness(self) -> Literal["little", "big"]:
        """The byte order as Python names it."""
        return "little" if self.order == "<" else "big"


class Tag(NamedTuple):
    """A value of a directory, as its bytes."""

    type: int
    value: bytes
    at: int = 0
    """The offset of the value in the file that it was read from."""


@dataclass
class Directory:
    """Tags and further directories by number. The offsets serve those who change a block in place."""

    tags: dict[int, Tag] = field(default_factory=dict[int, Tag])
    children: "dict[int, Directory]" = field(default_factory=dict[int, "Directory"])
    at: int = 0
    entries: dict[int, int] = field(default_factory=dict[int, int])
    """The offset of each tag's entry, also of tags that are not read."""
    fixed_maker_note: bool = False
    """Whether there is a maker note that cannot move; `tags` is without it."""


def parse(data: Buffer, most: int = _MOST_BYTES, at: int | None = None) -> tuple[Layout, Directory]:
    """Parse a directory and those that it points to.

    Args:
        data: A TIFF file, or an EXIF block from its TIFF header on.
        most: Bytes of values that are read in all; further values are left out, but for the offsets of pixels.
        at: The offset of the directory; None for the first one.

    Returns:
        The layout of the file, and the directory.

    Raises:
        ValueError, struct.error: The structure is invalid.
    """
    order = {b"II": "<", b"MM": ">"}.get(bytes(data[:2]))
    if order is None:
        raise ValueError("not a TIFF")
    layout = Layout(order, struct.unpack_from(order + "H", data, 2)[0] == 43)
    (first,) = struct.unpack_from(layout.offset, data, layout.first)
    return layout, _Parser(data, layout, most).directory(first if at is None else at, depth=0)


@dataclass
class _Parser:
    data: Buffer
    layout: Layout
    most: int

    def directory(self, at: int, depth: int) -> Directory:
        """Parse the directory at offset `at`, and those below it."""
        data, layout = self.data, self.layout
        directory = Directory(at=at)
        if at > len(data):
            raise ValueError("a directory beyond the end")
        (count,) = struct.unpack_from(layout.tags, data, at)
        if count > _MOST_TAGS:
            raise ValueError(f"{count} tags")
        at += struct.calcsize(layout.tags)
        inline = struct.calcsize(layout.offset)
        for _ in range(count):
            tag, type, items = struct.unpack_from(layout.entry, data, at)
            directory.entries[tag] = at
            at += struct.calcsize(layout.entry)
            length = SIZES.get(type, 1) * items
            start = at if length <= inline else struct.unpack_from(layout.offset, data, at)[0]
            at += inline
            if start + length > len(data):
                continue  # a value beyond the end: the others may be sound
            if tag in _POINTERS:
                target = int.from_bytes(data[start : start + length], layout.endianness)
                with suppress(struct.error, ValueError):
                    if depth < 2:  # main > EXIF > interoperability; deeper is a loop
                        directory.children[tag] = self.directory(target, depth + 1)
            elif tag == MAKER_NOTE and not bytes(data[start : start + min(length, 16)]).startswith(_MOVABLE):
                directory.fixed_maker_note = True
            elif tag in _PLACES or length <= self.most:
                self.most -= 0 if tag in _PLACES else length
                directory.tags[tag] = Tag(type, bytes(data[start : start + length]), start)
        return directory


def integers(directory: Directory, tag: int, layout: Layout) -> tuple[int, ...]:
    """The integers of a tag; empty if there is no tag. ValueError if its type is no integer."""
    type, value, _ = directory.tags.get(tag, Tag(1, b""))
    code = _INTEGERS.get(type)
    if code is None:
        raise ValueError(f"tag {tag} of type {type}")
    return struct.unpack(f"{layout.order}{len(value) // SIZES[type]}{code}", value)


def directories(directory: Directory) -> "list[Directory]":
    """The directory and all below it."""
    return [directory, *(below for child in directory.children.values() for below in directories(child))]


def block_of(main: Directory, layout: Layout) -> bytes:
    """Pack directories as an EXIF block, in the byte order of `layout`."""
    small = Layout(layout.order, big=False)
    body, first = pack(main, small, 8)
    return (b"II*\0" if layout.order == "<" else b"MM\0*") + struct.pack(small.offset, first) + body


def pack(directory: Directory, layout: Layout, at: int) -> tuple[bytes, int]:
    """Pack a directory for the (even) offset `at`. Returns the bytes and the offset of the directory in the file."""
    body = b""
    pointers: dict[int, Tag] = {}
    for tag, child in directory.children.items():
        packed, first = pack(child, layout, at + len(body))
        body += packed
        pointers[tag] = Tag(_LONG8 if layout.big else LONG, struct.pack(layout.offset, first))
    inline = struct.calcsize(layout.offset)
    tags = sorted((directory.tags | pointers).items())
    entries = struct.pack(layout.tags, len(tags))
    for tag, (type, value, _) in tags:
        entries += struct.pack(layout.entry, tag, type, len(value) // SIZES.get(type, 1))
        if len(value) <= inline:
            entries += value.ljust(inline, b"\0")
        else:
            entries += struct.pack(layout.offset, at + len(body))
            body += value + b"\0" * (len(value) % 2)
    entries += struct.pack(layout.offset, 0)  # no further directory: that would be the thumbnail
    return body + entries + b"\0" * (len(entries) % 2), at + len(body)


def swap(directory: Directory) -> None:
    """Swap the byte order of every value, in place."""
    for tag, (type, value, _) in directory.tags.items():
        unit = 4 if type in _RATIONALS else SIZES.get(type, 1)
        swapped = b"".join(value[i : i + unit][::-1] for i in range(0, len(value), unit))
        directory.tags[tag] = Tag(type, swapped)
    for child in directory.children.values():
        swap(child)
