"""ColorVideoVDP (Mantiuk et al., ACM TOG 2024, doi:10.1145/3658144): visible differences in JOD, by its authors' code.

10 JOD: no difference is seen. 1 JOD less: 75 % of people prefer the reference. The model assumes a 30-inch 4K monitor
of 200 cd/m2 in an office, seen from twice its height (`standard_4k`).
"""

import contextlib
import logging
import sys
from typing import Any

import torch
from torch import Tensor, nn

from iqsr.errors import UsageError
from iqsr.metrics.card import MetricCard, Precision

DISPLAY = "standard_4k"


class Cvvdp(nn.Module):
    """The metric, made for a device when the first pictures on it come: that takes seconds."""

    def __init__(self) -> None:
        super().__init__()
        self._metrics: dict[torch.device, Any] = {}

    def forward(self, x: Tensor, reference: Tensor) -> Tensor:
        """x, reference: (N, 3, H, W) in [0, 1]. Returns (N,), in JOD; higher is better, 10 = identical."""
        pairs = zip(x.clamp(0, 1).split(1), reference.clamp(0, 1).split(1), strict=True)
        return torch.stack([self._jod(one, other) for one, other in pairs])

    def _jod(self, x: Tensor, reference: Tensor) -> Tensor:
        if x.device not in self._metrics:
            self._metrics[x.device] = _made_for(x.device)
        jod, _ = self._metrics[x.device].predict(x, reference, dim_order="BCHW")
        return jod.reshape(())


def from_card(card: MetricCard, precision: Precision) -> Cvvdp:
    """The metric; `precision` does not matter to it."""
    return Cvvdp()


def _made_for(device: torch.device) -> Any:
    """The package's metric. Its import changes sys.path and the level of the root logger: both are put back."""
    before, path = logging.root.level, list(sys.path)
    try:
        from pycvvdp import cvvdp
    except ImportError as error:
        raise UsageError(f"the metric 'cvvdp' needs its package: pip install 'iqsr[cvvdp]' ({error})") from error
    finally:
        sys.path[:] = [*path, *(place for place in sys.path if place not in path)]
        logging.root.setLevel(before)
    with contextlib.redirect_stdout(sys.stderr):
        return cvvdp(display_name=DISPLAY, device=device)
