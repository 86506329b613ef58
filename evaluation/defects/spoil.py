"""The defects that srq-defects learned, of a given strength: those of the package, of the ladders, and more.

As in iqsr.training.predictor.defects: (1, 3, H, W) in [0, 1] and a strength in [0, 1] give a picture of the same size.
"""

import math
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from iqsr.training.predictor import defects

sys.path.insert(0, str(Path(__file__).parents[1] / "srq2"))
from ladders import DEFECTS as OF_LADDERS
from ladders import Defect, gaussian


def lines(x: Tensor, strength: float, rng: torch.Generator) -> Tensor:
    """Thin curved lines, 0.5 to 2 px wide, winding over 5 to 40 px: level lines of smooth noise."""
    size, width = 5 * 8 ** uniform(rng), 0.5 * 4 ** uniform(rng)
    field = smooth_noise(x, size, rng)
    slope = torch.stack(torch.gradient(field, dim=(2, 3))).square().sum(0).sqrt() + 1e-4
    levels = 1 + 2 * uniform(rng)
    distance = ((field * levels + 0.5) % 1 - 0.5).abs() / (levels * slope)
    drawn = torch.exp(-((distance / width) ** 2)) * smooth_noise(x, 30, rng).clamp(-1, 1)
    return x + drawn * 0.03 * 12**strength


def scratches(x: Tensor, strength: float, rng: torch.Generator) -> Tensor:
    """Noise drawn out over 5 to 25 px along directions that change quickly or slowly, finer or broader than `hairs`."""
    turns, reach, sigma = 2 + int(14 * uniform(rng)), 2 + int(10 * uniform(rng)), 0.3 * 4 ** uniform(rng)
    angle = F.interpolate(torch.randn(1, 1, turns, turns, generator=rng), x.shape[2:], mode="bicubic") * 2
    drawn = drawn_out(gaussian(torch.randn(1, 1, *x.shape[2:], generator=rng), sigma), angle, reach)
    drawn = drawn - gaussian(drawn, 3.0)
    return x + drawn / drawn.std() * 0.008 * 12**strength * (0.5 + detail(x))


def strokes(x: Tensor, strength: float, rng: torch.Generator) -> Tensor:
    """Texture drawn out along edges, as with a brush, and sharpened again."""
    gray = gaussian(x.mean(1, keepdim=True), 1.0)
    down, across = torch.gradient(gray, dim=(2, 3))
    xx, yy, xy = (gaussian(t, 3.0) for t in (across**2, down**2, across * down))
    angle = 0.5 * torch.atan2(2 * xy, xx - yy) + math.pi / 2
    painted_over = drawn_out(x, angle, 2 + round(7 * strength))
    return painted_over + (0.5 + 1.5 * strength) * (painted_over - gaussian(painted_over, 1.2))


def halos(x: Tensor, strength: float, rng: torch.Generator) -> Tensor:
    """A result too soft by 1.5 to 3, sharpened far too much: halos and burnt edges."""
    factor = 1.5 + 1.5 * uniform(rng)
    small = F.interpolate(x, scale_factor=1 / factor, mode="bicubic", antialias=True)
    soft = F.interpolate(small, x.shape[2:], mode="bicubic")
    return soft + 2.5 * 4**strength * (soft - gaussian(soft, 0.8 + 1.7 * uniform(rng)))


def burn(x: Tensor, strength: float, rng: torch.Generator) -> Tensor:
    """Local contrast of 5 to 15 px raised until flats turn black and white."""
    return x + 0.7 * 7**strength * (x - gaussian(x, 5 + 10 * uniform(rng)))


def shatter(x: Tensor, strength: float, rng: torch.Generator) -> Tensor:
    """Blocks of 3 to 8 px moved apart by up to 3 px."""
    block = 3 + int(6 * uniform(rng))
    rows, columns = (math.ceil(n / block) for n in x.shape[2:])
    shift = torch.randn(1, 2, rows, columns, generator=rng).repeat_interleave(block, 2).repeat_interleave(block, 3)
    shift = shift[:, :, : x.shape[2], : x.shape[3]].permute(0, 2, 3, 1) * 0.25 * 8**strength
    return moved(x, shift)


def crackle(x: Tensor, strength: float, rng: torch.Generator) -> Tensor:
    """Edges and texture shaken by 0.2 to 2 px: outlines that wobble, as in generated fine structure."""
    shift = torch.cat([smooth_noise(x, 1 + 2 * uniform(rng), rng) for _ in range(2)], 1)
    return moved(x, shift.permute(0, 2, 3, 1) * 0.2 * 10**strength)


def smooth_noise(x: Tensor, size: float, rng: torch.Generator) -> Tensor:
    """(1, 1, H, W) of deviation 1, made at a fraction of the size where it is smooth."""
    shape = [max(4, math.ceil(2 * n / size)) for n in x.shape[2:]]
    noise = F.interpolate(torch.randn(1, 1, *shape, generator=rng), x.shape[2:], mode="bicubic")
    return noise / noise.std()


def detail(x: Tensor) -> Tensor:
    """(1, 1, H, W): near 0 in flats, near 1 where there is much detail."""
    found = gaussian((x - gaussian(x, 2.0)).abs().mean(1, keepdim=True), 3.0)
    return found / (found + found.mean() + 1e-6)


def drawn_out(x: Tensor, angle: Tensor, reach: int) -> Tensor:
    """The mean over `reach` px to both sides, in a direction that differs by place."""
    step = torch.stack([angle.cos(), angle.sin()], -1)[:, 0]
    return sum((moved(x, number * step) for number in range(-reach, reach + 1)), torch.zeros_like(x)) / (2 * reach + 1)


def moved(x: Tensor, shift: Tensor) -> Tensor:
    """Each place shows what is `shift` px away (1, H, W, 2: across, down)."""
    places = F.affine_grid(torch.eye(2, 3)[None], [1, 1, *x.shape[2:]], align_corners=False)
    scale = shift.new_tensor([2 / x.shape[3], 2 / x.shape[2]])
    return F.grid_sample(x, places + shift * scale, padding_mode="reflection", align_corners=False)


def uniform(rng: torch.Generator) -> float:
    return float(torch.rand((), generator=rng))


def halo(x: Tensor, strength: float, rng: torch.Generator) -> Tensor:
    """Unsharp masking of 60 to 420 % of a picture that is sharp, at a radius of 1.5 to 3 px."""
    radius = 1.5 + 1.5 * uniform(rng)
    return x + 0.6 * 7**strength * (x - gaussian(x, radius))


DEFECTS: dict[str, Defect] = OF_LADDERS | {
    "stripes": defects.stripes,
    "median": defects.median,
    "motion": defects.motion_blur,
    "lines": lines,
    "scratches": scratches,
    "strokes": strokes,
    "halos": halos,
    "burn": burn,
    "shatter": shatter,
    "crackle": crackle,
    "halo": halo,
}
