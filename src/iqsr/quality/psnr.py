"""Peak signal-to-noise ratio; its scope: Huynh-Thu & Ghanbari, Electronics Letters 2008, doi:10.1049/el:20080522."""

from torch import Tensor

from iqsr.quality.planes import luma, without_border

# Stands for "identical": tables of results stay free of infinities, which no mean survives. A single value that is
# one step of 8 bits off in a picture of 150 kilopixels gives this much; two pictures of real use are far below.
_LEAST_ERROR = 1e-10


def psnr(x: Tensor, y: Tensor, *, crop_border: int = 0) -> Tensor:
    """x, y: (N, C, H, W) in [0, 1]. Returns (N,) in dB over all channels; higher is better, at most 100 = identical.

    crop_border: pixels to leave out on each side; UsageError if nothing is left. Differentiable.
    """
    x, y = without_border(x, crop_border), without_border(y, crop_border)
    return -10 * (x - y).square().flatten(1).mean(1).clamp_min(_LEAST_ERROR).log10()


def psnr_y(x: Tensor, y: Tensor, *, crop_border: int = 0) -> Tensor:
    """`psnr` of BT.601 luma (16 to 235, peak 255), as in the literature on super-resolution.

    x, y: (N, 3, H, W) in [0, 1]. About 1.3 dB above a PSNR of full-range luma, whose steps are larger.
    """
    return psnr(luma(x), luma(y), crop_border=crop_border)
