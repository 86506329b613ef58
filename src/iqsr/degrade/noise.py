"""Gaussian and Poisson noise, in colour or the same in all channels (Real-ESRGAN, section 3.2)."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from iqsr.degrade.parameters import NoiseParameters, Range, chance, check_probability, check_range, uniform
from iqsr.errors import UnknownNameError

_LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601


@dataclass(frozen=True)
class Noise:
    """Additive Gaussian or Poisson noise; other kinds are operations of their own.

    gaussian: probability that a batch gets Gaussian noise, Poisson noise otherwise. sigma: standard deviation of
    Gaussian noise in 1/255. scale: factor of Poisson noise; 1 is that of one photon a grey level. gray: probability
    that a picture has the same noise in all channels.
    """

    sigma: Range
    scale: Range
    gray: float
    gaussian: float = 0.5

    def __post_init__(self) -> None:
        check_range("noise sigma", self.sigma, 0)
        check_range("Poisson scale", self.scale, 0)
        check_probability("gray", self.gray)
        check_probability("gaussian", self.gaussian)

    def draw(self, n: int, rng: torch.Generator) -> NoiseParameters:
        """Kind, strengths and seeds for n pictures."""
        gaussian = chance(self.gaussian, rng)
        strength = uniform(n, self.sigma, rng) / 255 if gaussian else uniform(n, self.scale, rng)
        gray = torch.rand(n, generator=rng) < self.gray
        seeds = torch.randint(2**31, (n + 1,), generator=rng)
        kind = "gaussian" if gaussian else "poisson"
        return NoiseParameters(kind, strength, gray, seeds[:-1], int(seeds[-1]))


def add_noise(x: Tensor, params: NoiseParameters) -> Tensor:
    """x: (N, 3, H, W) in [0, 1]. Returns the same with noise, clamped to [0, 1] and not rounded.

    The pattern depends on the seeds and on x's device type and dtype, for Poisson noise on x itself too. Raises
    UnknownNameError for another kind of noise.
    """
    if params.kind not in _NOISES:
        raise UnknownNameError("kind of noise", params.kind, list(_NOISES))
    noise = _NOISES[params.kind](x, params)
    return (x + noise * params.strength.to(x)[:, None, None, None]).clamp_(0, 1)


def gaussian_noise(x: Tensor, params: NoiseParameters) -> Tensor:
    """Standard normal noise, shaped as x (N, C, H, W). Gray pictures share one pattern over the whole batch."""
    shape = x.shape[1:]
    shared = _normal(torch.Size((1, *shape[1:])), params.shared_seed, x).expand(shape) if params.gray.any() else x[0]
    rows = zip(params.gray.tolist(), params.seeds.tolist(), strict=True)
    return torch.stack([shared if gray else _normal(shape, seed, x) for gray, seed in rows])


def poisson_noise(x: Tensor, params: NoiseParameters) -> Tensor:
    """Shot noise of the picture rounded to 8 bit: Poisson(x v) / v - x, with v of `_photons`; shaped as x (N, 3, H, W).

    Gray pictures have the noise of their luminance in all channels.
    """
    noises: list[Tensor] = []
    luminance = x.new_tensor(_LUMINANCE)[:, None, None]
    for picture, gray, seed in zip(x, params.gray.tolist(), params.seeds.tolist(), strict=True):
        source = (picture * luminance).sum(0, keepdim=True) if gray else picture
        levels = (source * 255).round_().clamp_(0, 255)
        photons, exact = _photons(levels), levels / 255
        drawn_photons = torch.poisson(exact * photons, torch.Generator(x.device).manual_seed(seed))
        noises.append((drawn_photons / photons - exact).expand_as(picture))
    return torch.stack(noises)


_NOISES: dict[str, Callable[[Tensor, NoiseParameters], Tensor]] = {"gaussian": gaussian_noise, "poisson": poisson_noise}


def _photons(levels: Tensor) -> int:
    """Photons at full brightness: the number of different 8-bit levels, up to the next power of two."""
    different = int(torch.bincount(levels.flatten().long(), minlength=256).count_nonzero())
    return 2 ** math.ceil(math.log2(different))


def _normal(shape: torch.Size, seed: int, like: Tensor) -> Tensor:
    rng = torch.Generator(like.device).manual_seed(seed)
    return torch.randn(shape, generator=rng, device=like.device, dtype=like.dtype)
