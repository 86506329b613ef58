"""What the predictor learns from: full-reference distances of a picture to its clean original.

The mean of LPIPS-ST's two trunks (Ghildyal & Liu, ECCV 2022, arXiv:2207.13686), for the picture and for each place.
Two trunks disagree where one of them errs; their mean is a better ranking than either.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from iqsr.metrics.lpips_st import LpipsSt


class Judgement(NamedTuple):
    """Distances of N pictures to one original each; 0 = identical."""

    alex: Tensor
    """(N,)"""
    vgg: Tensor
    """(N,)"""
    places: Tensor
    """(N, 1, h, w): the mean of both trunks' maps; its mean is near that of `alex` and `vgg`, as cells overlap."""


class Teachers:
    """LPIPS-ST on both trunks; bf16 on request (error around 1e-3)."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        self.trunks = [LpipsSt("alex").to(dtype), LpipsSt("vgg").to(dtype)]
        for trunk in self.trunks:
            trunk.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.dtype = dtype

    @torch.inference_mode()
    def judge(self, x: Tensor, original: Tensor, grid: int) -> Judgement:
        """x: (N, 3, H, W) and original: (1, 3, H, W) in [0, 1]; `grid`: side of the map."""
        distances: list[Tensor] = []
        places = torch.zeros(())
        for trunk in self.trunks:
            stages = [s.float() for s in trunk.distance_maps(self._laid_out(x), self._laid_out(original))]
            distances.append(torch.stack([s.mean((1, 2, 3)) for s in stages]).sum(0))
            places = places + sum((F.adaptive_avg_pool2d(s, grid) for s in stages), torch.zeros(())) / 2
        return Judgement(distances[0], distances[1], places)

    def _laid_out(self, x: Tensor) -> Tensor:
        return x.to(self.dtype).contiguous(memory_format=torch.channels_last)
