"""The tags of a TIFF beside its pixels: EXIF, XMP, IPTC, Photoshop's resources, resolution, profile.

TIFF 6.0; Adobe's Photoshop TIFF notes (700, 33723, 34377); CIPA DC-008 for EXIF.
"""

import mmap
import struct
from contextlib import suppress
from pathlib import Path

from iqsr.images.exif import (
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
from iqsr.images.metadata import exif_block, icc, photoshop
from iqsr.images.metadata.blocks import LONGEST, Metadata, Resolution
from iqsr.images.metadata.colour import TiffColour
from iqsr.images.metadata.icc import Curve

_XMP, _IPTC, _PHOTOSHOP, _ICC = 700, 33723, 34377, 34675
_ORIENTATION, _RESOLUTION = 274, {282, 283, 296}
# Document, description, maker, model, page, software, date, artist, host, rating, copyright, Windows' own texts:
# the tags of the main directory that tell of the picture and not of how its pixels are stored.
_TELLING = {269, 270, 271, 272, 285, 305, 306, 315, 316, 18246, 18249, 33432, *range(40091, 40096)}
_STORY = {*_TELLING, _XMP, _IPTC, _PHOTOSHOP}
_GEOGRAPHIC = {33550, 33922, 34264, 34735}
_TRANSFER_FUNCTION, _WHITE_POINT, _PRIMARIES = 301, 318, 319
_BYTE, _SHORT, _LONG, _RATIONAL, _UNDEFINED = 1, 3, 4, 5, 7


def read(path: Path, at: int | None = None) -> Metadata:
    """What the first directory says. EXIF is the block that other formats carry, in the file's byte order.

    at: where the picture's directory stands; what it leaves unsaid of the picture's story, the first one says.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            layout, main = parse(data, LONGEST, at)
            if at is not None:
                _, first = parse(data, LONGEST)
                story = {tag: value for tag, value in first.tags.items() if tag in _STORY}
                main.tags, main.children = story | main.tags, first.children | main.children
        except (struct.error, ValueError):
            return Metadata()
    resolution: Resolution | None = None
    with suppress(struct.error, ValueError, ZeroDivisionError):
        resolution = exif_block.resolution_of(main, layout)
    iptc, resources = photoshop.unpacked(_bytes(main, _PHOTOSHOP) or b"")
    left_out = ["its geographic tags"] if _GEOGRAPHIC & main.tags.keys() else []
    if any(directory.fixed_maker_note for directory in directories(main)):
        left_out.append("its maker note")
    return Metadata(
        exif=_block(main, layout, resolution),
        xmp=_packet(main, _XMP, layout, b"<"),
        iptc=_packet(main, _IPTC, layout, b"\x1c") or iptc,
        resources=resources,
        resolution=resolution,
        left_out=tuple(left_out),
    )


def colour(path: Path, at: int | None = None) -> TiffColour:
    """White point and primaries, and transfer function; none of what is missing or makes no sense.

    at: as in `read`.
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
    """Add the blocks to a TIFF that has none. Returns what could not be kept. OSError.

    The new directories are appended and the header is pointed to them, so no pixel moves.
    """
    lost: list[str] = []
    with part.open("r+b") as file:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            layout, main = parse(data, len(data))
            start = len(data) + len(data) % 2
        # libvips always says upright, and 10 pixels per centimetre where nobody knows.
        main.tags = {tag: value for tag, value in main.tags.items() if tag not in {_ORIENTATION, *_RESOLUTION}}
        if blocks.exif:
            lost += _add_exif(main, layout, blocks.exif)
        if blocks.resolution:
            for tag, (kind, value) in exif_block.resolution_tags(blocks.resolution).items():
                main.tags[tag] = exif_block.ordered(layout, kind, value)
        for tag, kind, value in (
            (_XMP, _BYTE, blocks.xmp),
            (_IPTC, _LONG, blocks.iptc and blocks.iptc + bytes(-len(blocks.iptc) % 4)),  # as libtiff wants it
            (_PHOTOSHOP, _BYTE, photoshop.packed(blocks.iptc, blocks.resources) if blocks.resources else None),
            (_ICC, _UNDEFINED, profile),
        ):
            if value:
                main.tags[tag] = Tag(kind, value)
        body, first = pack(main, layout, start)
        file.seek(start)
        file.write(body)
        file.seek(layout.first)
        file.write(struct.pack(layout.offset, first))
    return lost


def _curves(values: tuple[int, ...]) -> tuple[Curve, ...]:
    """One table for all channels or one for each, of 8 or 16 bit; thinned out to what profiles usually have."""
    for count in (1, 3):
        length = len(values) // count
        if len(values) == length * count and length in (256, 65536):
            step = 1 if length == 256 else 257
            return tuple(icc.table(values[i * length : (i + 1) * length : step]) for i in range(count))
    return ()


def _fractions(tag: Tag | None, layout: Layout) -> tuple[float, ...]:
    if tag is None or tag.kind != _RATIONAL:
        return ()
    numbers = struct.unpack(f"{layout.order}{len(tag.value) // 8 * 2}I", tag.value)
    return tuple(above / below for above, below in zip(numbers[::2], numbers[1::2], strict=True))


def _add_exif(main: Directory, layout: Layout, block: bytes) -> list[str]:
    layout_of_exif, tree = parse(block, len(block))
    fixed = any(directory.fixed_maker_note for directory in directories(tree))
    if layout_of_exif.order != layout.order:
        swap(tree)
    main.tags |= {tag: value for tag, value in tree.tags.items() if tag in {_ORIENTATION, *_TELLING}}
    main.children |= tree.children
    return ["its maker note (which cannot move into a TIFF)"] if fixed else []


def _block(main: Directory, layout: Layout, resolution: Resolution | None) -> bytes | None:
    told = Directory({tag: value for tag, value in main.tags.items() if tag in _TELLING})
    told.children = {tag: child for tag, child in main.children.items() if tag in (EXIF, GPS, INTEROPERABILITY)}
    if not told.tags and not told.children:
        return None
    if resolution:
        told.tags |= {tag: value for tag, value in main.tags.items() if tag in _RESOLUTION}
    return block_of(told, layout)


def _bytes(main: Directory, tag: int) -> bytes | None:
    found = main.tags.get(tag)
    return found.value or None if found and SIZES.get(found.kind) == 1 else None


def _packet(main: Directory, tag: int, layout: Layout, begins: bytes) -> bytes | None:
    """A block of text as the file has it: bytes, or, of some programs, numbers of 16 or 32 bits filled up with zeros.

    Numbers are in the file's byte order, their bytes in the order of the text or in that of the numbers: `begins`, the
    text's first byte, decides.
    """
    found = main.tags.get(tag)
    if found is None or found.kind not in (_SHORT, _LONG):
        return _bytes(main, tag)
    value, size = found.value, SIZES[found.kind]
    if value[:1] != begins and layout.order == ">":
        value = b"".join(value[at : at + size][::-1] for at in range(0, len(value), size))
    return value.rstrip(b"\0") or None
