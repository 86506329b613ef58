"""Whole degradations from high to low resolution: the ranges of their parameters, and the order of their steps.

One stage: HGGT (Chen et al., CVPR 2023). Two stages: Real-ESRGAN (Wang et al., ICCVW 2021, arXiv:2107.10833).
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from iqsr.degrade.jpeg import jpeg
from iqsr.degrade.kernels import Blur, FinalSinc, blur, blur_kernels
from iqsr.degrade.noise import Noise, add_noise
from iqsr.degrade.parameters import (
    RESIZE_MODES,
    BlurParameters,
    OneStageParameters,
    Range,
    ResizeMode,
    ResizeParameters,
    StageParameters,
    TwoStageParameters,
    chance,
    check_range,
    pick,
    uniform,
)
from iqsr.errors import UsageError
from iqsr.picture_checks import check_values


@dataclass(frozen=True)
class Resize:
    """A random change of size, the same for a whole batch.

    range: lowest and highest factor, around 1. up, down, keep: relative weights of a factor in [1, high), in [low, 1)
    and of exactly 1. The interpolation is area, bilinear or bicubic, equally often, without antialiasing.
    """

    range: Range
    up: float = 0.1
    down: float = 0.85
    keep: float = 0.05

    def __post_init__(self) -> None:
        check_range("resize range", self.range, 0.01)
        if not self.range[0] <= 1 <= self.range[1]:
            raise UsageError(f"resize range must hold 1, got {self.range}")
        weights = (self.up, self.down, self.keep)
        if min(weights) < 0 or sum(weights) <= 0:
            raise UsageError(f"weights of up, down and keep must be 0 or more, and not all 0: got {weights}")

    def draw(self, rng: torch.Generator) -> ResizeParameters:
        """One factor and one interpolation."""
        ranges: tuple[Range, ...] = ((1.0, self.range[1]), (self.range[0], 1.0), (1.0, 1.0))
        which = int(pick(1, (self.up, self.down, self.keep), rng))
        return ResizeParameters(uniform(1, ranges[which], rng).item(), draw_mode(rng))


@dataclass(frozen=True)
class Stage:
    """One round of blur, resize, noise and JPEG; jpeg: range of the quality, drawn for each picture."""

    blur: Blur
    resize: Resize
    noise: Noise
    jpeg: Range

    def __post_init__(self) -> None:
        check_range("JPEG quality", self.jpeg, 1, 100)

    def draw(self, n: int, rng: torch.Generator) -> StageParameters:
        """Parameters for n pictures."""
        blurred = chance(self.blur.probability, rng)
        kernels = self.blur.draw(n, rng)
        resize, noise = self.resize.draw(rng), self.noise.draw(n, rng)
        return StageParameters(kernels if blurred else None, resize, noise, uniform(n, self.jpeg, rng))


@dataclass(frozen=True)
class OneStage:
    """Blur, resize, noise, JPEG, then down to 1/scale with the interpolation of the first resize."""

    stage: Stage
    scale: int = 4

    @property
    def minimum_size(self) -> int:
        """The smallest side, px, for which every kernel fits into the picture."""
        return _up_to_multiple(max(self.stage.blur.sizes) // 2 + 1, self.scale)

    def draw(self, n: int, height: int, width: int, rng: torch.Generator) -> OneStageParameters:
        """Parameters for n pictures of height x width px.

        Raises UsageError where `scale` does not divide both, or one is below `minimum_size`.
        """
        lr_height, lr_width = _lr_size(height, width, self)
        return OneStageParameters(height, width, lr_height, lr_width, self.stage.draw(n, rng))


@dataclass(frozen=True)
class TwoStage:
    """Two stages, the second around 1/scale, and a final sinc filter before or after the second JPEG."""

    first: Stage
    second: Stage
    final_sinc: FinalSinc
    scale: int = 4

    @property
    def minimum_size(self) -> int:
        """The smallest side, px, for which every kernel fits into the picture, however small it was drawn to be."""
        first, second = max(self.first.blur.sizes) // 2 + 1, max(self.second.blur.sizes) // 2 + 1
        last = max(self.final_sinc.sizes) // 2 + 1
        needed = max(first, math.ceil(second / self.first.resize.range[0]) + 1, last * self.scale)
        return _up_to_multiple(needed, self.scale)

    def draw(self, n: int, height: int, width: int, rng: torch.Generator) -> TwoStageParameters:
        """Parameters for n pictures of height x width px.

        Raises UsageError where `scale` does not divide both, or one is below `minimum_size`.
        """
        lr_height, lr_width = _lr_size(height, width, self)
        first, second = self.first.draw(n, rng), self.second.draw(n, rng)
        mode, sinc = draw_mode(rng), self.final_sinc.draw(n, rng)
        return TwoStageParameters(
            height, width, lr_height, lr_width, first, second, mode, sinc, jpeg_last=chance(0.5, rng)
        )


def degrade(x: Tensor, params: OneStageParameters | TwoStageParameters) -> Tensor:
    """Apply the parameters: x (N, 3, H, W) in [0, 1] -> (N, 3, H / scale, W / scale) in [0, 1], whole 1/255ths.

    The same x and parameters give the same result. Raises UsageError for a batch the parameters were not drawn for.
    """
    stage = params.stage if isinstance(params, OneStageParameters) else params.first
    expected = (len(stage.quality), 3, params.height, params.width)
    if tuple(x.shape) != expected or not x.is_floating_point():
        raise UsageError(f"parameters drawn for floats of shape {expected} met {x.dtype} of {tuple(x.shape)}")
    if x.device.type == "cpu":  # a training need not wait for its GPU
        check_values("degrade", x)
    with torch.no_grad():
        y = _one_stage(x, params) if isinstance(params, OneStageParameters) else _two_stage(x, params)
        return (y * 255).round_().clamp_(0, 255) / 255


def resize(x: Tensor, size: tuple[int, int], mode: ResizeMode) -> Tensor:
    """x: (N, C, H, W) -> (N, C, *size), not clamped; corners not aligned, no antialiasing."""
    if size == tuple(x.shape[2:]):
        return x
    return F.interpolate(x, size, mode=mode)


def resize_by(x: Tensor, params: ResizeParameters) -> Tensor:
    """x: (N, C, H, W) -> (N, C, floor(H f), floor(W f)), not clamped.

    Sampled at steps of exactly 1 / f, not of H / floor(H f), as torch does when it is given a factor.
    """
    if params.factor == 1:
        return x
    return F.interpolate(x, scale_factor=params.factor, mode=params.mode, recompute_scale_factor=False)


def draw_mode(rng: torch.Generator) -> ResizeMode:
    """Area, bilinear or bicubic, equally often."""
    return RESIZE_MODES[int(torch.randint(len(RESIZE_MODES), (), generator=rng))]


def _one_stage(x: Tensor, params: OneStageParameters) -> Tensor:
    y = _apply_stage(x, params.stage)
    return resize(y, (params.lr_height, params.lr_width), params.stage.resize.mode)


def _two_stage(x: Tensor, params: TwoStageParameters) -> Tensor:
    y = _blurred(_apply_stage(x, params.first), params.second.blur)
    factor = params.second.resize.factor
    size = (max(1, int(params.lr_height * factor)), max(1, int(params.lr_width * factor)))
    y = add_noise(resize(y, size, params.second.resize.mode), params.second.noise)
    if not params.jpeg_last:
        y = jpeg(y.clamp(0, 1), params.second.quality)
    y = _blurred(resize(y, (params.lr_height, params.lr_width), params.final_mode), params.sinc)
    return jpeg(y.clamp(0, 1), params.second.quality) if params.jpeg_last else y


def _apply_stage(x: Tensor, params: StageParameters) -> Tensor:
    y = add_noise(resize_by(_blurred(x, params.blur), params.resize), params.noise)
    return jpeg(y, params.quality)


def _blurred(x: Tensor, params: BlurParameters | None) -> Tensor:
    return x if params is None else blur(x, blur_kernels(params))


def _lr_size(height: int, width: int, pipeline: OneStage | TwoStage) -> tuple[int, int]:
    scale, smallest = pipeline.scale, pipeline.minimum_size
    if height % scale or width % scale or min(height, width) < smallest:
        raise UsageError(
            f"this degradation needs sides that {scale} divides, of at least {smallest} px; got {width}x{height}"
        )
    return height // scale, width // scale


def _up_to_multiple(value: int, of: int) -> int:
    return -(-value // of) * of
