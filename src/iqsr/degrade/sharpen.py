"""Unsharp masking of targets, as the original Real-ESRGAN does it (arXiv:2107.10833, section 3.4). HGGT does not."""

import torch
import torch.nn.functional as F
from torch import Tensor

from iqsr.errors import UsageError


def unsharp_mask(x: Tensor, *, weight: float = 0.5, radius: int = 50, threshold: float = 10) -> Tensor:
    """Sharpen where a picture differs from its blur by more than `threshold` 1/255ths, fading in smoothly.

    x: (N, C, H, W) in [0, 1], H and W more than half of `radius`. weight: of the difference that is added. radius:
    side of the Gaussian, px, made odd; its sigma is OpenCV's for that side (8 px for 51). Returns the same shape, in
    [0, 1]. Raises UsageError for pictures that are too small.
    """
    side = radius + 1 - radius % 2
    if side // 2 >= min(x.shape[2:]):
        raise UsageError(f"unsharp masking with a radius of {radius} px needs larger pictures than {tuple(x.shape)}")
    row = _gaussian_row(side).to(x)
    residual = x - _blurred(x, row)
    mask = _blurred((residual.abs() * 255 > threshold).to(x.dtype), row)
    return x + mask * ((x + weight * residual).clamp(0, 1) - x)


def _gaussian_row(side: int) -> Tensor:
    """Float64 weights with the sum of 1; sigma as `cv2.getGaussianKernel(side, 0)` chooses it."""
    sigma = 0.3 * ((side - 1) * 0.5 - 1) + 0.8
    at = torch.arange(side, dtype=torch.float64) - side // 2
    weights = torch.exp(-at.square() / (2 * sigma**2))
    return weights / weights.sum()


def _blurred(x: Tensor, row: Tensor) -> Tensor:
    """Filter rows and columns with the same weights, mirrored at the border."""
    channels, radius = x.shape[1], len(row) // 2
    padded = F.pad(x, (radius,) * 4, mode="reflect")
    weight = row.expand(channels, 1, 1, -1)
    return F.conv2d(F.conv2d(padded, weight, groups=channels), weight.transpose(2, 3), groups=channels)
