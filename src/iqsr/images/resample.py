"""The one resampling of the project: libvips' kernels, for files as they stream and for tensors."""

from typing import TYPE_CHECKING

import pyvips

if TYPE_CHECKING:
    from torch import Tensor


def resampled(image: pyvips.Image, size: tuple[int, int], kernel: str) -> pyvips.Image:
    """`image` at `size` = (width, height), with its format and range kept; itself where the size is the same."""
    if (image.width, image.height) == size:
        return image
    # In float: in integers libvips makes 65423 of 16-bit white, and rounds between the two directions.
    wide, high = size[0] / image.width, size[1] / image.height
    scaled = image.cast("float").resize(wide, vscale=high, kernel=kernel)
    # The cast clips to the format's range, but truncates: hence the rounding.
    return scaled.rint().cast(image.format).copy(interpretation=image.interpretation)


def resample(picture: "Tensor", size: tuple[int, int]) -> "Tensor":
    """Lanczos 3 resampling, as `write_picture` does it. picture: (1, C, H, W) float; size: (width, height).

    Returns float32 (1, C, size[1], size[0]); values may ring beyond the input's range.
    """
    import numpy as np
    import torch

    rows = np.ascontiguousarray(picture[0].permute(1, 2, 0).float().cpu().numpy())
    image = pyvips.Image.new_from_array(rows)
    wide, high = size[0] / image.width, size[1] / image.height
    scaled = np.asarray(image.resize(wide, vscale=high, kernel="lanczos3").numpy(), np.float32)
    return torch.from_numpy(scaled.reshape(size[1], size[0], -1)).permute(2, 0, 1).unsqueeze(0)
