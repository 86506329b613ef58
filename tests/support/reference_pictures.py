"""Pictures and noisy copies of them, for tests of metrics that compare."""

import torch
from torch import Tensor


def picture(height: int, width: int, *, seed: int = 0, count: int = 1) -> Tensor:
    """Blobs of several sizes: (count, 3, height, width) in [0, 1], not flat anywhere."""
    rng = torch.Generator().manual_seed(seed)
    layers = [torch.rand(count, 3, max(2, height // k), max(2, width // k), generator=rng) for k in (1, 4, 16)]
    grown = [torch.nn.functional.interpolate(x, (height, width), mode="bicubic") for x in layers]
    return (0.2 * grown[0] + 0.3 * grown[1] + 0.5 * grown[2]).clamp(0, 1)


def noisy(x: Tensor, sigma: float) -> Tensor:
    return (x + sigma * torch.randn(x.shape, generator=torch.Generator().manual_seed(9))).clamp(0, 1)
