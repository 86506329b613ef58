"""Statistics of natural scenes: what NIQE and BRISQUE measure in a picture, after their authors' MATLAB releases.

The contrast-normalised pixels of a natural picture, and the products of neighbours among them, follow generalised
Gaussian distributions; distortions change their shapes. All is computed in float64, because a variance is a small
difference of large numbers, and for one picture at a time, because its value must not depend on the rest of a batch.
"""

import math
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

MARGIN = 3
"""Pixels that the window of `contrast_normalised` reaches to each side."""
_GRAY = (0.298936021293775, 0.587043074451121, 0.114020904255103)
"""BT.601 as in MATLAB's rgb2gray. Unlike 0.299, 0.587 and 0.114 it gives no value half-way between two gray levels."""
_WINDOW_DEVIATION_PIXELS = 7 / 6
_ROUNDING_LEVELS = 1e-9
"""Deviations below this are rounding errors of float64. Their signs would decide what a plain area counts as."""


def gray_levels(x: Tensor) -> Tensor:
    """A picture (1, 3, H, W) in [0, 1] as whole gray levels, 0 to 255: (1, 1, H, W) in float64.

    The gradient passes as if nothing were rounded. A picture on MPS, which lacks float64, comes to the CPU.
    """
    x = x.cpu() if x.device.type == "mps" else x
    red, green, blue = (weight * x[:, i : i + 1].double() for i, weight in enumerate(_GRAY))
    levels = 255 * (red + green + blue)
    return levels + (levels.round() - levels).detach()


def contrast_normalised(levels: Tensor) -> Tensor:
    """The deviation of each pixel from the local mean, over the local standard deviation plus 1: MSCN coefficients.

    levels: (1, 1, H + 6, W + 6), a picture with a margin. Returns (1, 1, H, W), exactly 0 where the window, a Gaussian
    of 7x7 pixels, sees only one level.
    """
    mean, mean_of_squares = _smoothed(torch.cat([levels, levels.square()])).split(1)
    deviation = levels[..., MARGIN:-MARGIN, MARGIN:-MARGIN] - mean
    deviation = torch.where(deviation.abs() < _ROUNDING_LEVELS, 0.0, deviation)
    variance = (mean_of_squares - mean.square()).clamp_min(_ROUNDING_LEVELS)
    return deviation / (variance.sqrt() + 1)


def _smoothed(x: Tensor) -> Tensor:
    """(N, 1, H + 6, W + 6) to (N, 1, H, W): the Gaussian window, along columns, then along rows."""
    weights = [math.exp(-(step**2) / (2 * _WINDOW_DEVIATION_PIXELS**2)) for step in range(MARGIN + 1)]
    total = 2 * sum(weights) - weights[0]
    for axis in (2, 3):
        length = x.shape[axis] - 2 * MARGIN
        smooth = x.narrow(axis, MARGIN, length) * (weights[0] / total)
        for step in range(1, MARGIN + 1):
            both = x.narrow(axis, MARGIN - step, length) + x.narrow(axis, MARGIN + step, length)
            smooth = smooth.add(both, alpha=weights[step] / total)
        x = smooth
    return x


def half_size(x: Tensor) -> Tensor:
    """(1, 1, H, W) at half the size, rounded up, as MATLAB's imresize: bicubic, antialiased, edges mirrored."""
    near, far = ([_cubic(distance) for distance in pair] for pair in ((0.25, 0.75), (1.25, 1.75)))
    weights = [weight / (2 * (sum(near) + sum(far))) for weight in (*near, *far)]
    for axis in (2, 3):
        size = x.shape[axis]
        x = torch.cat([x.narrow(axis, 0, 3).flip(axis), x, x.narrow(axis, size - 4, 4).flip(axis)], axis)
        reduced = x.new_zeros(())
        for step, weight in enumerate(weights):
            first, second = (x.narrow(axis, start, size) for start in (3 - step, 4 + step))
            both = first[:, :, ::2] + second[:, :, ::2] if axis == 2 else first[..., ::2] + second[..., ::2]
            reduced = reduced + weight * both
        x = reduced
    return x


def _cubic(distance: float) -> float:
    """Keys' kernel (1981) with a = -0.5, for distances up to 2."""
    if distance <= 1:
        return 1.5 * distance**3 - 2.5 * distance**2 + 1
    return -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2


def moments(samples: Tensor) -> Tensor:
    """Sums over (..., K) samples that `fitted` needs: (5, ...).

    They are the numbers of samples below and above 0, the sums of their squares, and the sum of all magnitudes. So sums
    of parts add up to those of the whole.
    """
    low, high = samples.clamp_max(0), samples.clamp_min(0)
    counts = [side.detach().sign().sum(-1).abs() for side in (low, high)]  # faster than count_nonzero
    squares = [torch.linalg.vecdot(side, side) for side in (low, high)]
    return torch.stack([*counts, *squares, high.sum(-1) - low.sum(-1)])


class Fit(NamedTuple):
    """An asymmetric generalised Gaussian distribution, fitted by its moments (Lasmar et al., ICIP 2009)."""

    shape: Tensor
    """2 is a normal distribution, 1 a Laplacian one; 0.2, the least that is tried, where a side is empty."""
    left: Tensor
    """The standard deviation of the samples below 0; 1 where there are none."""
    right: Tensor
    """The standard deviation of the samples above 0; 1 where there are none."""
    has_left: Tensor
    """Whether there are samples below 0."""
    has_right: Tensor
    """Whether there are samples above 0."""

    def scales(self) -> tuple[Tensor, Tensor]:
        """The scales (beta) of the two sides: the standard deviations times a factor of the shape."""
        factor = ((torch.lgamma(1 / self.shape) - torch.lgamma(3 / self.shape)) / 2).exp()
        return self.left * factor, self.right * factor

    def mean(self) -> Tensor:
        """The mean (eta): the difference of the scales times a factor of the shape."""
        left, right = self.scales()
        return (right - left) * (torch.lgamma(2 / self.shape) - torch.lgamma(1 / self.shape)).exp()


def fitted(sums: Tensor, count: int) -> Fit:
    """The distributions of which `sums`, (5, ...), are the `moments` of `count` samples each."""
    below, above, low, high, magnitudes = sums
    has_left, has_right = below > 0, above > 0
    left = torch.where(has_left, low / below.clamp_min(1), 1.0).sqrt()
    right = torch.where(has_right, high / above.clamp_min(1), 1.0).sqrt()
    squares = torch.where(has_left & has_right, low + high, 1.0)
    ratio = left / right
    wanted = magnitudes.square() / (count * squares) * (ratio**3 + 1) * (ratio + 1) / (ratio.square() + 1).square()
    shapes, table = _table(sums.device)
    shape = torch.where(has_left & has_right, _looked_up(wanted, table, shapes), shapes[0])
    return Fit(shape, left, right, has_left, has_right)


def symmetric_shape(sums: Tensor, count: int) -> Tensor:
    """The shape of a generalised Gaussian around 0, from its `moments` (Sharifi & Leon-Garcia, IEEE TCSVT 1995)."""
    _, _, low, high, magnitudes = sums
    shapes, table = _table(sums.device)
    wanted = count * (low + high) / magnitudes.square()
    return _looked_up(wanted, table.reciprocal().flip(0), shapes.flip(0))


@cache
def _table(device: torch.device) -> tuple[Tensor, Tensor]:
    """The shapes that are tried, and for each the squared mean magnitude over the mean square, which rises with it."""
    with torch.inference_mode(mode=False), torch.no_grad():  # later calls may need it for a gradient
        shapes = torch.arange(200, 10001, dtype=torch.float64, device=device) / 1000
        first, second, third = (torch.lgamma(k / shapes) for k in (1, 2, 3))
        return shapes, (2 * second - first - third).exp()


def _looked_up(wanted: Tensor, table: Tensor, shapes: Tensor) -> Tensor:
    """The shape whose value in the rising `table` is nearest to `wanted`; the gradient is that of the table's curve."""
    right = torch.searchsorted(table, wanted.detach().contiguous()).clamp(1, len(table) - 1)
    below, above = table[right - 1], table[right]
    nearest = torch.where(wanted - below <= above - wanted, shapes[right - 1], shapes[right])
    slope = (shapes[right] - shapes[right - 1]) / (above - below)
    inside = (wanted > table[0]) & (wanted < table[-1])
    return nearest + torch.where(inside, slope, 0.0) * (wanted - wanted.detach())
