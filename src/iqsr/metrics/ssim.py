"""Structural similarity (Wang, Bovik, Sheikh & Simoncelli, IEEE TIP 2004), doi:10.1109/TIP.2003.819861.

As published: a Gaussian window of 11x11, sigma 1.5, population statistics, only windows inside the picture.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from iqsr.errors import UsageError
from iqsr.metrics.planes import added, bands, exact, luma, without_border

WINDOW = 11
_SIGMA = 1.5
_C1, _C2 = 0.01**2, 0.03**2


def ssim_maps(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """SSIM at each place, and its contrast-structure factor alone (eqs. 13 and 9 with 10), as MS-SSIM needs it.

    x, y: (N, C, H, W) in [0, 1], at least 11x11. Returns two (N, C, H - 10, W - 10), in float32 at least, under
    autocast too.
    """
    _check_size(x)
    x, y = exact(x), exact(y)
    with torch.autocast(x.device.type, enabled=False):
        mean_x, mean_y, xx, yy, xy = map(_windowed, (x, y, x * x, y * y, x * y))
    both = mean_x * mean_y
    squares = mean_x.square() + mean_y.square()
    contrast_structure = (2 * (xy - both) + _C2) / (xx + yy - squares + _C2)
    return (2 * both + _C1) / (squares + _C1) * contrast_structure, contrast_structure


def ssim(x: Tensor, y: Tensor, *, crop_border: int = 0) -> Tensor:
    """x, y: (N, C, H, W) in [0, 1]. Returns (N,), the mean over places and channels; higher is better, 1 = identical.

    crop_border: pixels to leave out on each side. UsageError if less than 11x11 is left. Differentiable.
    """
    x, y = without_border(x, crop_border), without_border(y, crop_border)
    return ssim_means(x, y)[0].mean(1)


def ssim_means(x: Tensor, y: Tensor, prepared: Callable[[Tensor], Tensor] = exact) -> tuple[Tensor, Tensor]:
    """The means over places of the `ssim_maps` of prepared(x) and prepared(y), (N, C) each, in bounded memory.

    Rows are looked at in bands, whatever the size of the pictures. prepared: works on each pixel alone.
    """
    _check_size(x)
    whole, contrast_structure = [], []
    for part_x, part_y in bands(x, y, overlap=WINDOW - 1):
        maps = ssim_maps(prepared(part_x), prepared(part_y))
        for sums, found in zip((whole, contrast_structure), maps, strict=True):
            sums.append(found.sum((2, 3)))
    places = (x.shape[2] - WINDOW + 1) * (x.shape[3] - WINDOW + 1)
    precision = exact(x[:, :, :1]).dtype
    return (added(whole) / places).to(precision), (added(contrast_structure) / places).to(precision)


def ssim_y(x: Tensor, y: Tensor, *, crop_border: int = 0) -> Tensor:
    """`ssim` of BT.601 luma (16 to 235), as in the literature on super-resolution. x, y: (N, 3, H, W) in [0, 1]."""
    x, y = without_border(x, crop_border), without_border(y, crop_border)
    return ssim_means(x, y, luma)[0].mean(1)


def _check_size(x: Tensor) -> None:
    if min(x.shape[2:]) < WINDOW:
        raise UsageError(f"SSIM needs at least {WINDOW}x{WINDOW} pixels, got {x.shape[3]}x{x.shape[2]}")


def _windowed(x: Tensor) -> Tensor:
    """Gaussian means of all windows inside the picture: (..., H, W) -> (..., H - 10, W - 10)."""
    offsets = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    weights: list[float] = torch.softmax(-offsets.square() / (2 * _SIGMA**2), 0).tolist()
    return _filtered(_filtered(x, weights, 2), weights, 3)


def _filtered(x: Tensor, weights: list[float], axis: int) -> Tensor:
    """Weighted sums along an axis. Shifted pictures are added: six times as fast as torch's convolution of planes."""
    length = x.shape[axis] - len(weights) + 1
    found = x.narrow(axis, 0, length) * weights[0]
    for shift, weight in enumerate(weights[1:], 1):
        found.add_(x.narrow(axis, shift, length), alpha=weight)
    return found
