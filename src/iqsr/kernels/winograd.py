"""3x3 convolutions by minimal filtering, F(4x4, 3x3) (Lavin & Gray, CVPR 2016, arXiv:1509.09308), on CPUs.

A tile of 4x4 outputs is Y = A^T [sum over channels of (G g G^T) * (B^T d B)] A, d being the 6x6 inputs that it depends
on and g the kernel of 3x3: 36 products in the place of 144. Over all tiles and channels they are 36 products of
matrices. Lavin and Gray interpolate at 0, 1, -1, 2, -2 and infinity; here it is at 0, +-sqrt(1/2), +-sqrt(2) and
infinity, which in fp32 loses half as much: some 3e-6 of the largest value, two to eight times a direct convolution's
error.

Every transform is linear and has its adjoint beside it, which is what gradients go through.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, cached_property, partial
from math import ceil
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

SIDE, KERNEL = 4, 3
"""Pixels of a tile's side, and of the kernel's."""
PIXELS = SIDE**2
REACH = SIDE + KERNEL - 1
"""Side of the square of inputs that a tile depends on."""
PRODUCTS = REACH**2
"""Multiplications for one tile, one input and one output channel; a direct convolution has 144."""
WORTHWHILE = 2.5
"""Least `saving` for which pictures go by tiles."""

_AT = (0.0, 0.5**0.5, -(0.5**0.5), 2**0.5, -(2**0.5))
"""Where the polynomials are evaluated, infinity besides."""
_ALIGNED = 8
"""Tiles; products of matrices of other lengths take up to a third longer."""


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
    inputs, kernel, outputs = (torch.zeros(REACH, n, dtype=torch.float64) for n in (REACH, KERNEL, SIDE))
    for i, point in enumerate(points):
        others = torch.cat([points[:i], points[i + 1 :]])
        inputs[i, :-1] = _coefficients(others)
        kernel[i] = point ** torch.arange(KERNEL) / (point - others).prod()
        outputs[i] = point ** torch.arange(SIDE)
    inputs[-1] = _coefficients(points)
    kernel[-1, -1] = outputs[-1, -1] = 1
    return Matrices(inputs, kernel, outputs.T.contiguous())


@cache
def of_squares(dtype: torch.dtype) -> Matrices:
    """The matrices for a square."""
    return Matrices(*(torch.kron(m, m).to(dtype) for m in cook_toom()))


def _coefficients(roots: Tensor) -> Tensor:
    """Of the polynomial with these roots, from the constant to the leading 1."""
    found = roots.new_ones(1)
    for root in roots:
        found = F.pad(found, (1, 0)) - root * F.pad(found, (0, 1))
    return found


def saving(height: int, width: int) -> float:
    """Multiplications of a direct convolution for each that is left: 4, less where the last tiles hang over."""
    return KERNEL**2 * height * width / (PRODUCTS * ceil(height / SIDE) * ceil(width / SIDE))


def kernel_to_tiles(weight: Tensor) -> Tensor:
    """G g G^T: (outputs, inputs, 3, 3) -> (36, outputs, inputs)."""
    flat = weight.permute(2, 3, 0, 1).reshape(KERNEL**2, -1)
    return (of_squares(weight.dtype).kernel @ flat).view(PRODUCTS, *weight.shape[:2])


def kernel_to_tiles_adjoint(u: Tensor) -> Tensor:
    """(36, outputs, inputs) -> (outputs, inputs, 3, 3)."""
    flat = of_squares(u.dtype).kernel.T @ u.reshape(PRODUCTS, -1)
    return flat.view(KERNEL, KERNEL, *u.shape[1:]).permute(2, 3, 0, 1)


Steps = Sequence[Callable[[], object]]
"""Operations that know their arrays, to be run in turn, and again whenever what is in the arrays has changed.

To find the parts of arrays takes Python time, which counts where tiles are few.
"""


def run(steps: Steps) -> None:
    """Take one step after the other."""
    for step in steps:
        step()


class Tiling:
    """How pictures (N, C, H, W) lie in memory as tiles (16, C, T), and how those are transformed.

    Pixel (4i + p, 4j + q) is at [4p + q, :, i * across + j], picture after picture; zeros are beyond the edge. So
    neighbours are the same rows of memory, some tiles further on, and all arithmetic runs along T.
    """

    def __init__(self, height: int, width: int, *, pictures: int = 1, dtype: torch.dtype = torch.float32) -> None:
        self.height, self.width, self.dtype = height, width, dtype
        self._shape = (pictures, ceil(height / SIDE), ceil(width / SIDE))
        self._used = self._shape[0] * self._shape[1] * self._shape[2]
        self.tiles = _ALIGNED * (ceil(self._used / _ALIGNED) | 1)
        """T: some at the end stand for nothing. An odd multiple, for rows a power of two apart share cache lines."""
        self._matrices = _separate(dtype)
        self._scratch = torch.empty(0, dtype=dtype)

    def cut(self, pictures: Tensor, out: Tensor | None = None) -> Tensor:
        """(N, C, H, W) -> (16, C, T); `out` may be some channels of an array."""
        (_, down, across), channels = self._shape, pictures.shape[1]
        padding = (0, 0, 0, across * SIDE - self.width, 0, down * SIDE - self.height)
        whole = pictures.permute(0, 2, 3, 1)
        whole = F.pad(whole, padding) if any(padding) else whole
        out = pictures.new_empty(PIXELS, channels, self.tiles) if out is None else out
        out[..., self._used :] = 0
        grid = whole.unflatten(1, (down, SIDE)).unflatten(3, (across, SIDE))
        self._grid(out.unflatten(0, (SIDE, SIDE))).copy_(grid.permute(2, 4, 5, 0, 1, 3))
        return out

    def joined(self, tiles: Tensor) -> Tensor:
        """(16, C, T) -> (N, C, H, W), channels last."""
        n, down, across = self._shape
        grid = self._grid(tiles.unflatten(0, (SIDE, SIDE))).permute(3, 4, 0, 5, 1, 2)
        whole = grid.reshape(n, down * SIDE, across * SIDE, -1)
        return whole[:, : self.height, : self.width].contiguous().permute(0, 3, 1, 2)

    def clear_beyond_edge(self, tiles: Tensor) -> Steps:
        """Zero what is no pixel, so that it counts as the picture's zero padding."""
        grid = self._grid(tiles.unflatten(0, (SIDE, SIDE)))
        below, right = self.height % SIDE, self.width % SIDE
        beyond = [*([grid[below:, ..., -1, :]] if below else ()), *([grid[:, right:, ..., -1]] if right else ())]
        return [part.zero_ for part in beyond]

    def topmost(self, tiles: Tensor) -> Tensor:
        """The uppermost row of tiles of the only picture, (16, C, across)."""
        return tiles[..., : self._shape[2]]

    def lowest(self, tiles: Tensor) -> Tensor:
        """The last row of tiles of the only picture, (16, C, across)."""
        return tiles[..., self._used - self._shape[2] : self._used]

    def forward(self, tiles: Tensor, out: Tensor, above: Tensor | None = None, below: Tensor | None = None) -> Steps:
        """B^T d B: (16, C, T) -> (36, C, T); `out` may be some channels of an array, `tiles` a whole one.

        above, below: where these are a stripe of a picture, the rows of tiles next to it, (16, C, across).
        """
        matrices, channels, across = self._matrices, tiles.shape[1], self._shape[2]
        pixels = tiles.unflatten(0, (SIDE, SIDE))
        rows = self._scratch_for(channels).view(REACH, SIDE, channels, self.tiles)
        out = out.unflatten(0, (REACH, REACH))
        upper, lower = rows[0, ..., :across], rows[-1, ..., self._used - across : self._used]
        return [
            partial(torch.mm, matrices.rows, pixels.view(SIDE, -1), out=rows.flatten(1)),
            self._add_above(pixels[-1], rows[0]),
            self._add_below(pixels[0], rows[-1]),
            *([] if above is None else [partial(upper.add_, above[-SIDE:])]),
            *([] if below is None else [partial(lower.add_, below[:SIDE])]),
            partial(torch.bmm, matrices.columns, rows.flatten(2), out=out.flatten(2)),
            self._add_left(rows[:, -1], out[:, 0]),
            self._add_right(rows[:, 0], out[:, -1]),
        ]

    def forward_adjoint(self, v: Tensor, out: Tensor) -> Steps:
        """(36, C, T) -> (16, C, T), both whole arrays; what lies beyond the edge is to be cleared."""
        matrices, channels = self._matrices, v.shape[1]
        v = v.unflatten(0, (REACH, REACH))
        rows = self._scratch_for(channels).view(REACH, SIDE, channels, self.tiles)
        pixels = out.unflatten(0, (SIDE, SIDE))
        return [
            partial(torch.bmm, matrices.columns.mT, v.view(REACH, REACH, -1), out=rows.flatten(2)),
            self._add_right(v[:, 0], rows[:, -1]),
            self._add_left(v[:, -1], rows[:, 0]),
            partial(torch.mm, matrices.rows.T, rows.flatten(1), out=pixels.view(SIDE, -1)),
            self._add_below(rows[0], pixels[-1]),
            self._add_above(rows[-1], pixels[0]),
        ]

    def back(self, products: Tensor, out: Tensor, added: Tensor | None = None) -> Steps:
        """A^T m A, plus `added`, which may be `out`: (36, C, T), some channels of an array, -> (16, C, T).

        One product for squares is quicker than one for rows and one for columns with what lies between them.
        """
        squares, m, y = of_squares(self.dtype).outputs, products.view(PRODUCTS, -1), out.view(PIXELS, -1)
        if added is None:
            return [partial(torch.mm, squares, m, out=y)]
        return [partial(torch.addmm, added.view(PIXELS, -1), squares, m, out=y)]

    def back_adjoint(self, y: Tensor, out: Tensor) -> Steps:
        """(16, C, T) -> (36, C, T); `out` may be some channels of an array."""
        matrices = self._matrices
        half = self._scratch_for(y.shape[1]).view(SIDE, REACH, -1)
        m = out.unflatten(0, (REACH, REACH)).flatten(2)
        each = matrices.back[0].T.expand(REACH, -1, -1)
        return [
            partial(torch.bmm, matrices.back.mT, y.unflatten(0, (SIDE, SIDE)).flatten(2), out=half),
            partial(torch.bmm, each, half.transpose(0, 1), out=m.transpose(0, 1)),
        ]

    @cached_property
    def _beside(self) -> Tensor:
        """(T,): 1 where the next tile is this one's neighbour, else 0; what is not finite spreads beyond neighbours."""
        beside = torch.ones(self._shape, dtype=self.dtype)
        beside[..., -1] = 0
        return F.pad(beside.flatten(), (0, self.tiles - self._used))

    @cached_property
    def _below(self) -> Tensor:
        """The same of the tile a row of tiles further on."""
        below = torch.ones(self._shape, dtype=self.dtype)
        below[:, -1] = 0
        return F.pad(below.flatten(), (0, self.tiles - self._used))

    def _add_left(self, x: Tensor, to: Tensor) -> Callable[[], object]:
        """Add to every tile what its left neighbour has in x; both (..., T)."""
        return partial(to[..., 1:].addcmul_, x[..., :-1], self._beside[:-1])

    def _add_right(self, x: Tensor, to: Tensor) -> Callable[[], object]:
        return partial(to[..., :-1].addcmul_, x[..., 1:], self._beside[:-1])

    def _add_above(self, x: Tensor, to: Tensor) -> Callable[[], object]:
        across = self._shape[2]
        return partial(to[..., across:].addcmul_, x[..., :-across], self._below[:-across])

    def _add_below(self, x: Tensor, to: Tensor) -> Callable[[], object]:
        across = self._shape[2]
        return partial(to[..., :-across].addcmul_, x[..., across:], self._below[:-across])

    def _grid(self, x: Tensor) -> Tensor:
        """(..., T) -> (..., N, down, across)."""
        return x[..., : self._used].unflatten(-1, self._shape)

    def _scratch_for(self, channels: int) -> Tensor:
        """Room for a transform's rows before its columns."""
        size = SIDE * REACH * channels * self.tiles
        if self._scratch.numel() < size:
            self._scratch = self._scratch.new_empty(size)
        return self._scratch[:size]


class _Separate(NamedTuple):
    """A transform's matrices: of the rows, then, once for each row that is left, of the columns."""

    rows: Tensor
    """(6, 4): B^T without the neighbours' pixels, which count in one row each, and once."""
    columns: Tensor
    """(6, 6, 4)"""
    back: Tensor
    """A^T, (4, 4, 6); one of the four is the rows' as well."""


@cache
def _separate(dtype: torch.dtype) -> _Separate:
    row = cook_toom()
    inner = row.inputs[:, 1:-1].to(dtype).contiguous()
    return _Separate(inner, inner.repeat(REACH, 1, 1), row.outputs.to(dtype).repeat(SIDE, 1, 1))
