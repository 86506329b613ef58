"""AlexNet and VGG16 as stages of features, with torchvision's ImageNet weights: the trunks of LPIPS and DISTS."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from iqsr.io import weights

VGG16_CHANNELS = (64, 128, 256, 512, 512)
_VGG16_DEPTHS = (2, 2, 3, 3, 3)


def alexnet_stages() -> list[nn.Sequential]:
    """The five stages of AlexNet (Krizhevsky, arXiv:1404.5997), each ending in a ReLU; random weights."""
    return [
        nn.Sequential(nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(inplace=True)),
        nn.Sequential(nn.MaxPool2d(3, 2), nn.Conv2d(64, 192, 5, 1, 2), nn.ReLU(inplace=True)),
        nn.Sequential(nn.MaxPool2d(3, 2), nn.Conv2d(192, 384, 3, 1, 1), nn.ReLU(inplace=True)),
        nn.Sequential(nn.Conv2d(384, 256, 3, 1, 1), nn.ReLU(inplace=True)),
        nn.Sequential(nn.Conv2d(256, 256, 3, 1, 1), nn.ReLU(inplace=True)),
    ]


def vgg16_stages(pool: Callable[[], nn.Module]) -> list[nn.Sequential]:
    """The five stages of VGG16 (Simonyan & Zisserman, arXiv:1409.1556), `pool()` between them; random weights."""
    stages: list[nn.Sequential] = []
    ins = 3
    for outs, depth in zip(VGG16_CHANNELS, _VGG16_DEPTHS, strict=True):
        layers: list[nn.Module] = [pool()] if stages else []
        for _ in range(depth):
            layers += [nn.Conv2d(ins, outs, 3, padding=1), nn.ReLU(inplace=True)]
            ins = outs
        stages.append(nn.Sequential(*layers))
    return stages


def load_stages(stages: Sequence[nn.Module], name: str) -> None:
    """Fill the convolutions of `stages`, in order, from torchvision's file called `name` in `weights.toml`.

    Raises WeightsError where the file is missing or damaged.
    """
    state: dict[str, Tensor] = torch.load(weights.locate(name), map_location="cpu", weights_only=True)
    published = [value for key, value in state.items() if key.startswith("features.")]
    wanted = [parameter for stage in stages for parameter in stage.parameters()]
    for parameter, value in zip(wanted, published, strict=True):
        parameter.data.copy_(value)
