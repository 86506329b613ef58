"""What a network is made of, as operations on rows.

Each operation answers three questions: how many output rows follow from the input rows at hand (`ready`), which input
rows a run of output rows needs (`span`), and what they are (`run`). `Fraction` scales keep row counts exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iqsr.kernels.fused_convolution import FusedConvolution, has_fused


class RowOp(Protocol):
    """One operation from rows of one input to rows of the output."""

    scale: Fraction
    """Output rows per input row."""
    reach: int
    """Zero rows that the input must carry above and below the picture."""
    radius: int
    """How many neighbours on each side of an input pixel, in rows or columns, a change of it reaches at most."""

    def channels(self, given: int) -> int:
        """Output channels for `given` input channels."""
        ...

    def ready(self, have: int, total: int) -> int:
        """Output rows that can be computed once rows [0, have) of `total` input rows are there."""
        ...

    def span(self, start: int, stop: int, total: int) -> tuple[int, int]:
        """Input rows [first, last) needed for output rows [start, stop)."""
        ...

    def run(self, rows: Tensor, start: int, stop: int, first: int) -> Tensor:
        """Output rows [start, stop) from the input rows of `span`, the first of which is row `first`."""
        ...


@dataclass
class Convolve:
    """A stride-1 convolution with 'same' zero padding, and a (leaky) ReLU."""

    weight: Tensor
    bias: Tensor | None
    dilation: tuple[int, int]
    groups: int
    slope: float = 1.0
    """What negative results are multiplied by."""
    fused: FusedConvolution | None = None
    """The same in one pass, where the device can."""
    scale: Fraction = Fraction(1)

    def __post_init__(self) -> None:
        height, width = self.weight.shape[-2:]
        self.margins = (height - 1) // 2 * self.dilation[0], (width - 1) // 2 * self.dilation[1]
        self.reach = self.margins[0]
        self.radius = max(self.margins)

    def channels(self, given: int) -> int:
        """One a filter."""
        return self.weight.shape[0]

    def ready(self, have: int, total: int) -> int:
        """All rows but the `reach` that still wait for their lower neighbours."""
        return total if have >= total else max(0, have - self.reach)

    def span(self, start: int, stop: int, total: int) -> tuple[int, int]:
        """The rows and their neighbours; beyond the picture lie the zero rows of the buffer."""
        return start - self.reach, stop + self.reach

    def run(self, rows: Tensor, start: int, stop: int, first: int) -> Tensor:
        """Convolve; zero rows come with the window, or are all missing where it is the whole picture."""
        x = rows.to(self.weight.dtype)
        padding = (stop - start + 2 * self.reach - rows.shape[2]) // 2, self.margins[1]
        if self.fused is not None:
            return self.fused(x, padding, self.slope)
        y = F.conv2d(x, self.weight, self.bias, 1, padding, self.dilation, self.groups)
        return y if self.slope == 1 else F.leaky_relu_(y, self.slope)

    def to(self, device: torch.device, dtype: torch.dtype) -> Convolve:
        """The same convolution with weights on `device` in `dtype`."""
        weight = self.weight.to(device, dtype)
        bias = None if self.bias is None else self.bias.to(device, dtype)
        if self.groups == 1 and has_fused(device, dtype):
            fused = FusedConvolution(weight, bias, self.dilation)  # in an order of its own
            return Convolve(weight, bias, self.dilation, self.groups, self.slope, fused)
        weight = weight.contiguous(memory_format=torch.channels_last)
        return Convolve(weight, bias, self.dilation, self.groups, self.slope)


@dataclass
class EnlargeConvolve:
    """Nearest-neighbour x2 followed by a 3x3 convolution, computed at the small size.

    Each of the four output phases sees only 2x2 different input pixels, so that four 2x2 convolutions with summed
    weights give the same result at 4/9 of the arithmetic, and the enlarged input is never made.
    """

    phases: list[tuple[Tensor, Tensor]]
    """For phase (row, column) = (0,0), (0,1), (1,0), (1,1): the (out, in, 2, 2) weight and the bias."""
    slope: float = 1.0
    """What negative results are multiplied by."""
    fused: list[FusedConvolution] | None = None
    """The phases' convolutions with the activation in one pass, where the device can."""
    scale: Fraction = Fraction(2)
    reach: int = 1
    radius: int = 1

    @staticmethod
    def from_convolution(weight: Tensor, bias: Tensor | None) -> EnlargeConvolve:
        """Sum the 3x3 weights that fall on the same small pixel."""
        bias = torch.zeros(weight.shape[0]) if bias is None else bias
        sums = {0: ([0], [1, 2]), 1: ([0, 1], [2])}
        phases: list[tuple[Tensor, Tensor]] = []
        for row in (0, 1):
            for column in (0, 1):
                taps = [weight[:, :, ys][:, :, :, xs].sum((2, 3)) for ys in sums[row] for xs in sums[column]]
                phases.append((torch.stack(taps, 2).unflatten(2, (2, 2)), bias))
        return EnlargeConvolve(phases)

    def channels(self, given: int) -> int:
        """One a filter."""
        return self.phases[0][0].shape[0]

    def ready(self, have: int, total: int) -> int:
        """Twice the rows whose lower neighbour is there."""
        return 2 * (total if have >= total else max(0, have - 1))

    def span(self, start: int, stop: int, total: int) -> tuple[int, int]:
        """The small rows and one more on each side."""
        return start // 2 - 1, stop // 2 + 1

    def run(self, rows: Tensor, start: int, stop: int, first: int) -> Tensor:
        """Fill the four interleaved phases of the output; zero rows as in `Convolve`."""
        weight = self.phases[0][0]
        x = rows.to(weight.dtype)
        height, width = (stop - start) // 2, x.shape[3]
        missing = (height + 2 - x.shape[2]) // 2
        shape = (1, weight.shape[0], 2 * height, 2 * width)
        out = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
        for index in range(4):
            row, column = divmod(index, 2)
            if missing:
                phase = self._phase(index, x, (1, 1))[:, :, row : row + height]
            else:
                phase = self._phase(index, x[:, :, row : row + height + 1], (0, 1))
            out[:, :, row::2, column::2] = phase[..., column : column + width]
        return out

    def _phase(self, index: int, x: Tensor, padding: tuple[int, int]) -> Tensor:
        if self.fused is not None:
            return self.fused[index](x, padding, self.slope)
        y = F.conv2d(x, *self.phases[index], padding=padding)
        return y if self.slope == 1 else F.leaky_relu_(y, self.slope)

    def to(self, device: torch.device, dtype: torch.dtype) -> EnlargeConvolve:
        """The same operation with weights on `device` in `dtype`."""
        moved = [(w.to(device, dtype, memory_format=torch.channels_last), b.to(device, dtype)) for w, b in self.phases]
        fused = [FusedConvolution(w, b, (1, 1)) for w, b in moved] if has_fused(device, dtype) else None
        return EnlargeConvolve(moved, self.slope, fused)


@dataclass
class Identity:
    """No change: the start of a chain that has no operation of its own, such as the sum of two delayed values."""

    scale: Fraction = Fraction(1)
    reach: int = 0
    radius: int = 0

    def channels(self, given: int) -> int:
        """As many as came in."""
        return given

    def ready(self, have: int, total: int) -> int:
        """As many as came in."""
        return have

    def span(self, start: int, stop: int, total: int) -> tuple[int, int]:
        """The same rows."""
        return start, stop

    def run(self, rows: Tensor, start: int, stop: int, first: int) -> Tensor:
        """A copy, since what follows works in place."""
        return rows.clone()


_FEW_CHANNELS = 8
"""Fewer than these torch enlarges four times as fast plane by plane."""


@dataclass
class Rearrange:
    """Operations that turn n rows into n * scale rows with no neighbours: pixel (un)shuffle, nearest enlargement."""

    module: nn.Module
    scale: Fraction
    reach: int = 0
    radius: int = 0

    def channels(self, given: int) -> int:
        """Shuffles trade channels for pixels."""
        if isinstance(self.module, nn.PixelShuffle | nn.PixelUnshuffle):
            return int(given / self.scale**2)
        return given

    def ready(self, have: int, total: int) -> int:
        """All that whole groups of input rows give."""
        return floor(have * self.scale) if self.scale < 1 else int(have * self.scale)

    def span(self, start: int, stop: int, total: int) -> tuple[int, int]:
        """The rows the run was made of."""
        return floor(start / self.scale), ceil(stop / self.scale)

    def run(self, rows: Tensor, start: int, stop: int, first: int) -> Tensor:
        """Apply the module to whole rows, and cut where a reader stopped inside a group."""
        few = isinstance(self.module, nn.UpsamplingNearest2d) and rows.shape[1] < _FEW_CHANNELS
        out = self.module(rows.contiguous() if few else rows)
        skip = start - int(first * self.scale)
        return out[:, :, skip : skip + stop - start]


@dataclass
class Resample:
    """Bicubic interpolation by a fixed ratio (a = -0.75, no antialiasing, edges clamped), as in F.interpolate."""

    scale: Fraction
    reach: int = 0
    radius: int = 2

    def channels(self, given: int) -> int:
        """As many as came in."""
        return given

    def _first_tap(self, row: int) -> int:
        return floor((row + Fraction(1, 2)) / self.scale - Fraction(1, 2)) - 1

    def ready(self, have: int, total: int) -> int:
        """Rows whose four taps are there."""
        if have >= total:
            return int(total * self.scale)
        rows = int(have * self.scale)
        while rows > 0 and self._first_tap(rows - 1) + 3 >= have:
            rows -= 1
        return rows

    def span(self, start: int, stop: int, total: int) -> tuple[int, int]:
        """The taps of the first to those of the last row, inside the picture."""
        return max(0, self._first_tap(start)), min(total, self._first_tap(stop - 1) + 4)

    def run(self, rows: Tensor, start: int, stop: int, first: int) -> Tensor:
        """Weigh four rows, then four columns."""
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


@dataclass(frozen=True)
class PReLU:
    """PReLU in whatever precision the rows come: those around a network's last convolution stay fp32."""

    weight: Tensor

    def __call__(self, rows: Tensor) -> Tensor:
        """The rows, negative values scaled by their channel's slope."""
        return F.prelu(rows, self.weight.to(rows.dtype))

    def to(self, device: torch.device) -> PReLU:
        """The same slopes on `device`."""
        return PReLU(self.weight.to(device))


def _cubic(distance: Tensor, a: float = -0.75) -> Tensor:
    """Keys' cubic convolution kernel at distances 0 to 2 (Keys, 1981, doi:10.1109/TASSP.1981.1163711)."""
    near = ((a + 2) * distance - (a + 3)) * distance.square() + 1
    far = ((distance - 5) * distance + 8) * distance * a - 4 * a
    return torch.where(distance <= 1, near, torch.where(distance < 2, far, torch.zeros_like(far)))
