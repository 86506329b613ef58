"""A frozen 3x3 convolution by Winograd's F(4x4, 3x3), for the perceptual term of a training on CPUs.

Pictures are channels last here, (N, H, W, C). Transformed they are (36, T, C), where T = N * ceil(H / 4) * ceil(W / 4)
is the number of Winograd tiles. `winograd_tiling` has another layout, (36, C, T), and neither serves both uses well.
The network around these layers is channels last, they have 128 to 512 channels, and deep ones have fewer tiles than
channels: with (36, C, T) the perceptual term, forward and backward, took 1.11 to 1.17 times the CPU time for VGG's
features and 1.01 to 1.05 times for AlexNet's (2 to 12 pictures of 96 to 256 pixels, medians of 7 alternating rounds).
For the products of a dense block, (36, T, C) took 0.99 to 1.20 times the CPU time (136 to 1032 tiles), and its values
would no longer lie in one piece. The matrices and the transform of kernels are the same (`winograd`).
"""

from collections.abc import Sequence
from math import ceil
from typing import Any, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from iqsr.kernels.winograd import (
    INPUT_SIDE,
    LEAST_SAVING,
    PRODUCTS,
    TILE_PIXELS,
    TILE_SIDE,
    saving,
    square_matrices,
    transform_kernel,
)

_LEAST_CHANNELS = 128
"""With fewer, moving the tiles takes the time that is saved."""
_MOST_TILES_PER_PART = 1024
"""Winograd tiles of the pictures that are convolved together; with more, they leave the processor's cache."""


class FrozenConv(nn.Module):
    """A frozen 3x3 convolution, computed by Winograd where that is faster. Gradients reach its input.

    Winograd is faster on a CPU, in full precision, with at least 128 channels, and where few tiles hang over the
    picture's edge. From the first use on, the transformed kernel takes four times the kernel's memory.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv
        self._kernel: Tensor | None = None

    @staticmethod
    def fits(conv: nn.Module) -> TypeGuard[nn.Conv2d]:
        """Whether a layer is a convolution that this class can compute faster."""
        if type(conv) is not nn.Conv2d or conv.kernel_size != (3, 3) or min(conv.weight.shape[:2]) < _LEAST_CHANNELS:
            return False
        plain = (conv.stride, conv.padding, conv.dilation) == ((1, 1), (1, 1), (1, 1)) and conv.padding_mode == "zeros"
        return plain and conv.groups == 1 and not conv.weight.requires_grad

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, C, H, W). Returns (N, outputs, H, W), channels last where Winograd computed it."""
        full = x.device.type == "cpu" and x.dtype == self.conv.weight.dtype and not torch.is_autocast_enabled("cpu")
        if not full or saving(*x.shape[2:]) < LEAST_SAVING:
            return self.conv(x)
        if self._kernel is None or self._kernel.dtype != x.dtype:
            self._kernel = transform_kernel(self.conv.weight.detach())
        return _WinogradFunction.apply(x, self._kernel, self.conv.bias)  # pyright: ignore[reportReturnType]


class _WinogradFunction(torch.autograd.Function):
    """The convolution with the gradient of its input, a few pictures at a time, so that tiles stay in the cache."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
        ctx.kernel = kernel
        y = x.new_empty(x.shape[0], kernel.shape[1], *x.shape[2:]).to(memory_format=torch.channels_last)
        for part, made in zip(_parts(x), _parts(y), strict=True):
            shape = (len(part), *part.shape[1:3])
            made.copy_(transform_output(transform_input(part) @ kernel.mT, shape))
        return y if bias is None else y.add_(bias.view(-1, 1, 1))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        kernel: Tensor = ctx.kernel
        parts = [
            transform_input_adjoint(transform_output_adjoint(part) @ kernel, (len(part), *part.shape[1:3]))
            for part in _parts(gradients[0])
        ]
        return torch.cat(parts).permute(0, 3, 1, 2), None, None


def _parts(x: Tensor) -> tuple[Tensor, ...]:
    """Views (n, H, W, C) of x, (N, C, H, W): one picture each, or as many as have `_MOST_TILES_PER_PART` tiles."""
    tiles_of_picture = ceil(x.shape[2] / TILE_SIDE) * ceil(x.shape[3] / TILE_SIDE)
    return x.permute(0, 2, 3, 1).split(max(1, _MOST_TILES_PER_PART // tiles_of_picture))


def transform_input(x: Tensor) -> Tensor:
    """B^T d B: (N, H, W, C) -> (36, T, C); zeros lie beyond the edge."""
    n, height, width, channels = x.shape
    rows, columns = ceil(height / TILE_SIDE), ceil(width / TILE_SIDE)
    x = F.pad(x, (0, 0, 1, 1 + TILE_SIDE * columns - width, 1, 1 + TILE_SIDE * rows - height))
    patches = x.unfold(1, INPUT_SIDE, TILE_SIDE).unfold(2, INPUT_SIDE, TILE_SIDE).permute(4, 5, 0, 1, 2, 3)
    return (square_matrices(x.dtype).inputs @ patches.reshape(PRODUCTS, -1)).view(
        PRODUCTS, n * rows * columns, channels
    )


def transform_input_adjoint(v: Tensor, shape: Sequence[int]) -> Tensor:
    """(36, T, C) -> (N, H, W, C), the sum where the squares of inputs overlap. shape: (N, H, W)."""
    n, height, width = shape
    rows, columns, channels = ceil(height / TILE_SIDE), ceil(width / TILE_SIDE), v.shape[2]
    patches = (square_matrices(v.dtype).inputs.T @ v.reshape(PRODUCTS, -1)).view(
        INPUT_SIDE, INPUT_SIDE, n, rows, columns, channels
    )
    x = v.new_empty(n, rows + 1, TILE_SIDE, columns + 1, TILE_SIDE, channels)
    x[:, rows] = 0
    x[:, :, :, columns] = 0
    into = x.permute(2, 4, 0, 1, 3, 5)
    over = INPUT_SIDE - TILE_SIDE  # rows and columns that the square of the next tile shares
    into[:, :, :, :rows, :columns] = patches[:TILE_SIDE, :TILE_SIDE]
    into[:over, :, :, 1:, :columns] += patches[TILE_SIDE:, :TILE_SIDE]
    into[:, :over, :, :rows, 1:] += patches[:TILE_SIDE, TILE_SIDE:]
    into[:over, :over, :, 1:, 1:] += patches[TILE_SIDE:, TILE_SIDE:]
    return x.view(n, TILE_SIDE * (rows + 1), TILE_SIDE * (columns + 1), channels)[:, 1 : height + 1, 1 : width + 1]


def transform_output(m: Tensor, shape: Sequence[int]) -> Tensor:
    """A^T m A: (36, T, C) -> (N, H, W, C). shape: (N, H, W)."""
    n, height, width = shape
    rows, columns, channels = ceil(height / TILE_SIDE), ceil(width / TILE_SIDE), m.shape[2]
    squares = (square_matrices(m.dtype).outputs @ m.reshape(PRODUCTS, -1)).view(
        TILE_SIDE, TILE_SIDE, n, rows, columns, channels
    )
    y = squares.permute(2, 3, 0, 4, 1, 5).reshape(n, TILE_SIDE * rows, TILE_SIDE * columns, channels)
    return y[:, :height, :width]


def transform_output_adjoint(y: Tensor) -> Tensor:
    """(N, H, W, C) -> (36, T, C)."""
    n, height, width, channels = y.shape
    rows, columns = ceil(height / TILE_SIDE), ceil(width / TILE_SIDE)
    if (height, width) != (TILE_SIDE * rows, TILE_SIDE * columns):
        y = F.pad(y, (0, 0, 0, TILE_SIDE * columns - width, 0, TILE_SIDE * rows - height))
    squares = y.reshape(n, rows, TILE_SIDE, columns, TILE_SIDE, channels).permute(2, 4, 0, 1, 3, 5)
    return (square_matrices(y.dtype).outputs.T @ squares.reshape(TILE_PIXELS, -1)).view(PRODUCTS, -1, channels)
