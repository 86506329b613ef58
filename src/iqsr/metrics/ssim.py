"""Structural similarity (Wang, Bovik, Sheikh & Simoncelli, IEEE TIP 2004), doi:10.1109/TIP.2003.819861.

As published: a Gaussian window of 11x11, sigma 1.5, population statistics, only windows inside the picture.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from iqsr.errors import UsageError
from iqsr.metrics.pixels import at_least_float32, bands, cropped, luma, sum_of_bands

WINDOW = 11
_SIGMA = 1.5
_C1, _C2 = 0.01**2, 0.03**2


def ssim_maps(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """SSIM at each position (eq. 13), and its contrast-structure factor alone (eqs. 9 and 10), which MS-SSIM needs.

    x, y: (N, C, H, W) in [0, 1], at least 11x11. Returns two (N, C, H - 10, W - 10), in float32 at least, under
    autocast too.
    """
    _check_size(x)
    x, y = at_least_float32(x), at_least_float32(y)
    with torch.autocast(x.device.type, enabled=False):
        mean_x, mean_y, xx, yy, xy = map(_windowed, (x, y, x * x, y * y, x * y))
    both = mean_x * mean_y
    squares = mean_x.square() + mean_y.square()
    contrast_structure = (2 * (xy - both) + _C2) / (xx + yy - squares + _C2)
    return (2 * both + _C1) / (squares + _C1) * contrast_structure, contrast_structure


def ssim(x: Tensor, y: Tensor, *, crop_border: int = 0) -> Tensor:
    """Mean SSIM over positions and channels (eq. 14). Differentiable.

    Args:
        x, y: Pictures (N, C, H, W) in [0, 1].
        crop_border: Pixels to crop on each side first.

    Returns:
        (N,) in [-1, 1]; higher is better, 1 = identical.

    Raises:
        UsageError: If less than 11x11 pixels are left.
    """
    x, y = cropped(x, crop_border), cropped(y, crop_border)
    return ssim_means(x, y)[0].mean(1)


def ssim_means(x: Tensor, y: Tensor, transform: Callable[[Tensor], Tensor] = at_least_float32) -> tuple[Tensor, Tensor]:
    """The means over positions of the `ssim_maps` of transform(x) and transform(y), (N, C) each.

    Computed in bands of rows, in memory that does not depend on the height. transform: of single pixels.
    """
    _check_size(x)
    ssim_sums, contrast_structure = [], []
    for part_x, part_y in bands(x, y, overlap=WINDOW - 1):
        maps = ssim_maps(transform(part_x), transform(part_y))
        for sums, part in zip((ssim_sums, contrast_structure), maps, strict=True):
            sums.append(part.sum((2, 3)))
    positions = (x.shape[2] - WINDOW + 1) * (x.shape[3] - WINDOW + 1)
    precision = at_least_float32(x[:, :, :1]).dtype
    return (sum_of_bands(ssim_sums) / positions).to(precision), (sum_of_bands(contrast_structure) / positions).to(
        precision
    )


def ssim_y(x: Tensor, y: Tensor, *, crop_border: int = 0) -> Tensor:
    """`ssim` of BT.601 luma (16 to 235), as papers on super-resolution report it. x, y: (N, 3, H, W) in [0, 1]."""
    x, y = cropped(x, crop_border), cropped(y, crop_border)
    return ssim_means(x, y, luma)[0].mean(1)


def ssim_y_rounded(x: Tensor, y: Tensor, *, crop_border: int = 0) -> Tensor:
    """As `ssim_y`, of luma in whole 1/255ths; structure that is turned round counts as 0: IQA-PyTorch's way.

    x, y: (N, 3, H, W) in [0, 1]. That is `ssim` there with `test_y_channel=True, color_space='ycbcr'`, which many
    papers on diffusion models report. No gradient passes the rounding.
    """
    x, y = cropped(x, crop_border), cropped(y, crop_border)
    _check_size(x)
    sums: list[Tensor] = []
    for part_x, part_y in bands(x, y, overlap=WINDOW - 1):
        maps = ssim_maps(_rounded_luma(part_x).double(), _rounded_luma(part_y).double())
        luminance = maps[0] / maps[1].where(maps[1] != 0, 1)
        sums.append((luminance * maps[1].clamp_min(0)).sum((1, 2, 3)))
    places = (x.shape[2] - WINDOW + 1) * (x.shape[3] - WINDOW + 1)
    return (sum_of_bands(sums) / places).to(at_least_float32(x[:, :, :1]).dtype)


def _rounded_luma(x: Tensor) -> Tensor:
    return (luma(x) * 255).round() / 255


def _check_size(x: Tensor) -> None:
    if min(x.shape[2:]) < WINDOW:
        raise UsageError(f"SSIM needs at least {WINDOW}x{WINDOW} pixels, got {x.shape[3]}x{x.shape[2]}")


def _windowed(x: Tensor) -> Tensor:
    """Gaussian means of all windows inside the picture: (..., H, W) -> (..., H - 10, W - 10)."""
    offsets = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    weights: list[float] = torch.softmax(-offsets.square() / (2 * _SIGMA**2), 0).tolist()
    return _filtered(_filtered(x, weights, 2), weights, 3)


def _filtered(x: Tensor, weights: list[float], axis: int) -> Tensor:
    """Weighted sums along an axis. Adding shifted pictures is six times as fast as torch's depthwise convolution."""
    length = x.shape[axis] - len(weights) + 1
    found = x.narrow(axis, 0, length) * weights[0]
    for shift, weight in enumerate(weights[1:], 1):
        found.add_(x.narrow(axis, shift, length), alpha=weight)
    return found
