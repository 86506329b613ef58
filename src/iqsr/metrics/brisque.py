"""BRISQUE (Mittal, Moorthy & Bovik, IEEE TIP 2012, doi:10.1109/TIP.2012.2214050): distortion judged by statistics.

A support vector machine maps 36 statistics of the picture to a difference mean opinion score. It is the authors',
trained on the LIVE database (`brisque.safetensors`, licence in `LICENSE-LIVE`). BRISQUE follows their MATLAB release,
with one difference: plain areas, in which the release sees its own rounding errors, count as plain.
"""

from importlib import resources

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iqsr.metrics.card import MetricCard, Precision
from iqsr.metrics.natural_scenes import (
    MARGIN,
    contrast_normalised,
    fitted,
    gray_levels,
    half_size,
    moments,
    symmetric_shape,
)
from iqsr.metrics.pixels import bands

_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (-1, 1))
"""Steps (down, right) between the pixels whose products are measured."""
_GAMMA = 0.05
"""Of the machine's radial kernel."""
_BIAS = 153.591


class Brisque(nn.Module):
    """BRISQUE with the authors' support vector machine.

    Args:
        machine: `vectors`, (774, 36), `coefficients`, (774,), and the range of each feature in training, `least` and
            `most`, (36,); in float64.
        worst: The value of a picture without statistics, such as one of a single colour.
    """

    def __init__(self, machine: dict[str, Tensor], worst: float) -> None:
        super().__init__()
        # No buffers: a device without float64 (MPS) could not hold them.
        self.machine, self.worst = machine, worst

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, 3, H, W) in [0, 1], at least 32x32. Returns (N,); lower is better. Differentiable."""
        return torch.stack([self._score(picture).to(x) for picture in x.split(1)])

    def _score(self, x: Tensor) -> Tensor:
        features = brisque_features(x)
        if features is None:
            return 0 * x.sum() + self.worst
        vectors, coefficients, least, most = (
            self.machine[name].to(features) for name in ("vectors", "coefficients", "least", "most")
        )
        scaled = 2 * (features - least) / (most - least) - 1
        return (-_GAMMA * (vectors - scaled).square().sum(1)).exp() @ coefficients + _BIAS


def from_card(card: MetricCard, precision: Precision) -> Brisque:
    """The network of BRISQUE's card."""
    from safetensors.torch import load_file

    return Brisque(load_file(str(resources.files("iqsr.metrics") / card.package_data)), worst=card.range[1])


def brisque_features(x: Tensor) -> Tensor | None:
    """The 36 statistics of a picture (1, 3, H, W); None where all its pixels or products have one sign."""
    levels = gray_levels(x)
    scales = [_features(levels), _features(half_size(levels))]
    return None if scales[0] is None or scales[1] is None else torch.cat([scales[0], scales[1]])


def _features(levels: Tensor) -> Tensor | None:
    """Of one scale: 18 statistics."""
    padded = F.pad(levels, (MARGIN,) * 4)
    pixels = torch.cat([contrast_normalised(part) for (part,) in bands(padded, overlap=2 * MARGIN)], 2)
    around = F.pad(pixels, (1,) * 4, mode="circular")  # products go round the picture's edges, as released
    sums = torch.stack([_moments(part) for (part,) in bands(around, overlap=2)]).sum(0)
    count = pixels.numel()
    fit = fitted(sums, count)
    if not (fit.has_left & fit.has_right).all():
        return None
    squares = (sums[2, 0] + sums[3, 0]) / count
    pairs = torch.stack([fit.shape, fit.mean(), fit.left.square(), fit.right.square()], 1)[1:]
    return torch.cat([symmetric_shape(sums[:, 0], count)[None], squares[None], pairs.flatten()])


def _moments(around: Tensor) -> Tensor:
    """(5, 5), `moments` of the pixels and of the four products; around: (1, 1, h + 2, w + 2)."""
    height, width = around.shape[2] - 2, around.shape[3] - 2
    pixels = around[0, 0, 1:-1, 1:-1]
    products = [
        pixels * around[0, 0, 1 - down : 1 - down + height, 1 - right : 1 - right + width]
        for down, right in _NEIGHBOURS
    ]
    return torch.stack([moments(one.flatten()) for one in (pixels, *products)], 1)
