"""The pictures that srq learns from: of one clean crop, everything that upscalers and accidents make of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iqsr.degrade import degrade, pipeline
from iqsr.device import fastest_dtype
from iqsr.models import load_model
from iqsr.training.predictor.defects import DEFECTS

# Fixed, apart from `pipeline_names()`: a change of names or order would change the data of the predictor that ships.
_DEGRADATIONS = ("hggt-one-stage", "hggt-two-stage", "real-esrgan", "bicubic")
_INTERPOLATIONS = ("bicubic", "bilinear", "nearest-exact", "lanczos")

T = TypeVar("T")


@dataclass(frozen=True)
class Version:
    """One version of a crop."""

    kind: str
    """How it was made: `original`, `bicubic`, `realesrgan-x4plus`, `blend`, `noise`, `blur+jpeg`, ..."""
    picture: Tensor
    """(1, 3, S, S) in [0, 1]."""


class Upscalers:
    """The packaged networks that enlarge by four, in bf16 where the CPU computes in it."""

    def __init__(self, names: Sequence[str]) -> None:
        self.modules: dict[str, nn.Module] = {}
        self.dtype = fastest_dtype(torch.device("cpu"))
        for name in names:
            module = load_model(name).module.to(self.dtype)
            module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
            self.modules[name] = module

    @torch.inference_mode()
    def enlarge(self, name: str, lr: Tensor) -> Tensor:
        """lr: (N, 3, H, W) in [0, 1]. Returns (N, 3, 4H, 4W) in [0, 1]."""
        x = lr.to(self.dtype, memory_format=torch.channels_last)
        return self.modules[name](x).float().clamp(0, 1)


def versions_of(crop: Tensor, upscalers: Upscalers, defects: int, rng: torch.Generator) -> list[Version]:
    """The original, two degradations enlarged in several ways and blended, and `defects` defective versions.

    crop: (1, 3, S, S) in [0, 1], S a multiple of 4.
    """
    original = Version("original", crop)
    enlarged: list[Version] = []
    for degradation in (_DEGRADATIONS[0], _pick(_DEGRADATIONS[1:], rng)):
        enlarged += _enlargements(reduced(crop, degradation, rng), upscalers, rng)
        enlarged.append(_blend([original, *enlarged], rng))
    spoiled = [_spoil(original if _uniform(rng) < 0.6 else _pick(enlarged, rng), rng) for _ in range(defects)]
    return [original, *enlarged, *spoiled]


def reduced(crop: Tensor, degradation: str, rng: torch.Generator) -> Tensor:
    """crop: (1, 3, S, S) as a low-resolution (1, 3, S/4, S/4), by a pipeline of `iqsr.degrade` or plain bicubic."""
    if degradation == "bicubic":
        small = F.interpolate(crop, scale_factor=0.25, mode="bicubic", antialias=True, align_corners=False)
        return (small.clamp(0, 1) * 255).round() / 255
    params = pipeline(degradation).draw(1, crop.shape[2], crop.shape[3], rng)
    return degrade(crop, params)


def _enlargements(lr: Tensor, upscalers: Upscalers, rng: torch.Generator) -> list[Version]:
    """By an interpolation, by the strongest network and by one of the others."""
    strongest, *others = upscalers.modules
    plain, other = _pick(_INTERPOLATIONS, rng), _pick(others, rng)
    made = [Version(plain, interpolate(lr, plain))]
    return made + [Version(name, upscalers.enlarge(name, lr)) for name in (strongest, other)]


def interpolate(lr: Tensor, kind: str) -> Tensor:
    """lr: (N, 3, H, W) enlarged by four in a classical way."""
    size = (4 * lr.shape[2], 4 * lr.shape[3])
    if kind == "lanczos":
        down, across = _lanczos(lr.shape[2]), _lanczos(lr.shape[3])
        return (down @ lr @ across.T).clamp(0, 1)
    corners = None if kind == "nearest-exact" else False
    return F.interpolate(lr, size, mode=kind, align_corners=corners).clamp(0, 1)


def _lanczos(size: int) -> Tensor:
    """(4 size, size): Lanczos 3, enlarging by four, edges repeated."""
    places = (torch.arange(4 * size) + 0.5) / 4 - 0.5
    weights = torch.zeros(4 * size, size)
    for tap in range(-2, 4):
        near = places.floor() + tap
        away = places - near
        weight = torch.sinc(away) * torch.sinc(away / 3)
        weights.scatter_add_(1, near.long().clamp(0, size - 1)[:, None], weight[:, None])
    return weights / weights.sum(1, keepdim=True)


def _blend(among: Sequence[Version], rng: torch.Generator) -> Version:
    first, second, share = _pick(among, rng), _pick(among, rng), _uniform(rng)
    return Version("blend", share * first.picture + (1 - share) * second.picture)


def _spoil(version: Version, rng: torch.Generator) -> Version:
    """One defect, or in one of four cases two, of any strength."""
    names = [_pick(list(DEFECTS), rng) for _ in range(2 if _uniform(rng) < 0.25 else 1)]
    picture = version.picture
    for name in names:
        picture = DEFECTS[name](picture, _uniform(rng), rng).clamp(0, 1)
    return Version("+".join(names), picture)


def _pick(among: Sequence[T], rng: torch.Generator) -> T:
    return among[int(_uniform(rng) * len(among))]


def _uniform(rng: torch.Generator) -> float:
    return float(torch.rand((), generator=rng))
