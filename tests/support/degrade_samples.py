"""Pictures to degrade, for tests."""

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor


def smooth_pictures(n: int = 2, height: int = 48, width: int = 64) -> Tensor:
    """Soft shapes with some edges and grain, (N, 3, H, W) in [0, 1]: something like photos."""
    random = np.random.default_rng(0)
    soft = ndimage.gaussian_filter(random.normal(size=(n, 3, height, width)), (0, 0, 6, 6), mode="wrap")
    soft = soft / soft.std() * 0.2 + 0.5
    soft[:, :, height // 3 : height // 2, width // 4 : width // 2] += 0.3
    return torch.from_numpy((soft + random.normal(size=soft.shape) * 0.01).clip(0, 1)).float()
