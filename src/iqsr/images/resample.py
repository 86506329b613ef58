"""The one resampling of the project: libvips' kernels, for files as they stream and for tensors.

Pixel centres stay where they are: the middle of pixel i of n lies at (i + 1/2) / n of the width, before and after.
libvips' own `resize` keeps that only when it reduces; enlarging, it is off by half a pixel of the result
(libvips 8.18), which would move alpha against the colours that a network enlarged.
"""

from typing import TYPE_CHECKING

import pyvips

if TYPE_CHECKING:
    from torch import Tensor


def resampled(image: pyvips.Image, size: tuple[int, int], kernel: str) -> pyvips.Image:
    """`image` at `size` = (width, height), with its format and range kept; itself where the size is the same.

    kernel: libvips' name, for what is reduced; what is enlarged is enlarged bicubically.
    """
    if (image.width, image.height) == size:
        return image
    # In float: in integers libvips makes 65423 of 16-bit white, and rounds between the two directions.
    scaled = _scaled(image.cast("float"), size, kernel)
    # The cast clips to the format's range, but truncates: hence the rounding.
    return scaled.rint().cast(image.format).copy(interpretation=image.interpretation)


def resample(picture: "Tensor", size: tuple[int, int]) -> "Tensor":
    """Lanczos 3 where it reduces, bicubic where it enlarges, as `write_picture` does it.

    picture: (1, C, H, W) float; size: (width, height). Returns float32 (1, C, size[1], size[0]); values may ring
    beyond the input's range.
    """
    import numpy as np
    import torch

    rows = np.ascontiguousarray(picture[0].permute(1, 2, 0).float().cpu().numpy())
    scaled = np.asarray(_scaled(pyvips.Image.new_from_array(rows), size, "lanczos3").numpy(), np.float32)
    return torch.from_numpy(scaled.reshape(size[1], size[0], -1)).permute(2, 0, 1).unsqueeze(0)


def enlarged(image: pyvips.Image, size: tuple[int, int], interpolator: str) -> pyvips.Image:
    """A float image brought to `size`, no side of which is smaller, with libvips' "bilinear" or "bicubic"."""
    wide, high = size[0] / image.width, size[1] / image.height
    return image.affine(
        [wide, 0, 0, high],
        interpolate=pyvips.Interpolate.new(interpolator),
        oarea=[0, 0, *size],
        idx=0.5,
        idy=0.5,
        odx=-0.5,
        ody=-0.5,
        extend="copy",
        premultiplied=True,  # four bands are not taken for colour and alpha
    )


def _scaled(image: pyvips.Image, size: tuple[int, int], kernel: str) -> pyvips.Image:
    wide, high = min(1.0, size[0] / image.width), min(1.0, size[1] / image.height)
    image = image.resize(wide, vscale=high, kernel=kernel)
    return image if (image.width, image.height) == size else enlarged(image, size, "bicubic")
