"""An Upscaler and what its network gives, and networks made of single layers, for tests."""

from functools import cache

import torch
from torch import Tensor, nn

from iqsr import Upscaler
from iqsr.models import SRModel

COMPACT = "realesr-animevideov3"


@cache
def upscaler() -> Upscaler:
    return Upscaler(COMPACT, precision="fp32")


@torch.inference_mode()
def network(picture: Tensor) -> Tensor:
    """The untiled output, as a file would hold it."""
    return upscaler().model.module(picture).clamp(0, 1)


def model(*layers: nn.Module, scale: int = 1, **requirements: int) -> SRModel:
    return SRModel("made", nn.Sequential(*layers).eval().requires_grad_(False), scale, "test", "none", **requirements)


def by(factor: float) -> nn.Conv2d:
    """A layer that multiplies each channel."""
    layer = nn.Conv2d(3, 3, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(3).view(3, 3, 1, 1) * factor)
    return layer
