"""HEIC, decoded by pi-heif in one piece: the libvips that pip installs has no HEVC decoder."""

from pathlib import Path
from typing import Any

import pyvips

from iqsr.images import vips
from iqsr.images.decode_errors import decode_error
from iqsr.images.info import Header
from iqsr.images.metadata.blocks import GAIN_MAP

_FAILURES = (
    ValueError,
    EOFError,
    SyntaxError,
    RuntimeError,
    OSError,
    IndexError,
)  # what pi-heif documents that it raises


def read_header(path: Path) -> Header:
    """Read the header of the primary picture. PictureError.

    The decoder applies the rotation that HEIC itself stores; the orientation in EXIF does not count.
    """
    image = _primary(path)
    facts: dict[str, Any] = image.info
    return Header(
        width=image.size[0],
        height=image.size[1],
        bands=len(_channels(image.mode)),
        depth=16 if _bits(image) > 8 else 8,
        icc=facts.get("icc_profile"),
        dropped=(GAIN_MAP,) if any("hdrgainmap" in str(kind) for kind in facts.get("aux") or {}) else (),
        exif=facts.get("exif"),
        xmp=facts.get("xmp"),
    )


def decode(path: Path) -> pyvips.Image:
    """Decode the primary picture: upright, uchar or ushort over the whole range, straight alpha. PictureError."""
    import numpy as np

    image = _primary(path)
    try:
        # A copy: the array that pi-heif hands out dies with `image`. Its rows may be padded.
        pixels = np.array(image)[:, : image.size[0]]
    except _FAILURES as error:
        raise decode_error(path, "heic", _message(error)) from None
    deep = _bits(image) > 8
    if deep:
        # 10 and 12 bit arrive as they are, and 16-bit white is 65535, not 1023 or 4095.
        pixels = np.rint(pixels.astype(np.float32) * (65535 / (2 ** _bits(image) - 1))).astype(np.uint16)
    plain = vips.image_of(pixels)
    return plain.unpremultiply().rint().cast(plain.format) if image.premultiplied_alpha else plain


def _primary(path: Path) -> Any:  # pi-heif is untyped
    import pi_heif

    try:
        file: Any = pi_heif.open_heif(path, convert_hdr_to_8bit=False, hdr_to_16bit=False)
        return file[file.primary_index]
    except _FAILURES as error:
        raise decode_error(path, "heic", _message(error)) from None


def _message(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _bits(image: Any) -> int:
    return int(image.info.get("bit_depth", 8))


def _channels(mode: str) -> str:
    return mode.split(";")[0]
