"""Variance of the Laplacian (Pech-Pacheco et al., ICPR 2000, doi:10.1109/ICPR.2000.903548), a measure of sharpness.

It is a baseline: noise, ringing and compression blocks raise it as much as detail does.
"""

from torch import Tensor

from iqsr.metrics.pixels import at_least_float32, bands, gray, sum_of_bands


def laplacian(x: Tensor) -> Tensor:
    """Variance of the Laplacian of full-range luma on the scale of 0 to 255. Differentiable.

    Args:
        x: Pictures (N, 3, H, W) in [0, 1], at least 3x3.

    Returns:
        (N,), 0 or more; higher is sharper. Below 100 is often called blurred.
    """
    sums, squares = [], []
    for (part,) in bands(x, overlap=2):
        laplacians = _second_differences(255 * gray(part)).flatten(1)
        sums.append(laplacians.sum(1))
        squares.append(laplacians.square().sum(1))
    positions = (x.shape[2] - 2) * (x.shape[3] - 2)
    mean, square = (sum_of_bands(parts) / positions for parts in (sums, squares))
    return (square - mean.square()).clamp_min(0).to(at_least_float32(x[:, :, :1]).dtype)


def _second_differences(x: Tensor) -> Tensor:
    """The discrete Laplacian (4 neighbours) of (N, 1, H, W) at inner pixels: (N, 1, H - 2, W - 2)."""
    neighbours = x[..., 1:-1, :-2] + x[..., 1:-1, 2:] + x[..., :-2, 1:-1] + x[..., 2:, 1:-1]
    return neighbours - 4 * x[..., 1:-1, 1:-1]
