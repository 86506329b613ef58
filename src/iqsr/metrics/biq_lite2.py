"""biq-lite2: a no-reference predictor of the mean score that people give a photo.

A small network on statistics of a frozen EfficientNet-Lite2 (Tan & Le, ICML 2019, arXiv:1905.11946). It learned from
people's scores of 10,000 whole photos with real defects: BIQ2021 (Ahmed & Asif, Journal of Electronic Imaging 2022,
doi:10.1117/1.JEI.31.5.053010). See docs/model-cards/biq-lite2.md.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iqsr.metrics.card import MetricCard, Precision
from iqsr.metrics.dense import blankness
from iqsr.metrics.efficientnet_lite import LITE2_WIDTHS, EfficientNetLite2
from iqsr.metrics.srq import load_predictor, shipped_weights
from iqsr.metrics.srq_2 import around, as_rows, cell_statistics, check_size
from iqsr.picture_checks import check_batch

COUNT = 2 * sum(LITE2_WIDTHS)
"""Statistics of a picture: the mean and the logarithm of the deviation of each channel."""
HIDDEN = 64
LEAST_CONTENT = 0.5
"""Where less of the picture than this is not blank, the score falls, to 0 for a blank one."""
STATISTICS_LIMIT = 4.0
"""Standard deviations beyond which a statistic of a picture counts no more."""


class BiqLite2(nn.Module):
    """Maps a picture to its score: any size from 64x64. Only the head was learned, the trunk is ImageNet's."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = EfficientNetLite2()
        self.head = OpinionHead()

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, 3, H, W) in [0, 1]. Returns (N,) in [0, 100], higher is better; differentiable. UsageError."""
        check_size("biq-lite2", x)
        content = 1 - blankness(x).mean((1, 2, 3))
        return self.head(cell_statistics(self.trunk, x).mean((2, 3))) * (content / LEAST_CONTENT).clamp(max=1)

    def quality_map(self, x: Tensor) -> Tensor:
        """x: (N, 3, H, W) in [0, 1]. Returns (N, 1, H/8, W/8) in [0, 100], higher is better. UsageError.

        Each place is judged by the cells of 32x32 pixels around it, three by three, as if they were a photo.
        """
        check_batch("the quality map", x)
        check_size("biq-lite2", x)
        statistics = around(cell_statistics(self.trunk, x))
        quality = self.head(as_rows(statistics)).view(len(x), 1, *statistics.shape[2:])
        blank = blankness(x)
        return F.interpolate(quality, blank.shape[2:], mode="bilinear", align_corners=False) * (1 - blank)


class OpinionHead(nn.Module):
    """The mean opinion score that standardised statistics of a picture foretell: one hidden layer."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(COUNT))
        self.deviation = nn.Parameter(torch.ones(COUNT))
        self.hidden = nn.Linear(COUNT, HIDDEN)
        self.out = nn.Linear(HIDDEN, 1)

    def standard(self, statistics: Tensor) -> Tensor:
        """(N, COUNT): statistics by mean and deviation of the photos learned from, within four deviations."""
        return ((statistics - self.mean) / self.deviation).clamp(-STATISTICS_LIMIT, STATISTICS_LIMIT)

    def forward(self, statistics: Tensor) -> Tensor:
        """(N, COUNT) -> (N,) in (0, 100)."""
        return 100 * torch.sigmoid(self.out(F.silu(self.hidden(self.standard(statistics))))[:, 0])


def load_biq_lite2(path: Path | None = None) -> BiqLite2:
    """The shipped predictor, or the one in a safetensors file at `path`; frozen, fp32.

    Raises WeightsError where the file is missing or is not a biq-lite2.
    """
    return load_predictor(BiqLite2(), path or shipped_weights("biq-lite2"))


def from_card(card: MetricCard, precision: Precision) -> BiqLite2:
    """The network of biq-lite2's card."""
    return load_biq_lite2()
