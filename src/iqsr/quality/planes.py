"""What the low-level metrics look at: borders cut off, colours turned into luma, all bits kept."""

import torch
from torch import Tensor

from iqsr.errors import UsageError


def without_border(x: Tensor, crop_border: int) -> Tensor:
    """x: (N, C, H, W). Returns it without `crop_border` pixels on each side. UsageError if nothing would be left.

    Papers on super-resolution by a factor s leave s pixels out: there the networks see less of the picture.
    """
    if crop_border < 0 or 2 * crop_border >= min(x.shape[2:]):
        raise UsageError(f"a border of {crop_border} px cannot be cut off a picture of {x.shape[3]}x{x.shape[2]}")
    return x[..., crop_border : x.shape[2] - crop_border, crop_border : x.shape[3] - crop_border]


def exact(x: Tensor) -> Tensor:
    """x in float32, or as it is where it has more bits: variances are small differences of large means."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def luma(x: Tensor) -> Tensor:
    """BT.601 luma in video range, as MATLAB's rgb2ycbcr and the literature on super-resolution.

    x: (N, 3, H, W) in [0, 1]. Returns (N, 1, H, W) in [16 / 255, 235 / 255].
    """
    x = exact(x)
    weights = x.new_tensor((65.481, 128.553, 24.966)).view(1, 3, 1, 1) / 255
    return (x * weights).sum(1, keepdim=True) + 16 / 255


def gray(x: Tensor) -> Tensor:
    """BT.601 luma in full range, as JPEG, OpenCV and Pillow.

    x: (N, 3, H, W) in [0, 1]. Returns (N, 1, H, W) in [0, 1].
    """
    x = exact(x)
    weights = x.new_tensor((0.299, 0.587, 0.114)).view(1, 3, 1, 1)
    return (x * weights).sum(1, keepdim=True)
