"""From the features of any trunk to a local quality map, a content weight and one score, 0 to 100.

The head predicts, at an eighth of the picture's size, how far each place lies from a clean original that nobody
has shown it: an estimate of the LPIPS-ST distance (Ghildyal & Liu, ECCV 2022, arXiv:2207.13686), and how much
the place counts. The score of a picture is `quality_of` the weighted mean distance.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iqsr.metrics.emptiness import emptiness
from iqsr.picture_checks import check_batch

# The distance at which the score has fallen to 100 / e = 37.
DISTANCE_SCALE = 0.3
# Of places where there is nothing: no photo, however bad, lies further from its original.
EMPTY_DISTANCE = 2.0


def quality_of(distance: Tensor) -> Tensor:
    """Distance to the clean original, 0 or more, as a quality in (0, 100]; higher is better, 100 = a clean original."""
    return 100 * torch.exp(-distance / DISTANCE_SCALE)


class Prediction(NamedTuple):
    """What a predictor says about a batch."""

    distance: Tensor
    """(N, 1, h, w): estimated distance to the original at each place, 0 or more."""
    weight: Tensor
    """(N, 1, h, w): share of each place in the score; every picture's add up to 1."""

    @property
    def score(self) -> Tensor:
        """(N,) in (0, 100], higher is better."""
        return quality_of((self.distance * self.weight).sum((1, 2, 3)))


def without_credit_for_nothing(found: Prediction, x: Tensor) -> Prediction:
    """The prediction for the pictures x, in which empty places (see `emptiness`) are far from any original.

    They weigh as much as their area: a predictor that leaves bars out would find a picture better for having them.
    The others share the rest, in the proportions they have.
    """
    height, width = found.distance.shape[2:]
    empty = emptiness(x)[:, :, :height, :width]
    filled = found.weight * (1 - empty)
    area = empty.mean((2, 3), keepdim=True)
    share = filled / filled.sum((2, 3), keepdim=True).clamp_min(1e-12) * (1 - area) + empty / (height * width)
    return Prediction(found.distance + empty * (EMPTY_DISTANCE - found.distance), share)


class Predictor(nn.Module):
    """A network with a dense prediction; its score and map follow."""

    def predict(self, x: Tensor) -> Prediction:
        """x: (N, 3, H, W) in [0, 1]. UsageError for shapes it cannot take."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, 3, H, W) in [0, 1]. Returns (N,) in (0, 100], higher is better; differentiable."""
        return self.predict(x).score

    def quality_map(self, x: Tensor) -> Tensor:
        """x: (N, 3, H, W) in [0, 1]. Returns (N, 1, H/8, W/8) in (0, 100]: the quality of each place. UsageError."""
        check_batch("the quality map", x)
        return quality_of(self.predict(x).distance)


class DenseHead(nn.Module):
    """Maps from multi-level features, coarse levels enlarged and fine ones averaged to one grid.

    Every level is projected and passed through a non-linearity before it is averaged, so what it measures is how
    much of a texture there is, not its mean, which is close to nothing.
    """

    def __init__(self, channels: Sequence[int], width: int = 48, hidden: int = 128) -> None:
        super().__init__()
        self.project = nn.ModuleList(nn.Conv2d(c, width, 1) for c in channels)
        self.mix = nn.Sequential(
            nn.Conv2d(width * len(channels), hidden, 1), nn.GELU(), nn.Conv2d(hidden, 64, 1), nn.GELU()
        )
        self.out = nn.Conv2d(64, 2, 1)
        nn.init.zeros_(self.out.weight)
        self.out.bias = nn.Parameter(torch.zeros(2))

    def forward(self, features: Sequence[Tensor], grid: tuple[int, int]) -> Prediction:
        """features: one (N, C, h, w) a level; grid: height and width of the maps."""
        levels = [_to_grid(F.gelu(p(f)), grid) for p, f in zip(self.project, features, strict=True)]
        distance, weight = self.out(self.mix(torch.cat(levels, 1))).float().split(1, 1)
        share = torch.softmax(weight.flatten(1), 1).view_as(weight)
        return Prediction(F.softplus(distance - 1), share)


def _to_grid(x: Tensor, grid: tuple[int, int]) -> Tensor:
    """Average a finer map, interpolate a coarser one, to `grid`."""
    if x.shape[2] > grid[0] or x.shape[3] > grid[1]:
        return F.adaptive_avg_pool2d(x, grid)
    return x if tuple(x.shape[2:]) == grid else F.interpolate(x, grid, mode="bilinear", align_corners=False)
