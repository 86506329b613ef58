"""One forward and backward pass through a dense block with adapters: its arrays, and the operations bound to them.

A block has about 130 operations on small arrays, and slicing the arrays for them takes Python time. Here that is done
once, and every training step uses the slices again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from iqsr.kernels.stacks import channel_spans
from iqsr.kernels.winograd import PRODUCTS, TILE_PIXELS
from iqsr.kernels.winograd_tiling import Steps, WinogradTiling, run_steps


@dataclass(frozen=True)
class DenseBlockShape:
    """Channels of a block's layers. All maps lie on one stack, oldest first, and each layer reads a front of it."""

    inputs: tuple[int, ...]
    """Channels that each layer reads."""
    outputs: tuple[int, ...]
    """Channels that each layer makes."""
    rank: int
    """Rank of the adapters."""

    @property
    def kernel_rows(self) -> list[tuple[int, int]]:
        """The rows of the kernel that are each layer's: those of its A, then those of its W."""
        return channel_spans(self.rank + n for n in self.outputs)

    @property
    def map_channels(self) -> list[tuple[int, int]]:
        """The channels, among those of all maps, of the newest map that each layer reads."""
        return channel_spans(new - old for old, new in pairwise((0, *self.inputs)))


class Workspace:
    """Temporary arrays that the blocks of a network share, since they run one after the other."""

    def __init__(self) -> None:
        self._tilings: dict[tuple[object, ...], WinogradTiling] = {}
        self._arrays: dict[tuple[object, ...], Tensor] = {}

    def tiling(self, x: Tensor) -> WinogradTiling:
        """The tiling for pictures of the shape of x, (N, C, H, W). The last one is kept, with its arrays."""
        n, _, height, width = x.shape
        key = n, height, width, x.dtype
        if key not in self._tilings:
            self._tilings = {key: WinogradTiling(height, width, pictures=n, dtype=x.dtype)}
            self._arrays.clear()
        return self._tilings[key]

    def array(self, use: str, planes: int, channels: int, tiling: WinogradTiling) -> Tensor:
        """An array (planes, channels, T) with any content: the same one for all that call its use by the same name."""
        key = use, planes, channels
        if key not in self._arrays:
            self._arrays[key] = torch.empty(planes, channels, tiling.tiles, dtype=tiling.dtype)
        return self._arrays[key]


class DenseBlockPass:
    """A pass through a block whose maps are Winograd tiles, (16, channels, T), or transformed, (36, channels, T).

    Args:
        shape: Channels of the layers.
        kernel: s * A and W of each layer, transformed: (36, `kernel_rows`, `map_channels`). Between steps, A may be
            overwritten.
        biases: One per layer.
        slope: Of the leaky ReLUs.
        tiling: Of the pictures.
        workspace: Gives the temporary arrays.
    """

    def __init__(
        self,
        shape: DenseBlockShape,
        kernel: Tensor,
        biases: Sequence[Tensor | None],
        slope: float,
        tiling: WinogradTiling,
        workspace: Workspace,
    ) -> None:
        self.tiling, self._shape, self._kernel, self._slope = tiling, shape, kernel, slope
        self._workspace = workspace
        count, rank = len(shape.outputs), shape.rank
        self._maps = self._new(PRODUCTS, shape.inputs[-1])
        # z = s * A x and y of each layer; "both" holds z and W x, one beside the other.
        self._zs = [self._new(TILE_PIXELS, rank) for _ in shape.outputs]
        self._ys = [self._new(TILE_PIXELS, n) for n in shape.outputs[:-1]]
        self._bs = [kernel.new_empty(n, rank) for n in shape.outputs]
        self._x = workspace.array("x", TILE_PIXELS, shape.inputs[0], tiling)
        self._last = workspace.array("last", TILE_PIXELS, shape.outputs[-1], tiling)
        self._forward_steps = [step for number in range(count) for step in self._layer_forward(number, biases[number])]
        self._grad_products = workspace.array("grad products", PRODUCTS, shape.kernel_rows[-1][1], tiling)
        self._grad_both = [workspace.array("grad both", TILE_PIXELS, rank + n, tiling) for n in shape.outputs]
        self._grad_bs = [kernel.new_empty(TILE_PIXELS, n, rank) for n in shape.outputs]
        self._grad_x = workspace.array("grad x", TILE_PIXELS, shape.inputs[0], tiling)
        self._backward_steps = [step for number in reversed(range(count)) for step in self._layer_backward(number)]

    def forward(self, x: Tensor, bs: Sequence[Tensor]) -> Tensor:
        """x: (N, C, H, W). bs: B of each layer. Returns the last layer's result, (N, outputs, H, W)."""
        self.tiling.cut(x, self._x)
        for own, b in zip(self._bs, bs, strict=True):
            own.copy_(b.flatten(1))
        run_steps(self._forward_steps)
        return self.tiling.join(self._last)

    def backward(self, gradient: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Gradients for the gradient of the result, (N, outputs, H, W).

        Returns:
            The gradients of x, (N, C, H, W); of s * A, transformed, (36, layers * rank, all inputs), whose values
            beyond a layer's own inputs have no meaning; and of each layer's B.
        """
        rank = self._shape.rank
        self.tiling.cut(gradient, self._grad_both[-1][:, rank:])
        run_steps(self._backward_steps)
        grad_zs = torch.cat([self._grad_products[:, first : first + rank] for first, _ in self._shape.kernel_rows], 1)
        grad_bs = [grad_b.sum(0)[..., None, None] for grad_b in self._grad_bs]
        return self.tiling.join(self._grad_x), torch.bmm(grad_zs, self._maps.mT), grad_bs

    def _layer_forward(self, number: int, bias: Tensor | None) -> Steps:
        """The steps of one layer: from the maps so far to its own map."""
        shape, tiling, rank = self._shape, self.tiling, self._shape.rank
        (row, row_end), (first, end) = shape.kernel_rows[number], shape.map_channels[number]
        newest = self._ys[number - 1] if number else self._x
        products = self._workspace.array("products", PRODUCTS, row_end - row, tiling)
        both = self._workspace.array("both", TILE_PIXELS, row_end - row, tiling)
        made = self._ys[number] if number < len(self._ys) else self._last
        steps = [
            *tiling.transform_input(newest, self._maps[:, first:end]),
            partial(torch.bmm, self._kernel[:, row:row_end, :end], self._maps[:, :end], out=products),
            *tiling.transform_output(products, both),
            partial(self._zs[number].copy_, both[:, :rank]),
            partial(torch.baddbmm, both[:, rank:], _per_pixel(self._bs[number]), self._zs[number], out=made),
        ]
        if bias is not None:
            steps.append(partial(made.add_, bias[:, None]))
        if number < len(self._ys):
            steps += [partial(F.leaky_relu_, made, self._slope), *tiling.clear_beyond_edge(made)]
        return steps

    def _layer_backward(self, number: int) -> Steps:
        """The steps from the gradient of a layer's result to that of its newest map, which later layers also read."""
        shape, tiling, rank = self._shape, self.tiling, self._shape.rank
        (row, row_end), (first, end) = shape.kernel_rows[number], shape.map_channels[number]
        both, b = self._grad_both[number], _per_pixel(self._bs[number])
        grad_map = self._workspace.array("grad map", TILE_PIXELS, end - first, tiling) if number else self._grad_x
        grad_transformed = self._workspace.array("grad map", PRODUCTS, end - first, tiling)
        grad_z = self._workspace.array(
            "grad z", TILE_PIXELS, rank, tiling
        )  # an array of its own: products into a part of an array are slow
        later = self._kernel[:, row:, first:end].mT
        steps = [
            partial(torch.bmm, both[:, rank:], self._zs[number].mT, out=self._grad_bs[number]),
            partial(torch.bmm, b.mT, both[:, rank:], out=grad_z),
            partial(both[:, :rank].copy_, grad_z),
            *tiling.transform_output_adjoint(both, self._grad_products[:, row:row_end]),
            partial(torch.bmm, later, self._grad_products[:, row:], out=grad_transformed),
            *tiling.transform_input_adjoint(grad_transformed, grad_map),
            *tiling.clear_beyond_edge(grad_map),
        ]
        if number:
            into = self._grad_both[number - 1][:, rank:]
            through = torch.ops.aten.leaky_relu_backward.grad_input
            steps.append(partial(through, grad_map, self._ys[number - 1], self._slope, True, grad_input=into))
        return steps

    def _new(self, planes: int, channels: int) -> Tensor:
        return self._kernel.new_empty(planes, channels, self.tiling.tiles)


def _per_pixel(b: Tensor) -> Tensor:
    """B for each pixel of a Winograd tile: (outputs, rank) -> (16, outputs, rank)."""
    return b.expand(TILE_PIXELS, -1, -1)
