"""Metadata and colour of a source, from whatever format."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pyvips

from iqsr.images import tiff_pages, vips
from iqsr.images.header import Header
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

_READERS = {"jpeg": jpeg_segments.read, "png": png_chunks.read, "webp": webp_chunks.read, "gif": gif_blocks.read}
_HEIF = ("avif", "heic")
_GAIN_MAP = "the HDR gain map"
_RGB = ("srgb", "rgb", "rgb16", "b-w", "grey16")


def of_file(path: Path, kind: str, raw: pyvips.Image) -> Metadata:
    """Metadata of a file that libvips has opened as `raw`. OSError."""
    if kind in _READERS:
        return _checked(_READERS[kind](path))
    if kind == "tiff":
        return _checked(tiff_tags.read(path, _directory(path)))
    return _checked(
        Metadata(
            exif=vips.blob(raw, "exif-data"), xmp=vips.blob(raw, "xmp-data"), left_out=_gain_map(path, kind, told=False)
        )
    )


def of_header(path: Path, kind: str, header: Header) -> Metadata:
    """Metadata of a file that another decoder has opened. OSError."""
    return _checked(
        Metadata(
            exif=header.exif,
            xmp=header.xmp,
            iptc=header.iptc,
            resolution=_resolution(header.resolution),
            left_out=_gain_map(path, kind, told=header.has_gain_map),
        )
    )


def colour_of_file(path: Path, kind: str, raw: pyvips.Image, plain: pyvips.Image, blocks: Metadata) -> Colour:
    """Of a file that libvips has opened as `raw`, whose samples are now those of `plain`. OSError."""
    gray, own = plain.bands < 3, vips.blob(plain, "icc-profile-data")
    if raw.interpretation not in _RGB:
        return Colour(own)  # converted, and so is the profile
    found = Colour(own)
    if kind == "png":
        found = colour.of_png(png_chunks.colour_chunks(path), own, gray=gray)
    elif kind == "tiff":
        found = colour.of_tiff(own, tiff_tags.colour(path, _directory(path)), gray=gray)
    elif kind == "gif":
        found = Colour(gif_blocks.profile(path))
    elif kind == "avif" and own is None:
        found = _of_heif(path, gray=gray)
    elif kind == "jpeg" and own is None and not gray and exif_block.is_adobe_rgb(blocks.exif):
        found = colour.adobe_rgb()
    return found


def colour_of_header(path: Path, kind: str, header: Header) -> Colour:
    """Of a file that another decoder has opened. OSError.

    The profile of a HEIC counts more than its numbers (MIAF, section 7.3.6.4).
    """
    if header.icc or kind not in _HEIF:
        return Colour(header.icc)
    return _of_heif(path, gray=header.bands < 3)


def _of_heif(path: Path, *, gray: bool) -> Colour:
    facts = heif_boxes.read(path)
    if facts.numbers is None:
        return Colour()
    return colour.of_numbers(colour.Numbers(*facts.numbers), facts.light, gray=gray)


def _gain_map(path: Path, kind: str, *, told: bool) -> tuple[str, ...]:
    return (_GAIN_MAP,) if told or (kind in _HEIF and heif_boxes.read(path).has_gain_map) else ()


def _directory(path: Path) -> int | None:
    """Where the directory of a TIFF's picture stands: a thumbnail may come first."""
    page = tiff_pages.main_page(path)
    return page.at if page else None


def _resolution(per_millimetre: tuple[float, float] | None) -> Resolution | None:
    """Of whole pixels per metre, as BMP has them."""
    if per_millimetre is None:
        return None
    across, down = (Fraction(round(pixels * 1000), 100) for pixels in per_millimetre)
    found = Resolution(across, down, "cm")
    return found if found.plausible else None


def _checked(found: Metadata) -> Metadata:
    """Blocks without what stands in front of them; EXIF that makes no sense is left out."""
    exif = exif_block.found(found.exif)
    if exif and not exif_block.makes_sense(exif):
        exif = None
    left_out = found.left_out + (("its EXIF (which makes no sense)",) if found.exif and not exif else ())
    return replace(found, exif=exif, xmp=(found.xmp or b"").strip(b"\0") or None, left_out=left_out)
