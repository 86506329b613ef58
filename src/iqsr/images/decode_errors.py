"""The error for a file that a decoder refuses: a rare kind, too little memory, or damage; and checks for damage."""

import mmap
import re
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pyvips

from iqsr.errors import PictureError
from iqsr.images import vips
from iqsr.images.containers import SCAN, find_png_chunk, iterate_jpeg_segments
from iqsr.images.tiff_pages import CIELAB, TRANSPARENCY_MASK, pages

_COMPRESSION = re.compile(
    r"((?:old-style )?\w+) compression support is not configured|compression scheme (\d+)", re.IGNORECASE
)
_NOT_SUPPORTED = re.compile(
    r"not (?:yet )?(?:supported|implemented|configured)|unsupported|unimplemented|can ?not handle", re.IGNORECASE
)
_COMPRESSIONS = {
    34661: "JBIG",
    34712: "JPEG 2000",
    34887: "LERC",
    34892: "lossy JPEG",
    34925: "LZMA",
    50000: "Zstandard",
    50001: "WebP",
    50002: "JPEG XL",
}
_LIMIT = re.compile(r"security limit|exceeds? (?:the )?(?:\w+ )?limit", re.IGNORECASE)
_MEMORY = re.compile(
    r"out of memory|memory allocation|(?:insufficient|not enough|no) memory|cannot allocate", re.IGNORECASE
)
_NUMBERS = {2: "signed integers", 3: "floating-point numbers", 5: "complex numbers", 6: "complex numbers"}
_READ = "save it with 8 or 16 bit first"
# Start of frame: ITU-T T.81, table B.1; JPEG-LS: ITU-T T.87.
_FRAMES = {
    0xC3: "a lossless JPEG",
    0xC5: "a hierarchical JPEG",
    0xC6: "a hierarchical JPEG",
    0xC7: "a hierarchical JPEG",
    0xC9: "a JPEG with arithmetic coding",
    0xCA: "a JPEG with arithmetic coding",
    0xCB: "a lossless JPEG with arithmetic coding",
    0xCD: "a hierarchical JPEG",
    0xCE: "a hierarchical JPEG",
    0xCF: "a hierarchical JPEG",
    0xF7: "a JPEG-LS picture",
}
_JPEG_END = b"\xff\xd9"
# Warnings that change no pixel: stray bytes between segments, parameters of a scan that some phones set to zero,
# scans in an unusual order, an unknown value in Adobe's segment.
_HARMLESS = (
    "extraneous bytes before marker",
    "Invalid SOS parameters",
    "Inconsistent progression",
    "Unknown Adobe color transform",
)


def decode_error(path: Path, format: str, message: str, detail: str = "") -> PictureError:
    """The error for a file that its decoder refuses.

    Args:
        path: The file.
        format: Its format, see `detect_format`.
        message: The decoder's error message in one line.
        detail: The decoder's whole error message, where it is longer.

    Returns:
        An error with the reason and what to do: a kind of the format that is not read, a size beyond the decoder's
        limit, too little memory, or else damage.
    """
    unsupported = _NOT_SUPPORTED.search(message) is not None
    # For a JPEG only if the decoder says so: which rare kinds a libjpeg decodes depends on how it was built.
    why = _REASONS[format](path) if format in _REASONS and (unsupported or format != "jpeg") else None
    if why is None and (unknown := _COMPRESSION.search(detail or message)):
        name = unknown[1] or _COMPRESSIONS.get(int(unknown[2])) or f"number {unknown[2]}"
        why = f"its compression ({name}) is not supported; save it with another one first"
    if why is None and unsupported:
        why = f"it is of a kind that is not read ({message}); save it as PNG or TIFF with 8 or 16 bit first"
    if why is None and _LIMIT.search(detail or message):
        why = f"it is larger than its decoder allows ({message}); save it as PNG or TIFF first"
    if why is None and _MEMORY.search(detail or message):
        return memory_error(path, message)
    return PictureError(f"cannot read '{path}': {why}") if why else damaged_error(path, message)


def damaged_error(path: Path, why: str) -> PictureError:
    """The error for a file whose content is wrong or incomplete; `why` names what is wrong."""
    return PictureError(f"cannot read '{path}': the file is damaged or cut short ({why})")


def memory_error(path: Path, message: str = "") -> PictureError:
    """The error for a file that needs more memory than the system gives."""
    return PictureError(
        f"cannot read '{path}': there is too little memory for it{message and f' ({message})'}; "
        "close other programs, or make the picture smaller first"
    )


def jpeg_fail_on(path: Path) -> str:
    """The strictest level of libvips' `fail_on` at which an undamaged JPEG can be read.

    It is "warning", for libjpeg makes up pixels that are zeroed or overwritten and gives no more than a warning. It is
    "truncated" for a file whose first row gives a harmless warning: libjpeg keeps only its first warning, so a later
    one for damage could not be distinguished from it.
    """
    try:
        image = pyvips.Image.jpegload_source(vips.source(path), access="sequential", fail_on="warning")
        pyvips.Region.new(image).fetch(0, 0, image.width, 1)
    except pyvips.Error as error:
        if any(warning in str(error.detail) for warning in _HARMLESS):
            return "truncated"
    return "warning"


def is_jpeg_cut_short(path: Path) -> bool:
    """Whether no marker "end of image" follows the start of the first scan, as in a download padded with zeros.

    libjpeg decodes the zeros as pixels and gives no error.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for marker, at in iterate_jpeg_segments(data):
            if marker == SCAN:
                return data.rfind(_JPEG_END, at) < 0
    return False  # no scan: libvips will say so


def _of_tiff(path: Path) -> str | None:
    found = [page for page in pages(path) if not page.is_reduced and not page.is_mask]
    if not found:
        return None
    page, bits = found[0], found[0].bits[0]
    if page.sample_format in _NUMBERS and not (page.photometric == CIELAB and bits == 32):
        return f"its samples are {_NUMBERS[page.sample_format]} of {bits} bits; {_READ}"
    if len(set(page.bits)) > 1:
        return f"its channels have different numbers of bits ({', '.join(map(str, page.bits))}); {_READ}"
    if bits not in (1, 2, 4, 8, 16):
        return f"its samples have {bits} bits; {_READ}"
    if bits < 8 and page.samples > 1:
        return f"it has {page.samples} channels of {bits} bits; {_READ}"
    if page.photometric == TRANSPARENCY_MASK and bits < 8:
        return "it is a mask of transparency (PhotometricInterpretation 4); save it as gray first"
    if page.is_planar and page.is_tiled:
        return "it is tiled with a plane for each channel; save it with interleaved channels, or in strips, first"
    return None


def _of_jpeg(path: Path) -> str | None:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for marker, at in iterate_jpeg_segments(data):
            is_frame = marker in _FRAMES or marker in (0xC0, 0xC1, 0xC2)
            if not is_frame or at + 10 > len(data):
                continue
            if marker in _FRAMES:
                return f"it is {_FRAMES[marker]}, which is not read; save it as PNG or TIFF first"
            if data[at + 4] != 8:
                return f"its samples have {data[at + 4]} bits, and JPEG is read with 8; save it as PNG or TIFF first"
            if data[at + 9] not in (1, 3, 4):
                return f"it has {data[at + 9]} channels; gray, RGB and CMYK are read"
    return None


def _of_png(path: Path) -> str | None:
    with path.open("rb") as file:
        if _is_apple_png(file):
            return (
                "it is a PNG of Apple's own kind (CgBI, from an iOS app); open it on a Mac and export it as PNG first"
            )
    return None


def _is_apple_png(file: BinaryIO) -> bool:
    """Whether the file is a CgBI: the PNG of iOS apps, which only Apple's decoders read."""
    return find_png_chunk(file, b"CgBI") is not None


_REASONS: dict[str, Callable[[Path], str | None]] = {"tiff": _of_tiff, "jpeg": _of_jpeg, "png": _of_png}
