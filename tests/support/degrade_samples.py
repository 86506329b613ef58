"""Pictures to degrade and parameters made by hand, for tests."""

from dataclasses import replace

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from iqsr.degrade.kernels import KERNEL_KINDS
from iqsr.degrade.parameters import BlurParameters, NoiseParameters, ResizeParameters, StageParameters


def smooth_pictures(n: int = 2, height: int = 48, width: int = 64) -> Tensor:
    """Soft shapes with some edges and grain, (N, 3, H, W) in [0, 1]: something like photos."""
    random = np.random.default_rng(0)
    soft = ndimage.gaussian_filter(random.normal(size=(n, 3, height, width)), (0, 0, 6, 6), mode="wrap")
    soft = soft / soft.std() * 0.2 + 0.5
    soft[:, :, height // 3 : height // 2, width // 4 : width // 2] += 0.3
    return torch.from_numpy((soft + random.normal(size=soft.shape) * 0.01).clip(0, 1)).float()


def still(n: int, quality: float = 100.0, factor: float = 1.0) -> StageParameters:
    """A stage that does next to nothing."""
    noise = NoiseParameters("gaussian", torch.zeros(n), torch.zeros(n, dtype=torch.bool), torch.arange(n), 0)
    return StageParameters(None, ResizeParameters(factor, "bicubic"), noise, torch.full((n,), quality))


def pulses(n: int) -> BlurParameters:
    """Kernels that leave the picture unchanged."""
    kind = torch.full((n,), KERNEL_KINDS.index("pulse"))
    return BlurParameters(kind, torch.full((n,), 3), torch.ones(n, 2), torch.zeros(n), torch.ones(n), torch.ones(n))


def sincs(n: int) -> BlurParameters:
    """Sinc kernels of 7 px with a cut-off of 1 radian a px."""
    return replace(pulses(n), kind=torch.full((n,), KERNEL_KINDS.index("sinc")), size=torch.full((n,), 7))
