"""Clean square crops of photographs, and the split of photographs into those to learn from and those to check on."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from iqsr.errors import UsageError
from iqsr.images import read_rgb

_SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".heic"}
# Photos of more pixels a side than this are reduced, so that a crop is as sharp as its pixels allow.
_LARGE = 1000


@dataclass(frozen=True)
class Source:
    """A clean crop and where it came from."""

    photo: str
    """The photo's file name: what splits go by."""
    crop: Tensor
    """(3, S, S) in [0, 1]."""


def find_photos(folders: Sequence[Path]) -> list[Path]:
    """All picture files below the folders, each once, sorted. UsageError where there is none."""
    photos = sorted({p for folder in folders for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES})
    if not photos:
        raise UsageError(f"no pictures found in {', '.join(map(str, folders))}; give folders of photographs")
    return photos


def photos_within(photos: Sequence[Path], share: tuple[float, float]) -> list[Path]:
    """Those whose place in [0, 1), by the hash of their name, lies in `share`, in that order."""
    chosen = [photo for photo in photos if share[0] <= _place(photo.name, 0) < share[1]]
    return sorted(chosen, key=lambda photo: _place(photo.name, 0))


def is_held_out(photo: str, share: float) -> bool:
    """Whether a photo, by another hash of its name, belongs to the `share` that is never learned from."""
    return _place(photo, 8) < share


def crops_by_area(photo: Path, size: int, per_megapixel: float, rng: torch.Generator) -> Iterator[Source]:
    """Random crops of one photo, `per_megapixel` of its reduced area, at least one (`crops_of`)."""
    picture = read_rgb(photo)
    height, width = picture.shape[2:]
    count = max(1, round(per_megapixel * height * width / (4.5e6 if max(height, width) > _LARGE else 1e6)))
    yield from _crops(photo.name, picture, size, count, rng)


def crops_of(photo: Path, size: int, count: int, rng: torch.Generator) -> Iterator[Source]:
    """`count` random crops of one photo, each at a scale of its own.

    Large photos are reduced by 2 to 4 first: their pixels are interpolated by the camera. Three of four crops
    are drawn again, up to ten times, where they hold little (mean step between pixels under 3/255).
    """
    yield from _crops(photo.name, read_rgb(photo), size, count, rng)


def _crops(name: str, picture: Tensor, size: int, count: int, rng: torch.Generator) -> Iterator[Source]:
    height, width = picture.shape[2:]
    for _ in range(count):
        factor = 2 + 2 * _uniform(rng) if max(height, width) > _LARGE else 1 + 0.25 * _uniform(rng)
        yield Source(name, _crop(picture, size, min(factor, min(height, width) / size), rng))


def _crop(picture: Tensor, size: int, factor: float, rng: torch.Generator) -> Tensor:
    side = max(size, int(size * factor))
    flat = _uniform(rng) < 0.25
    crop = picture
    for _ in range(10):
        top, left = (int(_uniform(rng) * (n - side + 1)) for n in picture.shape[2:])
        crop = picture[:, :, top : top + side, left : left + side]
        if flat or crop.diff(dim=3).abs().mean() > 3 / 255:
            break
    return F.interpolate(crop, (size, size), mode="bicubic", antialias=True, align_corners=False)[0].clamp(0, 1)


def _place(name: str, at: int) -> float:
    return int(hashlib.sha256(name.encode()).hexdigest()[at : at + 8], 16) / 2**32


def _uniform(rng: torch.Generator) -> float:
    return float(torch.rand((), generator=rng))
