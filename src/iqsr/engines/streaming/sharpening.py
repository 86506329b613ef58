"""Fine sharpening as an operation on rows."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import torch.nn.functional as F
from torch import Tensor

from iqsr.models.packaged import FineSharpening

_RADIUS = FineSharpening.RADIUS


@dataclass
class Sharpen:
    """Convolves each channel with `FineSharpening`'s filter; the picture's edge is repeated around it."""

    taps: Tensor
    scale: Fraction = Fraction(1)
    reach: int = 0
    radius: int = _RADIUS

    def channels(self, of_input: int) -> int:
        """As many as the input has."""
        return of_input

    def ready(self, have: int, total: int) -> int:
        """All rows but the last ones, whose lower neighbours are missing."""
        return total if have >= total else max(0, have - _RADIUS)

    def span(self, start: int, stop: int, total: int) -> tuple[int, int]:
        """The rows and their neighbours inside the picture."""
        return max(0, start - _RADIUS), min(total, stop + _RADIUS)

    def run(self, rows: Tensor, start: int, stop: int, first: int) -> Tensor:
        """Convolve. Where neighbours are missing, the picture ends."""
        above, below = first - (start - _RADIUS), stop + _RADIUS - (first + rows.shape[2])
        x = F.pad(rows.float(), (_RADIUS, _RADIUS, above, below), mode="replicate")
        return F.conv2d(x, self.taps.to(x.device), groups=self.taps.shape[0])
