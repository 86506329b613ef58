"""RRDBNet's dense block with adapters, by tiles (`iqsr.winograd`), for training on CPUs.

Five 3x3 convolutions, each of all maps so far: a map is transformed once and used by all that follow. A and W of a
layer are one convolution with rank + outputs channels; B is a matrix at every pixel. Only A and B learn, so that
gradients for W are never made (benchmarks/training.py measures it against peft). Between its ends a block knows tiles
alone. Seven times the memory of the blocks' weights goes into their transforms, which are kept.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from iqsr.generators.composed_layer import learns_in_full
from iqsr.generators.lora import Adapted
from iqsr.winograd import (
    PIXELS,
    PRODUCTS,
    WORTHWHILE,
    Tiling,
    kernel_to_tiles,
    kernel_to_tiles_adjoint,
    saving,
)

RESIDUAL = 0.2
"""Share of the last convolution that is added to the block's input."""


class Room:
    """What blocks of one network, at work one after the other, have in common: how pictures are cut, and memory."""

    def __init__(self) -> None:
        self._tilings: dict[tuple[Any, ...], Tiling] = {}
        self._products = torch.empty(0)

    def tiling(self, x: Tensor) -> Tiling:
        """For pictures (N, C, H, W) like these; one is kept."""
        n, _, height, width = x.shape
        key = n, height, width, x.dtype
        if key not in self._tilings:
            self._tilings = {key: Tiling(height, width, pictures=n, dtype=x.dtype)}
        return self._tilings[key]

    def products(self, channels: int, tiling: Tiling) -> Tensor:
        """An array (36, channels, T), with whatever it was last used for in it: its memory is warm."""
        size = PRODUCTS * channels * tiling.tiles
        if self._products.numel() < size or self._products.dtype != tiling.dtype:
            self._products = torch.empty(size, dtype=tiling.dtype)
        return self._products[:size].view(PRODUCTS, channels, tiling.tiles)


class DenseBlock:
    """One block of spandrel's RRDBNet whose five convolutions all have adapters of one rank and scaling."""

    def __init__(self, module: nn.Module, layers: Sequence[Adapted], slope: float, room: Room) -> None:
        self.module, self.layers, self.slope, self.room = module, layers, slope, room
        self.rank = layers[0].a.shape[0]
        outputs = [self.rank + layer.b.shape[0] for layer in layers]
        self.rows = list(pairwise(accumulate(outputs, initial=0)))
        """Of each layer's kernels: where its A's begin, and where its W's end."""
        self.columns = list(pairwise([0, *(layer.a.shape[1] for layer in layers)]))
        """Of each layer's newest map: its first channel and the one after its last, among those of all maps."""
        self._kernel = torch.empty(0)

    @classmethod
    def found_in(cls, module: nn.Module, layers: Sequence[Adapted]) -> list["DenseBlock"]:
        """All blocks of a network that this can compute."""
        by_wrapper = {layer.wrapper: layer for layer in layers}
        blocks = [part for part in module.modules() if type(part).__name__ == "ResidualDenseBlock_5C"]
        found = [_read(block, by_wrapper) for block in blocks]
        room = Room()
        return [cls(block, *known, room) for block, known in zip(blocks, found, strict=True) if known]

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, C, H, W). Returns the same shape; of small or odd pictures, and elsewhere than on CPUs, as before."""
        full = x.device.type == "cpu" and learns_in_full(x, self.layers[0].base.weight)
        if not full or saving(*x.shape[2:]) < WORTHWHILE:
            return type(self.module).forward(self.module, x)
        adapters = [layer.a for layer in self.layers] + [layer.b for layer in self.layers]
        return _Dense.apply(x, self, *adapters)  # pyright: ignore[reportReturnType]

    def kernel(self) -> Tensor:
        """s * A and W of each layer, transformed, (36, `rows`, `columns`); zeros where it does not read a map."""
        if self._kernel.numel() == 0 or self._kernel.dtype != self.layers[0].base.weight.dtype:
            self._kernel = self._of_weights()
        inputs = self.columns[-1][1]
        a = torch.cat([F.pad(layer.a.detach(), (0, 0, 0, 0, 0, inputs - layer.a.shape[1])) for layer in self.layers])
        parts = kernel_to_tiles(self.layers[0].scaling * a).split(self.rank, 1)
        for (first, _), part in zip(self.rows, parts, strict=True):
            self._kernel[:, first : first + self.rank] = part
        return self._kernel

    def _of_weights(self) -> Tensor:
        weights = [layer.base.weight.detach() for layer in self.layers]
        kernel = weights[0].new_zeros(PRODUCTS, self.rows[-1][1], self.columns[-1][1])
        for (first, end), weight in zip(self.rows, weights, strict=True):
            kernel[:, first + self.rank : end, : weight.shape[1]] = kernel_to_tiles(weight)
        return kernel


def _read(block: nn.Module, layers: dict[nn.Module, Adapted]) -> tuple[list[Adapted], float] | None:
    """Layers and slope of a block; None where it is not as Real-ESRGAN has it, or lacks adapters."""
    parts = [list(getattr(block, f"conv{number}").children()) for number in range(1, 6)]
    found = [layers.get(part[0]) for part in parts if part]
    kinds = [[type(p) for p in part[1:]] for part in parts]
    plain = getattr(block, "conv1x1", None) is None and kinds == [[nn.LeakyReLU]] * 4 + [[]]
    known = [layer for layer in found if layer is not None and _is_3x3(layer.base)]
    slopes = {part[1].negative_slope for part in parts[:4]} if plain else set()
    alike = len({(layer.a.shape[0], layer.scaling) for layer in known}) == 1
    return (known, slopes.pop()) if len(known) == 5 and len(slopes) == 1 and alike else None


def _is_3x3(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Conv2d) and (layer.kernel_size, layer.stride, layer.padding) == ((3, 3), (1, 1), (1, 1))


class _Dense(torch.autograd.Function):
    """Maps are tiles here, (16, channels, T), and transformed (36, channels, T)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, block: DenseBlock, *adapters: Tensor) -> Tensor:
        kernel, tiling, rank = block.kernel(), block.room.tiling(x), block.rank
        maps = x.new_empty(PRODUCTS, block.columns[-1][1], tiling.tiles)
        made, ys, zs = tiling.cut(x), list[Tensor](), list[Tensor]()
        for layer, rows, (first, end) in zip(block.layers, block.rows, block.columns, strict=True):
            tiling.forward(made, maps[:, first:end])
            both = x.new_empty(PIXELS, rows[1] - rows[0], tiling.tiles)
            tiling.back(torch.bmm(kernel[:, slice(*rows), :end], maps[:, :end]), both)
            zs.append(both[:, :rank].contiguous())  # s * A x
            made = torch.baddbmm(both[:, rank:], _at_pixels(layer.b), zs[-1])
            if layer.base.bias is not None:
                made += layer.base.bias[:, None]
            if layer is not block.layers[-1]:
                tiling.clear_beyond_edge(F.leaky_relu_(made, block.slope))
                ys.append(made)
        ctx.block, ctx.kernel, ctx.tiling = block, kernel, tiling
        ctx.save_for_backward(maps, *ys, *zs, *adapters)  # the adapters, so that torch notices if they change
        return torch.add(x, tiling.joined(made), alpha=RESIDUAL)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        block: DenseBlock = ctx.block
        tiling: Tiling = ctx.tiling
        layers, count = block.layers, len(block.layers)
        maps, *saved = ctx.saved_tensors
        ys, zs = saved[: count - 1], saved[count - 1 : 2 * count - 1]
        of_products = block.room.products(block.rows[-1][1], tiling)
        of_y, of_x, of_bs = tiling.cut(RESIDUAL * gradients[0]), None, list[Tensor]()
        for i in reversed(range(count)):
            b, (first, end) = layers[i].b, block.rows[i]
            of_bs.insert(0, torch.bmm(of_y, zs[i].mT).sum(0).view(b.shape))
            both = torch.cat([torch.bmm(_at_pixels(b).mT, of_y), of_y], 1)
            tiling.back_adjoint(both, of_products[:, first:end])
            if i or ctx.needs_input_grad[0]:
                later = ctx.kernel[:, first:, slice(*block.columns[i])]
                of_map = tiling.forward_adjoint(torch.bmm(later.mT, of_products[:, first:]))
                tiling.clear_beyond_edge(of_map)
                if i:
                    of_y = torch.ops.aten.leaky_relu_backward(of_map, ys[i - 1], block.slope, True)
                else:
                    of_x = tiling.joined(of_map) + gradients[0]
        return of_x, None, *_of_as(block, of_products, maps), *of_bs


def _at_pixels(b: Tensor) -> Tensor:
    """B as a matrix for each pixel of a tile: (outputs, rank, 1, 1) -> (16, outputs, rank)."""
    return b.flatten(1).expand(PIXELS, -1, -1)


def _of_as(block: DenseBlock, of_products: Tensor, maps: Tensor) -> list[Tensor]:
    """Gradients of the layers' A."""
    of_zs = torch.cat([of_products[:, first : first + block.rank] for first, _ in block.rows], 1)
    of_as = block.layers[0].scaling * kernel_to_tiles_adjoint(torch.bmm(of_zs, maps.mT))
    return [of_a[:, : layer.a.shape[1]] for of_a, layer in zip(of_as.split(block.rank), block.layers, strict=True)]
