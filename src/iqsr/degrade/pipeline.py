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

    Factors are relative to the input in the first stage, and to the 1/scale size in the second. range: lowest and
    highest factor, around 1. up, down, keep: relative weights of a factor in [1, high), in [low, 1) and of exactly 1.
    The interpolation is area, bilinear or bicubic, equally often, without antialiasing.
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
        factor = uniform(1, ranges[which], rng).item()
        mode = draw_mode(rng)
        return ResizeParameters(factor, mode)


@dataclass(frozen=True)
class Stage:
    """One round of blur, resize, noise and JPEG, applied in this order.

    blur: kernels, drawn for each picture; whether there is a blur at all is drawn for the batch.
    resize: a factor and an interpolation, drawn for the batch. The factor is relative to the input in the first stage
    of a pipeline, and to the 1/scale size in the second.
    noise: Gaussian or Poisson, drawn for the batch; its strength is drawn for each picture.
    jpeg: range of the quality, which is drawn for each picture.
    """

    blur: Blur
    resize: Resize
    noise: Noise
    jpeg: Range

    def __post_init__(self) -> None:
        check_range("JPEG quality", self.jpeg, 1, 100)

    def draw(self, n: int, rng: torch.Generator) -> StageParameters:
        """Parameters for n pictures."""
        # The order of the draws is a contract: seeds of evaluations and trainings depend on it. New draws come last,
        # and only if the stage asks for them, or else what follows the stage changes for every pipeline.
        blurred = chance(self.blur.probability, rng)
        kernels = self.blur.draw(n, rng)  # also where there is no blur: what follows stays the same
        resize = self.resize.draw(rng)
        noise = self.noise.draw(n, rng)
        quality = uniform(n, self.jpeg, rng)
        return StageParameters(kernels if blurred else None, resize, noise, quality)


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
        stage = self.stage.draw(n, rng)
        return OneStageParameters(height, width, lr_height, lr_width, stage)


@dataclass(frozen=True)
class TwoStage:
    """Two stages and a final sinc filter.

    The first stage resizes relative to the input, the second to around 1/scale of it. Then come, in an order that is
    drawn for the batch, the second stage's JPEG, and the resize to 1/scale with the sinc filter.
    """

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
        first = self.first.draw(n, rng)  # the order is a contract, as in Stage.draw
        second = self.second.draw(n, rng)
        mode = draw_mode(rng)
        sinc = self.final_sinc.draw(n, rng)
        jpeg_last = chance(0.5, rng)
        return TwoStageParameters(height, width, lr_height, lr_width, first, second, mode, sinc, jpeg_last)


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
    y = jpeg(_before_jpeg(x, params.stage), params.stage.quality)
    return resize(y, (params.lr_height, params.lr_width), params.stage.resize.mode)


def _two_stage(x: Tensor, params: TwoStageParameters) -> Tensor:
    y = jpeg(_before_jpeg(x, params.first), params.first.quality)
    factor = params.second.resize.factor
    size = (max(1, int(params.lr_height * factor)), max(1, int(params.lr_width * factor)))
    y = _before_jpeg(y, params.second, size)
    if not params.jpeg_last:
        y = jpeg(y.clamp(0, 1), params.second.quality)
    y = _blurred(resize(y, (params.lr_height, params.lr_width), params.final_mode), params.sinc)
    return jpeg(y.clamp(0, 1), params.second.quality) if params.jpeg_last else y


def _before_jpeg(x: Tensor, params: StageParameters, size: tuple[int, int] | None = None) -> Tensor:
    """A stage's blur, resize and noise. The result has `size`; without one, that of x times the resize factor."""
    y = _blurred(x, params.blur)
    y = resize_by(y, params.resize) if size is None else resize(y, size, params.resize.mode)
    return add_noise(y, params.noise)


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
