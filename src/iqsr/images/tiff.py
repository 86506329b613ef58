"""TIFF files beyond what libvips tells of them: whether all is there, and what their channels mean."""

import mmap
import struct
from pathlib import Path
from typing import NamedTuple

import pyvips

from iqsr.errors import PictureError
from iqsr.images import vips
from iqsr.images.exif import PIXELS, Tag, integers, parse

_SUBFILE, _BITS, _COMPRESSION, _PHOTOMETRIC, _DNG_VERSION = 254, 258, 259, 262, 50706
_RGB, _YCBCR, _CIELAB, _ICCLAB = 2, 6, 8, 9
_COEFFICIENTS, _SUBSAMPLING, _REFERENCE = 529, 530, 532
_FULL_RANGE = (0.0, 255.0, 128.0, 255.0, 128.0, 255.0)
_BT601 = (0.299, 0.587, 0.114)
_JPEG_COMPRESSIONS = (6, 7)  # libjpeg makes RGB of YCbCr


class _Colour(NamedTuple):
    """Channels that libvips would misread."""

    space: int
    """_YCBCR, _CIELAB or _ICCLAB"""
    at: int
    """where the file says so"""
    rgb: bytes
    """what it would say there of RGB"""


def is_camera_raw(path: Path) -> bool:
    """Whether a TIFF is a camera's raw file, whose first picture is a thumbnail (DNG, NEF, ARW, CR2)."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data[8:10] == b"CR":
            return True
        try:
            layout, main = parse(data)
        except (struct.error, ValueError):
            return False
    subfile = main.tags.get(_SUBFILE)
    reduced = subfile is not None and bool(int.from_bytes(subfile.value, layout.endianness) & 1)
    return reduced or _DNG_VERSION in main.tags


def is_cut_short(path: Path) -> bool:
    """Whether strips or tiles of a TIFF's pixels lie beyond the end of the file (libvips would make them up)."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            layout, main = parse(data)
            for offsets, lengths in PIXELS:
                places = zip(integers(main, offsets, layout), integers(main, lengths, layout), strict=False)
                if any(offset + length > len(data) for offset, length in places):
                    return True
        except (struct.error, ValueError):
            return False  # not a matter of length, and libvips has read the header
    return False


def load(path: Path, access: str, fail_on: str) -> pyvips.Image:
    """The picture, its pixels not yet decoded; YCbCr and Lab of 8 or 16 bit as sRGB. PictureError, pyvips.Error."""
    colour = _colour(path)
    if colour is None:
        return pyvips.Image.tiffload_source(vips.source(path), access=access, fail_on=fail_on)
    # libvips has no loader for Lab of 8 bit ("bad labq format"), cuts the alpha of 16 bit to a sign, and takes
    # ICC Lab for RGB. So it gets the file, in private pages, with RGB for the name of the channels.
    with path.open("rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    data[colour.at : colour.at + len(colour.rgb)] = colour.rgb
    # Not tiffload_source: of the two only this keeps `data` for as long as the image.
    source = pyvips.Source.new_from_memory(memoryview(data))
    image = pyvips.Image.new_from_source(source, "", access=access, fail_on=fail_on)
    if image.bands < 3 or image.format not in ("uchar", "ushort"):
        raise pyvips.Error(f"{image.bands} channels of type {image.format} for YCbCr or Lab")
    rgb = _rgb_of_ycbcr(image[:3]) if colour.space == _YCBCR else _rgb_of_lab(image[:3], colour.space)
    return rgb.bandjoin(image[3:]) if image.bands > 3 else rgb


def _colour(path: Path) -> _Colour | None:
    """PictureError for YCbCr in other than the usual numbers."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            layout, main = parse(data)
            space, compression, bits = (
                (*integers(main, tag, layout), 0)[0] for tag in (_PHOTOMETRIC, _COMPRESSION, _BITS)
            )
            subsampling = integers(main, _SUBSAMPLING, layout) or (2, 2)
        except (struct.error, ValueError):
            return None
    if space == _YCBCR and compression not in _JPEG_COMPRESSIONS:
        scale = _fractions(main.tags.get(_REFERENCE), layout.order) or _FULL_RANGE
        weights = _fractions(main.tags.get(_COEFFICIENTS), layout.order) or _BT601
        if (bits, subsampling, scale, weights) != (8, (1, 1), _FULL_RANGE, _BT601):
            raise PictureError(
                f"cannot read '{path}': its YCbCr is subsampled or of an unusual range; save it as RGB first"
            )
    elif space not in (_CIELAB, _ICCLAB) or bits not in (8, 16):
        return None
    tag = main.tags[_PHOTOMETRIC]
    return _Colour(space, tag.at, _RGB.to_bytes(len(tag.value), layout.endianness))


def _fractions(tag: Tag | None, order: str) -> tuple[float, ...]:
    """The fractions of a tag, to three digits; none where there is no tag."""
    numbers = struct.unpack_from(f"{order}{len(tag.value) // 8 * 2}I", tag.value) if tag else ()
    return tuple(round(above / max(1, below), 3) for above, below in zip(numbers[::2], numbers[1::2], strict=True))


def _rgb_of_ycbcr(image: pyvips.Image) -> pyvips.Image:
    """Of 8 bit and full range, by the weights of ITU-R BT.601 (TIFF 6.0, section 21)."""
    red, green, blue = _BT601
    matrix = [
        [1.0, 0.0, 2 - 2 * red],
        [1.0, -blue * (2 - 2 * blue) / green, -red * (2 - 2 * red) / green],
        [1.0, 2 - 2 * blue, 0.0],
    ]
    rgb = image.linear([1.0, 1.0, 1.0], [0.0, -128.0, -128.0]).recomb(pyvips.Image.new_from_array(matrix))
    return rgb.rint().cast("uchar").copy(interpretation="srgb")


def _rgb_of_lab(image: pyvips.Image, space: int) -> pyvips.Image:
    """sRGB in the picture's own depth, which the profile says, from the Lab (D50) of TIFF or of ICC profiles.

    a and b are signed in the one and moved by 128 in the other, where 16-bit Lab also ends at 0xFF00.
    """
    deep = image.format == "ushort"
    unit, middle = (256, 32768) if deep else (1, 128)
    white = 65535 if deep and space == _CIELAB else 255 * unit
    ab = image[1:3] ^ middle if space == _CIELAB else image[1:3]
    lab = (image[0] * (100 / white)).bandjoin((ab - middle) / unit).copy(interpretation="lab")
    return lab.icc_export(output_profile="srgb", depth=16 if deep else 8)
