"""Resampling with libvips' kernels, of images as they stream and of tensors.

Pixel centres stay where they are: the middle of pixel i of n lies at (i + 1/2) / n of the width, before and after.
libvips' own `resize` keeps that only when it reduces; enlarging, it is off by half a pixel of the result
(libvips 8.18), which would move alpha against the colours that a network enlarged.
"""

from typing import TYPE_CHECKING

import pyvips

if TYPE_CHECKING:
    from torch import Tensor


def resampled(image: pyvips.Image, size: tuple[int, int], kernel: str) -> pyvips.Image:
    """The image at `size` = (width, height), in its own format and range; the same image if the size is the same.

    kernel: libvips' name of the kernel for a reduction. An enlargement is bicubic.
    """
    if (image.width, image.height) == size:
        return image
    # In float: in integers libvips makes 65423 of 16-bit white, and rounds between the two directions.
    scaled = _scaled(image.cast("float"), size, kernel)
    # The cast clips to the format's range, but truncates: hence the rounding.
    return scaled.rint().cast(image.format).copy(interpretation=image.interpretation)


def resample(picture: "Tensor", size: tuple[int, int]) -> "Tensor":
    """Resample as `write_picture` does: by Lanczos 3 where a side gets shorter, bicubic where it gets longer.

    Args:
        picture: Float, (1, C, H, W).
        size: (width, height) in pixels.

    Returns:
        Float32, (1, C, size[1], size[0]). Values may overshoot the range of the input.
    """
    import numpy as np
    import torch

    rows = np.ascontiguousarray(picture[0].permute(1, 2, 0).float().cpu().numpy())
    scaled = np.asarray(_scaled(pyvips.Image.new_from_array(rows), size, "lanczos3").numpy(), np.float32)
    return torch.from_numpy(scaled.reshape(size[1], size[0], -1)).permute(2, 0, 1).unsqueeze(0)


def enlarged(image: pyvips.Image, size: tuple[int, int], interpolator: str) -> pyvips.Image:
    """Enlarge a float image to `size` = (width, height). interpolator: "bilinear" or "bicubic"."""
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
