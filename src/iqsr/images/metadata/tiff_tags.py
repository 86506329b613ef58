"""Metadata in the tags of a TIFF: EXIF, XMP, IPTC, Photoshop's resources, resolution, profile.

TIFF 6.0; Adobe's Photoshop TIFF notes (700, 33723, 34377); CIPA DC-008 for EXIF.
"""

import mmap
import struct
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from iqsr.images.metadata import exif_block, icc, photoshop
from iqsr.images.metadata.blocks import CONTENT_CREDENTIALS, LONGEST, Metadata, Resolution
from iqsr.images.metadata.colour import TiffColour
from iqsr.images.metadata.icc import Curve
from iqsr.images.tiff_structure import (
    EXIF,
    GPS,
    INTEROPERABILITY,
    SIZES,
    Directory,
    Layout,
    Tag,
    block_of,
    directories,
    integers,
    pack,
    parse,
    swap,
)

_XMP, _IPTC, _PHOTOSHOP, _ICC = 700, 33723, 34377, 34675
_ORIENTATION, _RESOLUTION = 274, {282, 283, 296}
# Document, description, maker, model, page, software, date, artist, host, rating, copyright, Windows' own texts:
# the tags of the main directory that describe the picture and not the storage of its pixels.
_DESCRIPTIVE = {269, 270, 271, 272, 285, 305, 306, 315, 316, 18246, 18249, 33432, *range(40091, 40096)}
_FROM_FIRST_PAGE = {*_DESCRIPTIVE, _XMP, _IPTC, _PHOTOSHOP}
_FROM_OTHER_PAGES = {_XMP, _IPTC, _PHOTOSHOP}
_MOST_PAGES = 16  # no file may ask for much time
_C2PA = 52545
_GEOGRAPHIC = {33550, 33922, 34264, 34735}
_TRANSFER_FUNCTION, _WHITE_POINT, _PRIMARIES = 301, 318, 319
_BYTE, _SHORT, _LONG, _RATIONAL, _UNDEFINED = 1, 3, 4, 5, 7


def read(path: Path, places: Sequence[int]) -> Metadata:
    """Read the tags of the picture; descriptive tags and the EXIF directory are packed as an EXIF block.

    What the picture's own directory lacks is taken from the file's first one, and then, for whole blocks (EXIF, XMP,
    IPTC, Photoshop's resources), from those of the other pages.

    places: offsets of the directories, the picture's first; empty for the file's first directory.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            layout, main = parse(data, LONGEST, places[0] if places else None)
            first = struct.unpack_from(layout.offset, data, layout.first)[0]
            for at in (first, *places[1:_MOST_PAGES]):
                _, other = parse(data, LONGEST, at)
                wanted = _FROM_FIRST_PAGE if at == first else _FROM_OTHER_PAGES
                main.tags = {tag: value for tag, value in other.tags.items() if tag in wanted} | main.tags
                main.children = other.children | main.children
        except (struct.error, ValueError):
            return Metadata()
    resolution: Resolution | None = None
    with suppress(struct.error, ValueError, ZeroDivisionError):
        resolution = exif_block.resolution_of(main, layout)
    dropped = ["its geographic tags"] if _GEOGRAPHIC & main.tags.keys() else []
    dropped += [CONTENT_CREDENTIALS] if _C2PA in main.entries else []
    if any(directory.fixed_maker_note for directory in directories(main)):
        dropped.append("its maker note")
    found = Metadata(
        exif=_block(main, layout, resolution),
        xmp=_packet(main, _XMP, layout, b"<"),
        iptc=_packet(main, _IPTC, layout, b"\x1c"),
        resolution=resolution,
        dropped=tuple(dropped),
    )
    return photoshop.merge_resources(found, _bytes(main, _PHOTOSHOP) or b"")


def colour(path: Path, at: int | None = None) -> TiffColour:
    """Read white point, primaries and transfer function; missing and invalid ones count as absent.

    at: the offset of the directory, None for the file's first one.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            layout, main = parse(data, at=at)
            curves = _curves(integers(main, _TRANSFER_FUNCTION, layout))
            numbers = [_fractions(main.tags.get(tag), layout) for tag in (_WHITE_POINT, _PRIMARIES)]
        except (struct.error, ValueError, ZeroDivisionError):
            return TiffColour()
    white, corners = numbers
    if len(white) != 2 or len(corners) != 6:
        return TiffColour(curves=curves)
    red, green, blue = ((corners[i], corners[i + 1]) for i in (0, 2, 4))
    return TiffColour(((red, green, blue), (white[0], white[1])), curves)


def write(part: Path, blocks: Metadata, profile: bytes | None) -> list[str]:
    """Add the metadata to a TIFF that has none. Returns the names of what cannot be kept. OSError.

    New directories are appended, and the header points to them, so that no pixel moves.
    """
    dropped: list[str] = []
    with part.open("r+b") as file:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            layout, main = parse(data, len(data))
            start = len(data) + len(data) % 2
        # libvips always writes an orientation, and a resolution of 10 pixels per cm if it knows none.
        main.tags = {tag: value for tag, value in main.tags.items() if tag not in {_ORIENTATION, *_RESOLUTION}}
        if blocks.exif:
            dropped += _add_exif(main, layout, blocks.exif)
        if blocks.resolution:
            for tag, (type, value) in exif_block.resolution_tags(blocks.resolution).items():
                main.tags[tag] = exif_block.ordered(layout, type, value)
        for tag, type, value in (
            (_XMP, _BYTE, blocks.xmp),
            (_IPTC, _LONG, blocks.iptc and blocks.iptc + bytes(-len(blocks.iptc) % 4)),  # as libtiff wants it
            (_PHOTOSHOP, _BYTE, photoshop.packed(blocks.iptc, blocks.resources) if blocks.resources else None),
            (_ICC, _UNDEFINED, profile),
        ):
            if value:
                main.tags[tag] = Tag(type, value)
        body, first = pack(main, layout, start)
        file.seek(start)
        file.write(body)
        file.seek(layout.first)
        file.write(struct.pack(layout.offset, first))
    return dropped


def _curves(values: tuple[int, ...]) -> tuple[Curve, ...]:
    """The curves of a TransferFunction: one table for all channels or one for each, reduced to 256 entries."""
    for count in (1, 3):
        length = len(values) // count
        if len(values) == length * count and length in (256, 65536):
            step = 1 if length == 256 else 257
            return tuple(icc.table(values[i * length : (i + 1) * length : step]) for i in range(count))
    return ()


def _fractions(tag: Tag | None, layout: Layout) -> tuple[float, ...]:
    if tag is None or tag.type != _RATIONAL:
        return ()
    numbers = struct.unpack(f"{layout.order}{len(tag.value) // 8 * 2}I", tag.value)
    return tuple(above / below for above, below in zip(numbers[::2], numbers[1::2], strict=True))


def _add_exif(main: Directory, layout: Layout, block: bytes) -> list[str]:
    layout_of_exif, tree = parse(block, len(block))
    fixed = any(directory.fixed_maker_note for directory in directories(tree))
    if layout_of_exif.order != layout.order:
        swap(tree)
    main.tags |= {tag: value for tag, value in tree.tags.items() if tag in {_ORIENTATION, *_DESCRIPTIVE}}
    main.children |= tree.children
    return ["its maker note (which cannot move into a TIFF)"] if fixed else []


def _block(main: Directory, layout: Layout, resolution: Resolution | None) -> bytes | None:
    described = Directory({tag: value for tag, value in main.tags.items() if tag in _DESCRIPTIVE})
    described.children = {tag: child for tag, child in main.children.items() if tag in (EXIF, GPS, INTEROPERABILITY)}
    if not described.tags and not described.children:
        return None
    if resolution:
        described.tags |= {tag: value for tag, value in main.tags.items() if tag in _RESOLUTION}
    return block_of(described, layout)


def _bytes(main: Directory, tag: int) -> bytes | None:
    found = main.tags.get(tag)
    return found.value or None if found and SIZES.get(found.type) == 1 else None


def _packet(main: Directory, tag: int, layout: Layout, begins: bytes) -> bytes | None:
    """A block of text: bytes, or, from some programs, numbers of 16 or 32 bits, padded with zeros.

    The bytes of the numbers may be in the order of the text or in the file's: `begins`, the text's first byte, decides.
    """
    found = main.tags.get(tag)
    if found is None or found.type not in (_SHORT, _LONG):
        return _bytes(main, tag)
    value, size = found.value, SIZES[found.type]
    if value[:1] != begins and layout.order == ">":
        value = b"".join(value[at : at + size][::-1] for at in range(0, len(value), size))
    return value.rstrip(b"\0") or None
