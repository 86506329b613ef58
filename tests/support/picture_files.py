"""Pictures as files: written by libvips, copied through iqsr, read by libvips again, for tests."""

from pathlib import Path

import numpy as np
import pyvips

from iqsr.images import open_picture, write_picture

SIZE = (67, 41)  # odd and prime: nothing lines up by accident
P3 = bytes(pyvips.Operation.call("profile_load", "p3"))


def noise(bands: int, depth: int = 8, size: tuple[int, int] = SIZE) -> np.ndarray:
    kind = np.uint8 if depth == 8 else np.uint16
    return np.random.default_rng(7).integers(0, 2**depth, (size[1], size[0], bands), kind)


def smooth(size: tuple[int, int] = SIZE) -> np.ndarray:
    y, x = np.mgrid[: size[1], : size[0]].astype(float)
    return np.rint(np.dstack([x / size[0] * 255, y / size[1] * 255, (x + y) / sum(size) * 255])).astype(np.uint8)


def write_vips(path: Path, pixels: np.ndarray) -> Path:
    deep, colour = pixels.dtype == np.uint16, pixels.shape[2] > 2
    space = ("rgb16" if deep else "srgb") if colour else ("grey16" if deep else "b-w")
    pyvips.Image.new_from_array(pixels).copy(interpretation=space).write_to_file(str(path))
    return path


def values(path: Path) -> np.ndarray:
    """What the file holds, read by libvips without a detour: (H, W, bands)."""
    pixels = pyvips.Image.new_from_file(str(path)).numpy()
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


def copy(source: Path, out: Path, scale: int = 1, size: tuple[int, int] | None = None, **options: int) -> Path:
    """Read and write through iqsr, each pixel repeated `scale` times."""
    picture = open_picture(source)
    upscaled = (picture.info.width * scale, picture.info.height * scale)
    bands = (
        band.repeat_interleave(scale, 2).repeat_interleave(scale, 3) if scale > 1 else band for band in picture.rows(16)
    )
    write_picture(out, bands, source=picture, upscaled=upscaled, size=size or upscaled, **options)
    return out
