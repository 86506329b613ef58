"""RRDBNet's dense block with adapters, by tiles (`iqsr.kernels.winograd`), for training on CPUs.

Five 3x3 convolutions, each of all maps so far: a map is transformed once and used by all that follow. A and W of a
layer are one convolution with rank + outputs channels; B is a matrix at every pixel. Only A and B learn, so that
gradients for W are never made (benchmarks/training.py measures it against peft). Between its ends a block knows tiles
alone (`dense_pass`). Seven times the memory of the blocks' weights goes into their transforms, which are kept, as are
the arrays of a step: pictures of another size take their place.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from iqsr.kernels.adapted_layer import AdaptedLayer
from iqsr.kernels.composed_layer import learns_in_full
from iqsr.kernels.dense_pass import DenseBlockPass, Widths, Workspace
from iqsr.kernels.winograd import PRODUCTS, WORTHWHILE, kernel_to_tiles, kernel_to_tiles_adjoint, saving

_BLOCKS = {"ResidualDenseBlock", "ResidualDenseBlock_5C"}
"""What the class is called here, and in spandrel."""
RESIDUAL = 0.2
"""Share of the last convolution that is added to the block's input."""


class DenseBlock:
    """One block of an RRDBNet, ours or spandrel's, whose convolutions all have adapters of one rank and scaling."""

    def __init__(self, module: nn.Module, layers: Sequence[AdaptedLayer], slope: float, room: Workspace) -> None:
        self.module, self.layers, self.slope, self.room = module, layers, slope, room
        self.scaling = layers[0].scaling
        inputs, outputs = zip(*(layer.base.weight.shape[1::-1] for layer in layers), strict=True)
        self.widths = Widths(inputs, outputs, layers[0].a.shape[0])
        self._kernel = torch.empty(0)
        self._spare: list[DenseBlockPass] = []

    @classmethod
    def found_in(cls, module: nn.Module, layers: Sequence[AdaptedLayer]) -> list["DenseBlock"]:
        """All blocks of a network that this can compute."""
        by_wrapper = {layer.wrapper: layer for layer in layers}
        blocks = [part for part in module.modules() if type(part).__name__ in _BLOCKS]
        found = [_read(block, by_wrapper) for block in blocks]
        room = Workspace()
        return [cls(block, *known, room) for block, known in zip(blocks, found, strict=True) if known]

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, C, H, W). Returns the same shape; of small or odd pictures, and elsewhere than on CPUs, as before."""
        full = x.device.type == "cpu" and learns_in_full(x, self.layers[0].base.weight)
        if not full or saving(*x.shape[2:]) < WORTHWHILE:
            return type(self.module).forward(self.module, x)
        adapters = [layer.a for layer in self.layers] + [layer.b for layer in self.layers]
        return _Dense.apply(x, self, *adapters)  # pyright: ignore[reportReturnType]

    def take(self, x: Tensor) -> DenseBlockPass:
        """A way through the block for pictures like x, with its adapters as they are now; nobody else has it.

        Its other weights are those of the first call.
        """
        kernel, tiling = self._adapted_kernel(), self.room.tiling(x)
        self._spare = [work for work in self._spare if work.tiling is tiling]
        if self._spare:
            return self._spare.pop()
        return DenseBlockPass(
            self.widths, kernel, [layer.base.bias for layer in self.layers], self.slope, tiling, self.room
        )

    def give_back(self, work: DenseBlockPass) -> None:
        """Let it be taken again; it is kept until pictures of another size come."""
        self._spare.append(work)

    def _adapted_kernel(self) -> Tensor:
        """s * A and W of each layer, transformed, (36, `rows`, `columns`); zeros where it does not read a map."""
        if self._kernel.numel() == 0 or self._kernel.dtype != self.layers[0].base.weight.dtype:
            self._kernel = self._of_weights()
        inputs, rank = self.widths.inputs[-1], self.widths.rank
        a = torch.cat([F.pad(layer.a.detach(), (0, 0, 0, 0, 0, inputs - layer.a.shape[1])) for layer in self.layers])
        parts = kernel_to_tiles(self.scaling * a).split(rank, 1)
        for (first, _), part in zip(self.widths.rows, parts, strict=True):
            self._kernel[:, first : first + rank] = part
        return self._kernel

    def _of_weights(self) -> Tensor:
        weights, rank = [layer.base.weight.detach() for layer in self.layers], self.widths.rank
        kernel = weights[0].new_zeros(PRODUCTS, self.widths.rows[-1][1], self.widths.inputs[-1])
        for (first, end), weight in zip(self.widths.rows, weights, strict=True):
            kernel[:, first + rank : end, : weight.shape[1]] = kernel_to_tiles(weight)
        return kernel


def _read(block: nn.Module, layers: dict[nn.Module, AdaptedLayer]) -> tuple[list[AdaptedLayer], float] | None:
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
    @staticmethod
    def forward(ctx: Any, x: Tensor, block: DenseBlock, *adapters: Tensor) -> Tensor:
        ctx.block, ctx.work = block, block.take(x)
        ctx.save_for_backward(*adapters)  # so that torch notices if they change
        return torch.add(x, ctx.work.forward(x, [layer.b for layer in block.layers]), alpha=RESIDUAL)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        block: DenseBlock = ctx.block
        work, ctx.work, _ = ctx.work, None, ctx.saved_tensors
        if work is None:
            raise RuntimeError("a dense block by tiles goes back once: its memory is in use again (no retain_graph)")
        of_x, of_as, of_bs = work.backward(RESIDUAL * gradients[0])
        of_as = block.scaling * kernel_to_tiles_adjoint(of_as)
        by_layer = zip(of_as.split(block.widths.rank), block.layers, strict=True)
        block.give_back(work)
        return of_x.add_(gradients[0]), None, *(of_a[:, : layer.a.shape[1]] for of_a, layer in by_layer), *of_bs
