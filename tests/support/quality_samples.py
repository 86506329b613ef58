"""Pictures of soft shapes, and versions of them to learn from, for tests of predictors' training."""

import torch
from torch import Tensor

from iqsr.training.predictor.batches import Versions
from iqsr.training.predictor.dataset import Shard


def picture(seed: int = 0, size: int = 96) -> Tensor:
    """Soft shapes and some texture, (1, 3, size, size) in [0, 1]."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 7, 7, generator=rng)
    base = torch.nn.functional.interpolate(coarse, (size, size), mode="bicubic", align_corners=False)
    return (base + 0.08 * torch.randn(1, 3, size, size, generator=rng)).clamp(0, 1)


def made_versions(crops: int = 4, side: int = 64, seed: int = 0) -> Versions:
    """Crops under ever more noise, judged by how much: something to learn in seconds."""
    shards: list[Shard] = []
    for number in range(crops):
        clean = picture(seed + number, side)
        strengths = torch.linspace(0, 0.4, 6)
        rng = torch.Generator().manual_seed(number)
        noisy = torch.cat([(clean + s * torch.randn(clean.shape, generator=rng)).clamp(0, 1) for s in strengths])
        places = strengths.view(1, 6, 1, 1).expand(1, 6, side // 8, side // 8).half()
        stored = (noisy * 255).round().byte()[None]
        kinds = [["original"] + ["noise"] * 5]
        shards.append(Shard(f"{number}.png", kinds, stored, strengths[None], strengths[None], places.clone()))
    return Versions(shards)
