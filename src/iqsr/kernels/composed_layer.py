"""One adapted layer as one layer: y = (W + s * B A) x, and gradients for x, A and B alone."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.grad import conv2d_input, conv2d_weight

from iqsr.kernels.adapted_layer import AdaptedLayer


@dataclass(frozen=True)
class Cost:
    """Multiplications that an adapter takes.

    rank, inputs (of one output: channels times the kernel's area), outputs (channels), places (where there is an
    output: pixels of all pictures, or tokens).
    """

    rank: int
    inputs: int
    outputs: int
    places: int

    @property
    def adapter(self) -> int:
        """A, then B, at every place."""
        return self.places * self.rank * (self.inputs + self.outputs)

    @property
    def product(self) -> int:
        """B A, once."""
        return self.rank * self.inputs * self.outputs

    @property
    def through_weight(self) -> int:
        """The gradient for W + s * B A, and A's and B's from it."""
        return self.places * self.inputs * self.outputs + 2 * self.product

    @property
    def by_rank(self) -> bool:
        """Whether A's and B's gradients cost less from A x and B^T g: a pass forwards and one for gradients."""
        return 2 * self.adapter < self.through_weight

    @property
    def worthwhile(self) -> bool:
        """Against peft, which passes A and B forwards, backwards, and for their own gradients."""
        return self.product + min(2 * self.adapter, self.through_weight) < 3 * self.adapter


def forward(layer: AdaptedLayer, x: Tensor) -> Tensor:
    """What the layer gives for x, composed where that is the cheaper way, else as peft does."""
    cost = _cost(layer, x)
    if not (learns_in_full(x, layer.base.weight) and cost.worthwhile):
        return type(layer.wrapper).forward(layer.wrapper, x)
    return _Composed.apply(x, layer.a, layer.b, layer, cost.by_rank)  # pyright: ignore[reportReturnType]


def learns_in_full(x: Tensor, weight: Tensor) -> bool:
    """Whether a layer computes with gradients, in the precision of its weights."""
    return torch.is_grad_enabled() and x.dtype == weight.dtype and not torch.is_autocast_enabled(x.device.type)


def _cost(layer: AdaptedLayer, x: Tensor) -> Cost:
    rank, outputs = layer.a.shape[0], layer.b.shape[0]
    strides = layer.base.stride if isinstance(layer.base, nn.Conv2d) else (1, 1)
    places = x.numel() // layer.base.weight.shape[1] // (strides[0] * strides[1])
    return Cost(rank, layer.a[0].numel(), outputs, places)


class _Composed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, a: Tensor, b: Tensor, layer: AdaptedLayer, by_rank: bool) -> Tensor:
        product = _shaped(b.flatten(1) @ _flat(a), layer.base.weight)
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
        of_x = _gradient_of_input(layer, x, weight, g) if ctx.needs_input_grad[0] else None
        scaled = layer.scaling * b.flatten(1)
        if ctx.by_rank:
            of_z = _placed(layer, _places(layer, g) @ scaled, g)
            of_a = _gradient_of_weight(layer, x, a, of_z)
            of_b = _places(layer, g).T @ _places(layer, _run(layer, x, a, None))
        else:
            of_weight = _flat(_gradient_of_weight(layer, x, weight, g))
            of_a = _shaped(scaled.T @ of_weight, a)
            of_b = of_weight @ _flat(a).T
        return of_x, of_a, (layer.scaling * of_b).view(b.shape), None, None


def _run(layer: AdaptedLayer, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if isinstance(layer.base, nn.Conv2d):
        return F.conv2d(x, weight, bias, layer.base.stride, layer.base.padding)
    return F.linear(x, weight, bias)


def _gradient_of_input(layer: AdaptedLayer, x: Tensor, weight: Tensor, g: Tensor) -> Tensor:
    if isinstance(layer.base, nn.Conv2d):
        return conv2d_input(x.shape, weight, g, layer.base.stride, layer.base.padding)  # pyright: ignore[reportArgumentType]
    return g @ weight


def _gradient_of_weight(layer: AdaptedLayer, x: Tensor, weight: Tensor, g: Tensor) -> Tensor:
    """Of a weight of the layer's kind and of `weight`'s shape, for the gradient g of its output."""
    if isinstance(layer.base, nn.Conv2d):
        return conv2d_weight(x, weight.shape, g, layer.base.stride, layer.base.padding)  # pyright: ignore[reportArgumentType]
    return g.flatten(0, -2).T @ x.flatten(0, -2)


def _flat(weight: Tensor) -> Tensor:
    """(outputs, inputs, ...) -> (outputs, ... * inputs): channels last, as convolutions on CPUs have them."""
    return weight.permute(0, 2, 3, 1).flatten(1) if weight.ndim == 4 else weight


def _shaped(flat: Tensor, like: Tensor) -> Tensor:
    """The inverse of `_flat`."""
    if like.ndim == 2:
        return flat
    outputs, inputs, *kernel = like.shape
    return flat.view(outputs, *kernel, inputs).permute(0, 3, 1, 2)


def _places(layer: AdaptedLayer, y: Tensor) -> Tensor:
    """An output as (places, channels)."""
    return y.permute(0, 2, 3, 1).flatten(0, 2) if isinstance(layer.base, nn.Conv2d) else y.flatten(0, -2)


def _placed(layer: AdaptedLayer, rows: Tensor, like: Tensor) -> Tensor:
    """The inverse of `_places`, of another number of channels than `like`."""
    if isinstance(layer.base, nn.Conv2d):
        return rows.view(like.shape[0], *like.shape[2:], -1).permute(0, 3, 1, 2)
    return rows.view(*like.shape[:-1], -1)
