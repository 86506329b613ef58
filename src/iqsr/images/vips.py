"""Set up libvips for untrusted files: no unsafe loaders, no warnings on stderr, no cache; and read its fields."""

import logging
import os
import re
from pathlib import Path

import numpy as np
import pyvips
from numpy.typing import NDArray

# SVG, PDF, ImageMagick and the like, whatever the libvips on this machine was built with.
pyvips.block_untrusted_set(True)
# libvips remembers operations by file name: a file replaced between two calls would come back as it was.
pyvips.cache_set_max(0)
# Warnings about odd but readable files ("unknown TIFF tag") help nobody; what matters is an exception.
if pyvips.logger.level == logging.NOTSET:
    pyvips.logger.setLevel(logging.ERROR)

_PREFIX = re.compile(r"^(?:unix error|system error|[A-Za-z_0-9]+): ")


def reason(error: pyvips.Error) -> str:
    """The line of a libvips error that names the cause: the operating system's (a full disk), or else the last one."""
    lines = [line.strip() for line in str(error.detail).splitlines() if line.strip()]
    system = [line for line in lines if line.startswith(("unix error:", "system error:"))]
    chosen = (system or lines or [str(error.message)])[-1]
    return _PREFIX.sub("", chosen)


def source(path: Path) -> pyvips.Source:
    """A source for loaders. Its name is passed as bytes, so that libvips does not parse it as "name[options]"."""
    return pyvips.Source.new_from_file(os.fsencode(path))  # pyright: ignore[reportArgumentType]


def target(path: Path) -> pyvips.Target:
    """A target for savers; see `source`."""
    return pyvips.Target.new_to_file(os.fsencode(path))  # pyright: ignore[reportArgumentType]


def image_of(pixels: NDArray[np.generic]) -> pyvips.Image:
    """An image of uint8 or uint16 pixels in memory, (H, W) or (H, W, 1 to 4): gray or RGB, with or without alpha."""
    height, width = pixels.shape[:2]
    bands = pixels.shape[2] if pixels.ndim == 3 else 1
    deep = pixels.dtype == np.uint16
    data = np.ascontiguousarray(pixels).data
    image = pyvips.Image.new_from_memory(data, width, height, bands, "ushort" if deep else "uchar")
    return image.copy(interpretation=(("grey16", "rgb16") if deep else ("b-w", "srgb"))[bands > 2])


def upright(image: pyvips.Image, orientation: int) -> pyvips.Image:
    """Turn and mirror the image by an EXIF orientation (1 to 8)."""
    image = image.copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    return image.autorot()


def field(image: pyvips.Image, name: str) -> object | None:
    """The value of a header field, None if the image has none."""
    return image.get(name) if image.get_typeof(name) else None


def blob(image: pyvips.Image, name: str) -> bytes | None:
    """The bytes of a header field, None if the image has none."""
    value = field(image, name)
    return bytes(value) if isinstance(value, (bytes, bytearray, memoryview)) else None


def set_blob(image: pyvips.Image, name: str, value: bytes) -> None:
    """Set a header field, in place."""
    image.set_type(pyvips.GValue.blob_type, name, value)  # pyright: ignore[reportArgumentType]


def builtin_profile(name: str) -> bytes:
    """The ICC profile that libvips carries under this name: "srgb" or "p3"."""
    return bytes(pyvips.Operation.call("profile_load", name))
