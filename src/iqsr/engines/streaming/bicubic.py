"""Bicubic interpolation as an operation on rows."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import floor

import torch
from torch import Tensor


@dataclass
class Resample:
    """Bicubic interpolation by a fixed ratio (a = -0.75, no antialiasing, edges clamped), as in F.interpolate."""

    scale: Fraction
    reach: int = 0
    radius: int = 2

    def channels(self, of_input: int) -> int:
        """As many as the input has."""
        return of_input

    def _first_tap(self, row: int) -> int:
        """The first of the four input rows that an output row is made of; may lie outside the picture."""
        return floor((row + Fraction(1, 2)) / self.scale - Fraction(1, 2)) - 1

    def ready(self, have: int, total: int) -> int:
        """Rows whose four input rows are there."""
        if have >= total:
            return int(total * self.scale)
        rows = int(have * self.scale)
        while rows > 0 and self._first_tap(rows - 1) + 3 >= have:
            rows -= 1
        return rows

    def span(self, start: int, stop: int, total: int) -> tuple[int, int]:
        """From the first row's first input row to the last row's last one, inside the picture."""
        return max(0, self._first_tap(start)), min(total, self._first_tap(stop - 1) + 4)

    def run(self, rows: Tensor, start: int, stop: int, first: int) -> Tensor:
        """Interpolate along the rows' axis, then along the columns'."""
        x = self._along(rows, 2, start, stop, first)
        return self._along(x, 3, 0, int(x.shape[3] * self.scale), 0)

    def _along(self, x: Tensor, axis: int, start: int, stop: int, first: int) -> Tensor:
        place = (torch.arange(start, stop, dtype=torch.float64) + 0.5) / float(self.scale) - 0.5
        base = place.floor()
        shape = [1, 1, 1, 1]
        shape[axis] = stop - start
        total = torch.zeros(())
        for tap in range(-1, 3):
            index = (base.long() + tap - first).clamp(0, x.shape[axis] - 1).to(x.device)
            weight = _cubic((place - base - tap).abs()).to(x.device, torch.float32).view(shape)
            total = total.to(x.device) + weight * x.index_select(axis, index)
        return total


def _cubic(distance: Tensor, a: float = -0.75) -> Tensor:
    """Keys' cubic convolution kernel at distances 0 to 2 (Keys, 1981, doi:10.1109/TASSP.1981.1163711)."""
    near = ((a + 2) * distance - (a + 3)) * distance.square() + 1
    far = ((distance - 5) * distance + 8) * distance * a - 4 * a
    return torch.where(distance <= 1, near, torch.where(distance < 2, far, torch.zeros_like(far)))
