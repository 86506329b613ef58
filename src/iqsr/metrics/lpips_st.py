"""Shift-tolerant LPIPS (Ghildyal & Liu, "Shift-tolerant Perceptual Similarity Metric", ECCV 2022).

arXiv:2207.13686. LPIPS (Zhang et al., CVPR 2018, arXiv:1801.03924) on trunks that do not alias: every
stride is a binomial blur after a wide reflection pad, so a shift by a pixel or two hardly changes the score.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, cast, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iqsr.errors import UsageError
from iqsr.io import weights
from iqsr.metrics.card import MetricCard, Precision

Trunk = Literal["alex", "vgg"]

# LPIPS' input scaling, for pictures in [-1, 1].
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)
# Below this the reflection pad of the last blur does not fit.
_SMALLEST = {"alex": 21, "vgg": 18}


def distance_maps(
    x: Tensor, y: Tensor, stages: Sequence[Callable[[Tensor], Tensor]], heads: Sequence[Tensor]
) -> Iterator[Tensor]:
    """Differences of two batches in the features of `stages`, weighted by `heads`: one map for each stage.

    x: (N, 3, H, W) and y: (N or 1, 3, H, W) in [0, 1]. stages: the trunk in order, each fed the one before. heads:
    a (C,) of non-negative weights for each stage. Yields (N, 1, h, w), 0 = identical; differentiable in x and y.
    """
    fx, fy = scaled(x), scaled(y)
    for stage, head in zip(stages, heads, strict=True):
        fx, fy = stage(fx), stage(fy)
        squared = (_unit_length(fx) - _unit_length(fy)).square()
        yield F.conv2d(squared, head.view(1, -1, 1, 1))  # LPIPS, eq. 1, before the mean


def lpips_st(x: Tensor, y: Tensor, stages: Sequence[Callable[[Tensor], Tensor]], heads: Sequence[Tensor]) -> Tensor:
    """Distance of two batches in the features of `stages`, calibrated to human judgements by `heads`.

    y: as many as x, or one for all of x. Of an expanded view of one picture the features are computed once.

    The `distance_maps`, averaged over positions and summed over stages (LPIPS, eq. 1). Returns (N,), lower is better.
    """
    shared = y[:1] if y.stride(0) == 0 else y
    return sum((m.mean((1, 2, 3)) for m in distance_maps(x, shared, stages, heads)), x.new_zeros(x.shape[0]))


class LpipsSt(nn.Module):
    """`lpips_st` with the authors' weights, frozen. LPIPS-ST values of the two trunks are not comparable.

    Raises WeightsError where the weights are missing or damaged.
    """

    def __init__(self, trunk: Trunk = "alex") -> None:
        super().__init__()
        if trunk not in get_args(Trunk):
            raise UsageError(f"unknown LPIPS-ST trunk '{trunk}'; known: {', '.join(get_args(Trunk))}")
        self.trunk: Trunk = trunk
        self.stages = nn.ModuleList(_alex_stages() if trunk == "alex" else _vgg_stages())
        self.heads = nn.ParameterList()
        _load_weights(self)
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """x, y: (N, 3, H, W) in [0, 1]. Returns (N,), lower is better. UsageError for any other shape."""
        self._check(x, y)
        return lpips_st(x, y, list(self.stages), list(self.heads))

    def distance_maps(self, x: Tensor, y: Tensor) -> list[Tensor]:
        """x: (N, 3, H, W) and y: (N or 1, 3, H, W) in [0, 1]. Returns a (N, 1, h, w) for each stage."""
        self._check(x, y.expand_as(x))
        return list(distance_maps(x, y, list(self.stages), list(self.heads)))

    def features(self, x: Tensor) -> list[Tensor]:
        """x: (N, 3, H, W) in [0, 1]. Returns a (N, C, h, w) for each stage, unnormalised; differentiable."""
        self._check(x, x)
        found = scaled(x)
        return [found := stage(found) for stage in self.stages]

    def _check(self, x: Tensor, y: Tensor) -> None:
        if x.ndim != 4 or x.shape[1] != 3 or x.shape != y.shape:
            raise UsageError(
                f"LPIPS-ST expected two (N, 3, H, W) of one shape, got {tuple(x.shape)} and {tuple(y.shape)}"
            )
        if not (x.is_floating_point() and y.is_floating_point()):
            raise UsageError(f"LPIPS-ST expected floats in [0, 1], got {x.dtype} and {y.dtype}")
        if min(x.shape[2:]) < (smallest := _SMALLEST[self.trunk]):
            raise UsageError(
                f"LPIPS-ST ({self.trunk}) needs at least {smallest}x{smallest} pixels, got {x.shape[3]}x{x.shape[2]}"
            )


def from_card(card: MetricCard, precision: Precision) -> LpipsSt:
    """The network of one of LPIPS-ST's cards."""
    return LpipsSt(cast("Trunk", card.variant))


class _BlurDownsample(nn.Module):
    """Halve a feature map through a 3x3 binomial filter, (N, C, H, W) -> (N, C, ~H/2 + 1, ~W/2 + 1).

    Anti-aliasing after Zhang, "Making Convolutional Networks Shift-Invariant Again", ICML 2019. The
    reflection pad is 2, one more than the filter needs: that is part of the metric's shift tolerance.
    """

    def forward(self, x: Tensor) -> Tensor:
        row = x.new_tensor([0.25, 0.5, 0.25])
        kernel = (row[:, None] * row).expand(x.shape[1], 1, 3, 3)
        return F.conv2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), kernel, stride=2, groups=x.shape[1])


def _conv(ins: int, outs: int, kernel: int, padding: int) -> list[nn.Module]:
    return [nn.Conv2d(ins, outs, kernel, padding=padding), nn.ReLU(inplace=True)]


def _alex_stages() -> list[nn.Sequential]:
    """AlexNet; its first convolution has stride 1 and is blurred before the ReLU."""
    first, relu = _conv(3, 64, 11, 2)
    return [
        nn.Sequential(first, _BlurDownsample(), relu),
        nn.Sequential(nn.MaxPool2d(3, stride=1), _BlurDownsample(), *_conv(64, 192, 5, 2)),
        nn.Sequential(nn.MaxPool2d(3, stride=1), _BlurDownsample(), *_conv(192, 384, 3, 1)),
        nn.Sequential(*_conv(384, 256, 3, 1)),
        nn.Sequential(*_conv(256, 256, 3, 1)),
    ]


def _vgg_stages() -> list[nn.Sequential]:
    """VGG-16; every max-pool is taken densely, then blurred."""
    stages: list[nn.Sequential] = []
    ins = 3
    for outs, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        layers: list[nn.Module] = [nn.MaxPool2d(2, stride=1), _BlurDownsample()] if stages else []
        for _ in range(depth):
            layers += _conv(ins, outs, 3, 1)
            ins = outs
        stages.append(nn.Sequential(*layers))
    return stages


def scaled(x: Tensor) -> Tensor:
    """LPIPS' scaling of a picture in [0, 1]."""
    return (2 * x - 1 - x.new_tensor(_SHIFT).view(1, 3, 1, 1)) / x.new_tensor(_SCALE).view(1, 3, 1, 1)


def _unit_length(features: Tensor) -> Tensor:
    """Each position's feature vector scaled to length 1; all zeros stay zeros, with a finite gradient."""
    return features / (torch.linalg.vector_norm(features, dim=1, keepdim=True) + 1e-10)


def _load_weights(metric: LpipsSt) -> None:
    """Fill trunk and heads from the authors' file: convolutions in the network's order, `lin0` to `lin4`."""
    path = weights.locate(f"lpips-st-{metric.trunk}")
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    trunk = [v for k, v in state.items() if k.startswith("net.") and k.endswith((".weight", ".bias"))]
    wanted = [p for stage in metric.stages for p in stage.parameters()]
    heads = [state[f"lin{i}.model.1.weight"].flatten() for i in range(len(metric.stages))]
    for parameter, value in zip(wanted, trunk, strict=True):
        parameter.data.copy_(value)
    metric.heads.extend(nn.Parameter(head) for head in heads)
