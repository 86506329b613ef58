"""Ladders: a clean picture under ever more of one defect. Their order is known, so they teach without a teacher."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from iqsr.training.predictor.defects import DEFECTS
from iqsr.training.predictor.sources import crops_of

LADDERS = ("blur", "noise", "jpeg", "ringing")
RUNGS = 5


def ladder(x: Tensor, defect: str, strengths: list[float], seed: int) -> Tensor:
    """x: (1, 3, S, S) clean, in [0, 1]. Returns (1 + rungs, 3, S, S) in whole 1/255ths: x, then each strength.

    Every rung starts from the same state of chance, so that it differs from the one below in strength alone.
    """
    rungs = [DEFECTS[defect](x, s, torch.Generator().manual_seed(seed)).clamp(0, 1) for s in strengths]
    return (torch.cat([x, *rungs]) * 255).round() / 255


def even_strengths() -> list[float]:
    """0 to 1 in `RUNGS` equal steps; 0 is the mildest of a defect, not none of it."""
    return [k / (RUNGS - 1) for k in range(RUNGS)]


def random_ladders(clean: Tensor, count: int, rng: torch.Generator) -> Tensor:
    """clean: (G, 3, S, S). Returns (count, 1 + RUNGS, 3, S, S): ladders of random defects at strengths around even."""
    made: list[Tensor] = []
    for number in range(count):
        name = LADDERS[int(torch.randint(len(LADDERS), (), generator=rng))]
        moved = (torch.rand(RUNGS, generator=rng) - 0.5) * 0.8 / (RUNGS - 1)
        strengths = [max(0.0, min(1.0, s + float(m))) for s, m in zip(even_strengths(), moved, strict=True)]
        seed = int(torch.randint(1 << 31, (), generator=rng))
        made.append(ladder(clean[number % len(clean)][None], name, strengths, seed))
    return torch.stack(made)


def clean_crops(photos: Sequence[Path], size: int, each: int, seed: int) -> Tensor:
    """(N, 3, S, S) uint8: random crops to make ladders of, `each` of them from every photo."""
    crops: list[Tensor] = []
    for number, photo in enumerate(photos):
        rng = torch.Generator().manual_seed(seed * 1_000_003 + number)
        crops += [(s.crop * 255).round().byte() for s in crops_of(photo, size, each, rng)]
    return torch.stack(crops)
