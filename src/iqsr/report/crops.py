"""Which detail of a picture to show: where versions of it differ most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from iqsr.errors import UsageError
from iqsr.report.encode import Pixels

_STEPS = 8
"""Windows are tried at every eighth of their side."""


@dataclass(frozen=True)
class Box:
    """A rectangle in a picture, in pixels of its largest version."""

    left: int
    top: int
    width: int
    height: int

    def check(self, size: tuple[int, int], name: str) -> None:
        """UsageError where it reaches out of the picture `name` of that height and width."""
        if self.left + self.width > size[1] or self.top + self.height > size[0]:
            raise UsageError(
                f"the crop {self.left},{self.top},{self.width},{self.height} reaches out of '{name}' "
                f"({size[1]}x{size[0]})"
            )

    def scaled(self, size: tuple[int, int], full: tuple[int, int]) -> Box:
        """The same part of a version of height and width `size`, at least a pixel. full: those of the box's picture."""
        rows, columns = size[0] / full[0], size[1] / full[1]
        top, bottom = round(self.top * rows), round((self.top + self.height) * rows)
        left, right = round(self.left * columns), round((self.left + self.width) * columns)
        return Box(left, top, max(right - left, 1), max(bottom - top, 1))

    def of(self, picture: Pixels, size: tuple[int, int]) -> Pixels:
        """The same part of a version of the picture. size: height and width of the one that the box is meant for."""
        part = self.scaled((picture.shape[0], picture.shape[1]), size)
        return np.ascontiguousarray(picture[part.top : part.top + part.height, part.left : part.left + part.width])


def read_box(text: str) -> Box:
    """`LEFT,TOP,WIDTH,HEIGHT` in pixels. UsageError."""
    try:
        left, top, width, height = (int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"a crop is LEFT,TOP,WIDTH,HEIGHT in pixels, got '{text}'") from None
    if min(left, top) < 0 or min(width, height) < 1:
        raise UsageError(f"a crop lies inside the picture and has a size, got '{text}'")
    return Box(left, top, width, height)


def largest_disagreement(versions: Sequence[Pixels], side: int) -> Box:
    """The first of `largest_disagreements`."""
    return largest_disagreements(versions, side, 1)[0]


def largest_disagreements(versions: Sequence[Pixels], side: int, count: int) -> list[Box]:
    """Squares of `side` pixels, or less in a small picture, where versions of equal size differ most.

    What counts is the difference between the highest and the lowest version of each pixel, mean over the square. The
    middle where there is one version alone. Squares do not overlap; there are fewer than `count` where no more fit.
    """
    height, width = versions[0].shape[:2]
    side = min(side, height, width)
    if len(versions) < 2:
        return [Box((width - side) // 2, (height - side) // 2, side, side)]
    step = max(side // _STEPS, 1)
    means = F.avg_pool2d(_spread(versions), side, step)[0, 0]
    found: list[Box] = []
    reach = -(-side // step)
    while len(found) < count and bool((means >= 0).any()):
        row, column = divmod(int(means.argmax()), means.shape[1])
        found.append(Box(column * step, row * step, side, side))
        means[max(row - reach + 1, 0) : row + reach, max(column - reach + 1, 0) : column + reach] = -1
    return found


def _spread(versions: Sequence[Pixels]) -> torch.Tensor:
    """(1, 1, H, W): the highest version of each pixel less the lowest, summed over the colours."""
    high, low = versions[0].copy(), versions[0].copy()
    for version in versions[1:]:
        np.maximum(high, version, out=high)
        np.minimum(low, version, out=low)
    return torch.from_numpy((high - low).sum(axis=2, dtype=np.float32))[None, None]


def around(box: Box, longest: int, size: tuple[int, int]) -> Box:
    """A box of up to `longest` pixels a side that has this one near its middle and lies inside the picture.

    size: height and width of the picture.
    """
    height, width = (min(longest, side) for side in size)
    top = min(max(box.top + (box.height - height) // 2, 0), size[0] - height)
    left = min(max(box.left + (box.width - width) // 2, 0), size[1] - width)
    return Box(left, top, width, height)
