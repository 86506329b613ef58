"""srq: a no-reference predictor of super-resolution quality, trained without human labels.

The paper ("Augmenting Perceptual Super-Resolution via Image Quality Predictors", CVPR 2025, section 7) names the
lack of no-reference metrics made for super-resolution as an opportunity. srq is one: an EfficientNet-Lite0 (Tan & Le,
ICML 2019, arXiv:1905.11946) and a dense head. Its targets in training are full-reference metrics against the clean
originals, on outputs of super-resolution networks, classical distortions and adversarial examples of its own earlier
versions (docs/model-cards/srq.md).
"""

from importlib import resources
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from iqsr.errors import UsageError, WeightsError
from iqsr.finite import not_finite
from iqsr.io.model_files import identify_file
from iqsr.metrics.card import MetricCard, Precision
from iqsr.metrics.dense import DenseHead, Prediction, Predictor, penalise_blank_areas
from iqsr.metrics.efficientnet_lite import CHANNELS, MEAN, STD, EfficientNetLite0

_M = TypeVar("_M", bound=nn.Module)
MINIMUM_SIZE = 64
"""The minimum height and width in pixels."""


class Srq(Predictor):
    """Maps a picture to its score. Fully convolutional: any size from 64x64; one pass gives score and quality map.

    Batch norms are folded into the convolutions, so training and evaluation mode compute the same function.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trunk = EfficientNetLite0()
        self.head = DenseHead(CHANNELS)

    def predict(self, x: Tensor) -> Prediction:
        """x: (N, 3, H, W) in [0, 1], H and W at least 64. UsageError for any other shape."""
        if x.ndim != 4 or x.shape[1] != 3 or min(x.shape[2:]) < MINIMUM_SIZE:
            raise UsageError(
                f"srq expected (N, 3, H, W) of at least {MINIMUM_SIZE}x{MINIMUM_SIZE}, got {tuple(x.shape)}"
            )
        mean, std = (x.new_tensor(t).view(1, 3, 1, 1) for t in (MEAN, STD))
        features = self.trunk(((x - mean) / std).contiguous(memory_format=torch.channels_last))
        prediction = self.head(features, (features[2].shape[2], features[2].shape[3]))
        return penalise_blank_areas(prediction, x)


def load_srq(path: Path | None = None) -> Srq:
    """The shipped predictor, or the one in a safetensors file at `path`; frozen, fp32.

    Raises WeightsError where the file is missing or is not an srq.
    """
    return load_predictor(Srq(), path or shipped_weights("srq"))


def from_card(card: MetricCard, precision: Precision) -> Srq:
    """The network of srq's or srq-defects' card, or of a predictor's that a user trained."""
    return load_srq(Path(card.weights_file) if card.weights_file else shipped_weights(card.name))


def shipped_weights(name: str) -> Path:
    """The weights of a predictor that are in the package."""
    return Path(str(resources.files("iqsr.metrics") / f"{name}.safetensors"))


def load_predictor(model: _M, path: Path) -> _M:
    """Fill `model` from a safetensors file and freeze it; returns it. WeightsError where file and model do not fit."""
    try:
        state = load_file(path)
        model.load_state_dict({k: v.float() for k, v in state.items()})
    except Exception as error:
        reason = identify_file(path) if path.is_file() else None
        reason = reason or f"not weights of this predictor ({str(error).splitlines()[0]})"
        raise WeightsError(f"{path.name}: {reason}; train them with `iqsr train-quality`") from error
    if found := not_finite(model.named_parameters()):
        raise WeightsError(f"{path.name}: {found}: damaged, or its training failed; train it again")
    model.eval().requires_grad_(False)
    model.to(memory_format=torch.channels_last)
    return model
