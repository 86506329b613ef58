"""The network of FID: TensorFlow's Inception-v3 of 2015, whose pooling differs from torchvision's.

Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", CVPR 2016, arXiv:1512.00567. The weights
are pytorch-fid's port of the file that FID's authors used. Pictures are resized as in clean-fid (Parmar, Zhang & Zhu,
CVPR 2022, arXiv:2104.11222) and IQA-PyTorch: bicubic with antialiasing.
"""

from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import Inception3

from iqsr.io import weights

_SIDE = 299
_STEM = ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "maxpool1", "Conv2d_3b_1x1", "Conv2d_4a_3x3", "maxpool2")
_MIXED = ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c")
_REDUCTIONS = ("6a", "7a")
"""Blocks that halve the size: their pooling is the same in both libraries."""


class FidInception(nn.Module):
    """(N, 3, H, W) in [0, 1] to (N, 2048).

    Args:
        state: The weights, with the names of torchvision's Inception-v3 of 1,008 classes.
    """

    def __init__(self, state: dict[str, Tensor]) -> None:
        super().__init__()
        inception = Inception3(num_classes=1008, aux_logits=False, init_weights=False)
        inception.load_state_dict(state)
        layers = [inception.get_submodule(name) for name in _STEM]
        for name in _MIXED:
            block = inception.get_submodule(f"Mixed_{name}")
            pool = _maximum if name == "7c" else _mean_of_pixels
            layers.append(block if name in _REDUCTIONS else _OtherPooling(block, pool))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, 3, H, W)."""
        return self.layers((resized(x) * 255 - 128) / 128).mean((2, 3))


class _OtherPooling(nn.Module):
    """A block of torchvision's with another pooling before its last branch, whose channels come last."""

    def __init__(self, block: nn.Module, pool: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.block = block
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, C, H, W)."""
        branch = cast("nn.Module", self.block.branch_pool)
        pooled: Tensor = branch(self.pool(x))
        found: Tensor = self.block(x)
        return torch.cat([found[:, : -pooled.shape[1]], pooled], 1)


def _mean_of_pixels(x: Tensor) -> Tensor:
    """Zeros of the padding do not count, as in TensorFlow."""
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


def _maximum(x: Tensor) -> Tensor:
    """In the last block, TensorFlow's file takes the maximum."""
    return F.max_pool2d(x, 3, 1, 1)


def resized(x: Tensor) -> Tensor:
    """(N, 3, H, W) in [0, 1] to (N, 3, 299, 299) by bicubic interpolation with antialiasing, clamped."""
    return F.interpolate(x, (_SIDE, _SIDE), mode="bicubic", antialias=True).clamp(0, 1)


def load_fid_inception() -> FidInception:
    """The network with pytorch-fid's weights. Raises WeightsError where they are missing or damaged."""
    state: dict[str, Tensor] = torch.load(weights.locate("inception-fid"), map_location="cpu", weights_only=True)
    return FidInception(state)
