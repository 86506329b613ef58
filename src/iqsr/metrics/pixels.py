"""What formulas on pixels share: cropping of borders, luma, and sums over bands of rows in bounded memory."""

from collections.abc import Iterator

import torch
from torch import Tensor

from iqsr.errors import UsageError


def cropped(x: Tensor, crop_border: int) -> Tensor:
    """x: (N, C, H, W). Returns it without `crop_border` pixels on each side. UsageError if nothing would be left.

    Papers on super-resolution by a factor s crop s pixels: near the border the networks see less of the picture.
    """
    if crop_border < 0 or 2 * crop_border >= min(x.shape[2:]):
        raise UsageError(f"a border of {crop_border} px cannot be cut off a picture of {x.shape[3]}x{x.shape[2]}")
    return x[..., crop_border : x.shape[2] - crop_border, crop_border : x.shape[3] - crop_border]


_BAND_VALUES = 1 << 18
"""Values in a band on a CPU: few enough that the band and its intermediate results stay in the cache."""
_GPU_FACTOR = 64
"""How many times larger bands are on a GPU, which is faster with more work at once."""
_MINIMUM_ROWS = 16


def bands(*pictures: Tensor, overlap: int = 0) -> Iterator[tuple[Tensor, ...]]:
    """Yield bands of rows from the top, the same rows of all pictures (N, C, H, W).

    A band holds at most 2^18 values on a CPU, but at least 16 rows. overlap: rows that a band shares with the next.
    """
    n, channels, height, width = pictures[0].shape
    values = _BAND_VALUES * (1 if pictures[0].is_cpu else _GPU_FACTOR)
    rows = max(_MINIMUM_ROWS, values // max(1, n * channels * width) - overlap)
    for top in range(0, max(1, height - overlap), rows):
        yield tuple(x[:, :, top : top + rows + overlap] for x in pictures)


def sum_of_bands(parts: list[Tensor]) -> Tensor:
    """The sum over bands, in float64 where the device has it, so that thousands of bands lose few bits."""
    wide = torch.float32 if parts[0].device.type == "mps" else torch.float64
    return torch.stack(parts).to(wide).sum(0)


def at_least_float32(x: Tensor) -> Tensor:
    """x in float32, or unchanged if it has more bits: variances are small differences of large means."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def luma(x: Tensor) -> Tensor:
    """ITU-R BT.601 luma in video range, as MATLAB's rgb2ycbcr and papers on super-resolution compute it.

    x: (N, 3, H, W) in [0, 1]. Returns (N, 1, H, W) in [16 / 255, 235 / 255].
    """
    x = at_least_float32(x)
    weights = x.new_tensor((65.481, 128.553, 24.966)).view(1, 3, 1, 1) / 255
    return (x * weights).sum(1, keepdim=True) + 16 / 255


def gray(x: Tensor) -> Tensor:
    """ITU-R BT.601 luma in full range, as JPEG, OpenCV and Pillow compute it.

    x: (N, 3, H, W) in [0, 1]. Returns (N, 1, H, W) in [0, 1].
    """
    x = at_least_float32(x)
    weights = x.new_tensor((0.299, 0.587, 0.114)).view(1, 3, 1, 1)
    return (x * weights).sum(1, keepdim=True)
