"""The EXIF block, changed in place, so that offsets into it, such as those of maker notes, stay valid (CIPA DC-008)."""

import struct
from contextlib import suppress
from fractions import Fraction
from typing import Literal

from iqsr.images.metadata.blocks import Resolution
from iqsr.images.tiff_structure import (
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

_ASCII, _SHORT, _RATIONAL = 2, 3, 5
_ORIENTATION, _X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 274, 282, 283, 296
_WIDTH, _HEIGHT = (256, 0xA002, 0x1001), (257, 0xA003, 0x1002)  # main directory, EXIF, interoperability
_COLOUR_SPACE, _INTEROPERABILITY_INDEX, _SRGB = 0xA001, 1, 1
_UNITS: dict[int, Literal["none", "inch", "cm"]] = {1: "none", 2: "inch", 3: "cm"}
_THUMBNAIL = ((0x0201, 0x0202), (273, 279))  # offset and length, as JPEG or bare
_EMPTY = b"MM\0*\0\0\0\x08\0\0\0\0\0\0"
_SUBJECT_AREA, _SUBJECT_LOCATION = 0x9214, 0xA214
_FOCAL_PLANE = (0xA20E, 0xA20F)
"""Resolution of the sensor, across and down."""
_LIMIT = (1 << 32) - 1
Size = tuple[int, int]


def strip_prefix(data: bytes | None) -> bytes | None:
    """The EXIF block in `data` from its TIFF header on, without a prefix ("Exif" or a length), or None."""
    if not data:
        return None
    places = [at for header in (b"II*\0", b"MM\0*") if (at := data.find(header, 0, 64)) >= 0]
    return data[min(places) :] if places else None


def is_valid(block: bytes) -> bool:
    """Whether the block can be read, and updated for a result."""
    try:
        updated(block, (1, 1), (1, 1))
    except (struct.error, ValueError):
        return False
    return True


def texts(block: bytes | None) -> dict[int, str]:
    """The tags of the main and the EXIF directory, with their text (empty for values that are no text)."""
    if not block:
        return {}
    _, main = parse(block, len(block))
    below = main.children.get(EXIF, Directory())
    found = dict.fromkeys([*main.entries, *below.entries], "")
    plain = {tag: value for tag, value in main.tags.items() if value.type == _ASCII}
    return found | {tag: value.value.rstrip(b"\0").decode(errors="replace") for tag, value in plain.items()}


def orientation(block: bytes | None) -> int:
    """The orientation in the block, 1 to 8; 1 (upright) if it has none or an invalid one."""
    if not block:
        return 1
    with suppress(struct.error, ValueError):
        layout, main = parse(block)
        number = (*integers(main, _ORIENTATION, layout), 1)[0]
        return number if 1 <= number <= 8 else 1
    return 1


def updated(block: bytes, before: tuple[int, int], size: tuple[int, int]) -> bytes:
    """Update a block for a result of `size` = (width, height): upright, without a thumbnail. No tag is added.

    before: (width, height) of the upright source. ValueError or struct.error if the block is invalid.
    """
    data = bytearray(block)
    layout, main = parse(block, len(block))
    orientation = (*integers(main, _ORIENTATION, layout), 1)[0]
    for directory in directories(main):
        changes = {tag: _long(layout, size[0]) for tag in _WIDTH if tag in directory.tags}
        changes |= {tag: _long(layout, size[1]) for tag in _HEIGHT if tag in directory.tags}
        changes |= _moved_places(directory, layout, orientation=orientation, before=before, after=size)
        across, down = (main.tags.get(tag) for tag in (_X_RESOLUTION, _Y_RESOLUTION))
        if directory is main and orientation >= 5 and across and down:  # rows and columns change places
            changes |= {_X_RESOLUTION: down, _Y_RESOLUTION: across}
        if directory is main and _ORIENTATION in main.tags:
            changes[_ORIENTATION] = Tag(_SHORT, struct.pack(layout.order + "H", 1))
        _put(data, layout, directory, changes)
    return _without_thumbnail(bytes(data), layout, main)


def with_tags(block: bytes | None, main: dict[int, tuple[int, bytes]], detail: dict[int, tuple[int, bytes]]) -> bytes:
    """Add tags to the main and the EXIF directory of a block, or of a new one; tags that it has stay as they are.

    Tags are (type, value), values in big-endian order. A directory that grows is appended, so that nothing moves.
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
    """Shorten a block to `most` bytes. Returns it and the names of the values left out, which are the longest ones."""
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
    """The resolution in the block."""
    if not block:
        return None
    with suppress(struct.error, ValueError, ZeroDivisionError):
        layout, main = parse(block)
        return resolution_of(main, layout)
    return None


def resolution_of(main: Directory, layout: Layout) -> Resolution | None:
    """The resolution in the main directory of EXIF or TIFF.

    ValueError, struct.error or ZeroDivisionError if the tags are invalid.
    """
    if _X_RESOLUTION not in main.tags or _Y_RESOLUTION not in main.tags:
        return None
    across, down = (_fraction(main.tags[tag], layout) for tag in (_X_RESOLUTION, _Y_RESOLUTION))
    unit = (*integers(main, _RESOLUTION_UNIT, layout), 2)[0]
    found = Resolution(across, down, _UNITS.get(unit, "none"))
    is_default = found.unit == "none" and across == down  # writers put it where they know nothing
    return found if found.plausible and not is_default else None


def resolution_tags(resolution: Resolution) -> dict[int, tuple[int, bytes]]:
    """The tags of EXIF and TIFF for a resolution, with big-endian values."""
    unit = {name: number for number, name in _UNITS.items()}[resolution.unit]
    rationals = {_X_RESOLUTION: resolution.across, _Y_RESOLUTION: resolution.down}
    limited = {tag: _within_32_bits(value) for tag, value in rationals.items()}
    tags = {tag: (_RATIONAL, struct.pack(">II", *value.as_integer_ratio())) for tag, value in limited.items()}
    return tags | {_RESOLUTION_UNIT: (_SHORT, struct.pack(">H", unit))}


def is_adobe_rgb(block: bytes | None) -> bool:
    """Whether the block states Adobe RGB as cameras do: not sRGB, and interoperability R03 (DCF 2.0)."""
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
    """Set tags of a directory; if it grows, it is appended to `data`. Returns its offset."""
    inline = struct.calcsize(layout.offset)
    old = directory.entries if directory else {}
    entries = {tag: bytes(data[at : at + struct.calcsize(layout.entry) + inline]) for tag, at in old.items()}
    start = len(data) + len(data) % 2
    values_at = start + struct.calcsize(layout.tags) + sum(map(len, entries.values()))
    values_at += sum(tag not in old for tag in tags) * (struct.calcsize(layout.entry) + inline) + inline
    values = b""
    for tag, (type, value, _) in tags.items():
        entry = struct.pack(layout.entry, tag, type, len(value) // SIZES.get(type, 1))
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
    """Remove the directory behind the main one, which is the thumbnail's, and the pixels of the thumbnail."""
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


def ordered(layout: Layout, type: int, value: bytes) -> Tag:
    """A tag with a big-endian value, brought to the byte order of the block."""
    unit = 4 if type == _RATIONAL else SIZES[type]
    if layout.order == "<":
        value = b"".join(value[at : at + unit][::-1] for at in range(0, len(value), unit))
    return Tag(type, value)


def _fraction(tag: Tag, layout: Layout) -> Fraction:
    if tag.type == _RATIONAL:
        return Fraction(*struct.unpack_from(layout.order + "II", tag.value))
    (number,) = integers(Directory({0: tag}), 0, layout)
    return Fraction(number)


def _within_32_bits(value: Fraction) -> Fraction:
    limit = (1 << 32) - 1
    if value.numerator <= limit and value.denominator <= limit:
        return value
    return value.limit_denominator(max(1, limit // max(1, int(value) + 1)))


def _moved_places(detail: Directory, layout: Layout, *, orientation: int, before: Size, after: Size) -> dict[int, Tag]:
    """New values of the tags that count in pixels (CIPA DC-008, 4.6.6). before, after: (width, height), upright."""
    scale = Fraction(after[0], before[0]), Fraction(after[1], before[1])
    changed: dict[int, Tag] = {}
    for tag, factor in zip(_FOCAL_PLANE, scale, strict=True):
        old = detail.tags.get(tag)
        if old and old.type == _RATIONAL and len(old.value) == 8:
            changed[tag] = Tag(_RATIONAL, _times(old.value, factor, layout))
    for tag in (_SUBJECT_AREA, _SUBJECT_LOCATION):
        old = detail.tags.get(tag)
        if old and old.type == _SHORT and len(old.value) in (4, 6, 8):
            numbers = struct.unpack(f"{layout.order}{len(old.value) // 2}H", old.value)
            moved = _moved(numbers, orientation, before, scale)
            changed[tag] = Tag(_SHORT, struct.pack(f"{layout.order}{len(moved)}H", *moved))
    return changed


def _times(value: bytes, factor: Fraction, layout: Layout) -> bytes:
    above, below = struct.unpack(layout.order + "II", value)
    if not below:
        return value
    product = Fraction(above, below) * factor
    if max(product.as_integer_ratio()) > _LIMIT:
        product = product.limit_denominator(max(1, _LIMIT // (int(product) + 1)))
    return struct.pack(layout.order + "II", *(min(number, _LIMIT) for number in product.as_integer_ratio()))


def _moved(numbers: tuple[int, ...], orientation: int, before: Size, scale: tuple[Fraction, Fraction]) -> list[int]:
    """Move a point, with its diameter or its width and height, from the stored picture to the result."""
    x, y, *extent = numbers
    sides = list(extent)
    if orientation >= 5:  # rows and columns change places
        x, y = y, x
        sides = sides[::-1]
    if orientation in (2, 3, 6, 7):
        x = before[0] - x
    if orientation in (3, 4, 7, 8):
        y = before[1] - y
    scaled = [x * scale[0], y * scale[1], *(side * factor for side, factor in zip(sides, scale, strict=False))]
    return [min(65535, max(0, round(number))) for number in scaled]
