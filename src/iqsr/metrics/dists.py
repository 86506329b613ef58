"""DISTS (Ding, Ma, Wang & Simoncelli, IEEE TPAMI 2022, arXiv:2004.07728): structure and texture in deep features.

It compares means (texture) and covariances (structure) of VGG16 features, weighted by human judgements, so that it
tolerates a texture that is resampled, such as another patch of grass.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iqsr.io import weights
from iqsr.metrics.card import MetricCard, Precision
from iqsr.metrics.imagenet import VGG16_CHANNELS, load_stages, vgg16_stages

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_C1, _C2 = 1e-6, 1e-6
_CHANNELS = (3, *VGG16_CHANNELS)


class L2Pool(nn.Module):
    """Halve a feature map without aliasing: the root of Hanning-weighted mean squares (eq. 2). (N, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H / 2, W / 2), rounded up."""
        row = x.new_tensor([0.25, 0.5, 0.25])
        kernel = (row[:, None] * row).expand(x.shape[1], 1, 3, 3)
        return (F.conv2d(x.square(), kernel, stride=2, padding=1, groups=x.shape[1]) + 1e-12).sqrt()


def dists(fx: Sequence[Tensor], fy: Sequence[Tensor], alpha: Tensor, beta: Tensor) -> Tensor:
    """Distance of two pyramids of features (eqs. 4 to 6).

    fx, fy: a (N, C, h, w) for each stage, the picture itself first. alpha, beta: the weights of texture and of
    structure, one for each channel of all stages. Returns (N,), lower is better, 0 = identical.
    """
    total = alpha.sum() + beta.sum()
    channels = [f.shape[1] for f in fx]
    similarity = fx[0].new_zeros(fx[0].shape[0])
    for x, y, a, b in zip(fx, fy, alpha.split(channels), beta.split(channels), strict=True):
        mean_x, mean_y = x.mean((2, 3)), y.mean((2, 3))
        dx, dy = x - mean_x[..., None, None], y - mean_y[..., None, None]
        texture = (2 * mean_x * mean_y + _C1) / (mean_x.square() + mean_y.square() + _C1)
        structure = (2 * (dx * dy).mean((2, 3)) + _C2) / (dx.square().mean((2, 3)) + dy.square().mean((2, 3)) + _C2)
        similarity = similarity + (a * texture + b * structure).sum(1) / total
    return 1 - similarity


class DistsNetwork(nn.Module):
    """DISTS' architecture with random weights."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList(vgg16_stages(L2Pool))
        self.alpha = nn.Parameter(torch.rand(sum(_CHANNELS)))
        self.beta = nn.Parameter(torch.rand(sum(_CHANNELS)))

    def features(self, x: Tensor) -> list[Tensor]:
        """x: (N, 3, H, W) in [0, 1]. Returns the picture and the features of five stages."""
        mean, std = x.new_tensor(_MEAN).view(1, 3, 1, 1), x.new_tensor(_STD).view(1, 3, 1, 1)
        maps, f = [x], (x - mean) / std
        for stage in self.stages:
            f = stage(f)
            maps.append(f)
        return maps

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """x, y: (N, 3, H, W) in [0, 1]. Returns (N,), lower is better, 0 = identical. Differentiable."""
        fx, fy = self.features(x), self.features(y)
        # Means and covariances need all 24 bits; under autocast the features come in fewer.
        with torch.autocast(x.device.type, enabled=False):
            return dists([f.float() for f in fx], [f.float() for f in fy], self.alpha, self.beta)


class Dists(DistsNetwork):
    """DISTS with the published weights, frozen.

    Raises WeightsError with the command that fetches the trunk where it is not here.
    """

    def __init__(self) -> None:
        super().__init__()
        load_stages(list(self.stages), "vgg16-imagenet")
        path = weights.locate("dists-weights")
        state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
        self.alpha.data.copy_(state["alpha"].flatten())
        self.beta.data.copy_(state["beta"].flatten())
        self.eval().requires_grad_(False)


def from_card(card: MetricCard, precision: Precision) -> Dists:
    """The network of DISTS' card."""
    return Dists()
