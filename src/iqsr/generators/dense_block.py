"""RRDBNet's dense block with adapters, by tiles (`iqsr.winograd`), for training on CPUs.

Five 3x3 convolutions, each of all maps so far: a map is transformed once and used by all that follow. W and A of a
layer are one convolution with outputs + rank channels; B is a matrix at every pixel. Only A and B learn, so that
gradients for W are never made (benchmarks/training.py measures it against peft). Four times the memory of the blocks'
weights goes into their transforms, which are kept.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from iqsr.generators.composed_layer import learns_in_full
from iqsr.generators.lora import Adapted
from iqsr.winograd import (
    POINTS,
    WORTHWHILE,
    from_tiles,
    from_tiles_adjoint,
    kernel_to_tiles,
    kernel_to_tiles_adjoint,
    saving,
    to_tiles,
    to_tiles_adjoint,
)

RESIDUAL = 0.2
"""Share of the last convolution that is added to the block's input."""


class DenseBlock:
    """One block of spandrel's RRDBNet whose five convolutions all have adapters."""

    def __init__(self, module: nn.Module, layers: Sequence[Adapted], slope: float) -> None:
        self.module, self.layers, self.slope = module, layers, slope
        self._kernels: list[Tensor] = []

    @classmethod
    def found_in(cls, module: nn.Module, layers: Sequence[Adapted]) -> list["DenseBlock"]:
        """All blocks of a network that this can compute."""
        by_wrapper = {layer.wrapper: layer for layer in layers}
        blocks = [part for part in module.modules() if type(part).__name__ == "ResidualDenseBlock_5C"]
        found = [_read(block, by_wrapper) for block in blocks]
        return [cls(block, *known) for block, known in zip(blocks, found, strict=True) if known]

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, C, H, W). Returns the same shape; of small or odd pictures, and elsewhere than on CPUs, as before."""
        full = x.device.type == "cpu" and learns_in_full(x, self.layers[0].base.weight)
        if not full or saving(*x.shape[2:]) < WORTHWHILE:
            return type(self.module).forward(self.module, x)
        adapters = [layer.a for layer in self.layers] + [layer.b for layer in self.layers]
        return _Dense.apply(x, self, *adapters)  # pyright: ignore[reportReturnType]

    def kernels(self) -> list[Tensor]:
        """W and s * A of each layer, transformed: (36, inputs, outputs + rank). W's part is made once."""
        if not self._kernels or self._kernels[0].dtype != self.layers[0].base.weight.dtype:
            self._kernels = [_joined(layer) for layer in self.layers]
        for layer, kernel in zip(self.layers, self._kernels, strict=True):
            kernel[:, :, layer.b.shape[0] :] = kernel_to_tiles(layer.scaling * layer.a.detach())
        return self._kernels


def _read(block: nn.Module, layers: dict[nn.Module, Adapted]) -> tuple[list[Adapted], float] | None:
    """Layers and slope of a block; None where it is not as Real-ESRGAN has it, or lacks adapters."""
    parts = [list(getattr(block, f"conv{number}").children()) for number in range(1, 6)]
    found = [layers.get(part[0]) for part in parts if part]
    kinds = [[type(p) for p in part[1:]] for part in parts]
    plain = getattr(block, "conv1x1", None) is None and kinds == [[nn.LeakyReLU]] * 4 + [[]]
    known = [layer for layer in found if layer is not None and _is_3x3(layer.base)]
    slopes = {part[1].negative_slope for part in parts[:4]} if plain else set()
    return (known, slopes.pop()) if len(known) == 5 and len(slopes) == 1 else None


def _is_3x3(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Conv2d) and (layer.kernel_size, layer.stride, layer.padding) == ((3, 3), (1, 1), (1, 1))


def _joined(layer: Adapted) -> Tensor:
    weight, rank = layer.base.weight.detach(), layer.a.shape[0]
    kernel = weight.new_empty(POINTS, weight.shape[1], weight.shape[0] + rank)
    kernel[:, :, : weight.shape[0]] = kernel_to_tiles(weight)
    return kernel


class _Dense(torch.autograd.Function):
    """Pixels are rows of (pixels, channels) here, tiles (36, T, channels)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, block: DenseBlock, *adapters: Tensor) -> Tensor:
        kernels, picture = block.kernels(), x.permute(0, 2, 3, 1)
        n, height, width, _ = shape = picture.shape
        made = to_tiles(picture)
        tiles = made.new_empty(*made.shape[:2], kernels[-1].shape[1])
        ys, zs = list[Tensor](), list[Tensor]()
        for layer, kernel in zip(block.layers, kernels, strict=True):
            inputs, outputs = kernel.shape[1], layer.b.shape[0]
            tiles[:, :, inputs - made.shape[2] : inputs] = made
            both = from_tiles(tiles[:, :, :inputs] @ kernel, shape[:3]).reshape(-1, kernel.shape[2])
            zs.append(both[:, outputs:].contiguous())  # s * A x
            ys.append(torch.addmm(both[:, :outputs], zs[-1], layer.b.flatten(1).T))
            if layer.base.bias is not None:
                ys[-1] += layer.base.bias
            if layer is not block.layers[-1]:
                made = to_tiles(F.leaky_relu_(ys[-1], block.slope).view(n, height, width, outputs))
        last = ys.pop().view(shape).permute(0, 3, 1, 2)
        ctx.block, ctx.kernels, ctx.shape = block, kernels, shape[:3]
        ctx.save_for_backward(tiles, *ys, *zs, *adapters)  # the adapters, so that torch notices if they change
        return torch.add(x, last, alpha=RESIDUAL)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        layers: Sequence[Adapted] = ctx.block.layers
        kernels, count, rank = ctx.kernels, len(layers), layers[0].a.shape[0]
        tiles, *saved = ctx.saved_tensors
        ys, zs = saved[: count - 1], saved[count - 1 : 2 * count - 1]
        of_both, of_b, of_x = list[Tensor](), list[Tensor](), None
        of_y = (RESIDUAL * gradients[0]).permute(0, 2, 3, 1).flatten(0, 2)
        for i in reversed(range(count)):
            b = layers[i].b
            of_b.insert(0, (zs[i].T @ of_y).T.reshape(b.shape))
            both = torch.cat((of_y, of_y @ b.flatten(1)), 1)
            of_both.insert(0, from_tiles_adjoint(both.view(*ctx.shape, -1)))
            if i:
                of_map = to_tiles_adjoint(_of_map(of_both, kernels[i:], kernels[i - 1].shape[1]), ctx.shape)
                made = ys[i - 1].view(of_map.shape)
                of_y = torch.ops.aten.leaky_relu_backward(of_map, made, ctx.block.slope, True).flatten(0, 2)
            elif ctx.needs_input_grad[0]:
                of_x = to_tiles_adjoint(_of_map(of_both, kernels, 0), ctx.shape).permute(0, 3, 1, 2) + gradients[0]
        of_zs = torch.cat([of[:, :, -rank:] for of in of_both], 2)
        of_a = layers[0].scaling * kernel_to_tiles_adjoint(tiles.transpose(1, 2) @ of_zs)
        return of_x, None, *(a[:, : k.shape[1]] for a, k in zip(of_a.split(rank), kernels, strict=True)), *of_b


def _of_map(of_both: Sequence[Tensor], kernels: Sequence[Tensor], first: int) -> Tensor:
    """The gradient for the newest map that the first of some layers takes, its channels `first` and on: (36, T, C)."""
    last = kernels[0].shape[1]
    of_map = of_both[0] @ kernels[0][:, first:last].transpose(1, 2)
    for of_later, kernel in zip(of_both[1:], kernels[1:], strict=True):
        of_map.baddbmm_(of_later, kernel[:, first:last].transpose(1, 2))
    return of_map
