"""3x3 convolutions with a quarter of the multiplications: Winograd's F(4x4, 3x3).

Lavin & Gray, 2016, "Fast Algorithms for Convolutional Neural Networks", arXiv:1509.09308. For every tile of 4x4 output
pixels, Y = A^T [sum over channels of (G g G^T) * (B^T d B)] A: the input d of 6x6 pixels and the kernel g of 3x3 become
36 numbers each, between which the convolution is a product; over all tiles and channels these are 36 matrix products.

Lavin and Gray interpolate at 0, 1, -1, 2, -2 and infinity. Here it is at 0, +-sqrt(1/2), +-sqrt(2) and infinity, which
in fp32 loses half as much: no more, over a network, than the order of a direct convolution's sums does.
"""

from __future__ import annotations

from math import ceil

import torch
from torch import Tensor

from iqsr.winograd import cook_toom

SIDE = 4
"""Pixels of a tile's side."""
PIXELS = SIDE**2
PRODUCTS = (SIDE + 2) ** 2
"""Multiplications for one tile, one input and one output channel; a direct convolution has 144."""

_ALIGNED = 8
"""Tiles; products of matrices of other lengths take up to a third longer."""

_B, _G, _A = cook_toom()
_ROWS_BACK = _A.float()  # (4, 6)
_COLUMNS_BACK = _A.float().repeat(SIDE, 1, 1)  # (4, 4, 6)
_ROWS = _B[:, 1:-1].float()  # (6, 4): without the neighbours' pixels, which count in one row each, and once
_COLUMNS = _ROWS.repeat(SIDE + 2, 1, 1)  # (6, 6, 4)
_ONE = torch.outer(*[torch.linalg.pinv(_A).sum(1)] * 2).flatten()  # A^T _ONE A = 1 in all of a tile's pixels


def has_winograd(device: torch.device, dtype: torch.dtype) -> bool:
    """Where it was measured to be faster than direct convolutions: in fp32, with MKL's products of matrices.

    bf16 has too few digits for the transforms, and where a CPU computes in it, direct convolutions are faster.
    """
    return device.type == "cpu" and dtype == torch.float32 and torch.backends.mkl.is_available()


def transformed_kernel(weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """(out, in, 3, 3) -> (36, out, in); with a bias (out,) as one more input channel, whose data are ones."""
    kernel = (weight.double().flatten(2) @ torch.kron(_G, _G).T).float()
    if bias is not None:
        kernel = torch.cat([kernel, torch.outer(bias.double(), _ONE).float()[:, None]], 1)
    return kernel.permute(2, 0, 1).contiguous()


class Tiling:
    """How a picture (1, C, H, W) lies in memory as tiles (16, C, T), fp32, and how those are transformed.

    Pixel (4i + p, 4j + q) is at [4p + q, :, i * across + j], zeros are beyond the picture's edge. So neighbours are the
    same rows of memory, some tiles further on, and all arithmetic runs along T.
    """

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        self._down, self._across = ceil(height / SIDE), ceil(width / SIDE)
        self._used = self._down * self._across
        self.tiles = _ALIGNED * (ceil(self._used / _ALIGNED) | 1)
        """T: some at the end stand for nothing. An odd multiple, for rows a power of two apart share cache lines."""
        self._scratch = torch.empty(0)

    def cut(self, picture: Tensor) -> Tensor:
        """(1, C, H, W) -> (16, C, T)."""
        channels = picture.shape[1]
        whole = picture.new_zeros(1, channels, self._down * SIDE, self._across * SIDE)
        whole[:, :, : self.height, : self.width] = picture
        out = picture.new_zeros(SIDE, SIDE, channels, self.tiles)
        grid = whole.view(channels, self._down, SIDE, self._across, SIDE)
        self._grid(out).copy_(grid.permute(2, 4, 0, 1, 3))
        return out.flatten(0, 1)

    def joined(self, tiles: Tensor) -> Tensor:
        """(16, C, T) -> (1, C, H, W), channels last."""
        grid = self._grid(tiles.unflatten(0, (SIDE, SIDE)))
        whole = grid.permute(3, 0, 4, 1, 2).reshape(self._down * SIDE, self._across * SIDE, -1)
        return whole[: self.height, : self.width].contiguous().permute(2, 0, 1)[None]

    def clear_beyond_edge(self, tiles: Tensor) -> None:
        """Zero what is no pixel, so that it counts as the picture's zero padding."""
        grid = self._grid(tiles.unflatten(0, (SIDE, SIDE)))
        if below := self.height % SIDE:
            grid[below:, :, :, -1] = 0
        if right := self.width % SIDE:
            grid[:, right:, :, :, -1] = 0

    def forward(self, tiles: Tensor, out: Tensor) -> None:
        """B^T d B: (16, C, T) -> (36, C, T); `out` may be the front of an array with more channels."""
        channels, across, used = tiles.shape[1], self._across, self._used
        pixels = tiles.unflatten(0, (SIDE, SIDE))
        rows = self._scratch_for(channels).view(SIDE + 2, SIDE, channels, self.tiles)
        torch.mm(_ROWS, pixels.flatten(1), out=rows.flatten(1))
        rows[0, ..., across:used].add_(pixels[-1, ..., : used - across])
        rows[-1, ..., : used - across].add_(pixels[0, ..., across:used])
        out = out.unflatten(0, (SIDE + 2, SIDE + 2))
        torch.bmm(_COLUMNS, rows.flatten(2), out=out.flatten(2))
        found, grid = self._grid(out), self._grid(rows)
        found[:, 0, ..., 1:].add_(grid[:, -1, ..., :-1])
        found[:, -1, ..., :-1].add_(grid[:, 0, ..., 1:])

    def back(self, products: Tensor, out: Tensor, added: Tensor | None = None) -> None:
        """A^T m A, plus `added`, which may be `out`: (36, C, T), some channels of an array, -> (16, C, T)."""
        half = self._scratch_for(products.shape[1]).view(SIDE, SIDE + 2, -1)
        m = products.unflatten(0, (SIDE + 2, SIDE + 2)).flatten(2)
        torch.bmm(_ROWS_BACK.expand(SIDE + 2, -1, -1), m.transpose(0, 1), out=half.transpose(0, 1))
        y = out.unflatten(0, (SIDE, SIDE)).flatten(2)
        if added is None:
            torch.bmm(_COLUMNS_BACK, half, out=y)
        else:
            torch.baddbmm(added.unflatten(0, (SIDE, SIDE)).flatten(2), _COLUMNS_BACK, half, out=y)

    def _grid(self, x: Tensor) -> Tensor:
        """(..., T) -> (..., down, across)."""
        return x[..., : self._used].unflatten(-1, (self._down, self._across))

    def _scratch_for(self, channels: int) -> Tensor:
        """Room for a transform's rows before its columns."""
        size = SIDE * (SIDE + 2) * channels * self.tiles
        if self._scratch.numel() < size:
            self._scratch = torch.empty(size)
        return self._scratch[:size]
