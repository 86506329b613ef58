"""A 3x3 convolution that does not learn, by Winograd's F(4x4, 3x3), for the perceptual term on CPUs.

Pictures are channels last here, (N, H, W, C); transformed they are (36, T, C), T tiles being N * ceil(H / 4) *
ceil(W / 4). With channels in the hundreds the products of matrices are large, and this order of memory does.
"""

from collections.abc import Sequence
from math import ceil
from typing import Any, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from iqsr.kernels.winograd import PIXELS, PRODUCTS, REACH, SIDE, WORTHWHILE, kernel_to_tiles, of_squares, saving

_CHANNELS = 128
_TILES_AT_ONCE = 1024


class FrozenConv(nn.Module):
    """A 3x3 convolution that does not learn, by tiles where that is faster; its input gets its gradient.

    By tiles: on a CPU, in full precision, with 128 channels and more (of fewer, moving tiles takes the time that is
    saved), and where few tiles hang over the picture's edge. Needs four times the kernel's memory for it, once it is
    used.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv
        self._kernel: Tensor | None = None

    @staticmethod
    def fits(conv: nn.Module) -> TypeGuard[nn.Conv2d]:
        """Whether there is anything to gain for a layer."""
        if type(conv) is not nn.Conv2d or conv.kernel_size != (3, 3) or min(conv.weight.shape[:2]) < _CHANNELS:
            return False
        plain = (conv.stride, conv.padding, conv.dilation) == ((1, 1), (1, 1), (1, 1)) and conv.padding_mode == "zeros"
        return plain and conv.groups == 1 and not conv.weight.requires_grad

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, C, H, W). Returns (N, outputs, H, W), channels last where it was made by tiles."""
        here = x.device.type == "cpu" and x.dtype == self.conv.weight.dtype and not torch.is_autocast_enabled("cpu")
        if not here or saving(*x.shape[2:]) < WORTHWHILE:
            return self.conv(x)
        if self._kernel is None or self._kernel.dtype != x.dtype:
            self._kernel = kernel_to_tiles(self.conv.weight.detach())
        return _ByTiles.apply(x, self._kernel, self.conv.bias)  # pyright: ignore[reportReturnType]


class _ByTiles(torch.autograd.Function):
    """The convolution, a few pictures at a time: their tiles are to stay in the cache."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
        ctx.kernel = kernel
        y = x.new_empty(x.shape[0], kernel.shape[1], *x.shape[2:]).to(memory_format=torch.channels_last)
        for part, made in zip(_parts(x), _parts(y), strict=True):
            shape = (len(part), *part.shape[1:3])
            made.copy_(from_tiles(to_tiles(part) @ kernel.mT, shape))
        return y if bias is None else y.add_(bias.view(-1, 1, 1))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        kernel: Tensor = ctx.kernel
        parts = [
            to_tiles_adjoint(from_tiles_adjoint(part) @ kernel, (len(part), *part.shape[1:3]))
            for part in _parts(gradients[0])
        ]
        return torch.cat(parts).permute(0, 3, 1, 2), None, None


def _parts(x: Tensor) -> tuple[Tensor, ...]:
    """x: (N, C, H, W). Views of it, channels last, of at most some thousand tiles where more than one picture."""
    return x.permute(0, 2, 3, 1).split(max(1, _TILES_AT_ONCE // (ceil(x.shape[2] / SIDE) * ceil(x.shape[3] / SIDE))))


def to_tiles(x: Tensor) -> Tensor:
    """B^T d B: (N, H, W, C) -> (36, T, C); beyond the edge there are zeros."""
    n, height, width, channels = x.shape
    rows, columns = ceil(height / SIDE), ceil(width / SIDE)
    x = F.pad(x, (0, 0, 1, 1 + SIDE * columns - width, 1, 1 + SIDE * rows - height))
    patches = x.unfold(1, REACH, SIDE).unfold(2, REACH, SIDE).permute(4, 5, 0, 1, 2, 3)
    return (of_squares(x.dtype).inputs @ patches.reshape(PRODUCTS, -1)).view(PRODUCTS, n * rows * columns, channels)


def to_tiles_adjoint(v: Tensor, shape: Sequence[int]) -> Tensor:
    """(36, T, C) -> (N, H, W, C), shape being the first three: where tiles overlap, their sum."""
    n, height, width = shape
    rows, columns, channels = ceil(height / SIDE), ceil(width / SIDE), v.shape[2]
    patches = (of_squares(v.dtype).inputs.T @ v.reshape(PRODUCTS, -1)).view(REACH, REACH, n, rows, columns, channels)
    x = v.new_empty(n, rows + 1, SIDE, columns + 1, SIDE, channels)
    x[:, rows] = 0
    x[:, :, :, columns] = 0
    into = x.permute(2, 4, 0, 1, 3, 5)
    over = REACH - SIDE  # rows and columns of a tile that belong to the next one's square as well
    into[:, :, :, :rows, :columns] = patches[:SIDE, :SIDE]
    into[:over, :, :, 1:, :columns] += patches[SIDE:, :SIDE]
    into[:, :over, :, :rows, 1:] += patches[:SIDE, SIDE:]
    into[:over, :over, :, 1:, 1:] += patches[SIDE:, SIDE:]
    return x.view(n, SIDE * (rows + 1), SIDE * (columns + 1), channels)[:, 1 : height + 1, 1 : width + 1]


def from_tiles(m: Tensor, shape: Sequence[int]) -> Tensor:
    """A^T m A: (36, T, C) -> (N, H, W, C), shape being the first three."""
    n, height, width = shape
    rows, columns, channels = ceil(height / SIDE), ceil(width / SIDE), m.shape[2]
    squares = (of_squares(m.dtype).outputs @ m.reshape(PRODUCTS, -1)).view(SIDE, SIDE, n, rows, columns, channels)
    y = squares.permute(2, 3, 0, 4, 1, 5).reshape(n, SIDE * rows, SIDE * columns, channels)
    return y[:, :height, :width]


def from_tiles_adjoint(y: Tensor) -> Tensor:
    """(N, H, W, C) -> (36, T, C)."""
    n, height, width, channels = y.shape
    rows, columns = ceil(height / SIDE), ceil(width / SIDE)
    if (height, width) != (SIDE * rows, SIDE * columns):
        y = F.pad(y, (0, 0, 0, SIDE * columns - width, 0, SIDE * rows - height))
    squares = y.reshape(n, rows, SIDE, columns, SIDE, channels).permute(2, 4, 0, 1, 3, 5)
    return (of_squares(y.dtype).outputs.T @ squares.reshape(PIXELS, -1)).view(PRODUCTS, -1, channels)
