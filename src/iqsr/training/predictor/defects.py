"""What can be wrong with an enlarged picture: defects of a given strength, classical and of super-resolution's own.

Each takes a picture (1, 3, H, W) in [0, 1], a strength in [0, 1] (0 = just visible at best, 1 = gross) and a random
source `rng` for what the strength leaves open, and returns a picture of the same size. For one state of `rng`, more
strength is more of the same defect: strengths in a row make a ladder.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.io import decode_jpeg, encode_jpeg
from torchvision.transforms.v2.functional import gaussian_blur

Defect = Callable[[Tensor, float, torch.Generator], Tensor]


def blur(x: Tensor, strength: float, rng: torch.Generator) -> Tensor:
    """Gaussian blur, sigma 0.4 to 4 px."""
    return _gaussian(x, 0.4 * 10**strength)


def motion_blur(x: Tensor, strength: float, rng: torch.Generator) -> Tensor:
    """A straight line of 2 to 17 px in any direction."""
    angle, length = math.pi * _uniform(rng), 2 + 15 * strength
    size = 2 * math.ceil(length / 2) + 1
    grid = torch.arange(size) - size // 2
    along = grid * math.cos(angle) + grid[:, None] * math.sin(angle)
    across = grid[:, None] * math.cos(angle) - grid * math.sin(angle)
    kernel = ((length / 2 - along.abs() + 0.5).clamp(0, 1) * (1 - across.abs()).clamp(0, 1))[None, None]
    return F.conv2d(_pad(x, size // 2).transpose(0, 1), kernel / kernel.sum()).transpose(0, 1)


def noise(x: Tensor, strength: float, rng: torch.Generator) -> Tensor:
    """Gaussian noise of standard deviation 2/255 to 40/255; gray or coloured, fine or as coarse as 2 px."""
    gray, coarse = _uniform(rng) < 0.3, _uniform(rng) < 0.3
    pattern = torch.randn(1, 1 if gray else 3, *x.shape[2:], generator=rng)
    if coarse:
        pattern = _gaussian(pattern, 0.8)
        pattern = pattern / pattern.std()
    return x + pattern * (2 * 20**strength / 255)


def jpeg(x: Tensor, strength: float, rng: torch.Generator) -> Tensor:
    """JPEG at quality 90 down to 8."""
    quality = round(90 - 82 * strength**0.6)
    encoded: Any = encode_jpeg((x[0].clamp(0, 1) * 255).round().byte(), quality)
    decoded: Any = decode_jpeg(encoded)
    return decoded[None].float() / 255


def ringing(x: Tensor, strength: float, rng: torch.Generator) -> Tensor:
    """A sharp cut of high frequencies at 0.8 down to 0.15 of the Nyquist rate: Gibbs' ripples along edges."""
    cut = 0.8 - 0.65 * strength
    padded = _pad(x, 32)
    rate = torch.fft.fftfreq(padded.shape[2])[:, None] ** 2 + torch.fft.rfftfreq(padded.shape[3]) ** 2
    kept = torch.fft.rfft2(padded) * (rate.sqrt() * 2 < cut)
    return torch.fft.irfft2(kept, s=padded.shape[2:])[:, :, 32:-32, 32:-32]


def oversharpen(x: Tensor, strength: float, rng: torch.Generator) -> Tensor:
    """Unsharp mask of 0.3 to 6 times the detail at a radius of 0.7 to 2.5 px: halos and crackle."""
    return x + 0.3 * 20**strength * (x - _gaussian(x, 0.7 + 1.8 * _uniform(rng)))


def checkerboard(x: Tensor, strength: float, rng: torch.Generator) -> Tensor:
    """The grid that strided or shuffled layers leave: a period of 2, 4 or 8 px, everywhere or where detail is."""
    period = (2, 4, 8)[int(3 * _uniform(rng))]
    tile = torch.randn(1, 1 if _uniform(rng) < 0.5 else 3, period, period, generator=rng)
    tile = (tile - tile.mean((2, 3), keepdim=True)) / tile.std()
    times = [math.ceil(n / period) for n in x.shape[2:]]
    grid = tile.repeat(1, 1, *times)[:, :, : x.shape[2], : x.shape[3]]
    return x + grid * (1.5 * 20**strength / 255) * _where(x, rng)


def stripes(x: Tensor, strength: float, rng: torch.Generator) -> Tensor:
    """Waves of 2 to 9 px in any direction, gray or one phase a colour: what gamed predictors reward (Fig. 5)."""
    angle, period = math.pi * _uniform(rng), 2 + 7 * _uniform(rng)
    rows, columns = (torch.arange(n, dtype=torch.float32) for n in x.shape[2:])
    along = rows[:, None] * math.sin(angle) + columns * math.cos(angle)
    phases = torch.rand(3, generator=rng) * 2 * math.pi * (_uniform(rng) < 0.6)
    waves = torch.sin(2 * math.pi * along / period + phases[:, None, None])[None]
    return x + waves * (2 * 18**strength / 255) * _where(x, rng)


def colour_fringe(x: Tensor, strength: float, rng: torch.Generator) -> Tensor:
    """Red and blue moved apart by 0.4 to 4 px, as lateral aberration does."""
    angle, far = 2 * math.pi * _uniform(rng), 0.2 * 10**strength
    dy, dx = far * math.sin(angle), far * math.cos(angle)
    return torch.cat([_moved(x[:, :1], dy, dx), x[:, 1:2], _moved(x[:, 2:], -dy, -dx)], 1)


def oversmooth(x: Tensor, strength: float, rng: torch.Generator) -> Tensor:
    """A guided filter (He et al., ECCV 2010) that keeps edges and paints over texture, radius 2 to 6 px."""
    radius, eps = 2 + int(4 * _uniform(rng)), (0.01 * 25**strength) ** 2
    mean, square = _box(x, radius), _box(x * x, radius)
    slope = (square - mean**2) / (square - mean**2 + eps)
    return _box(slope, radius) * x + _box(mean - slope * mean, radius)


def median(x: Tensor, strength: float, rng: torch.Generator) -> Tensor:
    """A 3x3 median, once to five times: small things go, corners round off, as under strong denoising."""
    for _ in range(1 + round(4 * strength)):
        x = F.unfold(_pad(x, 1).transpose(0, 1), 3).median(1).values.view(1, 3, *x.shape[2:])
    return x


def pixelate(x: Tensor, strength: float, rng: torch.Generator) -> Tensor:
    """Blocks of 1.3 to 6 px."""
    factor = 1.3 * 4.6**strength
    small = F.interpolate(x, scale_factor=1 / factor, mode="area", recompute_scale_factor=False)
    return F.interpolate(small, x.shape[2:], mode="nearest-exact")


def posterise(x: Tensor, strength: float, rng: torch.Generator) -> Tensor:
    """48 down to 5 levels a colour: banding."""
    levels = round(48 * 0.1**strength)
    return (x * levels).round() / levels


DEFECTS: dict[str, Defect] = {
    f.__name__: f
    for f in (
        blur, motion_blur, noise, jpeg, ringing, oversharpen, checkerboard, stripes, colour_fringe, oversmooth, median,
        pixelate, posterise,
    )
}  # fmt: skip


def _where(x: Tensor, rng: torch.Generator) -> Tensor | float:
    """Everywhere, or only where there is detail, or only where there is none."""
    kind = _uniform(rng)
    if kind < 0.4:
        return 1.0
    detail = _gaussian((x - _gaussian(x, 2.0)).abs().mean(1, keepdim=True), 3.0)
    share = detail / (detail + detail.mean() + 1e-6)
    return 2 * share if kind < 0.8 else 2 * (1 - share) * 0.7


def _gaussian(x: Tensor, sigma: float) -> Tensor:
    size = 2 * math.ceil(3 * sigma) + 1
    return gaussian_blur(x, [size, size], [sigma, sigma])


def _box(x: Tensor, radius: int) -> Tensor:
    return F.avg_pool2d(_pad(x, radius), 2 * radius + 1, stride=1)


def _pad(x: Tensor, by: int) -> Tensor:
    return F.pad(x, (by, by, by, by), mode="reflect")


def _moved(x: Tensor, dy: float, dx: float) -> Tensor:
    """Shift by a fraction of pixels, bilinear, edges repeated."""
    height, width = x.shape[2:]
    shift = torch.tensor([[[1.0, 0.0, 2 * dx / width], [0.0, 1.0, 2 * dy / height]]])
    grid = F.affine_grid(shift, [1, 1, height, width], align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _uniform(rng: torch.Generator) -> float:
    return float(torch.rand((), generator=rng))
