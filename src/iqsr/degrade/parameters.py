"""The parameters of a degradation, drawn at random for a batch: frozen data, one row for each picture."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Self

import torch
from torch import Tensor

from iqsr.errors import UsageError

Range = tuple[float, float]
"""Lowest and highest value, drawn uniformly between."""

ResizeMode = Literal["area", "bilinear", "bicubic"]
RESIZE_MODES: tuple[ResizeMode, ...] = ("area", "bilinear", "bicubic")


@dataclass(frozen=True, eq=False)
class Parameters:
    """Base of all parameters: tensors have one row for each picture, everything else holds for the whole batch."""

    def __getitem__(self, rows: slice) -> Self:
        """The parameters of some pictures of the batch; `params[2:3]` degrades picture 2 as the whole batch would."""
        return replace(self, **{f.name: _rows(getattr(self, f.name), rows) for f in fields(self)})


@dataclass(frozen=True, eq=False)
class BlurParameters(Parameters):
    """A blur kernel for each picture; `kernels.blur_kernels` turns it into weights.

    kind: (N,) int64 index into `kernels.KERNEL_KINDS`. size: (N,) int64, odd, px. sigma: (N, 2) px along the kernel's
    two axes. theta: (N,) radians. beta: (N,) shape exponent. cutoff: (N,) radians a px, of sinc kernels.
    """

    kind: Tensor
    size: Tensor
    sigma: Tensor
    theta: Tensor
    beta: Tensor
    cutoff: Tensor


@dataclass(frozen=True, eq=False)
class ResizeParameters(Parameters):
    """One resize for the whole batch: `factor` (1 = keep) and the interpolation.

    The factor is relative to the input in the first stage, and to lr_height x lr_width in the second.
    """

    factor: float
    mode: ResizeMode


@dataclass(frozen=True, eq=False)
class NoiseParameters(Parameters):
    """Noise: one kind for the whole batch, a strength and a seed for each picture.

    strength: (N,) standard deviation in [0, 1] for Gaussian noise, the factor of the noise for Poisson noise.
    gray: (N,) bool, the same noise in all three channels. seeds: (N,) int64. shared_seed: of the pattern that gray
    Gaussian noise has in common over the batch.
    """

    kind: Literal["gaussian", "poisson"]
    strength: Tensor
    gray: Tensor
    seeds: Tensor
    shared_seed: int


@dataclass(frozen=True, eq=False)
class StageParameters(Parameters):
    """One round of blur (None: no blur for this batch), resize, noise and JPEG; quality: (N,) in [1, 100]."""

    blur: BlurParameters | None
    resize: ResizeParameters
    noise: NoiseParameters
    quality: Tensor


@dataclass(frozen=True, eq=False)
class OneStageParameters(Parameters):
    """Parameters of `OneStage` for n pictures of height x width px, which become lr_height x lr_width."""

    height: int
    width: int
    lr_height: int
    lr_width: int
    stage: StageParameters


@dataclass(frozen=True, eq=False)
class TwoStageParameters(Parameters):
    """Parameters of `TwoStage` for n pictures of height x width px, which become lr_height x lr_width.

    sinc: the final kernels; those of pictures without a final sinc are `KERNEL_KINDS`' "pulse". jpeg_last: the order
    of the second JPEG and the final resize with its sinc, for the whole batch.
    """

    height: int
    width: int
    lr_height: int
    lr_width: int
    first: StageParameters
    second: StageParameters
    final_mode: ResizeMode
    sinc: BlurParameters
    jpeg_last: bool


def uniform(n: int, range: Range, rng: torch.Generator) -> Tensor:
    """(N,) values uniform in [low, high), float32."""
    low, high = range
    return low + (high - low) * torch.rand(n, generator=rng)


def chance(probability: float, rng: torch.Generator) -> bool:
    """True with that probability."""
    return torch.rand((), generator=rng).item() < probability


def pick(n: int, weights: tuple[float, ...], rng: torch.Generator) -> Tensor:
    """(N,) int64 indices, each with a probability in proportion to its weight."""
    bounds = torch.tensor(weights, dtype=torch.float64).cumsum(0)
    at = torch.rand(n, generator=rng, dtype=torch.float64) * bounds[-1]
    return torch.searchsorted(bounds, at, right=True).clamp_(max=len(weights) - 1)


def check_range(name: str, range: Range, low: float, high: float = float("inf")) -> None:
    """UsageError unless low <= range[0] <= range[1] <= high."""
    if not low <= range[0] <= range[1] <= high:
        raise UsageError(f"{name} must be a (low, high) within [{low:g}, {high:g}], got {range}")


def check_probability(name: str, value: float) -> None:
    """UsageError unless 0 <= value <= 1."""
    if not 0 <= value <= 1:
        raise UsageError(f"{name} must be a probability, got {value}")


def _rows(value: Any, rows: slice) -> Any:
    return value[rows] if isinstance(value, Tensor | Parameters) else value
