"""A layer with an adapter, computed as one layer: y = (W + s * B A) x. Gradients go to x, A and B only."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.grad import conv2d_input, conv2d_weight

from iqsr.kernels.adapted_layer import AdaptedLayer


@dataclass(frozen=True)
class AdapterCost:
    """How many multiplications the ways to compute an adapted layer take."""

    rank: int
    inputs: int
    """What one output value depends on: input channels times the kernel's area."""
    outputs: int
    """Output channels."""
    positions: int
    """Output pixels of all pictures, or tokens."""

    @property
    def adapter(self) -> int:
        """A, then B, at every position."""
        return self.positions * self.rank * (self.inputs + self.outputs)

    @property
    def product(self) -> int:
        """The matrix product B A, once."""
        return self.rank * self.inputs * self.outputs

    @property
    def through_weight(self) -> int:
        """The gradient of W + s * B A, and those of A and B from it."""
        return self.positions * self.inputs * self.outputs + 2 * self.product

    @property
    def by_rank(self) -> bool:
        """Whether the gradients of A and B cost less when computed from A x and B^T g than through the weight's."""
        return 2 * self.adapter < self.through_weight

    @property
    def worthwhile(self) -> bool:
        """Whether this is cheaper than peft's way: A and B forward, backward, and once more for their gradients."""
        return self.product + min(2 * self.adapter, self.through_weight) < 3 * self.adapter


def composed_forward(layer: AdaptedLayer, x: Tensor) -> Tensor:
    """The layer's output for x: computed as one layer where that is cheaper, else as peft computes it."""
    cost = _cost(layer, x)
    if not (trains_in_full_precision(x, layer.base.weight) and cost.worthwhile):
        return type(layer.wrapper).forward(layer.wrapper, x)
    return _ComposedFunction.apply(x, layer.a, layer.b, layer, cost.by_rank)  # pyright: ignore[reportReturnType]


def trains_in_full_precision(x: Tensor, weight: Tensor) -> bool:
    """Whether gradients are recorded and the input has the precision of the weights: no autocast."""
    return torch.is_grad_enabled() and x.dtype == weight.dtype and not torch.is_autocast_enabled(x.device.type)


def _cost(layer: AdaptedLayer, x: Tensor) -> AdapterCost:
    rank, outputs = layer.a.shape[0], layer.b.shape[0]
    strides = layer.base.stride if isinstance(layer.base, nn.Conv2d) else (1, 1)
    positions = x.numel() // layer.base.weight.shape[1] // (strides[0] * strides[1])
    return AdapterCost(rank, layer.a[0].numel(), outputs, positions)


class _ComposedFunction(torch.autograd.Function):
    """(W + s * B A) x, with the gradients of x, A and B."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, a: Tensor, b: Tensor, layer: AdaptedLayer, by_rank: bool) -> Tensor:
        product = _as_weight(b.flatten(1) @ _as_matrix(a), layer.base.weight)
        weight = torch.add(layer.base.weight, product, alpha=layer.scaling)
        ctx.save_for_backward(x, weight, a, b)
        ctx.layer, ctx.by_rank = layer, by_rank
        return _run(layer, x, weight, layer.base.bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, weight, a, b = ctx.saved_tensors
        layer: AdaptedLayer = ctx.layer
        g = gradients[0]
        grad_x = _gradient_of_input(layer, x, weight, g) if ctx.needs_input_grad[0] else None
        scaled = layer.scaling * b.flatten(1)
        if ctx.by_rank:
            grad_z = _as_output(layer, _as_positions(layer, g) @ scaled, g)
            grad_a = _gradient_of_weight(layer, x, a, grad_z)
            grad_b = _as_positions(layer, g).T @ _as_positions(layer, _run(layer, x, a, None))
        else:
            grad_weight = _as_matrix(_gradient_of_weight(layer, x, weight, g))
            grad_a = _as_weight(scaled.T @ grad_weight, a)
            grad_b = grad_weight @ _as_matrix(a).T
        return grad_x, grad_a, (layer.scaling * grad_b).view(b.shape), None, None


def _run(layer: AdaptedLayer, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if isinstance(layer.base, nn.Conv2d):
        return F.conv2d(x, weight, bias, layer.base.stride, layer.base.padding)
    return F.linear(x, weight, bias)


def _gradient_of_input(layer: AdaptedLayer, x: Tensor, weight: Tensor, g: Tensor) -> Tensor:
    if isinstance(layer.base, nn.Conv2d):
        return conv2d_input(x.shape, weight, g, layer.base.stride, layer.base.padding)  # pyright: ignore[reportArgumentType]
    return g @ weight


def _gradient_of_weight(layer: AdaptedLayer, x: Tensor, weight: Tensor, g: Tensor) -> Tensor:
    """The gradient of a weight of `weight`'s shape, whose layer is of the same kind and has the output gradient g."""
    if isinstance(layer.base, nn.Conv2d):
        return conv2d_weight(x, weight.shape, g, layer.base.stride, layer.base.padding)  # pyright: ignore[reportArgumentType]
    return g.flatten(0, -2).T @ x.flatten(0, -2)


def _as_matrix(weight: Tensor) -> Tensor:
    """(outputs, inputs, ...) -> (outputs, ... * inputs): channels last, the layout of convolutions on CPUs."""
    return weight.permute(0, 2, 3, 1).flatten(1) if weight.ndim == 4 else weight


def _as_weight(flat: Tensor, like: Tensor) -> Tensor:
    """The inverse of `_as_matrix`, for a weight of the shape of `like`."""
    if like.ndim == 2:
        return flat
    outputs, inputs, *kernel = like.shape
    return flat.view(outputs, *kernel, inputs).permute(0, 3, 1, 2)


def _as_positions(layer: AdaptedLayer, y: Tensor) -> Tensor:
    """A layer's output as (positions, channels)."""
    return y.permute(0, 2, 3, 1).flatten(0, 2) if isinstance(layer.base, nn.Conv2d) else y.flatten(0, -2)


def _as_output(layer: AdaptedLayer, rows: Tensor, like: Tensor) -> Tensor:
    """The inverse of `_as_positions`; `like` gives the shape, but for the number of channels."""
    if isinstance(layer.base, nn.Conv2d):
        return rows.view(like.shape[0], *like.shape[2:], -1).permute(0, 3, 1, 2)
    return rows.view(*like.shape[:-1], -1)
