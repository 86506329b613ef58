"""Blur kernels: Gaussian, generalised Gaussian, plateau-shaped and sinc.

Real-ESRGAN (Wang et al., ICCVW 2021, arXiv:2107.10833), section 3.1 and 3.3; generalised and plateau shapes after
Liu et al., "Estimating Generalized Gaussian Blur Kernels for Out-of-Focus Image Deblurring" (TCSVT 2020).
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from iqsr.degrade.parameters import BlurParameters, Range, check_probability, check_range, pick, uniform
from iqsr.errors import UsageError

KERNEL_KINDS = ("iso", "aniso", "generalised_iso", "generalised_aniso", "plateau_iso", "plateau_aniso", "sinc", "pulse")
"""The kinds of kernels that `BlurParameters.kind` indexes. A pulse leaves the picture unchanged."""

_ISO, _GENERALISED, _PLATEAU = (0, 2, 4), (2, 3), (4, 5)
_SINC, _PULSE = KERNEL_KINDS.index("sinc"), KERNEL_KINDS.index("pulse")


@dataclass(frozen=True)
class KernelMix:
    """Relative weights of the shapes of kernels that are not sincs."""

    iso: float = 0.7
    aniso: float = 0.3
    generalised_iso: float = 0.0
    generalised_aniso: float = 0.0
    plateau_iso: float = 0.0
    plateau_aniso: float = 0.0

    def __post_init__(self) -> None:
        if min(self.weights) < 0 or sum(self.weights) <= 0:
            raise UsageError(f"weights of kernel shapes must be 0 or more, and not all 0: got {self.weights}")

    @property
    def weights(self) -> tuple[float, ...]:
        """In the order of `KERNEL_KINDS`."""
        return (
            self.iso,
            self.aniso,
            self.generalised_iso,
            self.generalised_aniso,
            self.plateau_iso,
            self.plateau_aniso,
        )


@dataclass(frozen=True)
class Blur:
    """A random blur, with a kernel for each picture.

    sizes: odd kernel sides, drawn uniformly, px. sigma: px, drawn for each axis of anisotropic kernels.
    sinc: probability of a sinc kernel in place of a shape of `mix`. beta_generalised, beta_plateau: exponents; below 1
    and above 1 are drawn equally often, each uniformly (as BasicSR does). probability: of any blur, for a batch.
    """

    sizes: tuple[int, ...]
    sigma: Range
    sinc: float
    mix: KernelMix = KernelMix()
    beta_generalised: Range = (0.5, 4.0)
    beta_plateau: Range = (1.0, 2.0)
    probability: float = 1.0

    def __post_init__(self) -> None:
        check_sizes(self.sizes)
        check_range("sigma", self.sigma, 1e-3)
        check_probability("sinc", self.sinc)
        check_probability("probability", self.probability)
        for name, range in (("beta_generalised", self.beta_generalised), ("beta_plateau", self.beta_plateau)):
            check_range(name, range, 1e-3)
            if not range[0] <= 1 <= range[1]:
                raise UsageError(f"{name} must hold 1, got {range}")

    def draw(self, n: int, rng: torch.Generator) -> BlurParameters:
        """Kernels of n pictures; whether there is a blur at all is the stage's to draw."""
        sinc = torch.rand(n, generator=rng) < self.sinc
        kind = torch.where(sinc, _SINC, pick(n, self.mix.weights, rng))
        size = torch.tensor(self.sizes)[pick(n, (1.0,) * len(self.sizes), rng)]
        sigma = torch.stack([uniform(n, self.sigma, rng) for _ in range(2)], 1)
        sigma = torch.where(_is_in(kind, _ISO)[:, None], sigma[:, :1], sigma)
        theta = uniform(n, (-math.pi, math.pi), rng)
        generalised = _exponents(n, self.beta_generalised, rng)
        plateau = _exponents(n, self.beta_plateau, rng)
        beta = torch.where(_is_in(kind, _GENERALISED), generalised, torch.ones(n))
        beta = torch.where(_is_in(kind, _PLATEAU), plateau, beta)
        lowest = torch.where(size < 13, math.pi / 3, math.pi / 5)
        cutoff = lowest + (math.pi - lowest) * torch.rand(n, generator=rng)
        return BlurParameters(kind, size, sigma, theta, beta, cutoff)


@dataclass(frozen=True)
class FinalSinc:
    """The sinc filter at the end of two stages: sizes of its kernel, px, and its probability, for each picture."""

    sizes: tuple[int, ...]
    probability: float

    def __post_init__(self) -> None:
        check_sizes(self.sizes)
        check_probability("probability of the final sinc", self.probability)

    def draw(self, n: int, rng: torch.Generator) -> BlurParameters:
        """Kernels of n pictures: sincs with a cut-off in [pi / 3, pi), pulses where there is none."""
        kind = torch.where(torch.rand(n, generator=rng) < self.probability, _SINC, _PULSE)
        size = torch.tensor(self.sizes)[pick(n, (1.0,) * len(self.sizes), rng)]
        cutoff = uniform(n, (math.pi / 3, math.pi), rng)
        return BlurParameters(kind, size, torch.ones(n, 2), torch.zeros(n), torch.ones(n), cutoff)


def check_sizes(sizes: tuple[int, ...]) -> None:
    """UsageError unless there are sizes and all are odd."""
    if not sizes or any(size < 1 or size % 2 == 0 for size in sizes):
        raise UsageError(f"kernel sizes must be odd, got {sizes}")


def blur_kernels(params: BlurParameters) -> Tensor:
    """Weights (N, k, k) float32 with the sum of 1, k the largest size drawn; smaller kernels have zeros around."""
    radius = int(params.size.max()) // 2
    axis = torch.arange(-radius, radius + 1, dtype=torch.float64)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    inside = torch.maximum(x.abs(), y.abs()) <= (params.size // 2)[:, None, None]
    kind = params.kind[:, None, None]
    power = _mahalanobis(x, y, params) ** params.beta.double()[:, None, None]
    weights = torch.where(_is_in(kind, _PLATEAU), 1 / (1 + power), torch.exp(-power / 2))
    weights = torch.where(kind == _SINC, sinc_kernel(torch.hypot(x, y), params.cutoff.double()[:, None, None]), weights)
    weights = torch.where(kind == _PULSE, ((x == 0) & (y == 0)).double(), weights) * inside
    return (weights / weights.sum((1, 2), keepdim=True)).float()


def sinc_kernel(radius: Tensor, cutoff: Tensor) -> Tensor:
    """Impulse response of a round low-pass filter, w J1(w r) / (2 pi r), at `radius` px; `cutoff` w in radians a px."""
    away = radius.clamp(min=1e-9)
    ring = cutoff * torch.special.bessel_j1(cutoff * away) / (2 * math.pi * away)
    return torch.where(radius == 0, cutoff.square() / (4 * math.pi), ring)


def blur(x: Tensor, kernels: Tensor) -> Tensor:
    """Filter each picture with its own kernel, mirrored at the border (without repeating the border pixel).

    x: (N, C, H, W). kernels: (N, k, k), k odd and at most 2 min(H, W) - 1. Returns (N, C, H, W), not clamped.
    """
    n, channels, height, width = x.shape
    side = kernels.shape[-1]
    radius = side // 2
    if radius >= min(height, width):
        raise UsageError(f"a kernel of {side} px is too large for pictures of {width}x{height}")
    padded = F.pad(x, (radius,) * 4, mode="reflect")
    weight = kernels.to(x).repeat_interleave(channels, 0)[:, None]
    filtered = F.conv2d(padded.reshape(1, n * channels, *padded.shape[2:]), weight, groups=n * channels)
    return filtered.reshape(n, channels, height, width)


def _mahalanobis(x: Tensor, y: Tensor, params: BlurParameters) -> Tensor:
    """Squared distance from the centre in sigmas, (N, k, k); sigma[:, 0] lies along the direction theta."""
    theta, sigma = params.theta.double()[:, None, None], params.sigma.double()[:, :, None, None]
    along, across = x * theta.cos() + y * theta.sin(), y * theta.cos() - x * theta.sin()
    return (along / sigma[:, 0]).square() + (across / sigma[:, 1]).square()


def _exponents(n: int, range: Range, rng: torch.Generator) -> Tensor:
    low, high = uniform(n, (range[0], 1.0), rng), uniform(n, (1.0, range[1]), rng)
    return torch.where(torch.rand(n, generator=rng) < 0.5, low, high)


def _is_in(kind: Tensor, kinds: tuple[int, ...]) -> Tensor:
    return torch.isin(kind, torch.tensor(kinds))
