"""What the low-level metrics look at: borders cut off, colours turned into luma, all bits kept."""

from collections.abc import Iterator

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


_BAND_VALUES = 1 << 18
"""Of a band on a CPU: few enough to stay in its cache with all that is made of them. GPUs want more at once."""
_TIMES_ON_GPUS = 64
_LEAST_ROWS = 16


def bands(*pictures: Tensor, overlap: int = 0) -> Iterator[tuple[Tensor, ...]]:
    """The same rows of all pictures (N, C, H, W), from the top: some 100,000 values, or 16 rows, at a time on a CPU.

    overlap: rows that each band shares with the next one. What is made of a band can be forgotten before the next.
    """
    n, channels, height, width = pictures[0].shape
    values = _BAND_VALUES * (1 if pictures[0].is_cpu else _TIMES_ON_GPUS)
    rows = max(_LEAST_ROWS, values // max(1, n * channels * width) - overlap)
    for top in range(0, max(1, height - overlap), rows):
        yield tuple(x[:, :, top : top + rows + overlap] for x in pictures)


def added(parts: list[Tensor]) -> Tensor:
    """The sum of what bands gave, in float64 where the device has it: few bits are lost over thousands of bands."""
    wide = torch.float32 if parts[0].device.type == "mps" else torch.float64
    return torch.stack(parts).to(wide).sum(0)


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
