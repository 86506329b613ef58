"""Why a picture that a decoder refuses is not read: whole files of rare kinds are not damaged ones."""

import mmap
import re
from collections.abc import Callable
from pathlib import Path

from iqsr.errors import PictureError
from iqsr.images import jpeg, png
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


def refusal(path: Path, kind: str, said: str, detail: str = "") -> PictureError:
    """The error for a file of this kind that a decoder refuses.

    said: what the decoder says of it, in one line. detail: all that it says, where that is more.
    """
    unsupported = _NOT_SUPPORTED.search(said) is not None
    # JPEG only then: what of the rare kinds a libjpeg decodes depends on how it was built.
    why = _REASONS[kind](path) if kind in _REASONS and (unsupported or kind != "jpeg") else None
    if why is None and (missing := _COMPRESSION.search(detail or said)):
        name = missing[1] or _COMPRESSIONS.get(int(missing[2])) or f"number {missing[2]}"
        why = f"its compression ({name}) is not supported; save it with another one first"
    if why is None and unsupported:
        why = f"it is of a kind that is not read ({said}); save it as PNG or TIFF with 8 or 16 bit first"
    return PictureError(f"cannot read '{path}': {why or f'the file is damaged or cut short ({said})'}")


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
        for marker, at in jpeg.segments(data):
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
        if png.is_apples(file):
            return (
                "it is a PNG of Apple's own kind (CgBI, from an iOS app); open it on a Mac and export it as PNG first"
            )
    return None


_REASONS: dict[str, Callable[[Path], str | None]] = {"tiff": _of_tiff, "jpeg": _of_jpeg, "png": _of_png}
