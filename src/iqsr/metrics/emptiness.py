"""Where a picture shows nothing: flat areas, bars, noise-free ramps.

A predictor that never saw such pictures gives them any score. Emptiness tells them apart from pictures by what the
values of a cell of 8x8 pixels leave unexplained by the plane that fits them best: nothing in a flat cell or a ramp.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

CELL = 8
"""Side of a cell in pixels."""

# Standard deviations, of values in [0, 1], at which a picture, and a row or column of cells, counts as half empty. A
# photo's smooth sky has about one step of 8 bits (1 / 255), a bar has none: rows and columns are told from sky by less.
_PICTURE, _LINE = 0.5 / 255, 0.15 / 255


def emptiness(x: Tensor) -> Tensor:
    """x: (N, C, H, W) in [0, 1]. Returns (N, 1, H / 8, W / 8), rounded up, in [0, 1]: 1 = nothing is there.

    Cells of a picture that is empty as a whole, and of rows and columns that are empty from edge to edge, as the bars
    of films; a flat area within a photo is none. Of bars along the picture's edge a line of pixels is enough. The cells
    beside such rows and columns count with them: what they have may be the bar's edge. Differentiable; in float32,
    under autocast too.
    """
    left = _unexplained(x)
    whole = _share(left.mean((2, 3), keepdim=True), _PICTURE)
    row, column = _share(left.mean(3, keepdim=True), _LINE), _share(left.mean(2, keepdim=True), _LINE)
    row, column = torch.maximum(row, _bars(x)), torch.maximum(column, _bars(x.mT).mT)
    row, column = F.max_pool2d(row, (3, 1), 1, (1, 0)), F.max_pool2d(column, (1, 3), 1, (0, 1))
    return 1 - (1 - whole) * (1 - row) * (1 - column)


def _bars(x: Tensor) -> Tensor:
    """1 for each row of cells with a line of pixels that is empty, as are all up to the upper or the lower edge.

    Returns (N, 1, H / 8, 1), rounded up, in [0, 1]. Bars of less than a cell are not empty cells: their edge is inside.
    """
    left = _unexplained(x, (1, CELL)).mean(3, keepdim=True)
    lines = _share(left, _LINE)
    lines = torch.maximum(lines.cumprod(2), lines.flip(2).cumprod(2).flip(2))
    return F.max_pool2d(F.pad(lines, (0, 0, 0, -lines.shape[2] % CELL)), (CELL, 1))


def _share(variance: Tensor, half: float) -> Tensor:
    """1 where the variance is 0, 1/2 at a deviation of `half`, then falling fast: 1/17 at twice that."""
    return 1 / (1 + (variance / half**2).square())


def _unexplained(x: Tensor, cell: tuple[int, int] = (CELL, CELL)) -> Tensor:
    """Variance of each cell about its best plane, the mean over channels: one value a begun cell.

    cell: height, 8 or 1 (a line of pixels), and width, 8.
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
