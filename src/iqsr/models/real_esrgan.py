"""Real-ESRGAN's two networks (Wang et al., 2021, arXiv:2107.10833), for the models of `registry.toml`.

They are spandrel's `ESRGAN` and `Compact` in their plain form: the same layers, names and results. spandrel itself
imports over forty architectures and torchvision, which takes as long as torch.
"""

import re
from collections.abc import Sequence
from math import log2

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_SLOPE = 0.2
_RESIDUAL = 0.2


class RRDBNet(nn.Module):
    """Residual dense blocks in residual blocks (Wang et al., 2018, arXiv:1809.00219).

    (N, 3, H, W) -> (N, 3, H * scale, W * scale). scale: a power of two.
    """

    architecture = "ESRGAN"

    def __init__(self, *, blocks: int, features: int = 64, growth: int = 32, scale: int = 4) -> None:
        super().__init__()
        trunk = [*(RRDB(features, growth) for _ in range(blocks)), _conv(features, features)]
        enlarge = [layer for _ in range(int(log2(scale))) for layer in _enlarge_twice(features)]
        end = [_conv(features, features), _activation(), _conv(features, 3)]
        self.model = nn.Sequential(_conv(3, features), Shortcut(nn.Sequential(*trunk)), *enlarge, *end)

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, 3, H, W)."""
        return self.model(x)


class Shortcut(nn.Module):
    """x + sub(x)."""

    def __init__(self, sub: nn.Module) -> None:
        super().__init__()
        self.sub = sub

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, C, H, W)."""
        return x + self.sub(x)


class RRDB(nn.Module):
    """Three dense blocks in a residual block."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.RDB1, self.RDB2, self.RDB3 = (ResidualDenseBlock(features, growth) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, C, H, W)."""
        return self.RDB3(self.RDB2(self.RDB1(x))) * _RESIDUAL + x


class ResidualDenseBlock(nn.Module):
    """Five convolutions, each of the concatenated input and outputs of those before."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3, self.conv4 = (
            nn.Sequential(_conv(features + number * growth, growth), _activation()) for number in range(4)
        )
        self.conv5 = nn.Sequential(_conv(features + 4 * growth, features))

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, C, H, W)."""
        maps = [x]
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            maps.append(layer(torch.cat(maps, 1)))
        return self.conv5(torch.cat(maps, 1)) * _RESIDUAL + x


class SRVGGNetCompact(nn.Module):
    """Plain convolutions and one pixel shuffle, added to the enlarged picture.

    (N, 3, H, W) -> (N, 3, H * scale, W * scale).
    """

    architecture = "Compact"

    def __init__(self, *, convolutions: int, features: int = 64, scale: int = 4) -> None:
        super().__init__()
        self.scale = scale
        self.body = nn.ModuleList([_conv(3, features), nn.PReLU(features)])
        for _ in range(convolutions):
            self.body.extend([_conv(features, features), nn.PReLU(features)])
        self.body.append(_conv(features, 3 * scale**2))
        self.upsampler = nn.PixelShuffle(scale)

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, 3, H, W)."""
        out = x
        for layer in self.body:
            out = layer(out)
        out = self.upsampler(out)
        out += F.interpolate(x, scale_factor=self.scale, mode="nearest")
        return out


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def _activation() -> nn.LeakyReLU:
    return nn.LeakyReLU(_SLOPE, inplace=True)


def _enlarge_twice(features: int) -> list[nn.Module]:
    return [nn.Upsample(scale_factor=2, mode="nearest"), _conv(features, features), _activation()]


def real_esrgan_names(names: Sequence[str]) -> dict[str, str]:
    """From the names in an `RRDBNet`'s state, which are ESRGAN's first (`model.1.sub.0.RDB1.conv1.0.weight`), to those
    of Real-ESRGAN's checkpoints (`body.0.rdb1.conv1.weight`).
    """
    ends = sorted({int(found[1]) for name in names if (found := re.match(r"model\.(\d+)\.(?:weight|bias)$", name))})
    trunk = max(int(found[1]) for name in names if (found := re.match(r"model\.1\.sub\.(\d+)\.", name)))
    layers = {f"model.1.sub.{trunk}": "conv_body", f"model.{ends[0]}": "conv_first"}
    layers |= {f"model.{index}": f"conv_up{n}" for n, index in enumerate(ends[1:-2], 1)}
    layers |= {f"model.{ends[-2]}": "conv_hr", f"model.{ends[-1]}": "conv_last"}

    def renamed(name: str) -> str:
        layer, kind = name.rsplit(".", 1)
        inside = re.sub(r"^model\.1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0$", r"body.\1.rdb\2.conv\3", layer)
        return f"{layers.get(layer, inside)}.{kind}"

    return {name: renamed(name) for name in names}
