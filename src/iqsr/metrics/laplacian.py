"""Variance of the Laplacian (Pech-Pacheco et al., ICPR 2000, doi:10.1109/ICPR.2000.903548): sharpness, naively.

A baseline, not a judge: noise, ringing and compression blocks raise it as much as detail does.
"""

from torch import Tensor

from iqsr.metrics.planes import added, bands, exact, gray


def laplacian(x: Tensor) -> Tensor:
    """x: (N, 3, H, W) in [0, 1], at least 3x3. Returns (N,), the variance of its gray Laplacian; higher is sharper.

    On the scale of 0 to 255 that is usual for it (below 100 is often called blurred). Differentiable.
    """
    sums, squares = [], []
    for (part,) in bands(x, overlap=2):
        found = _second_differences(255 * gray(part)).flatten(1)
        sums.append(found.sum(1))
        squares.append(found.square().sum(1))
    places = (x.shape[2] - 2) * (x.shape[3] - 2)
    mean, square = (added(parts) / places for parts in (sums, squares))
    return (square - mean.square()).clamp_min(0).to(exact(x[:, :, :1]).dtype)


def _second_differences(x: Tensor) -> Tensor:
    """The discrete Laplacian of planes (N, 1, H, W), where its neighbours are: (N, 1, H - 2, W - 2)."""
    beside = x[..., 1:-1, :-2] + x[..., 1:-1, 2:] + x[..., :-2, 1:-1] + x[..., 2:, 1:-1]
    return beside - 4 * x[..., 1:-1, 1:-1]
