"""A picture as a screen in sRGB shows it: its profile applied, transparency on a background, 8 bits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyvips

from iqsr.errors import PictureError
from iqsr.images import vips
from iqsr.images.alpha import largest
from iqsr.images.decode_errors import decode_error, memory_error
from iqsr.images.info import PictureInfo
from iqsr.images.read import decoded, open_picture

if TYPE_CHECKING:
    from numpy.typing import NDArray


def read_for_screen(path: Path, *, background: int = 255) -> NDArray[np.uint8]:
    """Read a picture upright, with its colours converted to sRGB.

    Args:
        path: The file.
        background: Gray level, 0 to 255, that shows through where the picture is transparent.

    Returns:
        (H, W, 3), 0 to 255.

    Raises:
        PictureError: The file cannot be read (see `open_picture`), or its colours are HDR.
    """
    info = open_picture(path).info
    if special := info.colour.only_png:
        raise PictureError(f"cannot show '{path}': it has {special}; convert it to sRGB first")
    image = decoded(info)
    try:
        shown = _on_background(_in_srgb(image, info), image, info, background)
        return np.array(shown.numpy(), np.uint8)
    except pyvips.Error as error:
        raise decode_error(path, info.format, vips.reason(error), str(error.detail)) from None
    except MemoryError:
        raise memory_error(path) from None


def _in_srgb(image: pyvips.Image, info: PictureInfo) -> pyvips.Image:
    """The colour bands, three, uchar or ushort."""
    colour = (image[: image.bands - 1] if info.has_alpha else image).copy()
    if info.icc is None:
        return colour if colour.bands == 3 else pyvips.Image.bandjoin(colour, [colour, colour])
    vips.set_blob(colour, "icc-profile-data", info.icc)
    return colour.icc_transform("srgb", embedded=True, intent="relative", depth=info.depth)


def _on_background(colour: pyvips.Image, image: pyvips.Image, info: PictureInfo, background: int) -> pyvips.Image:
    """8 bits, mixed with the background in the values of sRGB, as browsers do."""
    levels = colour.cast("float") * (255 / largest(colour))
    if info.has_alpha:
        alpha = image[image.bands - 1]
        share = alpha.cast("float") / largest(alpha)
        levels = levels * share + share.linear([-background], [background])
    return levels.rint().cast("uchar")
