"""What srq and srq-holdout share: from features to a quality map, a weight map and one score from 0 to 100.

At an eighth of the picture's size, the head predicts each position's distance to a clean original that it does not see
(an estimate of LPIPS-ST, Ghildyal & Liu, ECCV 2022, arXiv:2207.13686) and its weight. The score of a picture is
`quality_of` the weighted mean distance. Networks that never saw blank pictures give them any score, so blank areas are
found by `blankness` and get a fixed, large distance.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iqsr.picture_checks import check_batch

DISTANCE_SCALE = 0.3
"""The distance at which the score has fallen to 100 / e = 37."""
BLANK_DISTANCE = 2.0
"""The distance of blank areas: more than that of any photo, however degraded."""

CELL = 8
"""Side of a cell in pixels."""

# Standard deviations, of values in [0, 1], at which a picture, and a row or column of cells, counts as half blank. The
# smooth sky of a photo has about one step of 8 bits (1 / 255), a bar has none: less deviation tells bars from sky.
_PICTURE_DEVIATION, _LINE_DEVIATION = 0.5 / 255, 0.15 / 255


def quality_of(distance: Tensor) -> Tensor:
    """Distance to the clean original, 0 or more, as a quality in (0, 100]; higher is better, 100 = a clean original."""
    return 100 * torch.exp(-distance / DISTANCE_SCALE)


class Prediction(NamedTuple):
    """A predictor's output for a batch."""

    distance: Tensor
    """(N, 1, h, w): estimated distance to the original at each position, 0 or more."""
    weight: Tensor
    """(N, 1, h, w): weight of each position in the score; those of a picture add up to 1."""

    @property
    def score(self) -> Tensor:
        """(N,) in (0, 100], higher is better."""
        return quality_of((self.distance * self.weight).sum((1, 2, 3)))


def penalise_blank_areas(prediction: Prediction, x: Tensor) -> Prediction:
    """The prediction for the pictures x (N, 3, H, W), with `BLANK_DISTANCE` where they are blank.

    Blank areas get a weight equal to their share of the area, for otherwise adding bars could raise the score. The
    other positions share the rest in proportion to their weights.
    """
    height, width = prediction.distance.shape[2:]
    blank = blankness(x)[:, :, :height, :width]
    other = prediction.weight * (1 - blank)
    area = blank.mean((2, 3), keepdim=True)
    weight = other / other.sum((2, 3), keepdim=True).clamp_min(1e-12) * (1 - area) + blank / (height * width)
    return Prediction(prediction.distance + blank * (BLANK_DISTANCE - prediction.distance), weight)


class Predictor(nn.Module):
    """A no-reference predictor with a score and a quality map. Subclasses define `predict`."""

    def predict(self, x: Tensor) -> Prediction:
        """x: (N, 3, H, W) in [0, 1]. Raises UsageError for other shapes."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, 3, H, W) in [0, 1]. Returns (N,) in (0, 100], higher is better; differentiable."""
        return self.predict(x).score

    def quality_map(self, x: Tensor) -> Tensor:
        """x: (N, 3, H, W) in [0, 1]. Returns (N, 1, H/8, W/8) in (0, 100], higher is better. UsageError."""
        check_batch("the quality map", x)
        return quality_of(self.predict(x).distance)


class DenseHead(nn.Module):
    """Predicts distance and weight from multi-level features, resampled to one grid.

    Each level is projected and passed through a non-linearity before it is averaged. The average then measures how much
    texture there is; the plain mean of a texture is near 0.
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
        """features: a (N, C, h, w) for each level; grid: height and width of the maps."""
        levels = [_to_grid(F.gelu(p(f)), grid) for p, f in zip(self.project, features, strict=True)]
        distance, weight = self.out(self.mix(torch.cat(levels, 1))).float().split(1, 1)
        share = torch.softmax(weight.flatten(1), 1).view_as(weight)
        return Prediction(F.softplus(distance - 1), share)


def _to_grid(x: Tensor, grid: tuple[int, int]) -> Tensor:
    """Average a finer map, interpolate a coarser one, to `grid`."""
    if x.shape[2] > grid[0] or x.shape[3] > grid[1]:
        return F.adaptive_avg_pool2d(x, grid)
    return x if tuple(x.shape[2:]) == grid else F.interpolate(x, grid, mode="bilinear", align_corners=False)


def blankness(x: Tensor) -> Tensor:
    """How blank each cell of 8x8 pixels is: 1 for a flat area, a bar or a noise-free ramp, 0 for a photo.

    A cell is measured by its variance about the plane that fits it best, which is 0 in a flat cell and in a ramp. Blank
    are the cells of a picture that is blank as a whole, and rows and columns of cells that are blank from edge to edge,
    such as letterbox bars; a flat area inside a photo is not. At the picture's edge one blank line of pixels is enough.
    The cells beside blank rows and columns count with them, for they may hold the bar's edge.

    x: (N, C, H, W) in [0, 1]. Returns (N, 1, H / 8, W / 8), rounded up, in [0, 1]. Differentiable; computed in float32,
    under autocast too.
    """
    variance = _plane_residual(x)
    whole = _blank_share(variance.mean((2, 3), keepdim=True), _PICTURE_DEVIATION)
    row = _blank_share(variance.mean(3, keepdim=True), _LINE_DEVIATION)
    column = _blank_share(variance.mean(2, keepdim=True), _LINE_DEVIATION)
    row, column = torch.maximum(row, _edge_bars(x)), torch.maximum(column, _edge_bars(x.mT).mT)
    row, column = F.max_pool2d(row, (3, 1), 1, (1, 0)), F.max_pool2d(column, (1, 3), 1, (0, 1))
    return 1 - (1 - whole) * (1 - row) * (1 - column)


def _edge_bars(x: Tensor) -> Tensor:
    """1 for each row of cells that holds a blank line of pixels, if all lines from there to the picture's edge are.

    Returns (N, 1, H / 8, 1), rounded up, in [0, 1]. It finds bars narrower than a cell, whose cells are not blank.
    """
    variance = _plane_residual(x, (1, CELL)).mean(3, keepdim=True)
    lines = _blank_share(variance, _LINE_DEVIATION)
    lines = torch.maximum(lines.cumprod(2), lines.flip(2).cumprod(2).flip(2))
    return F.max_pool2d(F.pad(lines, (0, 0, 0, -lines.shape[2] % CELL)), (CELL, 1))


def _blank_share(variance: Tensor, half: float) -> Tensor:
    """1 at variance 0, 1/2 at the standard deviation `half`, and falling fast beyond: 1/17 at twice that."""
    return 1 / (1 + (variance / half**2).square())


def _plane_residual(x: Tensor, cell: tuple[int, int] = (CELL, CELL)) -> Tensor:
    """Variance of each cell about its least-squares plane, averaged over channels; (N, 1, rows, columns) of cells.

    cell: height, 8 or 1 (a line of pixels), and width, 8. Incomplete cells at the lower and right edge count.
    """
    bottom, right = -x.shape[2] % cell[0], -x.shape[3] % cell[1]
    with torch.autocast(x.device.type, enabled=False):
        # About 0, where float32 has the most bits for small differences.
        x = F.pad(x.float() - 0.5, (0, right, 0, bottom), mode="replicate")
        variance = F.avg_pool2d(x.square(), cell) - F.avg_pool2d(x, cell).square()
        slope = torch.arange(CELL, device=x.device) - (CELL - 1) / 2
        slope = slope / slope.square().mean().sqrt()
        directions = [slope.repeat(x.shape[3] // CELL)]
        if cell[0] == CELL:
            directions.append(slope.repeat(x.shape[2] // CELL)[:, None])
        for direction in directions:
            variance = variance - F.avg_pool2d(x * direction, cell).square()
    return variance.clamp_min(0).mean(1, keepdim=True)
