"""How damaged a JPEG may be: libjpeg makes up what it cannot decode, and at most warns of it."""

import mmap
from collections.abc import Iterator
from pathlib import Path

import pyvips

from iqsr.images import vips

_SCAN = 0xDA
_WITHOUT_LENGTH = {0x00, 0x01, 0xFF, *range(0xD0, 0xD9)}
_END = b"\xff\xd9"
# Warnings that cost no pixel: stray bytes between segments, parameters of a scan that some phones leave at
# zero, scans in an unusual order, a mark of Adobe's that nobody knows.
_HARMLESS = (
    "extraneous bytes before marker",
    "Invalid SOS parameters",
    "Inconsistent progression",
    "Unknown Adobe color transform",
)


def fail_on(path: Path) -> str:
    """The strictest level of libvips' `fail_on` at which an undamaged file still reads.

    Only "warning" tells of a middle that is zeroed or overwritten: to libjpeg that is no error. Where the
    first row already comes with a harmless warning, it is "truncated": libjpeg counts warnings and keeps no
    more than the first, so later ones could not be told from it.
    """
    try:
        image = pyvips.Image.jpegload_source(vips.source(path), access="sequential", fail_on="warning")
        pyvips.Region.new(image).fetch(0, 0, image.width, 1)
    except pyvips.Error as error:
        if any(warning in str(error.detail) for warning in _HARMLESS):
            return "truncated"
    return "warning"


def is_cut_short(path: Path) -> bool:
    """Whether no end of picture comes after the first scan begins, as in a download padded with zeros.

    libjpeg takes zeros for pixels and stops when it has enough of them. What follows the end is not looked at.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for marker, at in segments(data):
            if marker == _SCAN:
                return data.rfind(_END, at) < 0
    return False  # no scan: libvips will say so


def segments(data: mmap.mmap) -> Iterator[tuple[int, int]]:
    """The markers of a JPEG up to its first scan, and where each stands."""
    at = data.find(b"\xff", 2)
    while 0 <= at < len(data) - 4:
        marker = data[at + 1]
        yield marker, at
        if marker == _SCAN:
            return
        length = 0 if marker in _WITHOUT_LENGTH else 1 + int.from_bytes(data[at + 2 : at + 4], "big")
        at = data.find(b"\xff", at + 1 + length)
