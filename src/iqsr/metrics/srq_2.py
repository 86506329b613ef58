"""srq-2: a no-reference predictor of how people rate super-resolved pictures.

Three terms make its score (docs/model-cards/srq-2.md):

* defects: a linear head on a frozen EfficientNet-Lite0 (Tan & Le, ICML 2019, arXiv:1905.11946), learned from pairs of
  enlargements in which one shows a defect;
* sharpness: the variance of the Laplacian, lowered where fine structure runs in one direction, as painted strokes do;
  its two weights were learned from people's votes over results of four networks;
* a gate: sharpness counts only where the first term sees no defect. Else grit and hair-like scratches would pass for
  detail.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iqsr.errors import UsageError
from iqsr.metrics.card import MetricCard, Precision
from iqsr.metrics.dense import blankness
from iqsr.metrics.efficientnet_lite import MEAN, STD, WIDTHS, EfficientNetLite, EfficientNetLite0
from iqsr.metrics.pixels import gray
from iqsr.metrics.srq import MINIMUM_SIZE, load_predictor, shipped_weights
from iqsr.picture_checks import check_batch

CELL = 32
"""Side of a cell in pixels: features are averaged, and their deviation is measured, in cells."""
_STATISTICS_LIMIT = 6.0
"""Standard deviations beyond which a statistic of a picture counts no more."""

# Bends of `combined`. They were chosen for the pairs of `evaluation/srq2/compare.py`, each with its method left out.
_SOUND, _SOUND_STEEPNESS = 0.25, 8.0
"""Soundness above this counts no more."""
_SHARP, _SHARP_STEEPNESS = 0.0, 2.0
"""Sharpness above this counts no more."""
_GATE_STEEPNESS = 2.0
_DEFECT_SCALE, _SHARPNESS_SCALE = 1.3, 0.1
_BLANK_FREE, _BLANK_POWER = 0.02, 4
"""The share of blank area that costs nothing, and what more of it costs: edges of bars look sharp and sound, and must
not raise a score."""
_LOSS_SCALE = 0.9
"""The loss at which the score has fallen to 100 / e = 37."""


class Srq2(nn.Module):
    """Maps a picture to its score: any size from 64x64. Only the two heads were learned, the trunk is ImageNet's."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = EfficientNetLite0()
        self.defects = StandardisedSum(2 * sum(WIDTHS))
        self.sharpness = StandardisedSum(2)

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, 3, H, W) in [0, 1]. Returns (N,) in [0, 100], higher is better; differentiable. UsageError."""
        check_size("srq-2", x)
        soundness = self.defects(cell_statistics(self.trunk, x).mean((2, 3)))
        return combined(soundness, self.sharpness(sharpness_of(x))) * content_share(x)

    def quality_map(self, x: Tensor) -> Tensor:
        """x: (N, 3, H, W) in [0, 1]. Returns (N, 1, H/8, W/8) in [0, 100], higher is better. UsageError.

        Each place is judged by the cells of 32x32 pixels around it, three by three.
        """
        check_batch("the quality map", x)
        check_size("srq-2", x)
        statistics = around(cell_statistics(self.trunk, x))
        grid = statistics.shape[2:]
        sharpness = _figures([around(F.adaptive_avg_pool2d(part, (grid[0], grid[1]))) for part in _sharpness_parts(x)])
        soundness = self.defects(as_rows(statistics))
        quality = combined(soundness, self.sharpness(as_rows(sharpness))).view(len(x), 1, *grid)
        blank = blankness(x)
        return F.interpolate(quality, blank.shape[2:], mode="bilinear", align_corners=False) * (1 - blank)


def combined(soundness: Tensor, sharpness: Tensor) -> Tensor:
    """The score, (N,) in (0, 100]: less where there are defects; where there are none, less where it is not sharp."""
    defects = _shortfall(soundness, _SOUND, _SOUND_STEEPNESS)
    softness = _shortfall(sharpness, _SHARP, _SHARP_STEEPNESS)
    gate = torch.sigmoid(_GATE_STEEPNESS * (soundness - _SOUND))
    loss = _DEFECT_SCALE * defects + _SHARPNESS_SCALE * gate * softness
    return 100 * torch.exp(-(loss / _LOSS_SCALE).sqrt())


def content_share(x: Tensor) -> Tensor:
    """(N,): 1 for a picture without blank areas, 0 for a blank one; by this a score is multiplied."""
    blank = F.relu(blankness(x).mean((1, 2, 3)) - _BLANK_FREE) / (1 - _BLANK_FREE)
    return (1 - blank) ** _BLANK_POWER


def check_size(name: str, x: Tensor) -> None:
    """UsageError where x is no batch of pictures of 64 px or more; `name` is the metric's."""
    if x.ndim != 4 or x.shape[1] != 3 or min(x.shape[2:]) < MINIMUM_SIZE:
        size = f"{MINIMUM_SIZE}x{MINIMUM_SIZE}"
        raise UsageError(f"{name} expected (N, 3, H, W) of at least {size}, got {tuple(x.shape)}")


class StandardisedSum(nn.Module):
    """A weighted sum of statistics, each by its mean and deviation over the learning set, within six deviations."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.mean, self.weight = (nn.Parameter(torch.zeros(count)) for _ in range(2))
        self.deviation = nn.Parameter(torch.ones(count))

    def forward(self, statistics: Tensor) -> Tensor:
        """(N, count) -> (N,)."""
        standard = (statistics - self.mean) / self.deviation
        return (standard.clamp(-_STATISTICS_LIMIT, _STATISTICS_LIMIT) * self.weight).sum(1)


def cell_statistics(trunk: EfficientNetLite, x: Tensor) -> Tensor:
    """(N, C, rows, columns): each channel's mean in each cell, of all stages; then the logarithms of the deviations.

    Stages at 1/32 have one value a cell; their deviation is that of the cells around, three by three. At most 31
    pixels on the right and below, beyond the last whole cell, have no part.
    """
    mean, std = (x.new_tensor(t).view(1, 3, 1, 1) for t in (MEAN, STD))
    whole = x[:, :, : x.shape[2] // CELL * CELL, : x.shape[3] // CELL * CELL]
    features = trunk.stages(((whole - mean) / std).contiguous(memory_format=torch.channels_last))
    means, deviations = list[Tensor](), list[Tensor]()
    with torch.autocast(x.device.type, enabled=False):
        for feature in features:
            feature = feature.float()
            side = CELL * feature.shape[3] // whole.shape[3]
            if side > 1:
                average = local = F.avg_pool2d(feature, side)
                square = F.avg_pool2d(feature.square(), side)
            else:
                average, local, square = feature, around(feature), around(feature.square())
            means.append(average)
            deviations.append((square - local.square()).clamp_min(1e-8).sqrt())
        return torch.cat([*means, (torch.cat(deviations, 1) + 0.01).log()], 1)


_ENERGY_FLOOR = 1e-6
_TENSOR_SIGMA = 1.5
_TENSOR_RADIUS = 4


def sharpness_of(x: Tensor) -> Tensor:
    """(N, 2): the logarithm of the Laplacian's energy, and the share of the gradient that runs in one direction."""
    return _figures([part.mean((2, 3)) for part in _sharpness_parts(x)])


def _figures(parts: list[Tensor]) -> Tensor:
    laplacian, gradient, directed = parts
    return torch.cat([(laplacian + _ENERGY_FLOOR).log(), directed / (gradient + _ENERGY_FLOOR)], 1)


def _sharpness_parts(x: Tensor) -> list[Tensor]:
    """At each inner pixel: the squared Laplacian of luma, the energy of its gradient, and the part in one direction.

    The last two are of the structure tensor, averaged by a Gaussian (sigma 1.5 px). Each is (N, 1, H - 2, W - 2).
    """
    with torch.autocast(x.device.type, enabled=False):
        y = gray(x.float())
        middle = y[..., 1:-1, 1:-1]
        left, right, above, below = y[..., 1:-1, :-2], y[..., 1:-1, 2:], y[..., :-2, 1:-1], y[..., 2:, 1:-1]
        laplacian = left + right + above + below - 4 * middle
        across, down = right - left, below - above
        xx, yy, xy = (_smoothed(t) for t in (across.square(), down.square(), across * down))
        energy = xx + yy
        along = ((xx - yy).square() + 4 * xy.square() + 1e-12).sqrt()
        return [laplacian.square(), energy, along * energy / (energy + 1e-4)]


def _smoothed(x: Tensor) -> Tensor:
    place = torch.arange(-_TENSOR_RADIUS, _TENSOR_RADIUS + 1, device=x.device, dtype=x.dtype)
    kernel = torch.softmax(-place.square() / (2 * _TENSOR_SIGMA**2), 0)
    x = F.pad(x, (_TENSOR_RADIUS,) * 4, mode="reflect")
    return F.conv2d(F.conv2d(x, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))


def _shortfall(x: Tensor, enough: float, steepness: float) -> Tensor:
    """How far x is below `enough`; 0 above it, with a smooth bend."""
    return F.softplus(steepness * (enough - x)) / steepness


def around(x: Tensor) -> Tensor:
    """The mean of the places around, three by three; at edges of those that exist."""
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


def as_rows(x: Tensor) -> Tensor:
    """(N, C, h, w) -> (N * h * w, C)."""
    return x.permute(0, 2, 3, 1).flatten(0, 2)


def load_srq_2(path: Path | None = None) -> Srq2:
    """The shipped predictor, or the one in a safetensors file at `path`; frozen, fp32.

    Raises WeightsError where the file is missing or is not an srq-2.
    """
    return load_predictor(Srq2(), path or shipped_weights("srq-2"))


def from_card(card: MetricCard, precision: Precision) -> Srq2:
    """The network of srq-2's card."""
    return load_srq_2()
