"""Read the metadata and the meaning of the colours of a source, whatever its format."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import pyvips

from iqsr.images import tiff_pages, vips
from iqsr.images.metadata import (
    colour,
    exif_block,
    gif_blocks,
    heif_boxes,
    jpeg_segments,
    png_chunks,
    tiff_tags,
    webp_chunks,
)
from iqsr.images.metadata.blocks import Metadata, Resolution
from iqsr.images.metadata.colour import Colour

if TYPE_CHECKING:
    from iqsr.images.info import Header

_READERS = {"jpeg": jpeg_segments.read, "png": png_chunks.read, "webp": webp_chunks.read, "gif": gif_blocks.read}
_HEIF = ("avif", "heic")
_RGB = ("srgb", "rgb", "rgb16", "b-w", "grey16")


def read_metadata(path: Path, format: str, raw: pyvips.Image) -> Metadata:
    """Read the metadata of a file that libvips has opened as `raw`. OSError."""
    if format in _READERS:
        return _checked(_READERS[format](path))
    if format == "tiff":
        return _checked(tiff_tags.read(path, _directories(path)))
    return _checked(
        Metadata(
            exif=vips.blob(raw, "exif-data"), xmp=vips.blob(raw, "xmp-data"), dropped=heif_boxes.read(path).dropped
        )
    )


def header_metadata(path: Path, format: str, header: "Header") -> Metadata:
    """Make the metadata of a file from the header that another decoder than libvips has read. OSError."""
    boxes = heif_boxes.read(path).dropped if format in _HEIF else ()
    return _checked(
        Metadata(
            exif=header.exif,
            xmp=header.xmp,
            iptc=header.iptc,
            resolution=_resolution(header.resolution),
            dropped=tuple(dict.fromkeys(header.dropped + boxes)),
        )
    )


def read_colour(path: Path, format: str, raw: pyvips.Image, plain: pyvips.Image, blocks: Metadata) -> Colour:
    """The meaning of the colours of `plain`, which was made of the libvips image `raw` of a file. OSError."""
    gray, own = plain.bands < 3, vips.blob(plain, "icc-profile-data")
    if raw.interpretation not in _RGB:
        return Colour(own)  # converted, and so is the profile
    found = Colour(own)
    if format == "png":
        found = colour.of_png(png_chunks.colour_chunks(path), own, gray=gray)
    elif format == "tiff":
        found = colour.of_tiff(own, tiff_tags.colour(path, (*_directories(path), None)[0]), gray=gray)
    elif format == "gif":
        found = Colour(gif_blocks.profile(path))
    elif format == "avif" and own is None:
        found = _of_heif(path, gray=gray)
    elif format == "jpeg" and own is None and not gray and exif_block.is_adobe_rgb(blocks.exif):
        found = colour.adobe_rgb()
    return found


def header_colour(path: Path, format: str, header: "Header") -> Colour:
    """The meaning of the colours of a file whose header another decoder than libvips has read. OSError.

    In HEIC the profile counts more than the code points (MIAF, section 7.3.6.4).
    """
    if header.icc or format not in _HEIF:
        return Colour(header.icc)
    return _of_heif(path, gray=header.bands < 3)


def _of_heif(path: Path, *, gray: bool) -> Colour:
    facts = heif_boxes.read(path)
    if facts.numbers is None:
        return Colour()
    return colour.of_numbers(colour.Numbers(*facts.numbers), facts.light, gray=gray)


def _directories(path: Path) -> list[int]:
    """The offsets of the directories of a TIFF: the picture's first, then those of the other pages in their order."""
    main = tiff_pages.main_page(path)
    if main is None:
        return []
    return [main.at, *(page.at for page in tiff_pages.pages(path) if page.at != main.at)]


def _resolution(per_millimetre: tuple[float, float] | None) -> Resolution | None:
    """A resolution in whole pixels per metre, as BMP and JPEG 2000 have it."""
    if per_millimetre is None:
        return None
    across, down = (Fraction(round(pixels * 1000), 100) for pixels in per_millimetre)
    found = Resolution(across, down, "cm")
    return found if found.plausible else None


def _checked(found: Metadata) -> Metadata:
    """Strip prefixes from the blocks, and drop EXIF that is invalid."""
    exif = exif_block.strip_prefix(found.exif)
    if exif and not exif_block.is_valid(exif):
        exif = None
    dropped = found.dropped + (("its EXIF (which makes no sense)",) if found.exif and not exif else ())
    return replace(found, exif=exif, xmp=(found.xmp or b"").strip(b"\0") or None, dropped=dropped)
