"""The pages of a TIFF: which one is the picture, and what its channels mean (TIFF 6.0, sections 3, 8, 16 and 18)."""

import mmap
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from iqsr.errors import PictureError
from iqsr.images.tiff_structure import integers, parse

_SUBFILE, _OLD_SUBFILE = 254, 255
_BITS, _COMPRESSION, PHOTOMETRIC, _SAMPLES, _PLANAR = 258, 259, 262, 277, 284
_TILE_WIDTH, _INK_SET, _EXTRA, _SAMPLE_FORMAT = 322, 332, 338, 339
_DNG_VERSION = 50706
_REDUCED, _MASK = 1, 4
_OLD_REDUCED = 2
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, TRANSPARENCY_MASK, SEPARATED, YCBCR = range(7)
CIELAB, ICCLAB = 8, 9
_CFA, _LINEAR_RAW = 32803, 34892
_OPACITY = (1, 2)  # of ExtraSamples: associated and unassociated
_MOST_PAGES = 4096


class Page(NamedTuple):
    """The tags of one page that describe its pixels."""

    number: int
    """Counted from 0, as libvips does."""
    at: int
    """The offset of the page's directory in the file."""
    is_reduced: bool
    """Whether it is a smaller version of another page: a thumbnail, a level of a pyramid."""
    is_mask: bool
    """Whether it is the transparency mask of another page."""
    photometric: int
    samples: int
    extra: tuple[int, ...]
    """ExtraSamples, the meaning of each channel beside the colour: 0 unspecified, 1 premultiplied alpha, 2 alpha."""
    bits: tuple[int, ...]
    sample_format: int
    """1 unsigned, 2 signed, 3 floating point, 5 and 6 complex."""
    compression: int
    is_planar: bool
    """Whether each channel has a plane of its own."""
    is_tiled: bool
    has_other_inks: bool
    """Whether the inks are others than cyan, magenta, yellow and black."""
    is_dng: bool
    """Whether the file is a DNG, Adobe's format for the raw files of cameras."""

    @property
    def colours(self) -> int:
        """The number of colour channels after libvips has applied a palette; 0 if it is unknown."""
        if self.photometric in (RGB, YCBCR, CIELAB, ICCLAB):
            return 3
        if self.photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO, TRANSPARENCY_MASK):
            return 1
        return 4 if self.photometric == SEPARATED and not self.has_other_inks else 0

    @property
    def opacity(self) -> int | None:
        """The index among the extra channels of the first one that is alpha."""
        return next((place for place, meaning in enumerate(self.extra) if meaning in _OPACITY), None)


def pages(path: Path) -> list[Page]:
    """The pages in their order, up to a damaged one; empty if there is no sound page."""
    found: list[Page] = []
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            layout, _ = parse(data)
            (at,) = struct.unpack_from(layout.offset, data, layout.first)
            been: set[int] = set()
            while at and at not in been and len(been) < _MOST_PAGES:
                been.add(at)
                _, directory = parse(data, at=at)
                numbers = partial(integers, directory, layout=layout)
                found.append(_page(len(found), at, numbers, is_dng=_DNG_VERSION in directory.entries))
                (count,) = struct.unpack_from(layout.tags, data, at)
                end = at + struct.calcsize(layout.tags)
                end += count * (struct.calcsize(layout.entry) + struct.calcsize(layout.offset))
                (at,) = struct.unpack_from(layout.offset, data, end)
        except (struct.error, ValueError):
            return found
    return found


def main_page(path: Path) -> Page | None:
    """The one page that is the picture; None if the file has no sound page.

    Smaller versions of it and masks do not count. PictureError if there are several pictures, and for raw files of
    cameras.
    """
    if _is_canon_raw(path):
        raise _raw(path)
    found = pages(path)
    if not found:
        return None
    pictures = [page for page in found if not page.is_reduced and not page.is_mask]
    if not pictures or any(page.is_dng or page.photometric in (_CFA, _LINEAR_RAW) for page in found):
        raise _raw(path)
    if len(pictures) > 1:
        raise PictureError(f"cannot read '{path}': it has {len(pictures)} pages; save one of them as a picture first")
    return pictures[0]


def _raw(path: Path) -> PictureError:
    return PictureError(f"cannot read '{path}': it is a camera's raw file; develop it to TIFF or JPEG first")


def _is_canon_raw(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(10)[8:] == b"CR"


def _page(number: int, at: int, numbers: Callable[[int], tuple[int, ...]], *, is_dng: bool) -> Page:
    """The page whose tags `numbers` reads. ValueError if a tag is of the wrong type."""

    def first(tag: int, default: int) -> int:
        return (*numbers(tag), default)[0]

    subfile = first(_SUBFILE, 0)
    return Page(
        number=number,
        at=at,
        is_reduced=bool(subfile & _REDUCED) or first(_OLD_SUBFILE, 0) == _OLD_REDUCED,
        is_mask=bool(subfile & _MASK),
        photometric=first(PHOTOMETRIC, BLACK_IS_ZERO),
        samples=first(_SAMPLES, 1),
        extra=numbers(_EXTRA),
        bits=numbers(_BITS) or (1,),
        sample_format=first(_SAMPLE_FORMAT, 1),
        compression=first(_COMPRESSION, 1),
        is_planar=first(_PLANAR, 1) == 2,
        is_tiled=bool(numbers(_TILE_WIDTH)),
        has_other_inks=first(_INK_SET, 1) != 1,
        is_dng=is_dng,
    )
