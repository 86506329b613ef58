"""3x3 convolutions by minimal filtering, F(4x4, 3x3) (Lavin & Gray, CVPR 2016, arXiv:1509.09308), for training on CPUs.

A tile of 4x4 outputs is Y = A^T [(G g G^T) * (B^T d B)] A, d being the 6x6 inputs that it depends on and g the kernel:
36 products in the place of 144. Over channels they are 36 products of matrices. In fp32 the error comes to twice that
of a direct convolution, some 3e-6 of the largest value.

Pictures are channels last here, (N, H, W, C); transformed they are (36, T, C), T tiles being N * ceil(H / 4) *
ceil(W / 4). Every transform is linear and has its adjoint beside it, which is what gradients go through.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

TILE, KERNEL = 4, 3
_SIDE = TILE + KERNEL - 1
POINTS = _SIDE**2
"""Products a tile and pair of channels."""
WORTHWHILE = 2.5
"""Least number of multiplications of the direct convolution for one here: of four, tiles over the edge cost some."""
_CHANNELS = 128
_TILES_AT_ONCE = 1024

_AT = (0.0, 0.5**0.5, -(0.5**0.5), 2**0.5, -(2**0.5))
"""Where the polynomials are evaluated, infinity besides: in fp32 half the error of Lavin and Gray's 0, +-1 and +-2."""


class Matrices(NamedTuple):
    """B^T, G and A^T: for a row of pixels, or, as Kronecker products with themselves, for a square."""

    inputs: Tensor
    """(6, 6) or (36, 36)"""
    kernel: Tensor
    """(6, 3) or (36, 9)"""
    outputs: Tensor
    """(4, 6) or (16, 36)"""


def cook_toom() -> Matrices:
    """Cook's and Toom's, of a row, in fp64."""
    points = torch.tensor(_AT, dtype=torch.float64)
    inputs, kernel, outputs = (torch.zeros(_SIDE, n, dtype=torch.float64) for n in (_SIDE, KERNEL, TILE))
    for i, point in enumerate(points):
        others = torch.cat([points[:i], points[i + 1 :]])
        inputs[i, :-1] = _coefficients(others)
        kernel[i] = point ** torch.arange(KERNEL) / (point - others).prod()
        outputs[i] = point ** torch.arange(TILE)
    inputs[-1] = _coefficients(points)
    kernel[-1, -1] = outputs[-1, -1] = 1
    return Matrices(inputs, kernel, outputs.T.contiguous())


@cache
def _matrices(dtype: torch.dtype) -> Matrices:
    """Of a square."""
    return Matrices(*(torch.kron(m, m).to(dtype) for m in cook_toom()))


def _coefficients(roots: Tensor) -> Tensor:
    """Of the polynomial with these roots, from the constant to the leading 1."""
    found = roots.new_ones(1)
    for root in roots:
        found = F.pad(found, (1, 0)) - root * F.pad(found, (0, 1))
    return found


def saving(height: int, width: int) -> float:
    """Multiplications of a direct convolution for each that is left: 4, less where the last tiles hang over."""
    return KERNEL**2 * height * width / (POINTS * _tiles(height) * _tiles(width))


def to_tiles(x: Tensor) -> Tensor:
    """B^T d B: (N, H, W, C) -> (36, T, C); beyond the edge there are zeros."""
    n, height, width, channels = x.shape
    rows, columns = _tiles(height), _tiles(width)
    x = F.pad(x, (0, 0, 1, 1 + TILE * columns - width, 1, 1 + TILE * rows - height))
    patches = x.unfold(1, _SIDE, TILE).unfold(2, _SIDE, TILE).permute(4, 5, 0, 1, 2, 3)
    return (_matrices(x.dtype).inputs @ patches.reshape(POINTS, -1)).view(POINTS, n * rows * columns, channels)


def to_tiles_adjoint(v: Tensor, shape: Sequence[int]) -> Tensor:
    """(36, T, C) -> (N, H, W, C), shape being the first three: where tiles overlap, their sum."""
    n, height, width = shape
    rows, columns, channels = _tiles(height), _tiles(width), v.shape[2]
    patches = (_matrices(v.dtype).inputs.T @ v.reshape(POINTS, -1)).view(_SIDE, _SIDE, n, rows, columns, channels)
    x = v.new_empty(n, rows + 1, TILE, columns + 1, TILE, channels)
    x[:, rows] = 0
    x[:, :, :, columns] = 0
    into = x.permute(2, 4, 0, 1, 3, 5)
    over = _SIDE - TILE  # rows and columns of a tile that belong to the next one's square as well
    into[:, :, :, :rows, :columns] = patches[:TILE, :TILE]
    into[:over, :, :, 1:, :columns] += patches[TILE:, :TILE]
    into[:, :over, :, :rows, 1:] += patches[:TILE, TILE:]
    into[:over, :over, :, 1:, 1:] += patches[TILE:, TILE:]
    return x.view(n, TILE * (rows + 1), TILE * (columns + 1), channels)[:, 1 : height + 1, 1 : width + 1]


def from_tiles(m: Tensor, shape: Sequence[int]) -> Tensor:
    """A^T m A: (36, T, C) -> (N, H, W, C), shape being the first three."""
    n, height, width = shape
    rows, columns, channels = _tiles(height), _tiles(width), m.shape[2]
    squares = (_matrices(m.dtype).outputs @ m.reshape(POINTS, -1)).view(TILE, TILE, n, rows, columns, channels)
    y = squares.permute(2, 3, 0, 4, 1, 5).reshape(n, TILE * rows, TILE * columns, channels)
    return y[:, :height, :width]


def from_tiles_adjoint(y: Tensor) -> Tensor:
    """(N, H, W, C) -> (36, T, C)."""
    n, height, width, channels = y.shape
    rows, columns = _tiles(height), _tiles(width)
    if (height, width) != (TILE * rows, TILE * columns):
        y = F.pad(y, (0, 0, 0, TILE * columns - width, 0, TILE * rows - height))
    squares = y.reshape(n, rows, TILE, columns, TILE, channels).permute(2, 4, 0, 1, 3, 5)
    return (_matrices(y.dtype).outputs.T @ squares.reshape(TILE**2, -1)).view(POINTS, -1, channels)


def kernel_to_tiles(weight: Tensor) -> Tensor:
    """G g G^T: (outputs, inputs, 3, 3) -> (36, inputs, outputs)."""
    outputs, inputs = weight.shape[:2]
    flat = weight.permute(2, 3, 1, 0).reshape(KERNEL**2, -1)
    return (_matrices(weight.dtype).kernel @ flat).view(POINTS, inputs, outputs)


def kernel_to_tiles_adjoint(u: Tensor) -> Tensor:
    """(36, inputs, outputs) -> (outputs, inputs, 3, 3)."""
    flat = _matrices(u.dtype).kernel.T @ u.reshape(POINTS, -1)
    return flat.view(KERNEL, KERNEL, *u.shape[1:]).permute(3, 2, 0, 1)


def _tiles(side: int) -> int:
    return -(-side // TILE)


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
        y = x.new_empty(x.shape[0], kernel.shape[2], *x.shape[2:]).to(memory_format=torch.channels_last)
        for part, made in zip(_parts(x), _parts(y), strict=True):
            shape = (len(part), *part.shape[1:3])
            made.copy_(from_tiles(to_tiles(part) @ kernel, shape))
        return y if bias is None else y.add_(bias.view(-1, 1, 1))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        kernel: Tensor = ctx.kernel
        parts = [
            to_tiles_adjoint(from_tiles_adjoint(part) @ kernel.transpose(1, 2), (len(part), *part.shape[1:3]))
            for part in _parts(gradients[0])
        ]
        return torch.cat(parts).permute(0, 3, 1, 2), None, None


def _parts(x: Tensor) -> tuple[Tensor, ...]:
    """x: (N, C, H, W). Views of it, channels last, of at most some thousand tiles where more than one picture."""
    return x.permute(0, 2, 3, 1).split(max(1, _TILES_AT_ONCE // (_tiles(x.shape[2]) * _tiles(x.shape[3]))))
