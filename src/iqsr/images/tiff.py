"""Load the page of a TIFF, also where libvips would misread its channels or accept a file that is cut short."""

import mmap
import struct
from pathlib import Path

import pyvips

from iqsr.errors import PictureError
from iqsr.images import vips
from iqsr.images.tiff_pages import (
    BLACK_IS_ZERO,
    CIELAB,
    ICCLAB,
    PALETTE,
    PHOTOMETRIC,
    RGB,
    WHITE_IS_ZERO,
    YCBCR,
    Page,
)
from iqsr.images.tiff_structure import PIXELS, Tag, integers, parse

_COEFFICIENTS, _SUBSAMPLING, _REFERENCE = 529, 530, 532
_FULL_RANGE = (0.0, 255.0, 128.0, 255.0, 128.0, 255.0)
_BT601 = (0.299, 0.587, 0.114)
_JPEG_COMPRESSIONS = (6, 7)  # libjpeg makes RGB of YCbCr
_UNKNOWN_COLOURS = "its colours are neither gray, RGB, CMYK nor Lab"


def is_cut_short(path: Path, page: Page) -> bool:
    """Whether strips or tiles of a page lie beyond the end of the file. libvips would make up their pixels."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            layout, main = parse(data, at=page.at)
            for offsets, lengths in PIXELS:
                places = zip(integers(main, offsets, layout), integers(main, lengths, layout), strict=False)
                if any(offset + length > len(data) for offset, length in places):
                    return True
        except (struct.error, ValueError):
            return False  # not a matter of length, and libvips has read the header
    return False


def load(path: Path, page: Page, access: str, fail_on: str) -> pyvips.Image:
    """Load a page without decoding its pixels; YCbCr and Lab of 8 or 16 bits become sRGB. PictureError, pyvips.Error.

    The bands are 1 (gray), 3 (RGB, Lab) or 4 (CMYK) of colour, and one more with alpha. `other_channels` counts the
    channels that are not among them.
    """
    if page.colours == 0 and page.photometric != PALETTE:
        raise PictureError(f"cannot read '{path}': {_UNKNOWN_COLOURS}; save it as RGB first")
    if page.samples < page.colours:
        raise PictureError(
            f"cannot read '{path}': it has {page.samples} of the {page.colours} channels of its colours "
            f"(PhotometricInterpretation {page.photometric}); save it as gray or RGB first"
        )
    image = _load(path, page, access, fail_on)
    colours = page.colours or image.bands - max(0, page.samples - 1)
    if page.opacity is None or colours + page.opacity >= image.bands:
        return image if image.bands == colours else _named(image[:colours])
    return _named(image[:colours].bandjoin(image[colours + page.opacity]))


def other_channels(page: Page) -> int:
    """The number of channels that are neither colour nor alpha, such as masks and infrared."""
    return max(0, page.samples - (page.colours or 1) - (page.opacity is not None))


def _named(image: pyvips.Image) -> pyvips.Image:
    """Set the colour space, which libvips has guessed from the number of bands."""
    if image.interpretation in ("cmyk", "lab"):
        return image
    deep, gray = image.format == "ushort", image.bands < 3
    return image.copy(interpretation=("grey16" if gray else "rgb16") if deep else ("b-w" if gray else "srgb"))


def _load(path: Path, page: Page, access: str, fail_on: str) -> pyvips.Image:
    """All channels of a page."""
    tag = _misread(path, page)
    if tag is None:
        return pyvips.Image.tiffload_source(vips.source(path), page=page.number, access=access, fail_on=fail_on)
    with path.open("rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    data[tag.at : tag.at + len(tag.value)] = RGB.to_bytes(len(tag.value), "little" if data[:1] == b"I" else "big")
    # Not tiffload_source: of the two only this keeps `data` for as long as the image.
    source = pyvips.Source.new_from_memory(memoryview(data))
    image = pyvips.Image.new_from_source(source, "", page=page.number, access=access, fail_on=fail_on)
    if page.photometric == BLACK_IS_ZERO:
        return image
    if image.format not in ("uchar", "ushort"):
        raise pyvips.Error(f"{image.bands} channels of type {image.format}")
    others = image[page.colours :] if image.bands > page.colours else None
    image = _to_rgb(image[: page.colours], page.photometric)
    return image if others is None else image.bandjoin(others)


def _misread(path: Path, page: Page) -> Tag | None:
    """The tag PhotometricInterpretation of a page that libvips would misread; None if it reads the page rightly.

    libvips refuses Lab of 8 bits ("bad labq format"), cuts the alpha of Lab of 16 bits to one bit, reads ICC Lab as
    RGB, and mixes up the planes of gray with alpha. So it gets a copy-on-write map of the file where the tag says RGB.
    PictureError for YCbCr that is subsampled or of an unusual range.
    """
    is_gray = page.photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO) and page.is_planar and page.samples > 1
    is_lab = page.photometric in (CIELAB, ICCLAB)
    is_ycbcr = page.photometric == YCBCR and page.compression not in _JPEG_COMPRESSIONS
    if not (is_gray or is_lab or is_ycbcr) or (not is_ycbcr and page.bits[0] not in (8, 16)):
        return None
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            layout, main = parse(data, at=page.at)
            subsampling = integers(main, _SUBSAMPLING, layout) or (2, 2)
        except (struct.error, ValueError):
            return None
    if is_ycbcr:
        scale = _fractions(main.tags.get(_REFERENCE), layout.order) or _FULL_RANGE
        weights = _fractions(main.tags.get(_COEFFICIENTS), layout.order) or _BT601
        if (page.bits[0], subsampling, scale, weights) != (8, (1, 1), _FULL_RANGE, _BT601):
            raise PictureError(
                f"cannot read '{path}': its YCbCr is subsampled or of an unusual range; save it as RGB first"
            )
    return main.tags.get(PHOTOMETRIC)


def _fractions(tag: Tag | None, order: str) -> tuple[float, ...]:
    """The fractions of a tag, rounded to three digits; empty if there is no tag."""
    numbers = struct.unpack_from(f"{order}{len(tag.value) // 8 * 2}I", tag.value) if tag else ()
    return tuple(round(above / max(1, below), 3) for above, below in zip(numbers[::2], numbers[1::2], strict=True))


def _to_rgb(image: pyvips.Image, photometric: int) -> pyvips.Image:
    if photometric == WHITE_IS_ZERO:
        return image.invert()
    return _rgb_of_ycbcr(image) if photometric == YCBCR else _rgb_of_lab(image, photometric)


def _rgb_of_ycbcr(image: pyvips.Image) -> pyvips.Image:
    """Convert YCbCr of 8 bits and full range, by the weights of ITU-R BT.601 (TIFF 6.0, section 21)."""
    red, green, blue = _BT601
    matrix = [
        [1.0, 0.0, 2 - 2 * red],
        [1.0, -blue * (2 - 2 * blue) / green, -red * (2 - 2 * red) / green],
        [1.0, 2 - 2 * blue, 0.0],
    ]
    rgb = image.linear([1.0, 1.0, 1.0], [0.0, -128.0, -128.0]).recomb(pyvips.Image.new_from_array(matrix))
    return rgb.rint().cast("uchar").copy(interpretation="srgb")


def _rgb_of_lab(image: pyvips.Image, space: int) -> pyvips.Image:
    """Convert Lab (D50) to sRGB of the same depth. space: CIELAB (TIFF's encoding) or ICCLAB (ICC profiles').

    a and b are signed in CIELAB and offset by 128 in ICCLAB, whose white is 0xFF00 in 16 bits.
    """
    deep = image.format == "ushort"
    unit, middle = (256, 32768) if deep else (1, 128)
    white = 65535 if deep and space == CIELAB else 255 * unit
    ab = image[1:3] ^ middle if space == CIELAB else image[1:3]
    lab = (image[0] * (100 / white)).bandjoin((ab - middle) / unit).copy(interpretation="lab")
    return lab.icc_export(output_profile="srgb", depth=16 if deep else 8)
