"""BMP through Pillow: libvips has no loader of its own for it."""

from pathlib import Path
from typing import TYPE_CHECKING

import pyvips

from iqsr.errors import PictureError
from iqsr.images import vips
from iqsr.images.header import Header

if TYPE_CHECKING:
    from PIL.Image import Image

_FAILURES = (OSError, SyntaxError, ValueError, IndexError)  # what Pillow's plugins raise


def read_header(path: Path) -> Header:
    """The header, without a pixel decoded. PictureError."""
    image = _opened(path)
    dpi = image.info.get("dpi")
    resolution = (dpi[0] / 25.4, dpi[1] / 25.4) if dpi and min(dpi) > 0 else None
    return Header(image.width, image.height, len(_mode(image)), 8, resolution=resolution)


def decode(path: Path) -> pyvips.Image:
    """The picture, uchar. PictureError."""
    import numpy as np

    image = _opened(path)
    try:
        pixels = np.asarray(image.convert(_mode(image)))
    except _FAILURES as error:
        raise PictureError(f"cannot read '{path}': the file is damaged or cut short ({error})") from None
    return vips.image_of(pixels)


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
        raise PictureError(f"cannot read '{path}': the file is damaged or cut short ({error})") from None


def _mode(image: "Image") -> str:
    """Of the pixels that are handed on: L, RGB or RGBA."""
    return {"1": "L", "L": "L", "RGBA": "RGBA"}.get(image.mode, "RGB")
