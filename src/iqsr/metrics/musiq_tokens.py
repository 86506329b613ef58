"""What MUSIQ reads: a picture at three scales, in patches that know their place and scale.

Ke et al., "MUSIQ: Multi-scale Image Quality Transformer", ICCV 2021, arXiv:2108.05997, sections 3.1 to 3.3. The
resizing is IQA-PyTorch's, bicubic without antialiasing; Google's code resizes with a Gaussian: scores differ a little.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

PATCH = 32
"""Side of a patch in pixels; patches do not overlap."""
GRID = 10
"""Places are hashed to a grid of this side, whatever the picture's size (section 3.2)."""
LONGER_SIDES = (224, 384)
"""The picture is read with its longer side resized to these, and as it is."""


@dataclass(frozen=True)
class Tokens:
    """The patches of N pictures of one size, T of each."""

    patches: Tensor
    """(N, T, 3, 32, 32) in [-1, 1]; beyond the picture's edge 0, which is gray."""
    places: Tensor
    """(T,): index into the grid, row by row, in [0, 100)."""
    scales: Tensor
    """(T,): 0 and 1 for the resized pictures, 2 for the picture as it is."""


def tokens(x: Tensor) -> Tokens:
    """x: (N, 3, H, W) in [0, 1]. The smallest scale comes first, each row by row. Differentiable in x."""
    parts = [(_patches(picture), *_grid(picture)) for picture in _pyramid(2 * x - 1)]
    scales = torch.arange(len(parts)).repeat_interleave(torch.tensor([p.shape[1] for p, _, _ in parts]))
    return Tokens(
        patches=torch.cat([patches for patches, _, _ in parts], dim=1),
        places=torch.cat([places(rows, columns) for _, rows, columns in parts]).to(x.device),
        scales=scales.to(x.device),
    )


def resized(height: int, width: int, longer_side: int) -> tuple[int, int]:
    """Height and width with the longer side at `longer_side` and the same shape; may be 0 for a very thin picture."""
    ratio = longer_side / max(height, width)
    return round(height * ratio), round(width * ratio)


def places(rows: int, columns: int) -> Tensor:
    """(rows * columns,): where each patch of a picture falls in the grid, row by row (eq. 1 of the paper)."""
    # By interpolation, not by division: they differ where 10 * i / count is whole and its float is not.
    line = torch.arange(GRID, dtype=torch.float32).view(1, 1, GRID)
    down, across = (F.interpolate(line, count, mode="nearest").flatten().long() for count in (rows, columns))
    return (down[:, None] * GRID + across).flatten()


def _pyramid(x: Tensor) -> Iterator[Tensor]:
    for side in LONGER_SIDES:
        yield F.interpolate(x, resized(x.shape[2], x.shape[3], side), mode="bicubic", align_corners=False)
    yield x


def _grid(x: Tensor) -> tuple[int, int]:
    """How many patches cover the picture, down and across."""
    return -(-x.shape[2] // PATCH), -(-x.shape[3] // PATCH)


def _patches(x: Tensor) -> Tensor:
    """(N, 3, H, W) -> (N, rows * columns, 3, 32, 32). The padding is shared by both sides, the odd pixel last."""
    rows, columns = _grid(x)
    down, across = rows * PATCH - x.shape[2], columns * PATCH - x.shape[3]
    x = F.pad(x, (across // 2, across - across // 2, down // 2, down - down // 2))
    x = x.view(x.shape[0], 3, rows, PATCH, columns, PATCH)
    return x.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
