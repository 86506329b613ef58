"""Peak signal-to-noise ratio (scope: Huynh-Thu & Ghanbari, Electronics Letters 2008, doi:10.1049/el:20080522)."""

from collections.abc import Callable

from torch import Tensor

from iqsr.metrics.pixels import at_least_float32, bands, cropped, luma, sum_of_bands

# Identical pictures get 100 dB, so that means over pictures stay finite. A mean squared error this small is that of a
# single value that is one step of 8 bits off in a picture of 150 kilopixels.
_MINIMUM_ERROR = 1e-10


def psnr(x: Tensor, y: Tensor, *, crop_border: int = 0) -> Tensor:
    """Peak signal-to-noise ratio over all channels, 10 log10(1 / MSE). Differentiable.

    Args:
        x, y: Pictures (N, C, H, W) in [0, 1].
        crop_border: Pixels to crop on each side first.

    Returns:
        (N,) in dB; higher is better, at most 100, which identical pictures get.

    Raises:
        UsageError: If nothing is left.
    """
    return _psnr(cropped(x, crop_border), cropped(y, crop_border), at_least_float32)


def psnr_y(x: Tensor, y: Tensor, *, crop_border: int = 0) -> Tensor:
    """`psnr` of BT.601 luma (16 to 235, peak 255), as papers on super-resolution report it.

    x, y: (N, 3, H, W) in [0, 1]. About 1.3 dB above a PSNR of full-range luma, whose steps are larger.
    """
    return _psnr(cropped(x, crop_border), cropped(y, crop_border), luma)


def _psnr(x: Tensor, y: Tensor, transform: Callable[[Tensor], Tensor]) -> Tensor:
    sums = [(transform(a) - transform(b)).square().flatten(1).sum(1) for a, b in bands(x, y)]
    channels = transform(x[:, :, :1, :1]).shape[1]
    error = sum_of_bands(sums) / (channels * x.shape[2] * x.shape[3])
    return (-10 * error.clamp_min(_MINIMUM_ERROR).log10()).to(at_least_float32(x[:, :, :1]).dtype)
