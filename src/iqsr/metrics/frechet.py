"""Fréchet distance of two sets of pictures in the features of a network: FID, and the same with other features.

Heusel, Ramsauer, Unterthiner, Nessler & Hochreiter, "GANs Trained by a Two Time-Scale Update Rule Converge to a Local
Nash Equilibrium", NeurIPS 2017, arXiv:1706.08500. It is one number of a whole set. It is biased upwards, and the more
so the fewer pictures there are: compare only values of as many pictures (or patches), cut in the same way.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from iqsr.io import weights
from iqsr.metrics.card import MetricCard, Precision
from iqsr.metrics.efficientnet_lite import EfficientNetLite0

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_AT_ONCE = 16
"""Patches of a picture that go through the network together. Always as many, so that no setting changes a value."""


def frechet_distance(x: NDArray[Any], y: NDArray[Any]) -> float:
    """The squared Fréchet distance of the Gaussians that are fitted to two sets of features (FID, eq. 6).

    |mean_x - mean_y|^2 + trace(C_x + C_y - 2 (C_x C_y)^(1/2)) with the sample covariances C.

    The trace of the square root is the sum of the singular values of A_x A_y', where C = A' A. So no root of a matrix
    is taken, and covariances may be singular (fewer pictures than features).

    Args:
        x: (n, d) features, n >= 2.
        y: (m, d), m >= 2.

    Returns:
        0 or more; 0 where means and covariances are equal.
    """
    x, y = x.astype(np.float64), y.astype(np.float64)
    a, b = _root_of_covariance(x), _root_of_covariance(y)
    of_product = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    of_means = np.square(x.mean(0) - y.mean(0)).sum()
    return max(0.0, float(of_means + np.square(a).sum() + np.square(b).sum() - 2 * of_product))


def _root_of_covariance(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """A of (min(n, d), d), where A' A is the sample covariance of (n, d)."""
    a = (x - x.mean(0)) / np.sqrt(len(x) - 1)
    if len(x) <= x.shape[1]:
        return a
    triangle: Any = np.linalg.qr(a, mode="r")
    return triangle


def patch_count(card: MetricCard, width: int, height: int) -> int:
    """What a picture of at least the smallest size gives to its set: 1, or its number of whole patches."""
    if not card.patch:
        return 1
    return ((width - card.patch) // card.stride + 1) * ((height - card.patch) // card.stride + 1)


class PictureFeatures:
    """The features of pictures for a metric of sets, see `load_features`."""

    def __init__(self, card: MetricCard, network: nn.Module, device: torch.device) -> None:
        self.card = card
        self._network = network.to(device).requires_grad_(False).eval()
        self._device = device

    def of(self, picture: Tensor) -> NDArray[np.float32]:
        """The features of a picture, (1, 3, H, W) in [0, 1]: (1, d), or (`patch_count`, d) of its patches, by rows."""
        given = _patches(picture, self.card.patch, self.card.stride) if self.card.patch else picture
        with torch.inference_mode():
            found = [self._network(part.to(self._device)).float().cpu() for part in given.split(_AT_ONCE)]
        return torch.cat(found).numpy()


def _patches(picture: Tensor, side: int, stride: int) -> Tensor:
    """(1, 3, H, W) to the whole patches, (N, 3, side, side), by rows."""
    cut = picture.unfold(2, side, stride).unfold(3, side, stride)
    return cut[0].permute(1, 2, 0, 3, 4).reshape(-1, 3, side, side)


class LiteFeatures(nn.Module):
    """EfficientNet-Lite0 with ImageNet's weights: (N, 3, H, W) in [0, 1] to (N, 320), the means of its last stage.

    Pictures are not resized. Raises WeightsError where the weights are missing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trunk = EfficientNetLite0()
        given: dict[str, Tensor] = torch.load(
            weights.locate("efficientnet-lite0"), map_location="cpu", weights_only=True
        )
        self.trunk.load_unfolded(given.values())

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, 3, H, W)."""
        mean, std = (x.new_tensor(t).view(1, 3, 1, 1) for t in (_MEAN, _STD))
        return self.trunk(((x - mean) / std).contiguous(memory_format=torch.channels_last))[-1].mean((2, 3))


def from_card(card: MetricCard, precision: Precision) -> nn.Module:
    """The network of the card's features, with its weights; always in fp32. Raises WeightsError."""
    if card.variant == "lite0":
        return LiteFeatures()
    from iqsr.metrics.fid_inception import load_fid_inception

    return load_fid_inception()
