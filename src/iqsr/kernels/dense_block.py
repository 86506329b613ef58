"""RRDBNet's dense block with adapters, by Winograd (`iqsr.kernels.winograd_tiling`), for training on CPUs.

A block has five 3x3 convolutions, each of which reads all feature maps so far. A map is transformed once, for all
convolutions that follow. A and W of a layer are one convolution with rank + outputs channels; B is a matrix product at
every pixel. Only A and B learn, so gradients of W are never computed (benchmarks/training.py measures this against
peft). Between its input and its output a block works on Winograd tiles alone (`dense_pass`).

The transformed kernels, seven times the memory of the blocks' weights, are kept. So are the arrays of a step, until a
picture of another size comes.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from iqsr.kernels.adapted_layer import AdaptedLayer
from iqsr.kernels.composed_layer import trains_in_full_precision
from iqsr.kernels.dense_pass import DenseBlockPass, DenseBlockShape, Workspace
from iqsr.kernels.winograd import LEAST_SAVING, PRODUCTS, saving, transform_kernel, transform_kernel_adjoint

_BLOCKS = {"ResidualDenseBlock", "ResidualDenseBlock_5C"}
"""Names of the class: iqsr's and spandrel's."""
RESIDUAL_SCALE = 0.2
"""Factor of the last convolution's result, which is added to the block's input (ESRGAN, arXiv:1809.00219)."""


class DenseBlock:
    """A dense block of an RRDBNet, iqsr's or spandrel's, whose five adapters have the same rank and scaling."""

    def __init__(self, module: nn.Module, layers: Sequence[AdaptedLayer], slope: float, workspace: Workspace) -> None:
        self.module, self.layers, self.slope, self.workspace = module, layers, slope, workspace
        self.scaling = layers[0].scaling
        inputs, outputs = zip(*(layer.base.weight.shape[1::-1] for layer in layers), strict=True)
        self.shape = DenseBlockShape(inputs, outputs, layers[0].a.shape[0])
        self._kernel = torch.empty(0)
        self._free_passes: list[DenseBlockPass] = []

    @classmethod
    def found_in(cls, module: nn.Module, layers: Sequence[AdaptedLayer]) -> list["DenseBlock"]:
        """All dense blocks of a network that this class can compute."""
        by_wrapper = {layer.wrapper: layer for layer in layers}
        blocks = [part for part in module.modules() if type(part).__name__ in _BLOCKS]
        found = [_layers_and_slope(block, by_wrapper) for block in blocks]
        workspace = Workspace()
        return [cls(block, *known, workspace) for block, known in zip(blocks, found, strict=True) if known]

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, C, H, W). Returns the same shape. Small pictures and other devices take the module's own forward."""
        full = x.device.type == "cpu" and trains_in_full_precision(x, self.layers[0].base.weight)
        if not full or saving(*x.shape[2:]) < LEAST_SAVING:
            return type(self.module).forward(self.module, x)
        adapters = [layer.a for layer in self.layers] + [layer.b for layer in self.layers]
        return _DenseBlockFunction.apply(x, self, *adapters)  # pyright: ignore[reportReturnType]

    def acquire_pass(self, x: Tensor) -> DenseBlockPass:
        """A pass for pictures of x's shape, for one caller alone, with the present adapters.

        The weights W are transformed at the first call and not looked at again.
        """
        kernel, tiling = self._adapted_kernel(), self.workspace.tiling(x)
        self._free_passes = [free for free in self._free_passes if free.tiling is tiling]
        if self._free_passes:
            return self._free_passes.pop()
        return DenseBlockPass(
            self.shape, kernel, [layer.base.bias for layer in self.layers], self.slope, tiling, self.workspace
        )

    def release_pass(self, used: DenseBlockPass) -> None:
        """Let the pass be acquired again; it is kept until pictures of another size come."""
        self._free_passes.append(used)

    def _adapted_kernel(self) -> Tensor:
        """s * A and W of each layer, transformed: (36, `kernel_rows`, `map_channels`); 0 for maps it does not read."""
        if self._kernel.numel() == 0 or self._kernel.dtype != self.layers[0].base.weight.dtype:
            self._kernel = self._transformed_weights()
        inputs, rank = self.shape.inputs[-1], self.shape.rank
        a = torch.cat([F.pad(layer.a.detach(), (0, 0, 0, 0, 0, inputs - layer.a.shape[1])) for layer in self.layers])
        parts = transform_kernel(self.scaling * a).split(rank, 1)
        for (first, _), part in zip(self.shape.kernel_rows, parts, strict=True):
            self._kernel[:, first : first + rank] = part
        return self._kernel

    def _transformed_weights(self) -> Tensor:
        """The kernel with zeros in the place of A."""
        weights, rank = [layer.base.weight.detach() for layer in self.layers], self.shape.rank
        kernel = weights[0].new_zeros(PRODUCTS, self.shape.kernel_rows[-1][1], self.shape.inputs[-1])
        for (first, end), weight in zip(self.shape.kernel_rows, weights, strict=True):
            kernel[:, first + rank : end, : weight.shape[1]] = transform_kernel(weight)
        return kernel


def _layers_and_slope(
    block: nn.Module, layers: dict[nn.Module, AdaptedLayer]
) -> tuple[list[AdaptedLayer], float] | None:
    """Layers and leaky ReLU slope of a block; None where it is not Real-ESRGAN's block or lacks adapters."""
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


class _DenseBlockFunction(torch.autograd.Function):
    """The block with the gradients of its input and its adapters."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, block: DenseBlock, *adapters: Tensor) -> Tensor:
        ctx.block, ctx.block_pass = block, block.acquire_pass(x)
        ctx.save_for_backward(*adapters)  # so that torch notices if they change
        return torch.add(x, ctx.block_pass.forward(x, [layer.b for layer in block.layers]), alpha=RESIDUAL_SCALE)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        block: DenseBlock = ctx.block
        block_pass, ctx.block_pass, _ = ctx.block_pass, None, ctx.saved_tensors
        if block_pass is None:
            raise RuntimeError("a dense block goes backward once, since it uses its memory again: no retain_graph")
        grad_x, grad_as, grad_bs = block_pass.backward(RESIDUAL_SCALE * gradients[0])
        grad_as = block.scaling * transform_kernel_adjoint(grad_as)
        by_layer = zip(grad_as.split(block.shape.rank), block.layers, strict=True)
        block.release_pass(block_pass)
        return grad_x.add_(gradients[0]), None, *(grad_a[:, : layer.a.shape[1]] for grad_a, layer in by_layer), *grad_bs
