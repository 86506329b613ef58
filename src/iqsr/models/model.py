"""The super-resolution model as the rest of iqsr sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class SRModel:
    """A super-resolution model, made by `load_model`: the network and the facts needed to run it."""

    name: str
    """Its name, or that of its checkpoint file without the suffix."""
    module: nn.Module
    """The network: (N, 3, H, W) RGB in [0, 1] to (N, 3, H * scale, W * scale), not clamped. In evaluation mode and
    fp32, on the CPU; its parameters do not require gradients."""
    scale: int
    """How many times wider and higher its output is."""
    architecture: str
    """spandrel's identifier of the architecture, such as `ESRGAN` or `Compact`."""
    licence: str
    """SPDX identifier of the weights' licence, or `unknown`."""
    size_multiple: int = 1
    """The input's height and width must be multiples of it."""
    minimum_size: int = 1
    """The minimum height and width of the input in pixels."""
