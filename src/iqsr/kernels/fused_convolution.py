"""Convolutions fused with what follows them: an activation or an addition in the same pass over memory.

They are oneDNN's. torch has operators for them that torch.compile uses and that are private, so `has_fused` tries them
once on small tensors. Where they are missing, every convolution is an ordinary one.
"""

from __future__ import annotations

import platform
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_MKLDNN: Any = torch.ops.mkldnn
_NN: Any = getattr(torch._C, "_nn", None)  # pyright: ignore[reportPrivateUsage]


class FusedConvolution:
    """A stride-1 convolution over two or three axes, whose weights are kept in oneDNN's own memory layout.

    Args:
        weight: (outputs, inputs, *kernel), fp32 or bf16, on the CPU.
        bias: (outputs,), of the same type, or None.
        dilation: One per axis.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, dilation: tuple[int, ...]) -> None:
        axes = weight.ndim - 2
        self._strides, self._dilation, self._bias = [1] * axes, list(dilation), bias
        pack = _NN.mkldnn_reorder_conv2d_weight if axes == 2 else _NN.mkldnn_reorder_conv3d_weight
        around = [(k - 1) // 2 * d for k, d in zip(weight.shape[2:], dilation, strict=True)]
        typical = [1, weight.shape[1], *([weight.shape[2]] * (axes - 2)), 64, 64]
        # An opaque tensor: only these operators read it.
        self._weight: Tensor = pack(weight.to_mkldnn(), around, self._strides, self._dilation, 1, typical)

    def __call__(self, x: Tensor, padding: tuple[int, ...], slope: float = 1.0, added: Tensor | None = None) -> Tensor:
        """Convolve, then apply a leaky ReLU or add another tensor. Sums are rounded once, at the end.

        Args:
            x: (1, inputs, *sizes), channels last.
            padding: Zeros on both sides, one number per axis.
            slope: Factor of negative results; 1 for no activation.
            added: Added to the result, whose shape it has; only with slope 1.
        """
        how = (self._weight, self._bias, list(padding), self._strides, self._dilation, 1)
        if added is not None:
            assert slope == 1
            return _MKLDNN._convolution_pointwise.binary(x, added, *how, "add", 1.0, None, [], "")
        if slope == 1:
            return _MKLDNN._convolution_pointwise(x, *how, "none", [], "")
        return _MKLDNN._convolution_pointwise(x, *how, "leaky_relu", [slope], "")


@cache
def has_fused(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether torch has fused convolutions that agree with ordinary ones, on a CPU where they were faster (x86)."""
    if device.type != "cpu" or dtype not in {torch.float32, torch.bfloat16}:
        return False
    if platform.machine().lower() not in {"x86_64", "amd64"} or not torch.backends.mkldnn.is_available():
        return False
    try:
        return all(_agrees(axes, dtype) for axes in (2, 3))
    except (AttributeError, RuntimeError, TypeError):  # another version of torch
        return False


def _agrees(axes: int, dtype: torch.dtype) -> bool:
    """Whether `FusedConvolution` gives what ordinary operations give in fp32, in all that it can do."""
    rng = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=rng).to(dtype)

    depth = [2] * (axes - 2)
    x, weight, bias = draw(1, 32, *depth, 7, 9), draw(32, 32, *depth, 3, 3) / 16, draw(32)
    layout = torch.channels_last if axes == 2 else torch.channels_last_3d
    x = x.contiguous(memory_format=layout)
    padding = (*[0] * (axes - 2), 1, 1)
    convolve = F.conv2d if axes == 2 else F.conv3d
    expected = convolve(x.float(), weight.float(), bias.float(), 1, padding)
    added = draw(*expected.shape).contiguous(memory_format=layout)
    fused = FusedConvolution(weight, bias, (1,) * axes)
    pairs = [
        (fused(x, padding), expected),
        (fused(x, padding, 0.2), F.leaky_relu(expected, 0.2)),
        (fused(x, padding, 0.0), F.relu(expected)),
        (fused(x, padding, added=added), expected + added.float()),
    ]
    tolerance = 1e-4 if dtype == torch.float32 else 0.05
    return all(torch.allclose(found.float(), wanted, rtol=0, atol=tolerance) for found, wanted in pairs)
