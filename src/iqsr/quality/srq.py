"""srq: a no-reference predictor of super-resolution quality, trained without human labels.

The paper ("Augmenting Perceptual Super-Resolution via Image Quality Predictors", CVPR 2025, section 7) names the
lack of no-reference metrics made for super-resolution as an opportunity. srq is one: an EfficientNet-Lite0 (Tan & Le,
ICML 2019, arXiv:1905.11946) under a dense head, taught by full-reference metrics that saw the clean originals, on
outputs of super-resolution networks, classical distortions and attacks on its own earlier versions (docs/srq.md).
"""

from collections.abc import Mapping
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from iqsr.errors import UsageError, WeightsError
from iqsr.quality.dense import DenseHead, Prediction, Predictor, without_credit_for_nothing

SMALLEST = 64
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Srq(Predictor):
    """Picture to score. Fully convolutional: any size from 64 px a side, one pass for score and map.

    Its convolutions carry their batch norms inside (folded), so training and evaluation mode are the same function.
    """

    def __init__(self, imagenet: Mapping[str, Tensor] | None = None) -> None:
        """imagenet: the trunk's tensors under timm's names, before folding, to start learning from."""
        super().__init__()
        trunk: Any = timm.create_model("tf_efficientnet_lite0", features_only=True, pretrained=False)
        if imagenet is not None:
            trunk.load_state_dict({name: imagenet[name] for name in trunk.state_dict()})
        self.trunk = fold_batch_norms(trunk.eval())
        self.head = DenseHead(trunk.feature_info.channels())

    def predict(self, x: Tensor) -> Prediction:
        """x: (N, 3, H, W) in [0, 1], H and W at least 64. UsageError for any other shape."""
        if x.ndim != 4 or x.shape[1] != 3 or min(x.shape[2:]) < SMALLEST:
            raise UsageError(f"srq expected (N, 3, H, W) of at least {SMALLEST}x{SMALLEST}, got {tuple(x.shape)}")
        mean, std = (x.new_tensor(t).view(1, 3, 1, 1) for t in (_MEAN, _STD))
        features = self.trunk(((x - mean) / std).contiguous(memory_format=torch.channels_last))
        found = self.head(features, (features[2].shape[2], features[2].shape[3]))
        return without_credit_for_nothing(found, x)


def load_srq(path: Path | None = None) -> Srq:
    """The shipped predictor, or the one in a safetensors file at `path`; frozen, fp32.

    Raises WeightsError where the file is missing or is not an srq.
    """
    model = Srq()
    load_predictor(model, path or Path(str(resources.files("iqsr.quality") / "srq.safetensors")))
    return model


def load_predictor(model: nn.Module, path: Path) -> None:
    """Fill `model` from a safetensors file and freeze it. WeightsError where file and model do not fit."""
    try:
        state = load_file(path)
        model.load_state_dict({k: v.float() for k, v in state.items()})
    except Exception as error:
        why = str(error).splitlines()[0]
        raise WeightsError(
            f"{path.name}: not weights of this predictor ({why}); train them with `iqsr train-quality`"
        ) from error
    model.eval().requires_grad_(False)
    model.to(memory_format=torch.channels_last)


def fold_batch_norms(trunk: nn.Module) -> nn.Module:
    """Fold every batch norm of a timm network into the convolution before it, keeping its activation. In place."""
    for parent in list(trunk.modules()):
        children = list(parent.named_children())
        for (conv_name, conv), (norm_name, norm) in pairwise(children):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                activation = getattr(norm, "act", nn.Identity())
                setattr(parent, conv_name, fuse_conv_bn_eval(conv, norm))
                setattr(parent, norm_name, activation)
    return trunk
