"""LPIPS (Zhang, Isola, Efros, Shechtman & Wang, CVPR 2018, arXiv:1801.03924), version 0.1: distance in deep features.

The trunks are torchvision's, the linear heads are the authors'.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from iqsr.io import weights
from iqsr.metrics.card import MetricCard, Precision
from iqsr.metrics.imagenet import alexnet_stages, load_stages, vgg16_stages
from iqsr.metrics.lpips_st import Trunk, lpips_st


class LpipsNetwork(nn.Module):
    """LPIPS' architecture with random weights: `lpips_st` on trunks with strides and max-pooling as published."""

    def __init__(self, trunk: Trunk = "alex") -> None:
        super().__init__()
        stages = alexnet_stages() if trunk == "alex" else vgg16_stages(lambda: nn.MaxPool2d(2))
        self.stages = nn.ModuleList(stages)
        self.heads = nn.ParameterList(torch.rand(_channels(stage)) for stage in stages)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """x, y: (N, 3, H, W) in [0, 1]. Returns (N,), lower is better, 0 = identical. Differentiable."""
        return lpips_st(x, y, list(self.stages), list(self.heads))


class Lpips(LpipsNetwork):
    """LPIPS with the published weights, frozen. Values of the two trunks are not comparable.

    Raises WeightsError with the command that fetches the trunk where it is not here.
    """

    def __init__(self, trunk: Trunk = "alex") -> None:
        super().__init__(trunk)
        load_stages(list(self.stages), "alexnet-imagenet" if trunk == "alex" else "vgg16-imagenet")
        load_heads(list(self.heads), f"lpips-heads-{trunk}")
        self.eval().requires_grad_(False)


def from_card(card: MetricCard, precision: Precision) -> Lpips:
    """The network of one of LPIPS' cards."""
    return Lpips(cast("Trunk", card.variant))


def load_heads(heads: Sequence[Tensor], name: str) -> None:
    """Fill the heads, one weight for each channel of a stage, from the authors' file `name` of `weights.toml`."""
    state: dict[str, Tensor] = torch.load(weights.locate(name), map_location="cpu", weights_only=True)
    for i, head in enumerate(heads):
        head.data.copy_(state[f"lin{i}.model.1.weight"].flatten())


def _channels(stage: nn.Sequential) -> int:
    return [layer.out_channels for layer in stage if isinstance(layer, nn.Conv2d)][-1]
