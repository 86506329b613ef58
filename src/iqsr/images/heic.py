"""HEIC through pi-heif: the libvips that pip installs has no HEVC decoder. It decodes in one piece."""

from pathlib import Path
from typing import Any

import pyvips

from iqsr.images import vips
from iqsr.images.header import Header
from iqsr.images.unreadable import refusal

_FAILURES = (ValueError, EOFError, SyntaxError, RuntimeError, OSError, IndexError)  # what pi-heif says it raises


def read_header(path: Path) -> Header:
    """Header of the primary picture, which AVIF has as well. PictureError.

    HEIC has its own rotation, which the decoder applies; the orientation in its EXIF is void.
    """
    image = _primary(path)
    facts: dict[str, Any] = image.info
    return Header(
        width=image.size[0],
        height=image.size[1],
        bands=len(_channels(image.mode)),
        depth=16 if _bits(image) > 8 else 8,
        icc=facts.get("icc_profile"),
        has_gain_map=any("hdrgainmap" in str(kind) for kind in facts.get("aux") or {}),
        exif=facts.get("exif"),
        xmp=facts.get("xmp"),
    )


def decode(path: Path) -> pyvips.Image:
    """The primary picture, upright, uchar or ushort over its whole range, straight alpha. PictureError."""
    import numpy as np

    image = _primary(path)
    try:
        # A copy: the array that pi-heif hands out dies with `image`. Its rows may be padded.
        pixels = np.array(image)[:, : image.size[0]]
    except _FAILURES as error:
        raise refusal(path, "heic", _said(error)) from None
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
        raise refusal(path, "heic", _said(error)) from None


def _said(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _bits(image: Any) -> int:
    return int(image.info.get("bit_depth", 8))


def _channels(mode: str) -> str:
    return mode.split(";")[0]
