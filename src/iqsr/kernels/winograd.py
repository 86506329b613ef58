"""3x3 convolutions by minimal filtering, F(4x4, 3x3) (Lavin & Gray, CVPR 2016, arXiv:1509.09308): the arithmetic.

A Winograd tile of 4x4 outputs is Y = A^T [sum over channels of (G g G^T) * (B^T d B)] A, where d is the 6x6 inputs that
the tile depends on and g the 3x3 kernel: 36 products instead of 144. Over all tiles and channels these are 36 matrix
products. Lavin and Gray interpolate at 0, 1, -1, 2, -2 and infinity. Here it is 0, +-sqrt(1/2), +-sqrt(2) and infinity,
which halves the error in fp32: about 3e-6 of the largest value, two to eight times a direct convolution's error.

Every transform is linear and has its adjoint beside it; gradients go through the adjoints. `winograd_tiling` transforms
pictures for small channel counts, `frozen_conv` for large ones.
"""

from __future__ import annotations

from functools import cache
from math import ceil
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

TILE_SIDE, KERNEL_SIDE = 4, 3
"""Pixels."""
TILE_PIXELS = TILE_SIDE**2
INPUT_SIDE = TILE_SIDE + KERNEL_SIDE - 1
"""Side, in pixels, of the square of inputs that a Winograd tile depends on."""
PRODUCTS = INPUT_SIDE**2
"""Multiplications for one tile, one input and one output channel; a direct convolution has 144."""
LEAST_SAVING = 2.5
"""Least `saving` for which a picture is convolved by Winograd."""

_POINTS = (0.0, 0.5**0.5, -(0.5**0.5), 2**0.5, -(2**0.5))
"""The interpolation points besides infinity."""


class TransformMatrices(NamedTuple):
    """B^T, G and A^T for a row of pixels; or, as Kronecker products with themselves, for a square."""

    inputs: Tensor
    """(6, 6) or (36, 36)."""
    kernel: Tensor
    """(6, 3) or (36, 9)."""
    outputs: Tensor
    """(4, 6) or (16, 36)."""


def cook_toom() -> TransformMatrices:
    """The matrices of the Cook-Toom algorithm for a row, in fp64."""
    points = torch.tensor(_POINTS, dtype=torch.float64)
    inputs, kernel, outputs = (
        torch.zeros(INPUT_SIDE, n, dtype=torch.float64) for n in (INPUT_SIDE, KERNEL_SIDE, TILE_SIDE)
    )
    for i, point in enumerate(points):
        others = torch.cat([points[:i], points[i + 1 :]])
        inputs[i, :-1] = _coefficients(others)
        kernel[i] = point ** torch.arange(KERNEL_SIDE) / (point - others).prod()
        outputs[i] = point ** torch.arange(TILE_SIDE)
    inputs[-1] = _coefficients(points)
    kernel[-1, -1] = outputs[-1, -1] = 1
    return TransformMatrices(inputs, kernel, outputs.T.contiguous())


@cache
def square_matrices(dtype: torch.dtype) -> TransformMatrices:
    """The matrices for a square."""
    return TransformMatrices(*(torch.kron(m, m).to(dtype) for m in cook_toom()))


def _coefficients(roots: Tensor) -> Tensor:
    """The coefficients of the polynomial with these roots, from the constant to the leading 1."""
    found = roots.new_ones(1)
    for root in roots:
        found = F.pad(found, (1, 0)) - root * F.pad(found, (0, 1))
    return found


def saving(height: int, width: int) -> float:
    """How many times fewer multiplications than a direct convolution's: 4 at most, less where edge tiles hang over."""
    tiles = ceil(height / TILE_SIDE) * ceil(width / TILE_SIDE)
    return KERNEL_SIDE**2 * height * width / (PRODUCTS * tiles)


def has_winograd(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether inference by Winograd was measured to be faster than direct convolutions: in fp32, with MKL."""
    return device.type == "cpu" and dtype == torch.float32 and torch.backends.mkl.is_available()


def transform_kernel(weight: Tensor) -> Tensor:
    """G g G^T: (outputs, inputs, 3, 3) -> (36, outputs, inputs)."""
    flat = weight.permute(2, 3, 0, 1).reshape(KERNEL_SIDE**2, -1)
    return (square_matrices(weight.dtype).kernel @ flat).view(PRODUCTS, *weight.shape[:2])


def transform_kernel_adjoint(u: Tensor) -> Tensor:
    """(36, outputs, inputs) -> (outputs, inputs, 3, 3)."""
    flat = square_matrices(u.dtype).kernel.T @ u.reshape(PRODUCTS, -1)
    return flat.view(KERNEL_SIDE, KERNEL_SIDE, *u.shape[1:]).permute(2, 3, 0, 1)


def transform_kernel_with_bias(weight: Tensor, bias: Tensor) -> Tensor:
    """Transform a kernel whose bias is the weight of one more input channel, the first, which holds ones.

    Args:
        weight: (outputs, inputs, 3, 3).
        bias: (outputs,).

    Returns:
        (36, outputs, 1 + inputs), computed in fp64 and rounded to fp32.
    """
    of_bias = torch.outer(_transformed_ones(), bias.double())[..., None]
    return torch.cat([of_bias, transform_kernel(weight.double())], 2).float()


@cache
def _transformed_ones() -> Tensor:
    """(36,), fp64: what the output transform turns into 1 at every pixel of a tile."""
    return torch.outer(*[torch.linalg.pinv(cook_toom().outputs).sum(1)] * 2).flatten()
