"""The boxes of HEIF files (ISO/IEC 14496-12, 23008-12): which codec, and how many frames."""

import mmap
from pathlib import Path

from iqsr.images.boxes import found

_AVIF_BRANDS = {b"avif", b"avis"}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"mif2", b"msf1"}
_SEQUENCE_BRANDS = {b"avis", b"hevc", b"hevx", b"hevm", b"hevs", b"msf1"}
_PICTURES = b"pict"


def kind_of_brands(head: bytes) -> str | None:
    """avif, heic or None, by the brands that the first box of a file names."""
    length = min(int.from_bytes(head[:4], "big"), len(head))
    brands = {head[at : at + 4] for at in (8, *range(16, length, 4))}
    if brands & _AVIF_BRANDS:
        return "avif"
    return "heic" if brands & _HEIC_BRANDS else None


def frames(path: Path) -> tuple[int, bool]:
    """The frames of the longest track of pictures, 0 where there is none; and whether the file is first of all that.

    A file may hold both a picture and a sequence; its major brand says which is meant.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        longest = max((_samples(data, *track) for track in found(data, (b"moov", b"trak"))), default=0)
        return longest, data[8:12] in _SEQUENCE_BRANDS


def _samples(data: mmap.mmap, start: int, end: int) -> int:
    """How many samples a track of pictures has; 0 for one of other things (opacity, sound)."""
    handlers = [data[at + 8 : at + 12] for at, _ in found(data, (b"mdia", b"hdlr"), start, end)]
    if handlers != [_PICTURES]:
        return 0
    sizes = [found(data, (b"mdia", b"minf", b"stbl", name), start, end) for name in (b"stsz", b"stz2")]
    return max((int.from_bytes(data[at + 8 : at + 12], "big") for some in sizes for at, _ in some), default=0)
