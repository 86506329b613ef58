"""srq-holdout: a second judge of super-resolution quality, for checking what was optimised for srq.

Its trunk is the AlexNet of LPIPS-ST (Ghildyal & Liu, ECCV 2022, arXiv:2207.13686), frozen; its head learned from
other crops with another seed. Nothing in this project optimises it: a gain in srq that srq-holdout does not see is
likely no gain.
"""

from collections.abc import Callable
from importlib import resources
from pathlib import Path

import torch
from torch import Tensor

from iqsr.errors import UsageError
from iqsr.metrics.dense import DenseHead, Prediction, Predictor, without_credit_for_nothing
from iqsr.metrics.lpips_st import LpipsSt
from iqsr.metrics.srq import SMALLEST, load_predictor


class SrqHoldout(Predictor):
    """Picture to score, as `Srq`, from frozen features. Raises WeightsError where LPIPS-ST's weights are missing."""

    def __init__(self) -> None:
        super().__init__()
        self._trunk = [LpipsSt("alex")]  # in a list: not a submodule, so its weights are not saved with the head's
        self.head = DenseHead((64, 192, 384, 256, 256))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "SrqHoldout":
        """The trunk moves and changes its type with the head."""
        super()._apply(fn, recurse)
        self._trunk[0]._apply(fn, recurse)
        return self

    def predict(self, x: Tensor) -> Prediction:
        """x: (N, 3, H, W) in [0, 1], H and W at least 64. UsageError for any other shape."""
        if x.ndim != 4 or x.shape[1] != 3 or min(x.shape[2:]) < SMALLEST:
            raise UsageError(f"srq-holdout expected (N, 3, H, W) of at least {SMALLEST}, got {tuple(x.shape)}")
        features = self._trunk[0].features(x)
        found = self.head([torch.log1p(f) for f in features], (x.shape[2] // 8, x.shape[3] // 8))
        return without_credit_for_nothing(found, x)


def load_srq_holdout(path: Path | None = None) -> SrqHoldout:
    """The shipped judge, or the one whose head is in a safetensors file at `path`; frozen, fp32.

    Raises WeightsError where a file is missing or is not an srq-holdout.
    """
    model = SrqHoldout()
    load_predictor(model, path or Path(str(resources.files("iqsr.metrics") / "srq-holdout.safetensors")))
    return model
