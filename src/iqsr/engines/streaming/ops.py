"""The operations of a network, on rows.

Each operation answers three questions: how many output rows can be made from the input rows that are there (`ready`),
which input rows some output rows need (`span`), and what the output rows are (`run`). Scales are fractions, so that
numbers of rows are exact.
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
    """An operation that makes output rows from input rows."""

    scale: Fraction
    """Output rows per input row."""
    reach: int
    """Rows of zero padding that the input needs above and below the picture."""
    radius: int
    """How many rows or columns away, at most, an input pixel still has influence."""

    def channels(self, of_input: int) -> int:
        """Output channels for so many input channels."""
        ...

    def ready(self, have: int, total: int) -> int:
        """How many output rows can be made when rows [0, have) of `total` input rows are there."""
        ...

    def span(self, start: int, stop: int, total: int) -> tuple[int, int]:
        """Input rows [first, last) needed for output rows [start, stop)."""
        ...

    def run(self, rows: Tensor, start: int, stop: int, first: int) -> Tensor:
        """Output rows [start, stop). `rows` are the input rows of `span`, the first of which is row `first`."""
        ...


@dataclass
class Convolve:
    """A stride-1 convolution with 'same' zero padding, then a leaky ReLU."""

    weight: Tensor
    bias: Tensor | None
    dilation: tuple[int, int]
    groups: int
    slope: float = 1.0
    """Factor of negative results; 1 for no activation, 0 for ReLU."""
    fused: FusedConvolution | None = None
    """Convolution and activation in one pass, where the device has it."""
    scale: Fraction = Fraction(1)

    def __post_init__(self) -> None:
        height, width = self.weight.shape[-2:]
        self.margins = (height - 1) // 2 * self.dilation[0], (width - 1) // 2 * self.dilation[1]
        self.reach = self.margins[0]
        self.radius = max(self.margins)

    def channels(self, of_input: int) -> int:
        """The number of filters."""
        return self.weight.shape[0]

    def ready(self, have: int, total: int) -> int:
        """All rows but the last `reach`, whose lower neighbours are missing."""
        return total if have >= total else max(0, have - self.reach)

    def span(self, start: int, stop: int, total: int) -> tuple[int, int]:
        """The rows and their neighbours. Beyond the picture, the buffer has rows of zeros."""
        return start - self.reach, stop + self.reach

    def run(self, rows: Tensor, start: int, stop: int, first: int) -> Tensor:
        """Convolve. `rows` include the rows of zero padding, unless they are the whole picture."""
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
    """Nearest-neighbour x2 enlargement, then a 3x3 convolution, computed at the small size.

    Each of the four phases of the output (even or odd row, even or odd column) depends on 2x2 input pixels. So four 2x2
    convolutions with summed weights give the same result with 4/9 of the arithmetic, and the enlarged input is never
    made.
    """

    phases: list[tuple[Tensor, Tensor]]
    """For phase (row, column) = (0,0), (0,1), (1,0), (1,1): the (out, in, 2, 2) weight and the bias."""
    slope: float = 1.0
    """Factor of negative results; 1 for no activation, 0 for ReLU."""
    fused: list[FusedConvolution] | None = None
    """The phases' convolutions with the activation in one pass, where the device has them."""
    scale: Fraction = Fraction(2)
    reach: int = 1
    radius: int = 1

    @staticmethod
    def from_convolution(weight: Tensor, bias: Tensor | None) -> EnlargeConvolve:
        """Sum the weights of the 3x3 kernel that fall on the same input pixel."""
        bias = torch.zeros(weight.shape[0]) if bias is None else bias
        sums = {0: ([0], [1, 2]), 1: ([0, 1], [2])}
        phases: list[tuple[Tensor, Tensor]] = []
        for row in (0, 1):
            for column in (0, 1):
                taps = [weight[:, :, ys][:, :, :, xs].sum((2, 3)) for ys in sums[row] for xs in sums[column]]
                phases.append((torch.stack(taps, 2).unflatten(2, (2, 2)), bias))
        return EnlargeConvolve(phases)

    def channels(self, of_input: int) -> int:
        """The number of filters."""
        return self.phases[0][0].shape[0]

    def ready(self, have: int, total: int) -> int:
        """Two for each input row whose lower neighbour is there."""
        return 2 * (total if have >= total else max(0, have - 1))

    def span(self, start: int, stop: int, total: int) -> tuple[int, int]:
        """The input rows of the output rows, and one more on each side."""
        return start // 2 - 1, stop // 2 + 1

    def run(self, rows: Tensor, start: int, stop: int, first: int) -> Tensor:
        """Compute the four phases, which interleave. `rows` are as in `Convolve.run`."""
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
    """No operation: for stages that only change a value, such as the sum of two earlier values."""

    scale: Fraction = Fraction(1)
    reach: int = 0
    radius: int = 0

    def channels(self, of_input: int) -> int:
        """As many as the input has."""
        return of_input

    def ready(self, have: int, total: int) -> int:
        """As many as the input has."""
        return have

    def span(self, start: int, stop: int, total: int) -> tuple[int, int]:
        """The same rows."""
        return start, stop

    def run(self, rows: Tensor, start: int, stop: int, first: int) -> Tensor:
        """A copy, since the stage's changes are made in place."""
        return rows.clone()


_FEW_CHANNELS = 8
"""With fewer channels, torch enlarges four times as fast when the memory is not channels last."""


@dataclass
class Rearrange:
    """Operations that see no neighbours: pixel shuffle, pixel unshuffle, nearest-neighbour enlargement."""

    module: nn.Module
    scale: Fraction
    reach: int = 0
    radius: int = 0

    def channels(self, of_input: int) -> int:
        """Pixel shuffle and unshuffle turn channels into pixels and back."""
        if isinstance(self.module, nn.PixelShuffle | nn.PixelUnshuffle):
            return int(of_input / self.scale**2)
        return of_input

    def ready(self, have: int, total: int) -> int:
        """What whole groups of input rows give."""
        return floor(have * self.scale) if self.scale < 1 else int(have * self.scale)

    def span(self, start: int, stop: int, total: int) -> tuple[int, int]:
        """The input rows that the output rows are made of."""
        return floor(start / self.scale), ceil(stop / self.scale)

    def run(self, rows: Tensor, start: int, stop: int, first: int) -> Tensor:
        """Apply the module, then drop rows that were not asked for: a reader may begin within a group of rows."""
        few = isinstance(self.module, nn.UpsamplingNearest2d) and rows.shape[1] < _FEW_CHANNELS
        out = self.module(rows.contiguous() if few else rows)
        skip = start - int(first * self.scale)
        return out[:, :, skip : skip + stop - start]


@dataclass(frozen=True)
class PReLU:
    """PReLU in the precision of its input: values near the network's last convolution stay fp32."""

    weight: Tensor

    def __call__(self, rows: Tensor) -> Tensor:
        """Multiply negative values by the slope of their channel."""
        return F.prelu(rows, self.weight.to(rows.dtype))

    def to(self, device: torch.device) -> PReLU:
        """The same slopes on `device`."""
        return PReLU(self.weight.to(device))
