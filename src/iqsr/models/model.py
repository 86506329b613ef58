"""What a super-resolution network is to the rest of iqsr."""

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class SRModel:
    """A super-resolution network and what it needs."""

    name: str
    module: nn.Module
    """(N, 3, H, W) RGB in [0, 1] -> (N, 3, H * scale, W * scale), not clamped.
    Eval mode, fp32, on the CPU, without gradients."""
    scale: int
    architecture: str
    """spandrel's identifier, e.g. `ESRGAN`, `Compact`."""
    licence: str
    """SPDX identifier of the weights' licence, or `unknown`."""
    size_multiple: int = 1
    """H and W must be multiples of it."""
    minimum_size: int = 1
    """Smallest H and W."""
