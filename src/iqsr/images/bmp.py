"""BMP, decoded by Pillow: libvips has no loader for it."""

import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pyvips

from iqsr.errors import PictureError
from iqsr.images import vips
from iqsr.images.decode_errors import damaged_error, decode_error
from iqsr.images.info import Header
from iqsr.images.metadata.blocks import LONGEST

if TYPE_CHECKING:
    from PIL.Image import Image

_FILE_HEADER, _V5_HEADER = 14, 124
_EMBEDDED = b"DEBM"  # MBED as a number
_FAILURES = (OSError, SyntaxError, ValueError, IndexError)  # what Pillow's plugins raise


def read_header(path: Path) -> Header:
    """Read the header without decoding a pixel. PictureError."""
    image = _opened(path)
    dpi = image.info.get("dpi")
    resolution = (dpi[0] / 25.4, dpi[1] / 25.4) if dpi and min(dpi) > 0 else None
    return Header(image.width, image.height, len(_mode(image)), 8, icc=_profile(path), resolution=resolution)


def decode(path: Path) -> pyvips.Image:
    """Decode the picture to uchar. PictureError."""
    import numpy as np

    image = _opened(path)
    try:
        pixels = np.asarray(image.convert(_mode(image)))
    except _FAILURES as error:
        raise decode_error(path, "bmp", str(error)) from None
    return vips.image_of(pixels)


def _profile(path: Path) -> bytes | None:
    """The ICC profile that a header of the longest type (BITMAPV5HEADER) points to."""
    with path.open("rb") as file:
        head = file.read(_FILE_HEADER + _V5_HEADER)
        if head[_FILE_HEADER : _FILE_HEADER + 4] != struct.pack("<I", _V5_HEADER) or head[70:74] != _EMBEDDED:
            return None
        offset, size = struct.unpack_from("<II", head, 126)
        file.seek(_FILE_HEADER + offset)
        icc = file.read(min(size, LONGEST))
    return icc if len(icc) == size and icc[36:40] == b"acsp" else None


def _opened(path: Path) -> "Image":
    # Not PIL.Image.open, which guesses the format and has a limit of its own for the number of pixels.
    from PIL.BmpImagePlugin import BmpImageFile

    try:
        return BmpImageFile(path)
    except _FAILURES as error:
        if "nsupported" in str(error):
            raise PictureError(
                f"cannot read '{path}': it is a kind of BMP that is not read ({error}); save it as PNG first"
            ) from None
        raise damaged_error(path, str(error)) from None


def _mode(image: "Image") -> str:
    """The mode to convert the pixels to: L, RGB or RGBA."""
    return {"1": "L", "L": "L", "RGBA": "RGBA"}.get(image.mode, "RGB")
