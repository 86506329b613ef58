"""A network whose receptive field is known, and a picture through an engine of tiles, for tests."""

import torch
from torch import Tensor, nn

from iqsr.engines.rows import of_tensor
from iqsr.engines.tiling import TileEngine


def run(engine: TileEngine, picture: Tensor) -> Tensor:
    return torch.cat(list(engine.apply(of_tensor(picture)).bands(1)), 2)


def local(reach: int, scale: int = 2) -> nn.Module:
    """A network whose pixels see exactly `reach` neighbours."""
    blur = nn.Conv2d(3, 3, 2 * reach + 1, padding=reach, groups=3)
    nn.init.constant_(blur.weight, 1 / (2 * reach + 1) ** 2)
    return nn.Sequential(blur, nn.Upsample(scale_factor=scale)).eval()
