"""Pictures to score, for tests."""

import torch
from torch import Tensor


def picture(count: int, height: int, width: int, seed: int = 0) -> Tensor:
    """Edges and texture at several scales: (N, 3, H, W) in [0, 1]."""
    rng = torch.Generator().manual_seed(seed)
    layers = [
        torch.nn.functional.interpolate(
            torch.rand(count, 3, height // step + 2, width // step + 2, generator=rng), (height, width)
        )
        for step in (1, 4, 16)
    ]
    return torch.stack(layers).mean(0)
