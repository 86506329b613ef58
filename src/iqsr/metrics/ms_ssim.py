"""Multi-scale SSIM (Wang, Simoncelli & Bovik, Asilomar 2003), doi:10.1109/ACSSC.2003.1292216."""

import torch
import torch.nn.functional as F
from torch import Tensor

from iqsr.errors import UsageError
from iqsr.metrics.planes import exact, without_border
from iqsr.metrics.ssim import WINDOW, ssim_means

# The published exponents of the five scales, finest first.
_EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
SMALLEST = WINDOW * 2 ** (len(_EXPONENTS) - 1)


def ms_ssim(x: Tensor, y: Tensor, *, crop_border: int = 0) -> Tensor:
    """x, y: (N, C, H, W) in [0, 1]. Returns (N,) in [0, 1], the mean over channels; higher is better, 1 = identical.

    Contrast and structure on four scales, SSIM on the fifth (eq. 7); negative factors, which have no such power,
    count as 0. crop_border: pixels to leave out on each side. UsageError if less than 176x176 is left. Differentiable.
    """
    x, y = exact(without_border(x, crop_border)), exact(without_border(y, crop_border))
    if min(x.shape[2:]) < SMALLEST:
        raise UsageError(f"MS-SSIM needs at least {SMALLEST}x{SMALLEST} pixels, got {x.shape[3]}x{x.shape[2]}")
    result = torch.ones_like(x[:, :, 0, 0])
    for scale, exponent in enumerate(_EXPONENTS):
        if scale:
            with torch.autocast(x.device.type, enabled=False):
                x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
        whole, contrast_structure = ssim_means(x, y)
        last = scale == len(_EXPONENTS) - 1
        result = result * _power(whole if last else contrast_structure, exponent)
    return result.mean(1)


def _power(base: Tensor, exponent: float) -> Tensor:
    """`base ** exponent`, and 0 with a gradient of 0 where the base is not positive."""
    positive = base > 0
    return torch.where(positive, torch.where(positive, base, 1).pow(exponent), 0)
