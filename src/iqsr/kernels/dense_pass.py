"""One way there and back through a dense block with adapters, by tiles: its arrays, and its operations bound to them.

A block has some 130 operations on small arrays, for which Python has to find even more parts of them. Here they are
found once and used in every training step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from iqsr.kernels.winograd import PIXELS, PRODUCTS, Steps, Tiling, run


@dataclass(frozen=True)
class Widths:
    """Of a block's layers: channels in, oldest maps first, channels out, and its adapters' rank."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    rank: int

    @property
    def rows(self) -> list[tuple[int, int]]:
        """Of each layer's kernels: where its A's begin, and where its W's end."""
        return list(pairwise(accumulate((self.rank + n for n in self.outputs), initial=0)))

    @property
    def columns(self) -> list[tuple[int, int]]:
        """Of each layer's newest map: its first channel and the one after its last, among those of all maps."""
        return list(pairwise((0, *self.inputs)))


class Workspace:
    """What blocks of one network, at work one after the other, need for a moment: memory that is warm."""

    def __init__(self) -> None:
        self._tilings: dict[tuple[object, ...], Tiling] = {}
        self._arrays: dict[tuple[object, ...], Tensor] = {}

    def tiling(self, x: Tensor) -> Tiling:
        """For pictures (N, C, H, W) like these; one is kept, with arrays for it."""
        n, _, height, width = x.shape
        key = n, height, width, x.dtype
        if key not in self._tilings:
            self._tilings = {key: Tiling(height, width, pictures=n, dtype=x.dtype)}
            self._arrays.clear()
        return self._tilings[key]

    def array(self, use: str, planes: int, channels: int, tiling: Tiling) -> Tensor:
        """(planes, channels, T), with whatever it was last used for in it; the same for all that name its use alike."""
        key = use, planes, channels
        if key not in self._arrays:
            self._arrays[key] = torch.empty(planes, channels, tiling.tiles, dtype=tiling.dtype)
        return self._arrays[key]


class DenseBlockPass:
    """Maps are tiles here, (16, channels, T), and transformed (36, channels, T).

    kernel: s * A and W of each layer, transformed, (36, `rows`, `columns`), whose A may be written anew between steps;
    biases: of each layer; slope: of the leaky ReLUs.
    """

    def __init__(
        self,
        widths: Widths,
        kernel: Tensor,
        biases: Sequence[Tensor | None],
        slope: float,
        tiling: Tiling,
        room: Workspace,
    ) -> None:
        self.tiling, self._widths, self._kernel, self._slope, self._room = tiling, widths, kernel, slope, room
        count, rank = len(widths.outputs), widths.rank
        self._maps = self._new(PRODUCTS, widths.inputs[-1])
        self._zs = [self._new(PIXELS, rank) for _ in widths.outputs]
        """s * A x of each layer."""
        self._ys = [self._new(PIXELS, n) for n in widths.outputs[:-1]]
        self._bs = [kernel.new_empty(n, rank) for n in widths.outputs]
        self._x = room.array("x", PIXELS, widths.inputs[0], tiling)
        self._last = room.array("last", PIXELS, widths.outputs[-1], tiling)
        self._forward = [step for number in range(count) for step in self._layer(number, biases[number])]
        self._of_products = room.array("of products", PRODUCTS, widths.rows[-1][1], tiling)
        self._of_boths = [room.array("of both", PIXELS, rank + n, tiling) for n in widths.outputs]
        self._of_bs = [kernel.new_empty(PIXELS, n, rank) for n in widths.outputs]
        self._of_x = room.array("of x", PIXELS, widths.inputs[0], tiling)
        self._backward = [step for number in reversed(range(count)) for step in self._of_layer(number)]

    def forward(self, x: Tensor, bs: Sequence[Tensor]) -> Tensor:
        """x: (N, C, H, W); bs: B of each layer. Returns the last layer's result, (N, outputs, H, W)."""
        self.tiling.cut(x, self._x)
        for own, b in zip(self._bs, bs, strict=True):
            own.copy_(b.flatten(1))
        run(self._forward)
        return self.tiling.joined(self._last)

    def backward(self, gradient: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """gradient: (N, outputs, H, W). Returns those of x, of s * A transformed, and of each layer's B.

        A's: (36, layers * rank, all inputs); what is beyond a layer's own inputs means nothing.
        """
        rank = self._widths.rank
        self.tiling.cut(gradient, self._of_boths[-1][:, rank:])
        run(self._backward)
        of_zs = torch.cat([self._of_products[:, first : first + rank] for first, _ in self._widths.rows], 1)
        of_bs = [of_b.sum(0)[..., None, None] for of_b in self._of_bs]
        return self.tiling.joined(self._of_x), torch.bmm(of_zs, self._maps.mT), of_bs

    def _layer(self, number: int, bias: Tensor | None) -> Steps:
        """From the maps so far to the layer's own."""
        widths, tiling, rank = self._widths, self.tiling, self._widths.rank
        (row, row_end), (first, end) = widths.rows[number], widths.columns[number]
        newest = self._ys[number - 1] if number else self._x
        products = self._room.array("products", PRODUCTS, row_end - row, tiling)
        both = self._room.array("both", PIXELS, row_end - row, tiling)
        made = self._ys[number] if number < len(self._ys) else self._last
        steps = [
            *tiling.forward(newest, self._maps[:, first:end]),
            partial(torch.bmm, self._kernel[:, row:row_end, :end], self._maps[:, :end], out=products),
            *tiling.back(products, both),
            partial(self._zs[number].copy_, both[:, :rank]),
            partial(torch.baddbmm, both[:, rank:], _at_pixels(self._bs[number]), self._zs[number], out=made),
        ]
        if bias is not None:
            steps.append(partial(made.add_, bias[:, None]))
        if number < len(self._ys):
            steps += [partial(F.leaky_relu_, made, self._slope), *tiling.clear_beyond_edge(made)]
        return steps

    def _of_layer(self, number: int) -> Steps:
        """From the gradient of the layer's result to that of its newest map, which later layers have read, too."""
        widths, tiling, rank = self._widths, self.tiling, self._widths.rank
        (row, row_end), (first, end) = widths.rows[number], widths.columns[number]
        both, b = self._of_boths[number], _at_pixels(self._bs[number])
        of_map = self._room.array("of a map", PIXELS, end - first, tiling) if number else self._of_x
        of_transformed = self._room.array("of a map", PRODUCTS, end - first, tiling)
        of_z = self._room.array("of z", PIXELS, rank, tiling)  # apart: products into a part of an array are slow
        later = self._kernel[:, row:, first:end].mT
        steps = [
            partial(torch.bmm, both[:, rank:], self._zs[number].mT, out=self._of_bs[number]),
            partial(torch.bmm, b.mT, both[:, rank:], out=of_z),
            partial(both[:, :rank].copy_, of_z),
            *tiling.back_adjoint(both, self._of_products[:, row:row_end]),
            partial(torch.bmm, later, self._of_products[:, row:], out=of_transformed),
            *tiling.forward_adjoint(of_transformed, of_map),
            *tiling.clear_beyond_edge(of_map),
        ]
        if number:
            into = self._of_boths[number - 1][:, rank:]
            through = torch.ops.aten.leaky_relu_backward.grad_input
            steps.append(partial(through, of_map, self._ys[number - 1], self._slope, True, grad_input=into))
        return steps

    def _new(self, planes: int, channels: int) -> Tensor:
        return self._kernel.new_empty(planes, channels, self.tiling.tiles)


def _at_pixels(b: Tensor) -> Tensor:
    """B as a matrix for each pixel of a tile: (outputs, rank) -> (16, outputs, rank)."""
    return b.expand(PIXELS, -1, -1)
