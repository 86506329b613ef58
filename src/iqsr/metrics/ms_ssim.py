"""Multi-scale SSIM (Wang, Simoncelli & Bovik, Asilomar 2003), doi:10.1109/ACSSC.2003.1292216."""

import torch
import torch.nn.functional as F
from torch import Tensor

from iqsr.errors import UsageError
from iqsr.metrics.pixels import at_least_float32, cropped
from iqsr.metrics.ssim import WINDOW, ssim_means

# The published exponents of the five scales, finest first.
_EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
MINIMUM_SIZE = WINDOW * 2 ** (len(_EXPONENTS) - 1)


def ms_ssim(x: Tensor, y: Tensor, *, crop_border: int = 0) -> Tensor:
    """Mean MS-SSIM over channels: contrast and structure on four scales, SSIM on the fifth (eq. 7). Differentiable.

    Negative factors, which have no real power, count as 0.

    Args:
        x, y: Pictures (N, C, H, W) in [0, 1].
        crop_border: Pixels to crop on each side first.

    Returns:
        (N,) in [0, 1]; higher is better, 1 = identical.

    Raises:
        UsageError: If less than 176x176 pixels are left.
    """
    x, y = at_least_float32(cropped(x, crop_border)), at_least_float32(cropped(y, crop_border))
    if min(x.shape[2:]) < MINIMUM_SIZE:
        raise UsageError(f"MS-SSIM needs at least {MINIMUM_SIZE}x{MINIMUM_SIZE} pixels, got {x.shape[3]}x{x.shape[2]}")
    result = torch.ones_like(x[:, :, 0, 0])
    for scale, exponent in enumerate(_EXPONENTS):
        if scale:
            with torch.autocast(x.device.type, enabled=False):
                x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
        full, contrast_structure = ssim_means(x, y)
        last = scale == len(_EXPONENTS) - 1
        result = result * _power(full if last else contrast_structure, exponent)
    return result.mean(1)


def _power(base: Tensor, exponent: float) -> Tensor:
    """`base ** exponent`, and 0 with a gradient of 0 where the base is not positive."""
    positive = base > 0
    return torch.where(positive, torch.where(positive, base, 1).pow(exponent), 0)
