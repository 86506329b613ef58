"""NIQE (Mittal, Soundararajan & Bovik, IEEE SPL 2013, doi:10.1109/LSP.2012.2227726): distance from natural pictures.

The statistics of the picture's blocks of 96x96 pixels are a multivariate Gaussian. NIQE is its distance from that of
pristine photos, whose parameters are the authors' (`niqe.safetensors`, licence in `LICENSE-LIVE`). It follows their
MATLAB release, with one difference: plain areas, in which the release sees its own rounding errors, count as plain.
"""

from importlib import resources

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iqsr.metrics.card import MetricCard, Precision
from iqsr.metrics.natural_scenes import MARGIN, contrast_normalised, fitted, gray_levels, half_size, moments

BLOCK_PIXELS = 96
"""The side of a block. What is left at the right and the bottom of a picture is not measured."""
_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))
"""Steps (down, right) between the pixels whose products are measured."""


class Niqe(nn.Module):
    """NIQE with the authors' pristine model.

    Args:
        mean: The mean of the 36 features over the blocks of pristine photos, (36,) in float64.
        covariance: Their covariance, (36, 36).
        worst: The value of a picture that has fewer than two blocks with statistics.
    """

    def __init__(self, mean: Tensor, covariance: Tensor, worst: float) -> None:
        super().__init__()
        # No buffers: a device without float64 (MPS) could not hold them.
        self.mean, self.covariance, self.worst = mean, covariance, worst

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, 3, H, W) in [0, 1], at least 192x192. Returns (N,), 0 or more; lower is better. Differentiable."""
        return torch.stack([self._distance(picture).to(x) for picture in x.split(1)])

    def _distance(self, x: Tensor) -> Tensor:
        """Equation 10 of the paper. The mean of a feature is over the blocks that have it, as in the release."""
        features, known = niqe_features(x)
        full = features[known.all(1)]
        if len(full) < 2:
            return 0 * x.sum() + self.worst
        mean = torch.where(known, features, 0.0).sum(0) / known.sum(0)
        covariance = (self.covariance.to(features) + full.T.cov()) / 2
        difference = self.mean.to(features) - mean
        return (difference @ torch.linalg.solve(covariance, difference)).sqrt()


def from_card(card: MetricCard, precision: Precision) -> Niqe:
    """The network of NIQE's card."""
    from safetensors.torch import load_file

    parameters = load_file(str(resources.files("iqsr.metrics") / card.package_data))
    return Niqe(parameters["mean"], parameters["covariance"], worst=card.range[1])


def niqe_features(x: Tensor) -> tuple[Tensor, Tensor]:
    """The 36 features of each block of a picture (1, 3, H, W), (blocks, 36), and which of them are known.

    A block that is plain, or in which all products have one sign, lacks some.
    """
    rows, columns = (side // BLOCK_PIXELS * BLOCK_PIXELS for side in x.shape[2:])
    levels = gray_levels(x[:, :, :rows, :columns])
    scales = [_features(levels, BLOCK_PIXELS), _features(half_size(levels), BLOCK_PIXELS // 2)]
    features, known = (torch.cat(part, 1) for part in zip(*scales, strict=True))
    return features, known


def _features(levels: Tensor, block: int) -> tuple[Tensor, Tensor]:
    """Of one scale, whose blocks have sides of `block` pixels: 18 features."""
    padded = F.pad(levels, (MARGIN,) * 4, mode="replicate")
    rows = range(0, levels.shape[2], block)
    sums = torch.cat([_moments(padded[:, :, top : top + block + 2 * MARGIN], block) for top in rows], 2)
    fit = fitted(sums, block**2)
    (left, right), mean = fit.scales(), fit.mean()
    has_both, always = fit.has_left & fit.has_right, torch.ones_like(fit.has_left)
    features, known = [fit.shape[0], (left[0] + right[0]) / 2], [always[0], has_both[0]]
    for pair in range(1, len(_NEIGHBOURS) + 1):
        features += [fit.shape[pair], mean[pair], left[pair], right[pair]]
        known += [always[pair], has_both[pair], fit.has_left[pair], fit.has_right[pair]]
    return torch.stack(features, 1), torch.stack(known, 1)


def _moments(levels: Tensor, block: int) -> Tensor:
    """Of a row of blocks with its margin: (5, 5, blocks), `moments` of the pixels and of the four products."""
    blocks = contrast_normalised(levels)[0, 0].unflatten(1, (-1, block)).transpose(0, 1).contiguous()
    products = [blocks * blocks.roll(step, (1, 2)) for step in _NEIGHBOURS]  # round the block's edges, as released
    return torch.stack([moments(one.flatten(1)) for one in (blocks, *products)], 1)
