"""What srq-defects learns from: rated pairs, clean crops, and which of them a method that is left out takes along."""

import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torchvision.io import ImageReadMode, decode_image

from spoil import DEFECTS

sys.path.insert(0, str(Path(__file__).parents[1] / "rated"))
sys.path.insert(0, str(Path(__file__).parents[1] / "srq2"))
import scenes
from pairs import Pairs, rated_pairs

RATINGS = Path(__file__).parents[1] / "rated" / "ratings.csv"
CROPS_OF_A_PHOTO = 3
LONGEST_SIDES_PX = (700, 1000, 1200, 1600)
"""Photos are reduced to these before a crop is taken."""
GROUPS = (
    ("x4plus", "hairs", "haze", "unsharp-light"),
    ("iqsr-x4", "iqsr-x4-more", "grit", "bicubic"),
    ("original", "realsr", "checkerboard", "plastic", "unsharp"),
    ("span", "anime", "oversharp", "blur", "half"),
    ("clearreality", "animevideo", "fringe", "bicubic-sharp"),
)
"""Methods that are left out together; the number of a group is also that of the fold of scenes left out with it."""
RELATED = {
    "hairs": {"hairs", "scratches", "lines"}, "grit": {"grit", "noise"}, "haze": {"haze"}, "fringe": {"fringe"},
    "checkerboard": {"checkerboard"}, "oversharp": {"oversharpen", "halos", "burn", "halo"}, "blur": {"blur"},
    "plastic": {"oversmooth", "median", "strokes"}, "unsharp": {"halo", "halos"}, "bicubic-sharp": {"halos"},
}  # fmt: skip
"""The defects of ladders that look like a method of the rated set."""


@dataclass(frozen=True)
class Rated:
    """The rated set."""

    names: list[str]
    """SCENE/METHOD.png."""
    pictures: Tensor
    """(N, 3, H, W), uint8."""
    pairs: Pairs


def read_rated(folder: Path) -> Rated:
    """folder: the pictures of evaluation/rated/make.py, SCENE/METHOD.png."""
    names = sorted(f"{path.parent.name}/{path.name}" for path in folder.glob("*/*.png"))
    pictures = torch.stack([decode_image(str(folder / name), ImageReadMode.RGB) for name in names])
    return Rated(names, pictures, rated_pairs(names, RATINGS))


def clean_crops(photos: Path) -> Tensor:
    """(N, 3, H, W) uint8, of the photos that are not held out."""
    names = [path for path in sorted(photos.glob("*.jpg")) if not scenes.is_held_out(path.name)]
    crops = [
        scenes.crop(path, 77000 + 10 * photo + number, LONGEST_SIDES_PX[(photo + number) % len(LONGEST_SIDES_PX)])
        for photo, path in enumerate(names)
        for number in range(CROPS_OF_A_PHOTO)
    ]
    return torch.cat([(crop * 255).round().byte() for crop in crops])


def learned_from(pairs: Pairs, group: int | None) -> tuple[Pairs, list[str]]:
    """The pairs and the defects to learn from, without a group of methods, its fold of scenes and related defects."""
    if group is None:
        return pairs, list(DEFECTS)
    related = set[str]().union(*(RELATED.get(method, set()) for method in GROUPS[group]))
    kept = ~pairs.has(*GROUPS[group]) & (pairs.fold != group)
    return pairs.where(kept), [name for name in DEFECTS if name not in related]


def asked(pairs: Pairs, group: int) -> Pairs:
    """The pairs to judge a network by that `learned_from` the rest: all three raters agree on them."""
    return pairs.where(pairs.has(*GROUPS[group]) & (pairs.fold == group) & (pairs.kind == "agreed"))
