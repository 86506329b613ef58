"""EXIF as one block, changed in place: what points into it, such as maker notes, must still fit."""

import struct
from contextlib import suppress
from fractions import Fraction
from typing import Literal

from iqsr.images.exif import (
    EXIF,
    INTEROPERABILITY,
    LONG,
    MAKER_NOTE,
    SIZES,
    Directory,
    Layout,
    Tag,
    block_of,
    directories,
    integers,
    parse,
)
from iqsr.images.metadata import geometry
from iqsr.images.metadata.blocks import Resolution

_ASCII, _SHORT, _RATIONAL = 2, 3, 5
_ORIENTATION, _X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 274, 282, 283, 296
_WIDTH, _HEIGHT = (256, 0xA002, 0x1001), (257, 0xA003, 0x1002)  # main directory, EXIF, interoperability
_COLOUR_SPACE, _INTEROPERABILITY_INDEX, _SRGB = 0xA001, 1, 1
_UNITS: dict[int, Literal["none", "inch", "cm"]] = {1: "none", 2: "inch", 3: "cm"}
_THUMBNAIL = ((0x0201, 0x0202), (273, 279))  # offset and length, as JPEG or bare
_EMPTY = b"MM\0*\0\0\0\x08\0\0\0\0\0\0"


def found(data: bytes | None) -> bytes | None:
    """The EXIF block in `data`, which may have "Exif" and zeros or a length in front; None where there is none."""
    if not data:
        return None
    places = [at for header in (b"II*\0", b"MM\0*") if (at := data.find(header, 0, 64)) >= 0]
    return data[min(places) :] if places else None


def makes_sense(block: bytes) -> bool:
    """Whether the block can be read, and still can when it is made that of a result."""
    try:
        updated(block, (1, 1), (1, 1))
    except (struct.error, ValueError):
        return False
    return True


def texts(block: bytes | None) -> dict[int, str]:
    """Tags of the main and the EXIF directory that are there, with their text (empty for what is none)."""
    if not block:
        return {}
    _, main = parse(block, len(block))
    below = main.children.get(EXIF, Directory())
    found = dict.fromkeys([*main.entries, *below.entries], "")
    plain = {tag: value for tag, value in main.tags.items() if value.kind == _ASCII}
    return found | {tag: value.value.rstrip(b"\0").decode(errors="replace") for tag, value in plain.items()}


def orientation(block: bytes | None) -> int:
    """What the block says, 1 to 8; 1, which is upright, where it says nothing that makes sense."""
    if not block:
        return 1
    with suppress(struct.error, ValueError):
        layout, main = parse(block)
        said = (*integers(main, _ORIENTATION, layout), 1)[0]
        return said if 1 <= said <= 8 else 1
    return 1


def updated(block: bytes, before: tuple[int, int], size: tuple[int, int]) -> bytes:
    """The block for a result: upright, of `size` = (width, height), without a thumbnail.

    before: the source's size as seen. What is not there is not added. ValueError or struct.error where the block
    makes no sense.
    """
    data = bytearray(block)
    layout, main = parse(block, len(block))
    orientation = (*integers(main, _ORIENTATION, layout), 1)[0]
    for directory in directories(main):
        changes = {tag: _long(layout, size[0]) for tag in _WIDTH if tag in directory.tags}
        changes |= {tag: _long(layout, size[1]) for tag in _HEIGHT if tag in directory.tags}
        changes |= geometry.changes(directory, layout, orientation=orientation, before=before, after=size)
        across, down = (main.tags.get(tag) for tag in (_X_RESOLUTION, _Y_RESOLUTION))
        if directory is main and orientation >= 5 and across and down:  # rows and columns change places
            changes |= {_X_RESOLUTION: down, _Y_RESOLUTION: across}
        if directory is main and _ORIENTATION in main.tags:
            changes[_ORIENTATION] = Tag(_SHORT, struct.pack(layout.order + "H", 1))
        _put(data, layout, directory, changes)
    return _without_thumbnail(bytes(data), layout, main)


def with_tags(block: bytes | None, main: dict[int, tuple[int, bytes]], detail: dict[int, tuple[int, bytes]]) -> bytes:
    """The block, or a new one, with more tags in its main and its EXIF directory; those it has stay as they are.

    Tags are (kind, value), values in big-endian order. Longer directories go to the end, so that nothing moves.
    """
    block = block or _EMPTY
    layout, tree = parse(block, len(block))
    data = bytearray(block)
    below = tree.children.get(EXIF)
    more = {tag: ordered(layout, *value) for tag, value in main.items() if tag not in tree.entries}
    if detail:
        new = {
            tag: ordered(layout, *value) for tag, value in detail.items() if below is None or tag not in below.entries
        }
        more[EXIF] = _long(layout, _put(data, layout, below, new))
    struct.pack_into(layout.offset, data, layout.first, _put(data, layout, tree, more))
    return bytes(data)


def shortened(block: bytes, most: int) -> tuple[bytes, list[str]]:
    """The block in at most `most` bytes, and the names of the values that had to go: the longest ones."""
    if len(block) <= most:
        return block, []
    from PIL.ExifTags import TAGS

    layout, main = parse(block, len(block))
    gone = [TAGS[MAKER_NOTE]] if any(directory.fixed_maker_note for directory in directories(main)) else []
    while len(packed := block_of(main, layout)) > most:
        values = [(directory, tag) for directory in directories(main) for tag in directory.tags]
        directory, longest = max(values, key=lambda value: len(value[0].tags[value[1]].value))
        del directory.tags[longest]
        gone.append(TAGS.get(longest, f"tag {longest}"))
    return packed, gone


def resolution(block: bytes | None) -> Resolution | None:
    """What the block says of the resolution."""
    if not block:
        return None
    with suppress(struct.error, ValueError, ZeroDivisionError):
        layout, main = parse(block)
        return resolution_of(main, layout)
    return None


def resolution_of(main: Directory, layout: Layout) -> Resolution | None:
    """What the main directory of EXIF or TIFF says.

    ValueError, struct.error or ZeroDivisionError where it makes no sense.
    """
    if _X_RESOLUTION not in main.tags or _Y_RESOLUTION not in main.tags:
        return None
    across, down = (_fraction(main.tags[tag], layout) for tag in (_X_RESOLUTION, _Y_RESOLUTION))
    unit = (*integers(main, _RESOLUTION_UNIT, layout), 2)[0]
    said = Resolution(across, down, _UNITS.get(unit, "none"))
    says_nothing = said.unit == "none" and across == down  # what writers put that know nothing
    return said if said.plausible and not says_nothing else None


def resolution_tags(said: Resolution) -> dict[int, tuple[int, bytes]]:
    """The tags by which EXIF and TIFF say it, big-endian."""
    unit = {name: number for number, name in _UNITS.items()}[said.unit]
    rationals = {_X_RESOLUTION: said.across, _Y_RESOLUTION: said.down}
    limited = {tag: _within_32_bits(value) for tag, value in rationals.items()}
    tags = {tag: (_RATIONAL, struct.pack(">II", *value.as_integer_ratio())) for tag, value in limited.items()}
    return tags | {_RESOLUTION_UNIT: (_SHORT, struct.pack(">H", unit))}


def is_adobe_rgb(block: bytes | None) -> bool:
    """Whether the block says Adobe RGB as cameras do: not sRGB, and interoperability R03 (DCF 2.0)."""
    if not block:
        return False
    with suppress(struct.error, ValueError):
        layout, main = parse(block)
        detail = main.children.get(EXIF, Directory())
        index = detail.children.get(INTEROPERABILITY, Directory()).tags.get(_INTEROPERABILITY_INDEX)
        space = (*integers(detail, _COLOUR_SPACE, layout), _SRGB)[0]
        return space != _SRGB and index is not None and index.value.startswith(b"R03")
    return False


def _put(data: bytearray, layout: Layout, directory: Directory | None, tags: dict[int, Tag]) -> int:
    """Set tags of a directory; where it grows, as a new one at the end of `data`. Returns where it stands."""
    inline = struct.calcsize(layout.offset)
    old = directory.entries if directory else {}
    entries = {tag: bytes(data[at : at + struct.calcsize(layout.entry) + inline]) for tag, at in old.items()}
    start = len(data) + len(data) % 2
    values_at = start + struct.calcsize(layout.tags) + sum(map(len, entries.values()))
    values_at += sum(tag not in old for tag in tags) * (struct.calcsize(layout.entry) + inline) + inline
    values = b""
    for tag, (kind, value, _) in tags.items():
        entry = struct.pack(layout.entry, tag, kind, len(value) // SIZES.get(kind, 1))
        there = directory.tags.get(tag) if directory else None
        if there and len(value) > inline and len(there.value) == len(value):
            data[there.at : there.at + len(value)] = value
            entry += entries[tag][len(entry) :]
        elif len(value) <= inline:
            entry += value.ljust(inline, b"\0")
        else:
            entry += struct.pack(layout.offset, values_at + len(values))
            values += value + b"\0" * (len(value) % 2)
        entries[tag] = entry
    if directory is not None and not values and entries.keys() == old.keys():
        for tag in tags:
            data[old[tag] : old[tag] + len(entries[tag])] = entries[tag]
        return directory.at
    data += b"\0" * (start - len(data)) + struct.pack(layout.tags, len(entries))
    data += b"".join(entries[tag] for tag in sorted(entries)) + bytes(inline) + values
    return start


def _without_thumbnail(block: bytes, layout: Layout, main: Directory) -> bytes:
    """The block with no directory behind the main one: that is the thumbnail's, whose pixels go, too."""
    data = bytearray(block)
    (count,) = struct.unpack_from(layout.tags, data, main.at)
    inline = struct.calcsize(layout.offset)
    link = main.at + struct.calcsize(layout.tags) + count * (struct.calcsize(layout.entry) + inline)
    if link + inline > len(data):
        return block
    (second,) = struct.unpack_from(layout.offset, data, link)
    struct.pack_into(layout.offset, data, link, 0)
    with suppress(struct.error, ValueError):
        _, thumbnail = parse(bytes(data), len(data), second)
        for offset, length in _THUMBNAIL:
            places = zip(integers(thumbnail, offset, layout), integers(thumbnail, length, layout), strict=False)
            for at, many in places:
                if second and at >= 8 and at + many <= len(data):
                    data[at : at + many] = bytes(many)
                    if at + many >= len(data) - 1:
                        del data[at:]
    parse(bytes(data), len(data))
    return bytes(data)


def _long(layout: Layout, number: int) -> Tag:
    return Tag(LONG, struct.pack(layout.order + "I", number))


def ordered(layout: Layout, kind: int, value: bytes) -> Tag:
    """A big-endian value in the order of the block."""
    unit = 4 if kind == _RATIONAL else SIZES[kind]
    if layout.order == "<":
        value = b"".join(value[at : at + unit][::-1] for at in range(0, len(value), unit))
    return Tag(kind, value)


def _fraction(tag: Tag, layout: Layout) -> Fraction:
    if tag.kind == _RATIONAL:
        return Fraction(*struct.unpack_from(layout.order + "II", tag.value))
    (number,) = integers(Directory({0: tag}), 0, layout)
    return Fraction(number)


def _within_32_bits(value: Fraction) -> Fraction:
    limit = (1 << 32) - 1
    if value.numerator <= limit and value.denominator <= limit:
        return value
    return value.limit_denominator(max(1, limit // max(1, int(value) + 1)))
