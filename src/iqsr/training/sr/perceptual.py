"""The perceptual term: distance in the features of a pretrained network, which the recipe names."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iqsr.errors import UnknownNameError
from iqsr.io import weights
from iqsr.kernels.frozen_conv import FrozenConv
from iqsr.metrics.lpips_st import LpipsSt, scaled

FEATURES = ("vgg19", "vgg16", "lpips-st-vgg", "lpips-st-alex")
# Layers of torchvision's VGG19, before their ReLU: conv1_2, conv2_2, conv3_4, conv4_4, conv5_4; weights of HGGT.
VGG19_LAYERS = {2: 0.1, 7: 0.1, 16: 1.0, 25: 1.0, 34: 1.0}
VGG16_WEIGHTS = (3.0, 10.0, 90.0, 13.0)
"""Of the first four stages of LPIPS-ST's VGG16: a tenth (the first two) and one, over the mean of the features."""
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Perceptual(nn.Module):
    """output, target (N, 3, H, W) -> a scalar. Frozen; the target gets no gradient.

    features: `vgg19`, as in Real-ESRGAN and HGGT (torchvision's weights); `vgg16`, in the same way with the trunk of
    LPIPS-ST; `lpips-st-vgg` or `lpips-st-alex`, the LPIPS-ST distance. Weights of the last three come with iqsr.
    Raises WeightsError where weights are missing; no other features are used instead.
    """

    def __init__(self, features: str) -> None:
        super().__init__()
        if features not in FEATURES:
            raise UnknownNameError("perceptual features", features, list(FEATURES))
        self.network = _network(features)
        self.network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.eval().requires_grad_(False)
        for part in list(self.network.modules()):
            for name, layer in part.named_children():
                if FrozenConv.fits(layer):
                    setattr(part, name, FrozenConv(layer))

    def forward(self, output: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """See the class. In fp32 also under autocast: small differences of large features do not survive 8 bits.

        weight: (N, 1, H, W), how much each place counts; all as 1 by default.
        """
        with torch.autocast(output.device.type, enabled=False):
            maps = self.network.distance_maps(output.float(), target.detach().float())
            if weight is not None:
                maps = [m * F.adaptive_avg_pool2d(weight, (m.shape[2], m.shape[3])) for m in maps]
            return torch.stack([m.mean() for m in maps]).sum()


def _network(features: str) -> "Vgg19 | Vgg16 | LpipsSt":
    if features == "vgg19":
        return Vgg19()
    if features == "vgg16":
        return Vgg16()
    return LpipsSt("vgg" if features == "lpips-st-vgg" else "alex")


class Vgg16(nn.Module):
    """Weighted L1 distance of the features of LPIPS-ST's VGG16, which are not scaled to unit length.

    Unlike LPIPS, faint grain on a flat area counts for as little as it is.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList(list(LpipsSt("vgg").stages)[: len(VGG16_WEIGHTS)])

    def distance_maps(self, output: Tensor, target: Tensor) -> list[Tensor]:
        """output, target: (N, 3, H, W) in [0, 1], not clamped. Returns a (N, 1, h, w) a stage."""
        f, g, maps = scaled(output), scaled(target), list[Tensor]()
        for weight, stage in zip(VGG16_WEIGHTS, self.stages, strict=True):
            f = stage(f)
            with torch.no_grad():
                g = stage(g)
            maps.append(weight * (f - g).abs().mean(1, keepdim=True))
        return maps


class Vgg19(nn.Module):
    """Weighted L1 distance of VGG19's features (Simonyan & Zisserman, arXiv:1409.1556)."""

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import vgg19

        network = vgg19(weights=None)
        path = weights.locate("vgg19-imagenet")
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        layers = list(network.features.children())[: max(VGG19_LAYERS) + 1]
        self.layers = nn.ModuleList(nn.ReLU() if isinstance(layer, nn.ReLU) else layer for layer in layers)

    def distance_maps(self, output: Tensor, target: Tensor) -> list[Tensor]:
        """output, target: (N, 3, H, W) in [0, 1], not clamped. Returns a (N, 1, h, w) a layer."""
        with torch.no_grad():
            wanted = self.features(target)
        found = self.features(output)
        return [
            w * (f - g).abs().mean(1, keepdim=True)
            for w, f, g in zip(VGG19_LAYERS.values(), found, wanted, strict=True)
        ]

    def features(self, x: Tensor) -> list[Tensor]:
        """One (N, C, h, w) for each of `VGG19_LAYERS`, before its ReLU."""
        mean, std = (x.new_tensor(t).view(1, 3, 1, 1) for t in (_MEAN, _STD))
        x, kept = (x - mean) / std, list[Tensor]()
        for number, layer in enumerate(self.layers):
            x = layer(x)
            if number in VGG19_LAYERS:
                kept.append(x)
        return kept
