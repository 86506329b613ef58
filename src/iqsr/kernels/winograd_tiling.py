"""Pictures as Winograd tiles, (16, C, T), and their transforms, (36, C, T): a layout for 16 to about 200 channels.

Streaming (`iqsr.engines.streaming.wavefront`) and dense blocks with adapters (`dense_pass`) share this layout: values
that are read together are neighbouring channels of one array (`stacks`), so each convolution reads the front of it in
one matrix product per place. `frozen_conv` has a layout of its own, and says why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, cached_property, partial
from math import ceil
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from iqsr.kernels.winograd import INPUT_SIDE, PRODUCTS, TILE_PIXELS, TILE_SIDE, cook_toom, square_matrices

_TILES_MULTIPLE = 8
"""Matrix products of lengths that are no multiple of it take up to a third longer."""

Steps = Sequence[Callable[[], object]]
"""Operations with their arrays bound to them. They run in turn, and run again when the arrays hold new values.

Binding them once saves the Python time of slicing arrays, which counts where tiles are few.
"""


def run_steps(steps: Steps) -> None:
    """Run one step after the other."""
    for step in steps:
        step()


class WinogradTiling:
    """How pictures (N, C, H, W) lie in memory as Winograd tiles (16, C, T), and how the tiles are transformed.

    Pixel (4i + p, 4j + q) is at [4p + q, :, i * across + j], picture after picture; beyond the edge there are zeros. A
    neighbouring pixel is in the same row of memory or in another one, a fixed number of tiles away, so all arithmetic
    runs along T.
    """

    def __init__(self, height: int, width: int, *, pictures: int = 1, dtype: torch.dtype = torch.float32) -> None:
        self.height, self.width, self.dtype = height, width, dtype
        self._shape = (pictures, ceil(height / TILE_SIDE), ceil(width / TILE_SIDE))
        self._used = self._shape[0] * self._shape[1] * self._shape[2]
        self.tiles = _TILES_MULTIPLE * (ceil(self._used / _TILES_MULTIPLE) | 1)
        """T. The last few tiles are unused: T is an odd multiple of 8, since rows that lie a power of two apart in
        memory compete for the same cache lines."""
        self._matrices = _separable(dtype)
        self._scratch = torch.empty(0, dtype=dtype)

    def cut(self, pictures: Tensor, out: Tensor | None = None) -> Tensor:
        """Cut pictures into tiles: (N, C, H, W) -> (16, C, T); `out` may be some channels of an array."""
        (_, down, across), channels = self._shape, pictures.shape[1]
        padding = (0, 0, 0, across * TILE_SIDE - self.width, 0, down * TILE_SIDE - self.height)
        whole = pictures.permute(0, 2, 3, 1)
        whole = F.pad(whole, padding) if any(padding) else whole
        out = pictures.new_empty(TILE_PIXELS, channels, self.tiles) if out is None else out
        out[..., self._used :] = 0
        grid = whole.unflatten(1, (down, TILE_SIDE)).unflatten(3, (across, TILE_SIDE))
        self._grid(out.unflatten(0, (TILE_SIDE, TILE_SIDE))).copy_(grid.permute(2, 4, 5, 0, 1, 3))
        return out

    def join(self, tiles: Tensor) -> Tensor:
        """Join tiles to pictures: (16, C, T) -> (N, C, H, W), channels last."""
        n, down, across = self._shape
        grid = self._grid(tiles.unflatten(0, (TILE_SIDE, TILE_SIDE))).permute(3, 4, 0, 5, 1, 2)
        whole = grid.reshape(n, down * TILE_SIDE, across * TILE_SIDE, -1)
        return whole[:, : self.height, : self.width].contiguous().permute(0, 3, 1, 2)

    def clear_beyond_edge(self, tiles: Tensor) -> Steps:
        """Set what lies beyond the picture's edge to zero, so that it counts as zero padding."""
        grid = self._grid(tiles.unflatten(0, (TILE_SIDE, TILE_SIDE)))
        below, right = self.height % TILE_SIDE, self.width % TILE_SIDE
        beyond = [*([grid[below:, ..., -1, :]] if below else ()), *([grid[:, right:, ..., -1]] if right else ())]
        return [part.zero_ for part in beyond]

    def first_row(self, tiles: Tensor) -> Tensor:
        """The first row of tiles of a single picture, (16, C, across)."""
        return tiles[..., : self._shape[2]]

    def last_row(self, tiles: Tensor) -> Tensor:
        """The last row of tiles of a single picture, (16, C, across)."""
        return tiles[..., self._used - self._shape[2] : self._used]

    def transform_input(
        self, tiles: Tensor, out: Tensor, above: Tensor | None = None, below: Tensor | None = None
    ) -> Steps:
        """B^T d B: (16, C, T) -> (36, C, T).

        Args:
            tiles: A whole array.
            out: A whole array, or some channels of one.
            above: Where the tiles are a band of a picture, the row of tiles above it, (16, C, across).
            below: Likewise the row of tiles below it.
        """
        matrices, channels, across = self._matrices, tiles.shape[1], self._shape[2]
        pixels = tiles.unflatten(0, (TILE_SIDE, TILE_SIDE))
        rows = self._scratch_for(channels).view(INPUT_SIDE, TILE_SIDE, channels, self.tiles)
        out = out.unflatten(0, (INPUT_SIDE, INPUT_SIDE))
        upper, lower = rows[0, ..., :across], rows[-1, ..., self._used - across : self._used]
        return [
            partial(torch.mm, matrices.rows, pixels.view(TILE_SIDE, -1), out=rows.flatten(1)),
            self._add_above(pixels[-1], rows[0]),
            self._add_below(pixels[0], rows[-1]),
            *([] if above is None else [partial(upper.add_, above[-TILE_SIDE:])]),
            *([] if below is None else [partial(lower.add_, below[:TILE_SIDE])]),
            partial(torch.bmm, matrices.columns, rows.flatten(2), out=out.flatten(2)),
            self._add_left(rows[:, -1], out[:, 0]),
            self._add_right(rows[:, 0], out[:, -1]),
        ]

    def transform_input_adjoint(self, v: Tensor, out: Tensor) -> Steps:
        """(36, C, T) -> (16, C, T), both whole arrays; clear what lies beyond the edge afterwards."""
        matrices, channels = self._matrices, v.shape[1]
        v = v.unflatten(0, (INPUT_SIDE, INPUT_SIDE))
        rows = self._scratch_for(channels).view(INPUT_SIDE, TILE_SIDE, channels, self.tiles)
        pixels = out.unflatten(0, (TILE_SIDE, TILE_SIDE))
        return [
            partial(torch.bmm, matrices.columns.mT, v.view(INPUT_SIDE, INPUT_SIDE, -1), out=rows.flatten(2)),
            self._add_right(v[:, 0], rows[:, -1]),
            self._add_left(v[:, -1], rows[:, 0]),
            partial(torch.mm, matrices.rows.T, rows.flatten(1), out=pixels.view(TILE_SIDE, -1)),
            self._add_below(rows[0], pixels[-1]),
            self._add_above(rows[-1], pixels[0]),
        ]

    def transform_output(self, products: Tensor, out: Tensor, added: Tensor | None = None) -> Steps:
        """A^T m A, plus `added`: (36, C, T) -> (16, C, T).

        One matrix product for whole squares is faster than one for rows and one for columns.

        Args:
            products: m; may be some channels of an array.
            out: A whole array.
            added: (16, C, T), or nothing; may be `out`.
        """
        squares, m, y = square_matrices(self.dtype).outputs, products.view(PRODUCTS, -1), out.view(TILE_PIXELS, -1)
        if added is None:
            return [partial(torch.mm, squares, m, out=y)]
        return [partial(torch.addmm, added.view(TILE_PIXELS, -1), squares, m, out=y)]

    def transform_output_adjoint(self, y: Tensor, out: Tensor) -> Steps:
        """(16, C, T) -> (36, C, T); `out` may be some channels of an array."""
        matrices = self._matrices
        half = self._scratch_for(y.shape[1]).view(TILE_SIDE, INPUT_SIDE, -1)
        m = out.unflatten(0, (INPUT_SIDE, INPUT_SIDE)).flatten(2)
        each = matrices.outputs[0].T.expand(INPUT_SIDE, -1, -1)
        return [
            partial(torch.bmm, matrices.outputs.mT, y.unflatten(0, (TILE_SIDE, TILE_SIDE)).flatten(2), out=half),
            partial(torch.bmm, each, half.transpose(0, 1), out=m.transpose(0, 1)),
        ]

    @cached_property
    def _has_right(self) -> Tensor:
        """(T,): 1 where the next tile is the right neighbour, else 0. NaN and infinity pass it, for 0 * NaN is NaN."""
        has = torch.ones(self._shape, dtype=self.dtype)
        has[..., -1] = 0
        return F.pad(has.flatten(), (0, self.tiles - self._used))

    @cached_property
    def _has_lower(self) -> Tensor:
        """(T,): 1 where the tile that is `across` further on is the lower neighbour, else 0."""
        has = torch.ones(self._shape, dtype=self.dtype)
        has[:, -1] = 0
        return F.pad(has.flatten(), (0, self.tiles - self._used))

    def _add_left(self, x: Tensor, to: Tensor) -> Callable[[], object]:
        """Add to every tile in `to` what its left neighbour has in x; both (..., T)."""
        return partial(to[..., 1:].addcmul_, x[..., :-1], self._has_right[:-1])

    def _add_right(self, x: Tensor, to: Tensor) -> Callable[[], object]:
        return partial(to[..., :-1].addcmul_, x[..., 1:], self._has_right[:-1])

    def _add_above(self, x: Tensor, to: Tensor) -> Callable[[], object]:
        across = self._shape[2]
        return partial(to[..., across:].addcmul_, x[..., :-across], self._has_lower[:-across])

    def _add_below(self, x: Tensor, to: Tensor) -> Callable[[], object]:
        across = self._shape[2]
        return partial(to[..., :-across].addcmul_, x[..., across:], self._has_lower[:-across])

    def _grid(self, x: Tensor) -> Tensor:
        """(..., T) -> (..., N, down, across)."""
        return x[..., : self._used].unflatten(-1, self._shape)

    def _scratch_for(self, channels: int) -> Tensor:
        """Memory for a transform's intermediate result: rows are done, columns are not."""
        size = TILE_SIDE * INPUT_SIDE * channels * self.tiles
        if self._scratch.numel() < size:
            self._scratch = self._scratch.new_empty(size)
        return self._scratch[:size]


class _SeparableMatrices(NamedTuple):
    """Matrices that transform rows first, then columns; those for columns are repeated for `torch.bmm`."""

    rows: Tensor
    """(6, 4): B^T without its first and last column. The pixels of the neighbours that these stand for are added
    apart: each counts in one row only, with factor 1."""
    columns: Tensor
    """(6, 6, 4): `rows`, repeated."""
    outputs: Tensor
    """(4, 4, 6): A^T, repeated."""


@cache
def _separable(dtype: torch.dtype) -> _SeparableMatrices:
    row = cook_toom()
    inner = row.inputs[:, 1:-1].to(dtype).contiguous()
    return _SeparableMatrices(inner, inner.repeat(INPUT_SIDE, 1, 1), row.outputs.to(dtype).repeat(TILE_SIDE, 1, 1))
