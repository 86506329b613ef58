"""Peak signal-to-noise ratio; its scope: Huynh-Thu & Ghanbari, Electronics Letters 2008, doi:10.1049/el:20080522."""

from collections.abc import Callable

from torch import Tensor

from iqsr.metrics.planes import added, bands, exact, luma, without_border

# Stands for "identical": tables of results stay free of infinities, which no mean survives. A single value that is
# one step of 8 bits off in a picture of 150 kilopixels gives this much; two pictures of real use are far below.
_LEAST_ERROR = 1e-10


def psnr(x: Tensor, y: Tensor, *, crop_border: int = 0) -> Tensor:
    """x, y: (N, C, H, W) in [0, 1]. Returns (N,) in dB over all channels; higher is better, at most 100 = identical.

    crop_border: pixels to leave out on each side; UsageError if nothing is left. Differentiable.
    """
    return _psnr(without_border(x, crop_border), without_border(y, crop_border), exact)


def psnr_y(x: Tensor, y: Tensor, *, crop_border: int = 0) -> Tensor:
    """`psnr` of BT.601 luma (16 to 235, peak 255), as in the literature on super-resolution.

    x, y: (N, 3, H, W) in [0, 1]. About 1.3 dB above a PSNR of full-range luma, whose steps are larger.
    """
    return _psnr(without_border(x, crop_border), without_border(y, crop_border), luma)


def _psnr(x: Tensor, y: Tensor, prepared: Callable[[Tensor], Tensor]) -> Tensor:
    sums = [(prepared(a) - prepared(b)).square().flatten(1).sum(1) for a, b in bands(x, y)]
    channels = prepared(x[:, :, :1, :1]).shape[1]
    error = added(sums) / (channels * x.shape[2] * x.shape[3])
    return (-10 * error.clamp_min(_LEAST_ERROR).log10()).to(exact(x[:, :, :1]).dtype)
