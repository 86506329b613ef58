"""Convolutions that do what follows them in the same pass: activation, addition.

They are oneDNN's, behind operators that torch keeps for the code that torch.compile writes. Those are private, so
`has_fused` tries them once on small numbers; without them every convolution is an ordinary one.
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
    """A stride-1 convolution over two or three axes with its weights in the order that oneDNN works in.

    weight: (out, in, *kernel), fp32 or bf16, CPU. bias: (out,), of the same type.
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
        """Convolve, then multiply what is negative by `slope`; or, with slope 1, add `added` (of the result's shape).

        x: (1, in, *sizes), channels last. Sums are rounded once, after the addition.
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
    """Whether fused convolutions are here, give what ordinary ones give, and were measured to be faster: x86."""
    if device.type != "cpu" or dtype not in {torch.float32, torch.bfloat16}:
        return False
    if platform.machine().lower() not in {"x86_64", "amd64"} or not torch.backends.mkldnn.is_available():
        return False
    try:
        return all(_agrees(axes, dtype) for axes in (2, 3))
    except (AttributeError, RuntimeError, TypeError):  # another version of torch
        return False


def _agrees(axes: int, dtype: torch.dtype) -> bool:
    """Compare all that `FusedConvolution` does with the ordinary operations, in fp32."""
    numbers = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=numbers).to(dtype)

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
