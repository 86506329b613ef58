"""Structural similarity (Wang, Bovik, Sheikh & Simoncelli, IEEE TIP 2004), doi:10.1109/TIP.2003.819861.

As published: a Gaussian window of 11x11, sigma 1.5, population statistics, only windows inside the picture.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from iqsr.errors import UsageError
from iqsr.quality.planes import exact, luma, without_border

WINDOW = 11
_SIGMA = 1.5
_C1, _C2 = 0.01**2, 0.03**2


def ssim_maps(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """SSIM at each place, and its contrast-structure factor alone (eqs. 13 and 9 with 10), as MS-SSIM needs it.

    x, y: (N, C, H, W) in [0, 1], at least 11x11. Returns two (N, C, H - 10, W - 10), in float32 at least, under
    autocast too.
    """
    if min(x.shape[2:]) < WINDOW:
        raise UsageError(f"SSIM needs at least {WINDOW}x{WINDOW} pixels, got {x.shape[3]}x{x.shape[2]}")
    x, y = exact(x), exact(y)
    with torch.autocast(x.device.type, enabled=False):
        mean_x, mean_y, xx, yy, xy = _windowed(torch.stack((x, y, x * x, y * y, x * y)))
    both = mean_x * mean_y
    squares = mean_x.square() + mean_y.square()
    contrast_structure = (2 * (xy - both) + _C2) / (xx + yy - squares + _C2)
    return (2 * both + _C1) / (squares + _C1) * contrast_structure, contrast_structure


def ssim(x: Tensor, y: Tensor, *, crop_border: int = 0) -> Tensor:
    """x, y: (N, C, H, W) in [0, 1]. Returns (N,), the mean over places and channels; higher is better, 1 = identical.

    crop_border: pixels to leave out on each side. UsageError if less than 11x11 is left. Differentiable.
    """
    x, y = without_border(x, crop_border), without_border(y, crop_border)
    return ssim_maps(x, y)[0].flatten(1).mean(1)


def ssim_y(x: Tensor, y: Tensor, *, crop_border: int = 0) -> Tensor:
    """`ssim` of BT.601 luma (16 to 235), as in the literature on super-resolution. x, y: (N, 3, H, W) in [0, 1]."""
    return ssim(luma(x), luma(y), crop_border=crop_border)


def _windowed(x: Tensor) -> Tensor:
    """Gaussian means of all windows inside the picture: (..., H, W) -> (..., H - 10, W - 10)."""
    offsets = torch.arange(WINDOW, dtype=x.dtype, device=x.device) - WINDOW // 2
    kernel = torch.softmax(-offsets.square() / (2 * _SIGMA**2), 0)
    planes = x.flatten(0, -3).unsqueeze(1)
    means = F.conv2d(F.conv2d(planes, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))
    return means.view(*x.shape[:-2], *means.shape[-2:])
