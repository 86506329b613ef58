"""srq-holdout: a second no-reference predictor, for checking networks that were trained with srq as the quality.

Its trunk is the AlexNet of LPIPS-ST (Ghildyal & Liu, ECCV 2022, arXiv:2207.13686), frozen; its head was trained on
other crops with another seed. Nothing in this project optimises it: a gain in srq without a gain in srq-holdout is
likely no gain.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from iqsr.errors import UsageError
from iqsr.metrics.card import MetricCard, Precision
from iqsr.metrics.dense import DenseHead, Prediction, Predictor, penalise_blank_areas
from iqsr.metrics.lpips_st import LpipsSt
from iqsr.metrics.srq import MINIMUM_SIZE, load_predictor, shipped_weights


class SrqHoldout(Predictor):
    """Maps a picture to its score, as `Srq` does, from frozen features.

    Raises WeightsError where LPIPS-ST's weights are missing.
    """

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
        if x.ndim != 4 or x.shape[1] != 3 or min(x.shape[2:]) < MINIMUM_SIZE:
            raise UsageError(f"srq-holdout expected (N, 3, H, W) of at least {MINIMUM_SIZE}, got {tuple(x.shape)}")
        features = self._trunk[0].features(x)
        prediction = self.head([torch.log1p(f) for f in features], (x.shape[2] // 8, x.shape[3] // 8))
        return penalise_blank_areas(prediction, x)


def load_srq_holdout(path: Path | None = None) -> SrqHoldout:
    """The shipped predictor, or the one whose head is in a safetensors file at `path`; frozen, fp32.

    Raises WeightsError where a file is missing or is not an srq-holdout.
    """
    return load_predictor(SrqHoldout(), path or shipped_weights("srq-holdout"))


def from_card(card: MetricCard, precision: Precision) -> SrqHoldout:
    """The network of srq-holdout's card, or of a predictor's that a user trained."""
    return load_srq_holdout(Path(card.weights_file) if card.weights_file else None)
